"""Functions with rules, written into a trace: the function and its rule become regions.

Rules are traced where their function is called, since what they read from outside belongs to that
trace: captured values are operands of the equation. An error in a rule waits until a derivative
asks for it. A rule that calls its own function, as rules do, is not traced again: that call holds
the same rule.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..arguments import Arguments
from ..ir.binding import symbols_of
from ..ir.closing import close, duplicate, free_dims
from ..ir.core import Atom, Eqn, Function, Value, default_kind
from ..ir.dims import Dim, Symbol
from ..ir.errors import DifferentiationError, UnsupportedError
from ..ir.ops.custom import Custom, Pair, Rule
from ..ir.types import ArrayType, Kind, Layout
from ..tracer.array import TracedArray, lift, wrap
from ..tracer.driving import Recurring
from ..tracer.nested import trace_region
from ..tracer.report import explain
from ..tracer.source import current_location
from ..tracer.state import Trace, locate, require
from ..tracer.tree import Structure, unflatten
from ..tracer.watching import Unstageable
from .rule_memory import Sharing, write_protected

NESTED = 8
"""How often a rule may call its own function on ever other types."""


class Given(NamedTuple):
    """The arguments of a call: their structure and leaves, and of each leaf what is known."""

    structure: Structure
    leaves: tuple[Any, ...]
    atoms: tuple[Atom, ...]
    types: tuple[ArrayType, ...]
    kinds: tuple[Kind, ...]
    layouts: tuple[Layout, ...]
    hints: tuple[str | None, ...]

    @classmethod
    def of(cls, arguments: Arguments, args: tuple[Any, ...], trace: Trace) -> Given:
        """Return the arguments that are not static of a call."""
        specs = arguments.leaf_specs(args, {})
        leaves = arguments.leaves(args, {})
        return cls(
            arguments.describe(args, {}).children[0],
            tuple(leaves),
            tuple([lift(leaf, trace)[0] for leaf in leaves]),
            tuple([s.type for s in specs]),
            tuple([s.kind for s in specs]),
            tuple([s.layout for s in specs]),
            tuple([s.hint for s in specs]),
        )

    @property
    def inexact(self) -> list[int]:
        """The positions of the leaves that have derivatives."""
        return [k for k, t in enumerate(self.types) if t.is_inexact]

    def params(self) -> list[Value]:
        """Return parameters for a region that takes the arguments."""
        parts = zip(self.types, self.hints, self.layouts, strict=True)
        return [Value(t, h, layout=layout) for t, h, layout in parts]


class Open(NamedTuple):
    """A function under construction, which may read values of outside.

    `structure` is what its caller wants to know of what it returned. `shared` are results in the
    memory of a parameter, and the parameter's number.
    """

    name: str
    params: list[Value]
    kinds: list[Kind]
    eqns: list[Eqn]
    results: list[Atom]
    result_kinds: list[Kind]
    structure: Any
    shared: Sequence[tuple[int, int]] = ()


Returned = tuple[list[tuple[Atom, Kind]], Any]


def opened(
    name: str,
    params: Sequence[Value],
    kinds: Sequence[Kind],
    call: Callable[[list[TracedArray]], Returned],
    given: Sequence[Atom] = (),
    is_plain: bool = False,
) -> Open:
    """Trace `call(arrays)`, which returns its leaves, and what its caller wants to know.

    `given` are what the parameters are, where the region runs in the place of the call. No
    derivative is taken of what `is_plain`.
    """

    def traced(arrays: list[TracedArray]) -> Returned:
        for array in arrays:
            if array.shape:
                array.set_read_only()
        return call(arrays)

    builder, (results, structure) = trace_region(params, kinds, traced, given, is_plain)
    shared: Sequence[tuple[int, int]] = ()
    if isinstance(structure, Sharing):
        structure, shared = structure
    return Open(
        name,
        list(params),
        list(kinds),
        builder.eqns,
        [a for a, _ in results],
        [k for _, k in results],
        structure,
        shared,
    )


class Scope(NamedTuple):
    """What regions of one equation take besides its arguments: captured values, and dims."""

    captured: tuple[Value, ...] = ()
    dims: tuple[Symbol, ...] = ()

    @classmethod
    def around(cls, regions: Sequence[Open], first: Scope | None = None) -> Scope:
        """Return what regions take; dims that one of them binds itself aside."""
        captured = dict.fromkeys(() if first is None else first.captured)
        dims = dict.fromkeys(() if first is None else first.dims)
        own = {s for r in regions for e in r.eqns for s in e.op.binds}
        for region in regions:
            function, read = close(region.name, region.params, region.eqns, region.results)
            captured.update(dict.fromkeys(read))
            found = free_dims(function, ()) - own
            dims.update(dict.fromkeys(sorted(found, key=lambda s: s.number)))
        return cls(tuple(captured), tuple(dims))

    def enclosed(self, region: Open, at: int | None = None) -> Function:
        """Return a region as a function that takes all captured values.

        They stand before the parameter at a position; None: last.
        """
        function, own = close(
            region.name,
            region.params,
            region.eqns,
            region.results,
            param_kinds=region.kinds,
            result_kinds=region.result_kinds,
        )
        count = len(region.params)
        at = count if at is None else at
        known = dict(zip(own, function.params[count:], strict=True))
        made = [known.get(v) or v.fresh() for v in self.captured]
        kinds = map(default_kind, self.captured)
        return function.replace(
            params=[*region.params[:at], *made, *region.params[at:]],
            param_kinds=[*region.kinds[:at], *kinds, *region.kinds[at:]],
            dims=(*self.dims, *[d for d in function.dims if d not in self.dims]),
        )

    def read_by(self, functions: Sequence[Function], results: int, given: int) -> frozenset[int]:
        """Return which captured values the first results of enclosed regions depend on.

        They are numbers of parameters, of which the first `given` are the arguments' leaves.
        """
        found: set[int] = set()
        for function in functions:
            needed = _needed(function, function.results[:results])
            params = function.params[given : given + len(self.captured)]
            found.update([given + k for k, p in enumerate(params) if p in needed])
        return frozenset(found)


class Deferred(Rule):
    """The rule of one call: known once its regions are traced, or the error that they raised."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.rule: Rule | None = None
        self.error: Exception | None = None

    @property
    def is_busy(self) -> bool:  # type: ignore[override]  # it is another rule that knows
        """Whether its functions are being made."""
        return self.rule is not None and self.rule.is_busy

    def pair(self) -> Pair:
        return self._known().pair()

    def tangents(self) -> Pair | None:
        return self._known().tangents()

    def _known(self) -> Rule:
        if self.error is not None:
            raise self.error
        if self.rule is None:
            raise DifferentiationError(
                f"the derivative rule of {self.label} asks for a derivative of {self.label} "
                "itself.\n  Write what the rule needs without it."
            )
        return self.rule

    def refuse(self, operand: int) -> DifferentiationError:
        assert self.rule is not None
        return self.rule.refuse(operand)


