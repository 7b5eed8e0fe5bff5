"""Interpolation, integration, differences and convolution of sampled functions."""
