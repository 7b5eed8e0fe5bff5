"""What of NumPy's and SciPy's surface is traced, differentiated, known while tracing, or refused.

The class of a name follows from the tables that trace it: an op without a gradient rule, a ufunc, a
registered function, a method of the traced array. Only what those cannot say is listed here: which
composed functions have no gradient, and which are answered while tracing.
"""

from __future__ import annotations

import enum
import inspect
import sys
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..ir.op import ELEMENTWISE
from .array import FUNCTIONS, UFUNC_METHODS, UFUNCS, TracedArray
from .functions import lazy, random
from .functions.polynomial_package import FAMILIES
from .refusals import REFUSALS


class Class(enum.Enum):
    """How a name stands; the values are words for people."""

    DIFFERENTIABLE = "differentiable"
    CONSTANT = "no gradient"
    KNOWN = "known while tracing"
    REFUSED = "refused"


MEANING = {
    Class.DIFFERENTIABLE: "The value is NumPy's, and derivatives of any order flow through.",
    Class.CONSTANT: (
        "The value is NumPy's. The derivative is zero wherever there is one: comparisons, "
        "rounding, integer results, positions. Where it is undefined (draws whose distribution has "
        "no simple derivative, elements that two arrays share) DifferentiationError is raised."
    ),
    Class.KNOWN: (
        "Answered while the function is traced: questions about shapes and types, arrays made of "
        "sizes alone, and what takes no array at all."
    ),
    Class.REFUSED: "Raises UnsupportedError, which says why and what to write instead.",
}


class Entry(NamedTuple):
    """One public name, its class, and why or how where that needs saying."""

    module: str
    name: str
    kind: Class
    note: str = ""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CONSTANT = _words(
    """
    all allclose any argmax in1d argmin argpartition argsort argwhere around array_equal
    array_equiv count_nonzero digitize fix flatnonzero intersect1d isclose iscomplex isin
    isneginf isposinf isreal lexsort nanargmax nanargmin nonzero ones_like packbits
    ravel_multi_index round searchsorted unpackbits unravel_index zeros_like linalg.matrix_rank
    ndarray.__str__ ndarray.__repr__ ndarray.__format__ special.comb special.factorial
    special.perm polynomial.legendre.legweight
    """
)
"""Functions that are composed or have an op of their own, and no gradient."""

_QUERIES = _words(
    """
    can_cast common_type diag_indices_from einsum_path empty_like iscomplexobj isfortran
    isrealobj isscalar min_scalar_type ndim result_type shape size tril_indices_from
    triu_indices_from ndarray.__array_namespace__ ndarray.__len__ ndarray.device ndarray.dtype
    ndarray.flags ndarray.itemsize ndarray.nbytes ndarray.ndim ndarray.setflags ndarray.shape
    ndarray.size ndarray.strides
    """
)
"""Answered from shape and dtype alone."""

_STATIC = _words(
    """
    arange bartlett blackman broadcast_shapes diag_indices empty eye hamming hanning identity
    indices isdtype issubdtype iterable mask_indices mintypecode ndarray ndindex ones
    promote_types s_ index_exp tri tril_indices triu_indices typename zeros base_repr
    binary_repr busday_count busday_offset busdaycalendar errstate printoptions
    datetime_as_string datetime_data is_busday isnat dtype finfo flatiter iinfo ufunc
    complexfloating floating generic inexact integer number signedinteger unsignedinteger
    get_include get_printoptions getbufsize geterr geterrcall show_config show_runtime test
    linalg.test fft.test
    """
)
"""Take sizes, types or nothing; called as they are while the function is traced."""

_NOTES = {
    **{
        f"numpy.emath.{name}": "Of complex arguments. Of real ones it is refused: values decide "
        "whether the result is complex."
        for name in ("arccos", "arcsin", "arctanh", "log", "log10", "log2", "logn", "power", "sqrt")
    },
    "numpy.errstate": "`with np.errstate(...)` holds for its block when the program runs.",
    "numpy.printoptions": "`with np.printoptions(...)` holds for its block when the program runs.",
    "numpy.zeros": "Writing traced values into it differentiates.",
}

