"""Benchmarks against gradients written by hand and against JAX, PyTorch and autograd."""
