"""Functions of the user's that call themselves where a traced value decides: one IR function.

A call of a function that is under way already, from a loop or branch that is staged in it, is a
recursion. The program is then traced anew, and the outermost call of the function is traced as a
region of its own: arguments that are the same object in each call are what they are, the others
parameters. A call of the function in the region is a `recur`. What the function returns is found in
a first trial, which takes of each branch the side that does not recurse.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Sequence
from typing import Any

from ..ir.closing import close
from ..ir.core import Atom, Function, Value
from ..ir.dims import Dim
from ..ir.op import Effect
from ..ir.ops.recursion import Recur, Recursion
from ..ir.threading import threaded
from ..ir.types import Kind
from .array import TracedArray, convert, lift
from .call_forms import Again, Argument, CallMemo, Form, check_static, contiguous, settled_form
from .driving import Memo, Recurring, Restage, reason, refuse_writes, replaced
from .regions import Region, is_inside
from .source import current_location
from .state import Trace, current, locate
from .tree import Structure, children_of, same_static, unflatten
from .variables import leaves_of
from .watching import Unstageable

TRIALS = 12
"""How often a function is traced until the types of its arguments and results are settled."""
DEEPEST = 12
"""Regions in which a function that cannot be compiled as a recursion is under way at once."""
_ALIASED = "a recursive function returns an array that is written into, or shares it"


class Active:
    """A call under way; `frame` where it is traced as a recursion."""

    __slots__ = ("arguments", "frame", "function", "is_done", "result", "trace", "under_way")

    def __init__(self, function: types.FunctionType, trace: Trace, arguments: Any) -> None:
        self.function = function
        self.trace = trace
        self.arguments = arguments
        self.frame: _Frame | None = None
        self.is_done = False
        self.result: Any = None
        self.under_way: list[Active] = []

    def leave(self) -> None:
        """Note that the call has ended."""
        if self.under_way:
            self.under_way.remove(self)


def enter(
    function: types.FunctionType, made: Callable[..., Any], args: Any, kwargs: Any, trace: Trace
) -> Active:
    """Note that a call of a function of the user's begins, `made` being its rewritten form.

    Where it is a recursion that is compiled, it is done, and has a result.
    """
    active = Active(function, trace, (args, kwargs))
    inputs = trace.root.inputs
    calls: dict[types.CodeType, list[Active]] | None = getattr(inputs, "calls", None)
    if calls is None:
        return active
    code = function.__code__
    under_way = calls.setdefault(code, [])
    outer = [a for a in under_way if _is_same_function(a.function, function)]
    if outer:
        memo = inputs.memos.setdefault(code, CallMemo())
        frame = outer[-1].frame
        if frame is not None:
            active.is_done, active.result = True, frame.recur(args, kwargs)
            return active
        _detect(memo, outer, made, args, kwargs, trace)
    else:
        memo = inputs.memos.get(code)
        if memo is not None and memo.is_recursive and not memo.is_refused:
            frame = active.frame = _Frame(memo, made, args, kwargs, active)
            under_way.append(active)
            active.result = frame.run(under_way)
            active.is_done = True
            return active
    under_way.append(active)
    active.under_way = under_way
    return active


def _is_same_function(left: types.FunctionType, right: types.FunctionType) -> bool:
    if left is right:
        return True
    cells = left.__closure__ or (), right.__closure__ or ()
    return len(cells[0]) == len(cells[1]) and all(a is b for a, b in zip(*cells, strict=True))


def _detect(
    memo: CallMemo, outer: Sequence[Active], made: Any, args: Any, kwargs: Any, trace: Trace
) -> None:
    """Trace anew where a call is a recursion that only the run decides.

    Raises
    ------
    Restage
    Unstageable
        Where the function is no recursion that can be compiled, and does not end.
    """
    first = outer[0]
    if trace is first.trace or not is_inside(trace, first.trace):
        return
    if memo.is_refused:
        if len({id(a.trace) for a in outer}) >= DEEPEST:
            raise Unstageable(f"{made.__name__} calls itself in it")
        return
    try:
        before = _bound(made, *first.arguments)
        now = _bound(made, args, kwargs)
    except (TypeError, ValueError):  # the call itself will say so
        return
    for name, value in now.items():
        if not _is_same(before[name], value):
            memo.varying.setdefault(name, {})
    memo.is_recursive = True
    raise Restage(Memo(), "a function calls itself")


def _bound(made: Callable[..., Any], args: Any, kwargs: Any) -> dict[str, Any]:
    """Return the arguments by the names of the parameters, with the defaults."""
    bound = inspect.signature(made).bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def _is_same(left: Any, right: Any) -> bool:
    """Whether two arguments are interchangeable."""
    if left is right or same_static(left, right):
        return True
    if isinstance(left, TracedArray) and isinstance(right, TracedArray):
        return left._kind is right._kind is not Kind.ARRAY and left._value is right._value
    return type(left) is type(right) is float and repr(left) == repr(right)


class _Frame:
    """One call that is traced as a recursion."""

    def __init__(
        self, memo: CallMemo, made: Callable[..., Any], args: Any, kwargs: Any, active: Active
    ) -> None:
        self.memo = memo
        self.function = active.function
        self.made = made
        self.trace = trace = active.trace
        self.active = active
        self.calls: list[_Frame] = trace.root.inputs.recursions
        name = made.__name__.strip("<>")
        self.label = f"{name}_{len(self.calls) + 1}" if self.calls else name
        self.location = current_location()
        self.arguments: dict[str, Any] = {}
        self.given: dict[str, Any] = {}
        self.varying: dict[str, Argument] = {}
        self.region: Region | None = None
        self.inner: list[TracedArray] = []
        self.args = args
        self.kwargs = kwargs

    def run(self, under_way: list[Active]) -> Any:
        """Trace the function, and emit the recursion."""
        self.calls.append(self)
        try:
            for _ in range(TRIALS):
                try:
                    return self._trial()
                except Again:
                    continue
            raise Unstageable("the types of its arguments and results do not settle")
        except Recurring:
            raise self.memo.refuse("every way through it calls it again") from None
        except Exception as error:
            raise self.memo.refuse(reason(error)) from error
        finally:
            self.calls.remove(self)
            under_way.remove(self.active)

    # -- one trial ---------------------------------------------------------------------------------

    def _trial(self) -> Any:
        trace = self.trace
        self.arguments = _bound(self.made, self.args, self.kwargs)
        self.varying = {
            n: Argument(n, value, self.memo.varying[n], trace)
            for n, value in self.arguments.items()
            if n in self.memo.varying
        }
        self.inner = []
        region = self.region = Region(trace)
        region.watch.hold([*self.arguments.values(), self.function])
        self.given = {
            n: self.varying[n].give(region) if n in self.varying else v
            for n, v in self.arguments.items()
        }
        region.watch.hold([a.object for a in self.varying.values()])
        with _Opened(region):
            output = self._call()
            closed = self._end(region, output)
        return self._emit(*closed)

    def _call(self) -> Any:
        signature = inspect.signature(self.made)
        bound = inspect.BoundArguments(signature, self.given)
        return self.made(*bound.args, **bound.kwargs)

    def recur(self, args: Any, kwargs: Any) -> Any:
        """Call the function again, from within."""
        memo, trace = self.memo, current()
        assert trace is not None
        assert self.region is not None
        innermost = self.calls[-1]
        if innermost is not self:
            raise innermost.memo.refuse("it calls a recursion that is around it")
        if not is_inside(trace, self.region):
            raise memo.refuse("it calls itself in a derivative")
        atoms: list[Atom] = []
        for name, value in _bound(self.made, args, kwargs).items():
            if name in self.varying:
                atoms += self.varying[name].passed(value, trace, memo)
            elif not _is_same(self.given[name], value):
                memo.varying[name] = {}
                raise Again
        if memo.results is None:
            raise Recurring
        structure, forms = memo.results
        trace.builder.provenance = locate(trace)
        op = Recur(self.label, tuple([f.type for f in forms]), ordered=memo.is_ordered)
        made = trace.builder.emit(op, atoms)
        arrays = [TracedArray(a, f.kind, trace) for a, f in zip(made, forms, strict=True)]
        self.inner += [a for a in arrays if a._kind is Kind.ARRAY]
        return unflatten(structure, iter(arrays))

    # -- the end of a trial ------------------------------------------------------------------------

    def _end(self, region: Region, output: Any) -> tuple[Function, list[Value], list[Any]]:
        """Check what the function has done; return it with what it captures and shares."""
        structure, leaves = leaves_of(output, True)
        check_static(structure, "what it returns")
        if _holds_outside(output, region):
            raise Unstageable("it returns a container of outside")
        found = [lift(leaf, region) for leaf in leaves]
        atoms = self._agree(structure, [Form(a.type, k) for a, k in found], found, region)
        if region.watch.changes():
            raise Unstageable("it changes what a container holds")
        if region.appended:
            raise Unstageable("it appends to a list of outside")
        given = [a for v in self.varying.values() for a in v.given if a._view is not None]
        if region.written() or any(a._view.storage.is_changed for a in given if a._view):
            raise Unstageable("it writes into an array of outside")
        acts = any(e.op.effect is Effect.ORDERED for e in region.builder.eqns)
        if acts and not self.memo.is_ordered:
            self.memo.is_ordered = True
            raise Again
        shared = self._shared(leaves, given)
        if shared is not None and any(a._as_view().storage.is_changed for a in self.inner):
            raise Unstageable(_ALIASED)
        scope: dict[Atom, Atom] = {
            o.param: o.outside for o in region.overlays.values() if o.param is not None
        }
        params = [p for a in self.varying.values() for p in a.params]
        body, captured = close(
            self.label,
            params,
            replaced(region.builder.eqns, scope),
            [scope.get(a, a) for a in atoms],
        )
        body = threaded(body, self.label, body.params[len(params) :])
        return body, captured, shared or []

    def _agree(
        self,
        structure: Structure,
        forms: list[Form],
        found: Sequence[tuple[Atom, Kind]],
        region: Region,
    ) -> list[Atom]:
        """Return the results in the forms that the calls within have taken them to have.

        Raises
        ------
        Again
            Where they are others: with these the function is traced once more.
        """
        memo = self.memo
        if memo.results is None:
            memo.results = structure, forms
            raise Again
        known, expected = memo.results
        if structure != known:
            raise Unstageable("it returns other structures")
        settled = [settled_form(a, b) for a, b in zip(expected, forms, strict=True)]
        for form, a, b in zip(settled, expected, forms, strict=True):
            if form is None:
                raise Unstageable(f"it returns {a.type} here and {b.type} there")
        final = [f for f in settled if f is not None]
        if final != expected:
            memo.results = structure, final
            raise Again
        return [
            contiguous(convert(a, f.type.dtype, region), region, "what it returns")
            for (a, _), f in zip(found, final, strict=True)
        ]

    def _shared(self, leaves: Sequence[Any], given: Sequence[TracedArray]) -> list[Any] | None:
        """Return the storages of outside that results may share, None where they share nothing."""
        own = {id(a._as_view().storage) for a in given}
        storages = [
            leaf._view.storage
            for leaf in leaves
            if isinstance(leaf, TracedArray) and leaf._view is not None
        ]
        outside = [s for s in storages if s.trace is not self.region]
        from_argument = any(id(s) in own for s in storages)
        unsettled = any(a._as_view().storage.unsettled is not None for a in given)
        if from_argument or unsettled:
            outside += [s for a in self.varying.values() for s in a.storages]
        elif not outside:
            return None
        return outside

    def _emit(self, body: Function, captured: list[Value], shared: list[Any]) -> Any:
        trace, memo = self.trace, self.memo
        assert memo.results is not None
        trace.builder.provenance = locate(trace)
        operands = [a for v in self.varying.values() for a in v.atoms]
        op = Recursion(body, self.label, 0, tuple(map(Dim.of, body.dims)))
        results = trace.builder.emit(op, [*operands, *captured])
        structure, forms = memo.results
        arrays = [TracedArray(r, f.kind, trace) for r, f in zip(results, forms, strict=True)]
        for storage in shared:
            refuse_writes(storage, memo, _ALIASED)
        for array in arrays if shared else ():
            if array._kind is Kind.ARRAY:
                refuse_writes(array._as_view().storage, memo, _ALIASED)
        if self.location is not None:
            trace.root.inputs.report(self.location, "compiled as a recursion")
        return unflatten(structure, iter(arrays))


class _Opened:
    """A region that is under way in a block; what it does to containers is undone."""

    def __init__(self, region: Region) -> None:
        self.region = region

    def __enter__(self) -> None:
        self.region.__enter__()

    def __exit__(self, *error: object) -> None:
        self.region.__exit__(*error)
        self.region.watch.restore()


def _holds_outside(value: Any, region: Region) -> bool:
    """Whether a list or dict of outside is among what a value holds."""
    found = children_of(value)
    if found is None:
        return False
    if isinstance(value, list | dict) and region.is_outside(value):
        return True
    return any(_holds_outside(child, region) for child in found[1])


__all__ = ["Active", "enter"]