_INDEX_TOOLS = ("c_", "index_exp", "mgrid", "ogrid", "r_", "s_")
"""Not callable, and yet functions to their users."""

_MACHINERY = (
    frozenset(dir(object))
    | _words(
        """
    __array_finalize__ __array_function__ __array_priority__ __array_ufunc__ __array_wrap__
    __class_getitem__ __delitem__ __setstate__
    """
    )
) - _words(
    """
    __eq__ __format__ __ge__ __gt__ __le__ __lt__ __ne__ __reduce__ __reduce_ex__ __repr__
    __str__
    """
)
"""Attributes of ndarray that are Python's or NumPy's own affair."""

MODULES: dict[str, Any] = {
    "numpy": np,
    "numpy.linalg": np.linalg,
    "numpy.fft": np.fft,
    "numpy.emath": np.emath,
    "numpy.lib.stride_tricks": np.lib.stride_tricks,
    **{f"numpy.polynomial.{f}": getattr(np.polynomial, f) for f in FAMILIES},
    "numpy.random": np.random,
    "numpy.random.Generator": np.random.Generator,
    "numpy.ufunc": np.ufunc,
    "numpy.ndarray": np.ndarray,
}
"""What is looked through; a class counts as the module of its methods."""

SCIPY = ("scipy.special", "scipy.signal", "scipy.stats", "scipy.integrate", "scipy.linalg")
"""Modules of which the names that have a traced form are listed."""


def entries() -> list[Entry]:
    """Return all public names of the installed NumPy, and those of SciPy that are traced.

    Modules of SciPy count where they have been imported.
    """
    lazy.register_loaded()
    found = [
        _entry(module, name, getattr(owner, name))
        for module, owner in MODULES.items()
        for name in _names(module, owner)
    ]
    for module in SCIPY:
        if module in sys.modules:
            found += _scipy(module, sys.modules[module])
    return found


def _names(module: str, owner: Any) -> Iterator[str]:
    for name in sorted(getattr(owner, "__all__", dir(owner)) if "poly" in module else dir(owner)):
        if module == "numpy.ndarray":
            if name not in _MACHINERY:
                yield name
        elif not name.startswith("_"):
            value = getattr(owner, name)
            if (
                (callable(value) and not _is_exception(value))
                or name in _INDEX_TOOLS
                or module == "numpy.ufunc"
            ):
                yield name


def _is_exception(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, BaseException)


def _entry(module: str, name: str, value: Any) -> Entry:
    qualified = f"{module}.{name}"
    note = _NOTES.get(qualified, "")
    refusal = REFUSALS.get(qualified)
    if refusal is not None:
        return Entry(module, name, Class.REFUSED, " ".join(refusal))
    if lazy.NAMES.get(qualified):
        return Entry(module, name, Class.REFUSED, lazy.NAMES[qualified])
    if module.startswith("numpy.polynomial") and inspect.isclass(value):
        note = "Its coefficients are static. A call of it is traced."
        return Entry(module, name, Class.KNOWN, note)
    if module == "numpy.ndarray":
        return Entry(module, name, _method(name), note)
    if module == "numpy.ufunc":
        kind = Class.DIFFERENTIABLE if name in UFUNC_METHODS else Class.KNOWN
        return Entry(module, name, kind, note)
    if module.startswith("numpy.random"):
        return Entry(module, name, *_random(name))
    return Entry(module, name, _function(qualified, value), note)


