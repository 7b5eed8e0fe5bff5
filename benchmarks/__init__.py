"""Benchmarks against hand-written NumPy, JAX, PyTorch and autograd."""
