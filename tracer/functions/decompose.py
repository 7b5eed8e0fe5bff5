"""numpy.linalg: decompositions, and what is built of them."""
