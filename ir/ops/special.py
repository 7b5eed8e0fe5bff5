"""Special functions of SciPy, elementwise."""
