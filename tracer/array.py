"""The traced array: what stands for an array while a function is traced.

Every operation on it (operators, ufuncs, NumPy functions, methods) is written into the innermost
trace. Promotion follows NumPy (NEP 50): a Python number is weak, a NumPy scalar is not, and every
conversion becomes an explicit `convert`.
"""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..ir.core import Atom, Function, Literal
from ..ir.dims import Dim
from ..ir.errors import ConcretizationError, ShapeError, UnsupportedError
from ..ir.op import ELEMENTWISE, Elementwise, Op
from ..ir.ops.select import Convert
from ..ir.types import ArrayType, Kind, Layout
from .foreign import is_foreign
from .promotion import check_dtype, holding, is_python, promotion_keys, resolve
from .python_errors import CHECKED, checked
from .refusals import refused
from .report import expression_here
from .state import Trace, escaped, locate, require
from .storage import READ_ONLY, Storage, View, is_alias

FUNCTIONS: dict[Any, Callable[..., Any]] = {}
"""NumPy function -> its traced form; filled by the modules of `tracer/functions/`."""

UFUNCS: dict[np.ufunc, Callable[..., Any]] = {}
"""Ufuncs that are no single elementwise op (several results, core dims) -> their traced form."""

UFUNC_METHODS: dict[str, Callable[..., Any]] = {}
"""`reduce`, `accumulate`, `outer`, `at` -> their traced form, called with the ufunc first."""

Implementation = Callable[..., Any]


def implements(*functions: Any) -> Callable[[Implementation], Implementation]:
    """Register the traced form of NumPy functions."""

    def register(implementation: Implementation) -> Implementation:
        for function in functions:
            FUNCTIONS[function] = implementation
        return implementation

    return register


def lift(value: Any, trace: Trace) -> tuple[Atom, Kind]:
    """Return a value as an atom of `trace`, with its kind.

    Raises
    ------
    EscapedError
        For a traced value of a call that has ended.
    UnsupportedError
        For what is no array or number.
    """
    if isinstance(value, TracedArray):
        if not value._trace.active or value._trace.root is not trace.root:
            raise escaped(value)
        return value._atom, value._kind
    if type(value) is float and value and value == value:
        return _float_literal(value), Kind.PYTHON
    if isinstance(value, bool | int | float | complex) and not isinstance(value, np.generic):
        return Literal(np.asarray(value)[()]), Kind.PYTHON
    if isinstance(value, np.generic):
        check_dtype(value.dtype)
        return Literal(value), Kind.SCALAR
    if type(value) is np.ndarray:
        check_dtype(value.dtype)
        return trace.root.inputs.array(value), Kind.ARRAY
    if isinstance(value, np.ndarray):
        raise UnsupportedError(
            f"{expression_here()}: arrays of the class {type(value).__name__} are not traced.\n"
            "  Pass np.asarray(x), or for a masked array its data and mask."
        )
    if isinstance(value, Dim):
        from ..ir.ops.dynamic import Extent

        return trace.builder.one(Extent(value)), Kind.PYTHON
    if isinstance(value, list | tuple | range):
        stacked = FUNCTIONS[np.array](list(value))
        return lift(stacked, trace)
    if is_foreign(value):
        return lift(trace.root.inputs.foreign(value), trace)
    raise UnsupportedError(
        f"{expression_here()}: a {type(value).__name__} cannot be used in traced array code."
    )


@functools.lru_cache(maxsize=256)
def _float_literal(value: float) -> Literal:
    """Return a float that equals no other one; rules write the same few again and again."""
    return Literal(np.float64(value))


@functools.lru_cache(maxsize=256)
def _scalar_literal(literal: Literal, dtype: np.dtype) -> Literal:
    """Return a scalar cast to a dtype."""
    with np.errstate(all="ignore"):
        return Literal(np.asarray(literal.value).astype(dtype)[()])


