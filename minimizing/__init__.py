"""SciPy's minimizers on containers of arrays.

`minimize` has the call and what SciPy is given of the function, `constraints` does the same for
bounds and constraints, `progress` shows how it goes; `flattening` is the way between containers
and vectors, for other optimizers too. They are imported at the first use.
"""