class UnderWay(NamedTuple):
    """A call whose rule is being traced."""

    owner: Any
    key: Any
    rule: Deferred
    body: Open
    scope: Scope
    used: list[bool]


class _Threads(threading.local):
    def __init__(self) -> None:
        self.calls: list[UnderWay] = []


_threads = _Threads()

RuleParts = tuple[list[Open], Callable[[Scope], Rule]]
"""The regions of a rule, and how the rule is made of them."""
Regions = Callable[[Open], RuleParts]
"""From a function's region, what its rule is made of."""


def call_with_rule(
    owner: Any,
    key: Any,
    label: str,
    given: Given,
    call: Callable[[list[TracedArray]], Returned],
    regions: Regions,
    is_plain: bool = True,
    is_solved: bool = False,
) -> Any:
    """Write a call of a function with a rule into the trace under way; return its output.

    Parameters
    ----------
    owner, key
        Whose call it is, and what besides the arguments tells it from another one.
    call
        Runs the function on the leaves of its arguments.
    is_plain
        Whether no derivative is ever taken of the function itself. The transpose of a rule for
        tangents is one, where the rule applies its own function to them.
    is_solved
        Whether derivatives flow to what the rule reads, also where the function does not read it.
        What the rule raises is then raised at once: where its reads are not known, nobody would ask
        for it, and the derivative would be zero.
    """
    trace = require(label)
    key = (key, given.structure, given.types, given.kinds, given.layouts)
    known = next((c for c in _threads.calls if c.owner is owner and c.key == key), None)
    if known is not None:
        known.used.append(True)
        return _emitted(trace, label, given, known.body, known.scope, known.rule)
    if sum(c.owner is owner for c in _threads.calls) >= NESTED:
        raise UnsupportedError(
            f"the derivative rule of {label} calls {label} on other types each time, and each of "
            "these calls has a rule of its own.\n  Let the rule call the function on its arguments."
        )
    body = opened(label, given.params(), given.kinds, call, given.atoms, is_plain)
    scope = Scope.around([body])
    while True:
        rule = Deferred(label)
        used: list[bool] = []
        found, make = _traced(regions, UnderWay(owner, key, rule, body, scope, used))
        if make is None and is_solved:
            assert rule.error is not None
            raise rule.error
        wider = Scope.around([body, *found], scope)
        if not used or wider == scope:
            break
        scope = wider
    if make is not None:
        rule.rule = make(wider)
        rule.source = rule.rule.source
    return _emitted(trace, label, given, body, wider, rule)


