"""Ops whose results have a size known only at run time."""
