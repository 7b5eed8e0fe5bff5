"""Rewrites of IR: reverse mode, optimisation, fusion and the memory plan."""
