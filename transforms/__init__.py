"""Transformations written over a trace: each maps traced functions to equations of the trace.

They are used in two ways. Inside a trace a transformation writes its equations there, so that it
nests in any other. Outside, it is compiled: a program whose trace holds nothing but the
transformation (`apart.Transformation`, `apart.transformed`).
"""