def _traced(regions: Regions, call: UnderWay) -> tuple[list[Open], Callable[[Scope], Rule] | None]:
    """Trace the regions of a rule; what they raise is kept for the one who asks for the rule."""
    _threads.calls.append(call)
    try:
        return regions(call.body)
    except (Unstageable, Recurring):
        raise
    except Exception as error:
        explain(error, lambda atom: "")
        call.rule.error = error
        return [], None
    finally:
        _threads.calls.pop()


def _emitted(trace: Trace, label: str, given: Given, body: Open, scope: Scope, rule: Rule) -> Any:
    function = duplicate(scope.enclosed(body))
    unknown = {s for r in function.results for s in symbols_of(r.type)} - set(function.dims)
    if unknown:
        raise UnsupportedError(
            f"{label} has a derivative rule and returns an array whose size only the run knows.\n"
            "  Return a mask, or an array of a known size."
        )
    dims = tuple(map(Dim.of, scope.dims))
    trace.builder.provenance = locate(trace)
    made = trace.builder.emit(Custom(function, label, rule, dims), [*given.atoms, *scope.captured])
    arrays = [wrap(a, k, trace) for a, k in zip(made, body.result_kinds, strict=True)]
    for result, argument in body.shared:
        write_protected(label, arrays[result])
        write_protected(label, given.leaves[argument])
    return unflatten(body.structure, iter(arrays))


def closed_over(
    label: str, who: str, scope: Scope, given: int
) -> Callable[[int], DifferentiationError]:
    """Return the maker of errors for derivatives that flow to what a function captures.

    `given` is the number of arguments' leaves, which come before the captured values.
    """
    location = current_location()
    where = "" if location is None else f" at {location.place}"

    def refuse(operand: int) -> DifferentiationError:
        value = scope.captured[operand - given]
        name = f"`{value.hint}`" if value.hint else f"a value of type {value.type}"
        return DifferentiationError(
            f"{label}, called{where}, reads {name} from outside, and a derivative with respect to "
            f"it was asked for; the rule {who} gives derivatives for arguments alone.\n"
            f"  Pass {name} as an argument, or wrap it in pb.stop_gradient(...)."
        )

    return refuse


def _needed(function: Function, results: Sequence[Atom]) -> set[Atom]:
    needed = set(results)
    for eqn in reversed(function.eqns):
        wanted = [k for k, r in enumerate(eqn.results) if r in needed]
        if wanted and isinstance(eqn.op, Custom):  # which is given what its rule reads as well
            body = eqn.op.body
            inner = _needed(body, [body.results[k] for k in wanted])
            pairs = zip(eqn.operands, body.params, strict=True)
            needed.update([a for a, p in pairs if p in inner])
        elif wanted:
            needed.update(eqn.operands)
    return needed


__all__ = [
    "Given",
    "Open",
    "Returned",
    "RuleParts",
    "Scope",
    "call_with_rule",
    "closed_over",
    "opened",
]
