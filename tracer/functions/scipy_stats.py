"""scipy.stats: densities."""
