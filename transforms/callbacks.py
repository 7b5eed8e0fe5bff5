"""Python functions called by compiled programs as they are: `pure_callback`, `debug_print`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arguments import Arguments, Spec
from ..compiled import check_callable
from ..ir.errors import StructureError, UnsupportedError
from ..ir.location import Location
from ..ir.ops.callback import Callback, Callee
from ..ir.types import ArrayType, Kind
from ..tracer.array import TracedArray, emit, kind_of, lift
from ..tracer.loads import is_traced
from ..tracer.nested import inline_call
from ..tracer.report import expression_here
from ..tracer.source import current_location
from ..tracer.state import current
from ..tracer.tree import Node, Structure, flatten, statics, unflatten
from .rule_results import Expected, shown


def pure_callback(
    callback: Callable[..., Any],
    result_spec: Any,
    *args: Any,
    vjp: Callable[..., Any] | None = None,
) -> Any:
    """Return `callback(*args)`, which is called with arrays each time the program runs.

    The function may do what cannot be traced. It gets copies, and what it returns is copied. It
    must depend on its arguments alone and have no effects: a call whose result is not used may be
    left out, and of equal calls one may be made. Under `vmap` it is called for each example.

    Parameters
    ----------
    result_spec
        What it returns: a container of `pb.Spec`, or of arrays of the same shapes and dtypes.
    vjp
        `vjp(args, result, ct)`, called as the callback is, returns a tuple with the cotangent of
        each argument; None is a zero. Without it, and for second derivatives, differentiation is
        refused: write `pb.custom_vjp` around the call, whose rules are traced.

    Raises
    ------
    StructureError, ShapeError
        At the call of the program, where the function returns something else than `result_spec`.
        At once, where that describes no arrays: where it is a string or an int, for example.
    DifferentiationError
        Where a derivative is taken and there is no `vjp`.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> def median(x):
    ...     return np.sort(x)[len(x) // 2]
    >>> @pb.compile
    ... def centered(x):
    ...     return x - pb.pure_callback(median, pb.Spec(()), x)
    >>> centered(np.array([3.0, 1.0, 7.0]))
    array([ 0., -2.,  4.])
    """
    check_callable("pure_callback", callback)
    specs: list[Any] = []
    structure = flatten(result_spec, specs)
    if not specs or any(value is not None for value in statics(structure)):
        raise StructureError(
            f"{expression_here()}: the result_spec of {shown(callback)} is {structure}; it must be "
            "a container of pb.Spec and arrays.\n"
            "  Write pb.Spec(shape, dtype) for each array, pb.Spec(()) for a number."
        )
    types = tuple([_type(spec) for spec in specs])
    arguments: list[Any] = []
    given = flatten(args, arguments)
    trace = current()
    kinds = [kind_of(a) if trace is None else lift(a, trace)[1] for a in arguments]
    called = _Called(callback, vjp, given, kinds, structure, current_location())
    if trace is None:
        return unflatten(structure, iter(called(types, *arguments)))
    _check_closure(callback)
    made = emit(Callback(called, types), arguments)
    parts = made if isinstance(made, tuple) else (made,)
    return unflatten(structure, iter(parts))


def _type(spec: Any) -> ArrayType:
    if isinstance(spec, TracedArray):
        return spec.type
    if isinstance(spec, Spec | np.ndarray | np.generic):
        return ArrayType(spec.dtype, spec.shape)
    return ArrayType(np.result_type(spec), ())


def _check_closure(callback: Any) -> None:
    """Raise where a callback closes over traced values: it runs when there are none."""
    names = getattr(getattr(callback, "__code__", None), "co_freevars", ())
    for name, cell in zip(names, getattr(callback, "__closure__", None) or (), strict=False):
        try:
            value = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
        if is_traced(value):
            raise UnsupportedError(
                f"{expression_here()}: the callback {shown(callback)} reads `{name}` from around "
                "it, a traced value, and it is called when the program runs.\n"
                f"  Pass `{name}` as an argument of the callback."
            )


class _Called(Callee):
    """A function of the user's, with the structures of what it takes and returns."""

    def __init__(
        self,
        function: Callable[..., Any],
        vjp: Callable[..., Any] | None,
        given: Structure,
        kinds: Sequence[Kind],
        structure: Structure,
        location: Location | None,
    ) -> None:
        self.function = function
        self.given = given
        self.kinds = tuple(kinds)
        self.structure = structure
        self.location = location
        self.name = str(getattr(function, "__name__", type(function).__name__))
        self.refusal = (
            f"{shown(function)} has no vjp; give pure_callback one, or let it be called in a "
            "function with a rule, pb.custom_vjp"
        )
        where = "" if location is None else f", called at {location.place},"
        self.expected = Expected(f"the callback {shown(function)}{where}", "a value", False)
        if vjp is not None:
            self.backward = _Backward(vjp, self)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Called)
            and self.function is other.function
            and (self.given, self.kinds, self.structure)
            == (other.given, other.kinds, other.structure)
            and self.backward == other.backward
        )

    def __hash__(self) -> int:
        return hash((id(self.function), self.kinds))

    def __call__(self, types: Sequence[ArrayType], *operands: Any) -> tuple[Any, ...]:
        args = unflatten(self.given, iter(map(handed, self.kinds, operands)))
        returned = self.noted(self.function, *args)
        leaves = self.expected.values(self.structure, returned, "result")
        found = zip(types, leaves, strict=True)
        return tuple([self.expected.array(t, value, path) for t, (path, value) in found])

    def noted(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function of the user's; what it raises says where it was called."""
        try:
            return function(*args)
        except Exception as error:
            if self.location is not None:
                called = f"called back by the program at {self.location.place}"
                error.add_note(f"In {shown(function)}, {called}.")
            raise


class _Backward(Callee):
    """The `vjp` of a callback."""

    def __init__(self, function: Callable[..., Any], forward: _Called) -> None:
        self.function = function
        self.forward = forward
        parameters = Arguments(forward.function, (), ())
        assert isinstance(forward.given, Node)
        self.arguments = [(parameters.name(k), c) for k, c in enumerate(forward.given.children)]
        who = f"{shown(function)}, the vjp of the callback {shown(forward.function)},"
        self.expected = Expected(who, "a cotangent")
        self.name = f"{forward.name}_vjp"
        self.refusal = (
            f"{shown(function)}, the vjp of a callback, is a callback itself and has none; where "
            "more derivatives are needed, call it in a function with a rule, pb.custom_vjp"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Backward) and self.function is other.function

    def __hash__(self) -> int:
        return id(self.function)

    def __call__(self, types: Sequence[ArrayType], *operands: Any) -> tuple[Any, ...]:
        forward = self.forward
        count = len(forward.kinds)
        outs = (len(operands) - count) // 2
        given = [handed(k, o) for k, o in zip(forward.kinds, operands, strict=False)]
        rest = [np.array(o)[()] for o in operands[count:]]
        args = unflatten(forward.given, iter(given))
        result = unflatten(forward.structure, iter(rest[:outs]))
        ct = unflatten(forward.structure, iter(rest[outs:]))
        returned = forward.noted(self.function, args, result, ct)
        leaves = self.expected.arguments(self.arguments, returned)
        inexact = [np.asarray(o).dtype.kind in "fc" for o in operands[:count]]
        found = [leaf for leaf, is_inexact in zip(leaves, inexact, strict=True) if is_inexact]
        parts = zip(types, found, strict=True)
        return tuple([self.expected.array(t, value, path) for t, (path, value) in parts])


def handed(kind: Kind, value: Any) -> Any:
    """Return a copy of a value as the NumPy object that it is for the user."""
    array = np.array(value)
    if kind is Kind.ARRAY:
        return array
    return array.item() if kind is Kind.PYTHON else array[()]


def debug_print(fmt: str, *args: Any, **kwargs: Any) -> None:
    """Print `fmt.format(*args, **kwargs)` each time the program runs.

    As `print`, which compiled functions may use as well: a derivative prints once, and under `vmap`
    each example prints.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> @pb.grad
    ... def loss(x):
    ...     y = x * x
    ...     pb.debug_print("y is {y:.2f}, x {}", x, y=y)
    ...     return y
    >>> loss(3.0)
    y is 9.00, x 3.0
    6.0
    """
    if current() is None:
        print(fmt.format(*args, **kwargs))
    else:
        inline_call(print, (inline_call(fmt.format, args, kwargs),), {})


__all__ = ["debug_print", "pure_callback"]