def kind_of(value: Any) -> Kind:
    """Return the kind of an array, traced or not, or of a number."""
    if isinstance(value, TracedArray):
        return value._kind
    if isinstance(value, np.ndarray):
        return Kind.ARRAY
    return Kind.SCALAR if isinstance(value, np.generic) else Kind.PYTHON


def wrap(atom: Atom, kind: Kind, trace: Trace) -> TracedArray:
    """Return an atom as a traced array of `trace`."""
    return TracedArray(atom, kind, trace)


def computed(atom: Atom, trace: Trace) -> TracedArray:
    """Return an atom as what NumPy computes: an array, or a scalar where it has no axes."""
    return TracedArray(atom, Kind.ARRAY if atom.type.shape else Kind.SCALAR, trace)


def convert(atom: Atom, dtype: np.dtype, trace: Trace) -> Atom:
    """Return the atom cast to a dtype."""
    if atom.type.dtype == dtype:
        return atom
    if isinstance(atom, Literal):
        if atom.is_scalar:
            return _scalar_literal(atom, dtype)
        with np.errstate(all="ignore"):
            return Literal(np.asarray(atom.value).astype(dtype)[()])
    return trace.builder.one(Convert(dtype), atom)


def emit(op: Op, operands: Sequence[Any], *, aliases: bool = False) -> Any:
    """Emit an op on values already of the right dtypes; return one traced result, or a tuple.

    A view of an array shares its memory; with `aliases` it does so where the op has to copy too.
    """
    trace = require(op.name, operands)
    atoms = [lift(v, trace)[0] for v in operands]
    trace.builder.provenance = locate(trace)
    results = trace.builder.emit(op, atoms)
    base = operands[0] if operands and len(results) == 1 else None
    if type(base) is TracedArray and base._kind is Kind.ARRAY:
        layout = atoms[0].layout if base._view is None else base._view.layout
        if aliases or is_alias(op, atoms[0], layout):
            view = base._as_view().then(op, atoms[1:], atoms[0], not isinstance(op, READ_ONLY))
            return TracedArray(results[0], Kind.ARRAY, trace, view)
    wrapped = tuple(
        [
            TracedArray(r, Kind.ARRAY if r.type.shape or op.is_view else Kind.SCALAR, trace)
            for r in results
        ]
    )
    return wrapped[0] if len(wrapped) == 1 else wrapped


def apply_elementwise(
    op: Elementwise,
    operands: Sequence[Any],
    *,
    is_operator: bool = False,
    dtypes: tuple[np.dtype, ...] | None = None,
) -> TracedArray:
    """Emit an elementwise op on anything that NumPy would take.

    The promotion is NumPy's, or the operands are cast to `dtypes`.
    """
    trace = require(op.name, operands)
    lifted = [lift(v, trace) for v in operands]
    trace.builder.provenance = locate(trace)
    if dtypes is None:
        dtypes = resolve(op, promotion_keys(lifted))
    has_python = Kind.PYTHON in [k for _, k in lifted]
    if has_python:
        dtypes = holding(op, lifted, dtypes)
    atoms = [
        a if a.type.dtype is d else convert(a, d, trace)
        for (a, _), d in zip(lifted, dtypes, strict=True)
    ]
    if has_python and is_operator and op.ufunc in CHECKED and is_python(op, lifted):
        atoms = checked(trace.builder, op.ufunc, atoms)
    try:
        (result,) = trace.builder.emit(op, atoms)
    except ShapeError:
        from .size import agreed

        matched = agreed(atoms, trace)
        if matched is None or matched == atoms:
            raise
        (result,) = trace.builder.emit(op, matched)
    if result.type.shape:
        kind = Kind.ARRAY
    elif has_python and is_operator and is_python(op, lifted):
        kind = Kind.PYTHON
    else:
        kind = Kind.SCALAR
    return TracedArray(result, kind, trace)