def _function(qualified: str, value: Any) -> Class:
    """Return the class of a function, ufunc or type."""
    name = qualified.partition(".")[2]
    if name in _CONSTANT:
        return Class.CONSTANT
    if name in _QUERIES or name in _STATIC or name.endswith(("gauss", "pts1", "pts2")):
        return Class.KNOWN
    if isinstance(value, np.ufunc):
        return _ufunc(value)
    if inspect.isclass(value) and issubclass(value, np.generic):
        is_inexact = issubclass(value, np.inexact)
        return Class.DIFFERENTIABLE if is_inexact else Class.CONSTANT
    if name in _INDEX_TOOLS or _is_traced(value):
        return Class.DIFFERENTIABLE
    calls = _CALLS.get(qualified)
    return Class.DIFFERENTIABLE if calls and _is_traced(calls) else Class.REFUSED


_CALLS: dict[str, Any] = {
    "numpy.row_stack": np.vstack,
    "numpy.trapz": getattr(np, "trapezoid", None),
    "numpy.vectorize": np.vectorize.__call__,
}
"""What stands for a name that has no traced form itself: what it calls, what calling it calls."""


def _ufunc(ufunc: np.ufunc) -> Class:
    op = ELEMENTWISE.get(ufunc)
    if op is not None:
        return Class.DIFFERENTIABLE if op.has_gradient else Class.CONSTANT
    return Class.DIFFERENTIABLE if ufunc in UFUNCS else Class.REFUSED


def _is_traced(value: Any) -> bool:
    try:
        return value in FUNCTIONS or lazy.find(value) is not None
    except TypeError:  # unhashable
        return False


_UFUNCS = {
    "floordiv": np.floor_divide, "and": np.bitwise_and, "or": np.bitwise_or,
    "xor": np.bitwise_xor, "lshift": np.left_shift, "rshift": np.right_shift,
    "invert": np.invert, "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip
"""Operators whose ufunc has no gradient; with a reflected or augmented form or without."""


def _method(name: str) -> Class:
    """Return the class of a method or attribute of ndarray, by the function of the same name."""
    qualified = f"ndarray.{name}"
    if qualified in _QUERIES:
        return Class.KNOWN
    if name not in vars(TracedArray):
        return Class.REFUSED
    if qualified in _CONSTANT or name in _CONSTANT:
        return Class.CONSTANT
    stem = name.strip("_")
    operator = _UFUNCS.get(stem) or (stem[0] in "ri" and _UFUNCS.get(stem[1:]))
    if name.startswith("__") and operator:
        return _ufunc(operator)
    return Class.DIFFERENTIABLE


def _random(name: str) -> tuple[Class, str]:
    """Return the class of a draw: a method of a generator, or a function of `numpy.random`."""
    if name in random._REFUSED or name == "bit_generator":
        return Class.REFUSED, "What it gives is no array. Draw arrays, or call it outside."
    if name in ("test", "get_bit_generator", "set_bit_generator", "BitGenerator", "SeedSequence"):
        return Class.KNOWN, ""
    if name in random._AFFINE or name in random._SPECIAL:
        return Class.DIFFERENTIABLE, ""
    return Class.CONSTANT, ""


def _scipy(module: str, owner: types.ModuleType) -> Iterator[Entry]:
    """Yield the names of a module of SciPy that have a traced form, or a reason why they have none.

    A method stands for all distributions of its class.
    """
    for name in sorted(n for n in dir(owner) if not n.startswith("_")):
        value = getattr(owner, name)
        if isinstance(value, np.ufunc) and _ufunc(value) is not Class.REFUSED:
            yield Entry(module, name, _ufunc(value))
    for qualified, refusal in sorted(lazy.NAMES.items()):
        name = qualified.removeprefix(f"{module}.")
        target: Any = owner
        for part in name.split("."):
            target = getattr(target, part, None)
        if name == qualified or name.startswith("_") or isinstance(target, np.ufunc | None):
            continue
        kind = Class.REFUSED if refusal else Class.DIFFERENTIABLE
        if qualified.partition(".")[2] in _CONSTANT:
            kind = Class.CONSTANT
        yield Entry(module, name, kind, refusal)


__all__ = ["MEANING", "MODULES", "SCIPY", "Class", "Entry", "entries"]
