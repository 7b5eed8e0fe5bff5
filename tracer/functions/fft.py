"""numpy.fft as compositions of ops."""
