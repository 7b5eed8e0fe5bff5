"""Functions of matrices: triangular solves, exponential, square root, logarithm."""
