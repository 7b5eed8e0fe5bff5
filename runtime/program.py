"""A compiled function: generated source, its workspaces, and warnings in the user's terms."""

from __future__ import annotations

import contextvars
import itertools
import linecache
import os
import sys
import time
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from ..ir.core import walk
from ..ir.location import excerpt
from ..ir.ops.effects import Print
from ..ir.ops.guard import Guard, Missed
from ..ir.plan import Fresh, Plan
from .emit import Source, emit
from .keeper import KEEPER
from .numbers import MILD
from .tiles import is_repeated

_numbers = itertools.count()

_settings: Callable[[], object] = getattr(
    vars(np._core.umath).get("_extobj_contextvar"),  # type: ignore[attr-defined]
    "get",
    object,  # a new one at each call, so never that of the last one
)
"""Returns NumPy's settings for floating-point errors: an object that never changes."""

KEPT = 2 * (os.cpu_count() or 4)
"""Workspaces that a program keeps, of calls that ran at the same time."""
MODES = 4
"""Combinations of NumPy's error modes for which a program keeps workspaces."""
OFTEN = 64
"""A program looks for unused memory of others once in so many calls; counting one takes 30 ns."""


class Pool(list[tuple[contextvars.Context, Any]]):
    """Workspaces that wait for calls, and how many have been made to wait here."""

    __slots__ = ("made",)

    def __init__(self) -> None:
        super().__init__()
        self.made = 0


