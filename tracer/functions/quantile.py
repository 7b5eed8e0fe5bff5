"""Order statistics: medians, percentiles, quantiles, searches in sorted arrays."""
