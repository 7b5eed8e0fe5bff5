"""Covariance and correlation."""