class Program:
    """A function ready to run: `program(*arrays) -> tuple` of results that belong to the caller.

    Calls are re-entrant and thread-safe: each takes a workspace of its own from a pool and gives it
    back. `release` drops the workspaces kept, and the memory of results that were dropped; so does
    `keeper.py` when the program has not run for a while.

    Scalars in loops are Python's numbers, whose sums and products never warn. Where the caller has
    NumPy's errors raise, or call something, a second source runs, which has NumPy's scalars.

    `seconds` says how long writing the source took, and Python's compiling it.
    """

    __slots__ = (
        *(
            "_heard",
            "_is_guarded",
            "_known",
            "_make",
            "_pools",
            "_run",
            "_shows",
            "_strict",
            "_variant",
        ),
        *("filename", "plan", "seconds", "source", "uses", "__weakref__"),
    )

    def __init__(
        self,
        plan: Plan,
        owned: frozenset[int] = frozenset(),
        fresh: Mapping[int, Fresh] = MappingProxyType({}),
        exact: bool = False,
        numbers: bool = True,
    ) -> None:
        self.plan = plan
        started = time.perf_counter()
        self.source: Source = self._written(owned, fresh, exact, numbers)
        self.filename = f"<pullback {plan.function.name} {next(_numbers)}>"
        # Errors that the caller ignores and the function does not, in a block of `np.errstate`.
        self._heard = frozenset(
            key
            for _, provenance in self.source.lines.values()
            for key, mode in (provenance.errors or {}).items()
            if mode != "ignore"
        )
        self._strict: Program | None = None
        self._variant = partial(type(self), plan, owned, fresh, exact, False)
        written = time.perf_counter()
        code = compile(self.source.code, self.filename, "exec")
        self.seconds = (written - started, time.perf_counter() - written)
        namespace: dict[str, Any] = dict(self.source.constants)
        exec(code, namespace)  # our own text: see emit.py
        self._is_guarded = any(isinstance(e.op, Guard) for e in plan.function.eqns)
        self._shows = any(isinstance(e.op, Print) for e in walk(plan.function))
        self._run: Callable[..., tuple[Any, ...]] = namespace["run"]
        self._make: Callable[[], tuple[Any, ...]] = namespace["workspace"]
        self._pools: dict[tuple[str, ...], Pool] = {}
        self._known: tuple[object, Pool] = object(), Pool()
        text = self.source.code
        linecache.cache[self.filename] = (len(text), None, text.splitlines(True), self.filename)
        dropped = weakref.finalize(self._run, linecache.cache.pop, self.filename, None)
        dropped.atexit = False
        self.uses = 0
        KEEPER.add(self)

    def _written(
        self, owned: frozenset[int], fresh: Mapping[int, Fresh], exact: bool, numbers: bool
    ) -> Source:
        """Return the source of the program."""
        return emit(self.plan, owned, fresh, exact, numbers)

    def __call__(self, *arrays: Any) -> tuple[Any, ...]:
        self.uses = uses = self.uses + 1
        if not uses % OFTEN:
            KEEPER.look()
        known, pool = self._known
        if known is not _settings():
            if not MILD.issuperset(np.geterr().values()) and self.source.has_numbers:
                return self._strictly(arrays)
            pool = self._pool()
        try:
            context, ws = pool.pop()
        except IndexError:
            context, ws = self._context(), self._make()
            if pool.made >= KEPT:
                pool = Pool()  # which nobody keeps
            pool.made += 1
        else:
            if self._shows:  # as the print options, or what a logger reads, are now
                context = self._context()
        try:
            if self._is_guarded:
                return self._guarded(context, ws, arrays)
            return context.run(self._run, ws, *arrays)
        except RecursionError as error:
            raise self._endless(error) from None
        finally:
            pool.append((context, ws))

    def _pool(self) -> Pool:
        """Return the workspaces for NumPy's error modes as they are now.

        To read the modes takes 0.6 µs; whether the settings are those of the last call, 0.02.
        """
        modes: tuple[str, ...] = tuple([str(mode) for mode in np.geterr().values()])
        if "call" in modes or "log" in modes:  # the caller's own handler may be another next time
            return Pool()
        if len(self._pools) >= MODES and modes not in self._pools:
            self._pools.clear()
        pool = self._pools.setdefault(modes, Pool())
        self._known = _settings(), pool
        return pool

    def _strictly(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        """Run with NumPy's scalars: an error is to raise, or the caller is to be called."""
        strict = self._strict
        if strict is None:
            strict = self._strict = self._variant()
        return strict(*arrays)

    def _guarded(
        self, context: contextvars.Context, ws: Any, arrays: Sequence[Any]
    ) -> tuple[Any, ...]:
        """Run, and warn when no guard has failed: another program does the same again then.

        Raises
        ------
        Missed
        """
        reporter: Any = context.run(np.geterrcall)
        reporter.kept = kept = list[Callable[[], None]]()
        try:
            results = context.run(self._run, ws, *arrays)
        except Missed:
            kept.clear()
            raise
        finally:
            reporter.kept = None
            for warn in kept:
                warn()
        return results

    def _endless(self, error: RecursionError) -> RecursionError:
        """Return the error for a recursion that is too deep, with the user's call."""
        trace, found = error.__traceback__, None
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self.filename:
                op, provenance = self.source.lines.get(trace.tb_lineno, ("", None))
                if op in ("recur", "recursion") and provenance is not None:
                    found = provenance.location or found
            trace = trace.tb_next
        if found is None:
            return error
        return RecursionError(
            f"{error}: `{found.expression}` calls itself without end, or deeper than Python lets "
            f"it.\n\n{excerpt(found)}\n  Let it end earlier, or raise sys.setrecursionlimit()."
        )

    def _context(self) -> contextvars.Context:
        """Return a context in which floating-point errors come to our reporter.

        Entering a context takes 0.06 µs, entering `np.errstate` 1.1.
        """
        state: dict[str, Any] = {**np.geterr()}
        modes: dict[str, Any] = {
            k: "ignore" if v == "ignore" and k not in self._heard else "call"
            for k, v in state.items()
        }
        with np.errstate(**modes, call=_Reporter(self, state, np.geterrcall())):
            return contextvars.copy_context()

    def release(self) -> None:
        """Drop what is kept for the next calls; those under way go on with what they have."""
        self._pools.clear()
        self._known = object(), Pool()
        self._strict = None
        for shelf in self.source.shelves:
            shelf.clear()


class _Reporter:
    """NumPy's floating-point error handler: finds the equation, warns with the user's line.

    The program holds it in a context, through an object of NumPy's that the garbage collector does
    not look into: if it held the program too, neither would ever be freed.
    """

    def __init__(self, program: Program, state: dict[str, Any], handler: Any) -> None:
        self.program = weakref.ref(program)
        self.state = state
        self.handler = handler
        self.kept: list[Callable[[], None]] | None = None

    def __call__(self, error: str, flag: int) -> None:
        program = self.program()
        assert program is not None  # it is being called
        tell = report(program, self.state, self.handler, error, flag)
        if tell is None:
            return
        if self.kept is None:
            tell()
        else:
            self.kept.append(tell)


_MODES = {
    "divide by zero": "divide",
    "overflow": "over",
    "underflow": "under",
    "invalid value": "invalid",
}
"""The mode that holds for each error. NumPy tells of one after the other, with all their flags."""


def report(
    program: Program, state: dict[str, Any], handler: Any, error: str, flag: int
) -> Callable[[], None] | None:
    """Treat a floating-point error as NumPy would in a primal equation; drop it in an adjoint.

    Returns
    -------
    callable
        What warns, or calls the user's handler; None where there is nothing to do.
    """
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename != program.filename:
        frame = frame.f_back  # type: ignore[assignment]
    known = program.source.lines.get(frame.f_lineno) if frame is not None else None
    op, provenance = known if known is not None else ("the program", None)
    if provenance is not None and provenance.derived != "primal":
        return None
    if frame is not None and is_repeated(frame, error):
        return None
    own = None if provenance is None else provenance.errors
    mode = {**state, **(own or {})}[_MODES[error]]
    message = f"{error} encountered in {op}"
    if mode == "raise":
        raise FloatingPointError(message)
    if mode == "call":
        return partial(handler, error, flag)
    if mode == "log":
        return partial(handler.write, f"Warning: {message}\n")
    if mode == "print":
        return partial(print, f"Warning: {message}", file=sys.stderr)
    if mode == "ignore":
        return None
    location = provenance.location if provenance is not None else None
    if location is None:
        return partial(warnings.warn, message, RuntimeWarning, stacklevel=3)
    place = (location.file, location.line)
    return partial(warnings.warn_explicit, message, RuntimeWarning, *place)
