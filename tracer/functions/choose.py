"""Choices between arrays: select, choose, piecewise; functions applied along axes."""