def _binary(ufunc: np.ufunc, reflected: bool = False) -> Callable[..., Any]:
    op = ELEMENTWISE[ufunc]

    def method(self: TracedArray, other: Any) -> Any:
        if not _is_operand(other):
            return NotImplemented
        if ufunc is np.multiply and isinstance(other, list | tuple) and _is_count(self):
            return other * self.__index__()
        operands = (other, self) if reflected else (self, other)
        return apply_elementwise(op, operands, is_operator=True)

    return method


def _is_count(value: TracedArray) -> bool:
    """Whether Python repeats a list by it: an integer, and no array."""
    kinds = "biu" if value._kind is Kind.PYTHON else "iu"
    return value._kind is not Kind.ARRAY and value.dtype.kind in kinds


def _unary(ufunc: np.ufunc) -> Callable[..., Any]:
    op = ELEMENTWISE[ufunc]
    return lambda self: apply_elementwise(op, (self,), is_operator=True)


def _is_operand(value: Any) -> bool:
    return isinstance(value, _OPERANDS) or is_foreign(value)


_FAST_POWERS: dict[float, np.ufunc] = {
    -1.0: np.reciprocal,
    0.5: np.sqrt,
    1.0: np.positive,
    2.0: np.square,
}


def _power(self: TracedArray, other: Any) -> Any:
    """`x ** n`: NumPy replaces a few scalar exponents of inexact arrays by cheaper ufuncs."""
    if not _is_operand(other):
        return NotImplemented
    is_array = bool(self._value.type.shape) or (
        self._kind is Kind.ARRAY and self.dtype.kind != "c"  # NumPy's own distinction
    )
    if is_array and type(other) in (int, float):
        fast = _FAST_POWERS.get(float(other))
        if fast is not None and self.dtype.kind in "fc":
            return apply_elementwise(ELEMENTWISE[fast], (self,))
        if type(other) is int and other == 2 and self.dtype.kind in "biu":
            return apply_elementwise(ELEMENTWISE[np.square], (self,))
    return apply_elementwise(ELEMENTWISE[np.power], (self, other), is_operator=True)


