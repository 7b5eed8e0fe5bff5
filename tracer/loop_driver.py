"""Drives a `for` or `while` of the user's: staged as one `Loop`, or run as it is (unrolled).

The body runs once in a region, with parameters for what it changes. What each variable is after
that run is compared with what it was taken to be; where a guess was wrong the body runs again. What
no guess fits is undone, and the loop runs as plain Python would.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

import numpy as np

from ..ir.core import Atom, Literal, Value, walk
from ..ir.dims import Dim, Size, Symbol, bounds, substitute
from ..ir.errors import ConcretizationError, EscapedError
from ..ir.ops.control import ENDLESS, INDEX
from ..ir.ops.dynamic import Extent
from ..ir.types import ArrayType, Kind
from .array import TracedArray, lift
from .driving import LIMIT, Driver, Memo, Recurring, reason, truth, used_values
from .functions.shape import cast
from .guards import may_decide
from .iterables import Iterating, source_of
from .loop_memory import check_memory
from .regions import Region, Unstageable
from .size import TracedSize, user_size
from .staged_loop import emit_loop
from .variables import MISSING, Peel, Retry, Role, Variable

TRIALS = 8
"""Trials of one loop before it is given up."""
PEELED = 2
"""Iterations that may be run by themselves before the loop."""
SHORT = 2
"""Trips up to which a loop is unrolled at once."""
CHEAP = 40
"""Equations up to which the unrolled loop is preferred: trips times those of one iteration."""


class Mode(Enum):
    """What the next run of the body is."""

    START = "nothing has run"
    TRIAL = "a run in a region"
    FAILED = "the run in a region has raised"
    PEEL = "the first iteration by itself"
    CONCRETE = "plain Python"
    DONE = "the loop is over"


class LoopDriver(Driver):
    """One execution of a loop statement."""

    def __init__(self, site: Sequence[Any], place: Any, iterable: Any, is_for: bool) -> None:
        super().__init__(site, place)
        self.mode = Mode.START
        self.iterable = iterable
        self.is_for = is_for
        self.source = source_of(iterable) if is_for and self.trace is not None else None
        self.iterator: Iterator[Any] | None = None
        self.element: Any = None
        self.ended = False
        self.is_emitted = False
        self.peeled = 0
        self.trials = 0
        self.count = 0
        self.cells: dict[tuple[int, Any], tuple[Any, Variable]] = {}
        self.variables: dict[str, Variable] = {}
        self.test_at: int | None = None
        self.tested: Any = True
        self.lo: Any = 0
        self.hi: Any = 0
        self.step: Any = 1
        self.iteration: Size | None = None
        self.trips: Size | None = None
        self.symbol: Symbol | None = None

    # -- what the rewritten function calls ---------------------------------------------------------

    def go(self, names: Mapping[str, Any]) -> bool:
        """Say whether the body runs (once more), and prepare it."""
        self.unpack = False
        if self.mode is Mode.TRIAL:
            return self._after_trial(names)
        if self.mode is Mode.CONCRETE:
            return self._next(names)
        if self.mode is Mode.FAILED:
            return self._after_failure(names)
        if self.mode is Mode.DONE:
            return False
        if self.mode is Mode.PEEL and (self.ended or self._is_left(names)):
            self.mode = Mode.DONE
            return False
        self.remember(names)
        if self.mode is Mode.START:
            if not self._may_stage():
                return self._unroll(names, restore=False)
            self._recall()
        else:
            self.variables = {}
            self.cells = {}
        return self._try(names)

    @property
    def item(self) -> Any:
        """The element of a `for` in this run of the body."""
        if self.mode is Mode.TRIAL and self.source is not None:
            assert self.region is not None
            assert self.region.index is not None
            symbol, param = self.region.index
            return self.source.at(TracedSize(Dim.of(symbol), param, self.region))
        return self.element

    def test(self, value: Any) -> bool:
        """Take the value of a `while`'s test; say whether the body runs."""
        if self.mode is not Mode.TRIAL:
            self.ended = not value
            return not self.ended
        assert self.region is not None
        self.tested = truth(value)
        self.test_at = len(self.region.builder.eqns)
        if self.tested is False:
            raise _Over
        return True

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        swallowed = super().__exit__(kind, error, traceback)
        if swallowed:
            self.mode = Mode.FAILED
        return swallowed

    # -- running as plain Python -------------------------------------------------------------------

    def _may_stage(self) -> bool:
        if self.trace is None or self.memo.failures >= LIMIT:
            return False
        if not self.is_for:
            return True
        if self.source is None:
            return False
        length = self.source.length
        return not (isinstance(length, int) and length <= SHORT)

    def _unroll(self, names: Mapping[str, Any], *, restore: bool) -> bool:
        self.mode = Mode.CONCRETE
        if restore:
            self.assign(self.start)
        if self.is_for:
            if self.source is not None and self.peeled:
                # The range goes on after the iterations that ran by themselves.
                self.iterator = self._rest()
            else:
                self.iterator = self._iterated()
        return self._next(names, is_first=True)

    def _iterated(self) -> Iterator[Any]:
        try:
            return iter(self.iterable)
        except ConcretizationError as error:
            failure = self.failure
            if failure is not None and not isinstance(failure, Unstageable | EscapedError):
                raise failure from None
            why = f"\n  Because {self.memo.why}." if self.memo.why else ""
            raise ConcretizationError(f"{error}{why}") from None

    def _rest(self) -> Iterator[Any]:
        elements: Iterator[Any] = iter(self.iterable)
        for _ in range(self.peeled):
            next(elements)
        return elements

    def _next(self, names: Mapping[str, Any], is_first: bool = False) -> bool:
        if self.ended or (not is_first and self._is_left(names)):
            return self._leave()
        if self.is_for:
            assert self.iterator is not None
            try:
                self.element = next(self.iterator)
            except StopIteration:
                return self._leave()
        self.count += 1
        return True

    def _is_left(self, names: Mapping[str, Any]) -> bool:
        return bool(self.site.flag is not None and names.get(self.site.flag, False))

    def _leave(self) -> bool:
        self.mode = Mode.DONE
        if self.source is not None or not self.is_for:
            self.report(f"unrolled {self.count} times", self.memo.why)
        return False

    # -- trials ------------------------------------------------------------------------------------

    def _recall(self) -> None:
        """Start from the roles that earlier runs of this loop have settled."""
        self.variables = {}
        for name in self.site.names:
            start = self.start[name]
            variable = Variable(name, start, name in self.site.rebound)
            known = self.memo.roles.get(name)
            if known is not None and known[0] is type(start) and start is not MISSING:
                _, variable.role, variable.delta, variable.numbers, settled = known
                variable.settled = dict(settled)
            elif name == self.site.flag:
                variable.role, variable.numbers = Role.CARRY, True
            elif name in self.site.targets and self._surely_runs():
                variable.role = Role.LATE
            self.variables[name] = variable

    def _surely_runs(self) -> bool:
        trips = self.source.length if self.source is not None else None
        if isinstance(trips, Dim | int):
            low = bounds(trips - self.peeled)[0]
            return low is not None and low >= 1
        return False

    def _try(self, names: Mapping[str, Any]) -> bool:
        assert self.trace is not None
        if not self.variables:
            self._recall()
        self.trials += 1
        region = Region(self.trace, carries_constants=self.memo.constants)
        try:
            every = [*self.variables.values(), *[v for _, v in self.cells.values()]]
            self._range(any(v.role is Role.STEP for v in every))
            for variable in every:
                variable.prepare(self.trace)
            self.open(region, names)
            param = Value(ArrayType(INDEX, ()), self._index_name())
            assert self.symbol is not None
            region.index = (self.symbol, param)
            given = {n: v.give(region, self.iteration) for n, v in self.variables.items()}
            for (_, key), (container, variable) in self.cells.items():
                container[key] = variable.give(region, self.iteration)
        except Exception as error:
            self.failure = error
            self.close()
            return self._give_up(names, reason(error))
        self.test_at, self.tested = None, True
        self.assign(given)
        self.mode = Mode.TRIAL
        return True

    def _index_name(self) -> str:
        return self.site.targets[0] if len(self.site.targets) == 1 else "i"

    def _range(self, has_steps: bool) -> None:
        """Find the range that the loop's index runs over, and the number of an iteration."""
        source = self.source
        if source is None:
            self.lo, self.hi, self.step = 0, ENDLESS, 1
            self.iteration, self.trips = None, None
            self.symbol = Symbol("k", 0, None)
            self.iteration = Dim.of(self.symbol)
            return
        if source.bounds is not None:
            start, stop, step = source.bounds
            if type(step) is not int:
                raise Unstageable("the step of the range is known only when the program runs")
            self.lo = start + self.peeled * step if self.peeled else start
            self.hi, self.step = stop, step
        else:
            self.lo, self.step = self.peeled, 1
            self.hi = user_size(source.length) if source.length is not None else None
        first, last = _dim(self.lo), _dim(self.hi)
        self.trips = None if source.length is None else _less(source.length, self.peeled)
        if self.step > 0:
            least, greatest = first, None if last is None else last - 1
        else:
            least, greatest = None if last is None else last + 1, first
        if isinstance(first, int) and isinstance(last, int):
            values = range(first, last, self.step)
            if values:
                least, greatest = min(values[0], values[-1]), max(values[0], values[-1])
        self.symbol = Symbol.between(self._index_name(), least, greatest)
        self.iteration = None
        if first is not None and abs(self.step) == 1:
            self.iteration = (Dim.of(self.symbol) - first) * self.step
        if self.iteration is None and has_steps:
            self._carry_steps()

    def _carry_steps(self) -> None:
        for variable in [*self.variables.values(), *[v for _, v in self.cells.values()]]:
            if variable.role is Role.STEP:
                variable.role, variable.numbers = Role.CARRY, True

    # -- after a trial -----------------------------------------------------------------------------

    def _after_trial(self, names: Mapping[str, Any]) -> bool:
        try:
            self._check(names)
            self._prefers_unrolled()
            results = emit_loop(self)
        except Retry:
            self.close()
            if self.trials >= TRIALS:
                return self._give_up(names, "its variables settle to no types")
            return self._try(names)
        except Peel as error:
            self.close()
            why = str(error) or "the memory of its variables settles after an iteration"
            return self._peel(names, why)
        except _Short:
            self.close()
            self.memo.why = "it is short"
            return self._unroll(names, restore=True)
        except Exception as error:
            if self.is_emitted:  # nothing undoes that
                raise
            self.failure = error
            self.close()
            return self._give_up(names, reason(error))
        self._learn()
        if isinstance(self.iterable, Iterating):
            self.iterable.use_up(is_whole=self.site.flag is None)
        self.mode = Mode.DONE
        self.assign(results)
        why = f"{self.peeled} by itself first: its types settle after it" if self.peeled else ""
        self.report("staged", why)
        return False

    def _after_failure(self, names: Mapping[str, Any]) -> bool:
        error = self.failure
        if isinstance(error, _Over | Recurring):
            self.assign(self.start)
            self.mode = Mode.DONE
            return False
        if isinstance(error, Retry) and self.trials < TRIALS:
            return self._try(names)
        late = any(v.role is Role.LATE for v in self.variables.values())
        if isinstance(error, NameError) and late:
            return self._peel(names, reason(error))
        if isinstance(error, TypeError) and any(v is None for v in self.start.values()):
            return self._peel(names, reason(error))
        return self._give_up(names, reason(error))

    def _check(self, names: Mapping[str, Any]) -> None:
        """Compare what the variables are after the trial with their roles."""
        region = self.region
        assert region is not None
        for content, key in region.watch.changes():
            if (id(content), key) not in self.cells:
                watched = region.watch.held.values()
                held = next(h for h in watched if _content_is(h.container, content))
                at = key if held.keys is None else held.keys.index(key)
                label = f"[{key!r}]"
                self.cells[id(content), key] = (content, Variable(label, held.items[at], True))
                raise Retry
        retry: Retry | None = None
        peel: Peel | None = None
        ends = [(v, names.get(n, MISSING)) for n, v in self.variables.items()]
        ends += [(v, c[k]) for (_, k), (c, v) in self.cells.items()]
        for variable, end in ends:
            try:
                variable.check(end)
            except Retry as error:
                retry = error
            except Peel as error:
                if self._is_unread(variable):
                    variable.role = Role.LATE
                else:
                    peel = error
        if retry is not None:
            if any(v.role is Role.STEP for v, _ in ends) and self.iteration is None:
                self._carry_steps()
            raise retry
        if peel is not None:
            raise peel
        if any(o.param is None for o, _ in region.written()):
            self.memo.constants = True
            raise Retry
        check_memory(self)

    def _is_unread(self, variable: Variable) -> bool:
        """Whether what a variable was before an iteration plays no part, and one surely runs."""
        assert self.region is not None
        if not self._surely_runs():
            return False
        if variable.role is Role.SAME:
            # Its use would have left no trace: an int or None may have decided anything.
            return variable.label in self.site.targets
        read = used_values(self.region.builder.eqns)
        return not any(p.param in read or _holds(p, variable.end) for p in variable.parts)

    def _prefers_unrolled(self) -> None:
        region = self.region
        assert region is not None
        assert self.trace is not None
        if self.site.flag is not None and not may_decide(self.trace):
            return  # by itself an iteration could not say whether there is a next one
        if isinstance(self.trips, int) and not region.appended:
            size = 1 + sum(
                1 + sum(1 for r in e.op.regions for _ in walk(r)) for e in region.builder.eqns
            )
            if self.trips * size <= CHEAP and self.peeled == 0:
                raise _Short

    def _peel(self, names: Mapping[str, Any], why: str) -> bool:
        """Run the first iteration by itself."""
        may = self.peeled < PEELED and (not self.is_for or self._surely_runs())
        if not may:
            return self._give_up(names, why)
        self.mode = Mode.PEEL
        self.assign(self.start)
        self.ended = False
        if self.source is not None:
            source = self.source
            if source.bounds is not None:
                start, _, step = source.bounds
                self.element = start + self.peeled * step
            else:
                self.element = source.at(self.peeled)
        self.peeled += 1
        self.count += 1
        self.trials = 0
        return True

    def _give_up(self, names: Mapping[str, Any], why: str) -> bool:
        self.memo.failures += 1
        self.memo.why = f"it cannot be staged: {why}"
        return self._unroll(names, restore=True)

    def _learn(self) -> None:
        for name, v in self.variables.items():
            start = type(v.start)
            self.memo.roles[name] = (start, v.role, v.delta, v.numbers, dict(v.settled))

    # -- what variables are after the loop ---------------------------------------------------------

    def last_dim(self, dim: Size) -> Size | None:
        """Return what a size that mentions the index is in the last iteration, if that is known."""
        assert self.symbol is not None
        first = _dim(self.lo)
        if first is None or self.trips is None or not isinstance(dim, Dim):
            return dim if isinstance(dim, int) else None
        last = first + (self.trips - 1) * self.step
        return substitute(dim, {self.symbol: last})


class _Over(Exception):
    """The test of a `while` is false before the first iteration."""


class _Short(Exception):
    """Unrolled, the loop is no larger."""


def _dim(value: Any) -> Size | None:
    if isinstance(value, TracedSize):
        return value.dim
    return value if type(value) is int else None


def _less(length: Size, peeled: int) -> Size:
    return length - peeled if peeled else length


def _content_is(container: Any, content: Any) -> bool:
    return container is content or getattr(container, "__dict__", None) is content


def _holds(part: Any, end: Any) -> bool:
    return part.given is end


def int_atom(value: Any, trace: Any) -> Atom:
    """Return an end of a range as an int64 without axes."""
    if isinstance(value, Dim):
        return trace.builder.one(Extent(value))  # type: ignore[no-any-return]
    if type(value) is int:
        return Literal(np.int64(value))
    atom, _ = lift(value, trace)
    made: TracedArray = cast(TracedArray(atom, Kind.SCALAR, trace), INDEX)
    return made._atom


__all__ = ["LoopDriver", "Memo", "int_atom"]
