"""What of NumPy is refused, why, and what to write instead: the one place for these sentences.

The error of a refused function and the table of `pullback coverage` read them from here. A key is a
qualified name, such as `numpy.save` or `numpy.ndarray.tobytes`.
"""

from __future__ import annotations

from typing import NamedTuple

from ..ir.errors import UnsupportedError
from .report import expression_here


class Refusal(NamedTuple):
    """Why something is refused, and what to write instead: a sentence each."""

    why: str
    instead: str


def _each(names: str, why: str, instead: str, prefix: str = "numpy.") -> dict[str, Refusal]:
    return {prefix + name: Refusal(why, instead) for name in names.split()}


EFFECTS = {
    **_each(
        "fromfile fromregex genfromtxt load loadtxt memmap",
        "It reads a file, which would happen while the function is traced, not when it runs.",
        "Read the file outside of the function and pass the array as an argument.",
    ),
    **_each(
        "save savetxt savez savez_compressed",
        "It writes a file, which would happen while the function is traced, not when it runs.",
        "Return the array, and write it outside of the function.",
    ),
    **_each(
        "set_printoptions seterr seterrcall",
        "It would set what is outside of the function while the function is traced.",
        "Call it outside, or write `with np.errstate(...)` or `with np.printoptions(...)`.",
    ),
    **_each(
        "setbufsize",
        "It would set what is outside of the function while the function is traced.",
        "Call it outside of the function.",
    ),
    **_each(
        "info",
        "It prints while the function is traced, not when it runs.",
        "Call it outside of the function.",
    ),
    **_each(
        "asmatrix bmat matrix",
        "A matrix is a subclass of ndarray with operators of its own, and only ndarrays are "
        "traced.",
        "Use arrays: A @ B for the product, np.block for blocks.",
    ),
    **_each(
        "frompyfunc",
        "Its results are arrays of Python objects, and only numbers are traced.",
        "Write np.vectorize(function), or the function with array operations.",
    ),
}
"""Refused also where no argument is traced."""

_DATA = {
    **_each(
        "frombuffer fromstring from_dlpack",
        "It reads memory as numbers, and a traced array has none before the program runs.",
        "Write x.astype(dtype) or x.reshape(shape).",
    ),
    **_each(
        "may_share_memory shares_memory",
        "Whether arrays share memory is known only when the program runs.",
        "Ask outside of the function, or write x.copy() where they must not.",
    ),
    **_each(
        "array2string array_repr array_str format_float_positional format_float_scientific",
        "The value is known only when the program runs.",
        "Write f\"{x}\" or print(x), which are done then, or format it outside of the function.",
    ),
    **_each(
        "nditer nested_iters",
        "It goes through memory step by step, and a traced array has none before the program runs.",
        "Loop over np.ndindex(*x.shape), or x.flat, or np.ndenumerate(x).",
    ),
    **_each(
        "broadcast",
        "It goes through memory step by step, and a traced array has none before the program runs.",
        "Write np.broadcast_shapes(x.shape, y.shape) or np.broadcast_arrays.",
    ),
    **_each(
        "lib.stride_tricks.as_strided",
        "It reads memory by strides, and a traced array has none before the program runs.",
        "Write np.lib.stride_tricks.sliding_window_view, or an index of the array.",
    ),
    **_each(
        "poly1d",
        "It leaves out leading zeros, so that its size depends on values.",
        "Write np.polyval(coefficients, x), np.polyder, np.polymul and so on.",
    ),
    **_each(
        "bytes_ character flexible object_ recarray record str_ void",
        "Only booleans, integers, and real and complex floating point are traced.",
        "Keep a number for each, in arrays of their own.",
    ),
    **_each(
        "datetime64 timedelta64",
        "Only booleans, integers, and real and complex floating point are traced.",
        "Convert the dates outside of the function: (t - t0) / np.timedelta64(1, 's').",
    ),
}  # fmt: skip

_METHODS = {
    **_each(
        "dump dumps tobytes tofile __reduce__ __reduce_ex__",
        "The bytes are known only when the program runs.",
        "Return the array, and write it outside of the function.",
        "numpy.ndarray.",
    ),
    **_each(
        "ctypes data __array_interface__ __array_struct__ __buffer__ __dlpack__ __dlpack_device__",
        "A traced array has no memory before the program runs.",
        "Pass the array to such code outside of the function.",
        "numpy.ndarray.",
    ),
    **_each(
        "base",
        "Whose memory an array uses is known only when the program runs.",
        "Write x.copy() where the array must be its own.",
        "numpy.ndarray.",
    ),
    **_each(
        "getfield setfield",
        "It takes the bytes of an element apart.",
        "Write x.real, x.imag or x.astype(dtype), and assign by an index.",
        "numpy.ndarray.",
    ),
    **_each(
        "byteswap",
        "It takes the bytes of an element apart.",
        "Write x.astype(dtype).",
        "numpy.ndarray.",
    ),
    **_each(
        "resize",
        "It changes what an array is.",
        "Write x = np.resize(x, shape).",
        "numpy.ndarray.",
    ),
    **_each(
        "__array__",
        "It would turn a traced array into numbers, in code that pullback does not see into.",
        "Write the code with NumPy functions.",
        "numpy.ndarray.",
    ),
}

REFUSALS: dict[str, Refusal] = {**EFFECTS, **_DATA, **_METHODS}

_ANY = Refusal(
    "",
    "Write it with functions that are traced, or compute it outside of the function and pass the "
    "result as an argument.",
)


def refused(name: str, refusal: Refusal | None = None) -> UnsupportedError:
    """Return the error for a qualified name, with the user's expression and the table's reason."""
    found = refusal or REFUSALS.get(name, _ANY)
    owner, _, last = name.rpartition(".")
    shown = f"`{last}` of an array" if owner == "numpy.ndarray" else name.replace("numpy", "np", 1)
    lines = [f"{expression_here()}: {shown} cannot be traced.", found.why, found.instead]
    return UnsupportedError("\n  ".join(line for line in lines if line))


__all__ = ["EFFECTS", "REFUSALS", "Refusal", "refused"]