class TracedArray:
    """Stands for an ndarray, NumPy scalar or Python number inside a traced function."""

    __slots__ = ("_kind", "_seen", "_trace", "_value", "_view")
    __array_priority__ = 1000.0
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, atom: Atom, kind: Kind, trace: Trace, view: View | None = None) -> None:
        self._value = atom
        self._kind = kind
        self._trace = trace
        self._view = view
        if view is not None:
            self._seen = view.storage.version

    @property
    def _atom(self) -> Atom:
        """What it holds now."""
        region = self._trace.region
        if region is not None and self._kind is Kind.ARRAY:
            region.touch(self._as_view().storage)
        view = self._view
        if view is not None and (
            self._seen != view.storage.version or view.storage.unsettled is not None
        ):
            self._value = view.read((region or self._trace).builder)
            self._seen = view.storage.version
        return self._value

    def _as_view(self) -> View:
        """Return the view that it is, of a storage of its own where nothing shares it yet."""
        if self._view is None:
            storage = Storage(self._value, self._trace)
            self._view = View(storage, (), storage.layout)
            self._seen = 0
        return self._view

    def set_read_only(self) -> None:
        """Let no write go through it, as through a view that NumPy gives read-only."""
        self._view = self._as_view()._replace(writeable=False)

    @property
    def _layout(self) -> Layout:
        """The strides, None where C-contiguous."""
        return self._value.layout if self._view is None else self._view.layout

    def __pullback_leaf__(self) -> tuple[ArrayType, Kind]:
        """Mark it as a leaf of containers; the signature of a traced argument."""
        return self._atom.type, self._kind

    def __pullback_layout__(self) -> Layout:
        """Return the strides, None where C-contiguous: rules choose by them."""
        return self._layout

    # -- what is known while tracing ------------------------------------------------------------

    @property
    def type(self) -> ArrayType:
        """The IR type."""
        return self._value.type

    @property
    def dtype(self) -> np.dtype:
        """The dtype, as of the ndarray it stands for."""
        return self._value.type.dtype

    @property
    def shape(self) -> tuple[Any, ...]:
        """The shape, as of the ndarray it stands for."""
        shape: tuple[Any, ...] = self._value.type.shape
        for d in shape:
            if d.__class__ is Dim:
                shape = _for_caller(shape, sys._getframe(1))
                break
        return shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._value.type.shape)

    @property
    def size(self) -> Any:
        """The number of elements."""
        total: Any = 1
        for d in self._value.type.shape:
            total = total * d
        return total if total.__class__ is not Dim else _for_caller(total, sys._getframe(1))

    @property
    def itemsize(self) -> int:
        """The bytes of an element."""
        return int(self.dtype.itemsize)

    @property
    def nbytes(self) -> Any:
        """The bytes of all elements."""
        total = self.size * self.itemsize
        return total if total.__class__ is not Dim else _for_caller(total, sys._getframe(1))

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        _refuse_iteration(self._value.type.shape)
        return int(self.shape[0])

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))  # each as it is when it is asked for

    # -- what cannot be known while tracing -------------------------------------------------------

    def __bool__(self) -> bool:
        if not self._trace.active:
            raise escaped(self)
        if isinstance(self._atom, Literal):
            return bool(self._atom.value)
        from .guards import Refused, decided

        try:
            return bool(decided(self, "bool"))
        except Refused as refusal:
            why = f"; {refusal}" if str(refusal) else ""
        raise ConcretizationError(
            f"{expression_here()} decides a branch, a loop or an assertion, but its value is known "
            f"only when the program runs{why}.\n"
            "  Write np.where(condition, a, b) for a choice between values; for an argument that "
            "is always the same, name it in static_argnums."
        )

    def _concrete(self, what: str, instead: str, form: str = "") -> Any:
        """Return the value as `form` says, "int" or "index", where it can be had."""
        from .guards import Refused, decided

        if not self._trace.active:
            raise escaped(self)
        why = ""
        try:
            if form:
                return decided(self, form)
        except Refused as refusal:
            why = f"; {refusal}" if str(refusal) else ""
        raise ConcretizationError(
            f"{expression_here()} needs {what}, but the value is known only when the program "
            f"runs{why}.\n  {instead}"
        )

    def __int__(self) -> int:
        if isinstance(self._atom, Literal):
            return int(self._atom.value)
        return int(
            self._concrete(
                "a Python int", "Write x.astype(int), or make the argument static.", "int"
            )
        )

    def __float__(self) -> float:
        return float(
            self._concrete(
                "a Python float inside code that pullback does not see into",
                "Call float(x) in your own code, where it is traced, or write x.astype(float).",
            )
        )

    def __complex__(self) -> complex:
        return complex(self._concrete("a Python complex", "Write x.astype(complex)."))

    def __index__(self) -> int:
        if isinstance(self._atom, Literal) and self.dtype.kind in "iu" and not self.shape:
            return int(self._atom.value)
        return int(
            self._concrete(
                "an integer for a list, range or shape",
                "Index an array with it, or make the argument static (static_argnums).",
                "index",
            )
        )

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if not self._trace.active:
            raise escaped(self)
        raise UnsupportedError(
            f"{expression_here()} would turn a traced array into numbers, in code that pullback "
            "cannot see into.\n"
            "  Write it with NumPy functions, or compute it outside and pass the result as an "
            "argument."
        )

    def __contains__(self, item: Any) -> bool:
        return bool(FUNCTIONS[np.any](self == item))

    # -- dispatch
    # -----------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            implementation = UFUNC_METHODS.get(method)
            if implementation is None:
                raise unsupported(f"{ufunc_name(ufunc)}.{method}")
            return implementation(ufunc, *inputs, **kwargs)
        if kwargs:
            from .functions.ufunc_call import call_ufunc

            return call_ufunc(ufunc, inputs, kwargs)
        op = ELEMENTWISE.get(ufunc)
        if op is not None:
            return apply_elementwise(op, inputs)
        function = UFUNCS.get(ufunc)
        if function is None:
            raise unsupported(ufunc_name(ufunc))
        return function(*inputs)

    def __array_function__(
        self, func: Any, types: Any, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        function = FUNCTIONS.get(func)
        if function is None:
            raise refused(f"{getattr(func, '__module__', 'numpy')}.{func.__name__}")
        return function(*args, **kwargs)

    def __pullback_apply__(self, op: Op, operands: Sequence[Any]) -> Any:
        return emit(op, operands)

    def __pullback_inline__(self, function: Function, operands: Sequence[Any]) -> Any:
        from .nested import inline_derived

        return inline_derived(function, operands)

    def __getitem__(self, index: Any) -> Any:
        from .functions.index import read

        return read(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        from .functions.write import store

        store(self, index, value)

    def __getattr__(self, name: str) -> Any:
        if hasattr(np.ndarray, name) and not name.startswith("__"):
            raise refused(f"numpy.ndarray.{name}")
        raise AttributeError(f"'numpy.ndarray' object has no attribute '{name}'")

    def __matmul__(self, other: Any) -> Any:
        return FUNCTIONS[np.matmul](self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return FUNCTIONS[np.matmul](other, self)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    __pow__ = _power
    __neg__ = _unary(np.negative)
    __pos__ = _unary(np.positive)
    __abs__ = _unary(np.absolute)
    __invert__ = _unary(np.invert)
    __eq__ = _binary(np.equal)
    __ne__ = _binary(np.not_equal)
    __lt__ = _binary(np.less)
    __le__ = _binary(np.less_equal)
    __gt__ = _binary(np.greater)
    __ge__ = _binary(np.greater_equal)


_BINARY: dict[str, np.ufunc] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
}
for _name, _ufunc in _BINARY.items():
    setattr(TracedArray, f"__{_name}__", _binary(_ufunc))
    setattr(TracedArray, f"__r{_name}__", _binary(_ufunc, reflected=True))
TracedArray.__rpow__ = _binary(np.power, reflected=True)  # type: ignore[attr-defined]


def _augmented(ufunc: np.ufunc, operation: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def method(self: TracedArray, other: Any) -> Any:
        result = operation(self, other)
        if self._kind is not Kind.ARRAY:
            return result
        from .functions.write import augment

        return augment(self, result, ufunc.__name__)

    return method


for _name, _ufunc in {**_BINARY, "pow": np.power, "matmul": np.matmul}.items():
    setattr(TracedArray, f"__i{_name}__", _augmented(_ufunc, getattr(operator, f"__{_name}__")))


def _for_caller(value: Any, frame: Any) -> Any:
    from .size import seen

    return seen(value, frame)


def _refuse_iteration(shape: Sequence[Any]) -> None:
    from .size import refuse_iteration

    refuse_iteration(shape)


def ufunc_name(ufunc: np.ufunc) -> str:
    """Return a ufunc's name as a user writes it: `np.` stands before NumPy's own only."""
    return f"np.{ufunc.__name__}" if getattr(np, ufunc.__name__, None) is ufunc else ufunc.__name__


def unsupported(what: str, instead: str = "") -> UnsupportedError:
    """Return the error for something that is not traced, with the user's expression."""
    hint = instead or (
        "Write it with functions that are traced, or compute it outside of the function and pass "
        "the result as an argument."
    )
    return UnsupportedError(f"{expression_here()}: {what} cannot be traced.\n  {hint}")


def method(name: str, function: Any) -> None:
    """Give traced arrays a method or, for a property, an attribute."""
    setattr(TracedArray, name, function)


def is_traced(value: Any) -> bool:
    """Whether a value is a traced array."""
    return isinstance(value, TracedArray)


# A tuple made once: a union is made at each call.
_OPERANDS = (
    *(TracedArray, bool, int, float, complex, np.generic, list, tuple, range, np.ndarray, Dim),
)
