"""Matrix decompositions: QR, SVD, eigenvalues."""
