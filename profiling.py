"""`profile`: a function's calls with the clock around each equation."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from .built import Built
from .compiled import Compiled, Entry, Options, check_callable
from .entries import Call, Programs
from .ir.errors import UnsupportedError
from .pullbacks import VjpFunction
from .runtime.profiled import ProfiledProgram, Recording
from .times import Profile, StageTime
from .tracer.state import current


class _Entry(Entry):
    """A compiled program, and its variant with the clock, which runs."""

    __slots__ = ("stage_times", "timed")

    def __init__(self, owner: Compiled, call: Call) -> None:
        super().__init__(owner, call)
        stages = [StageTime(s.name, s.milliseconds) for s in self.stages]
        compile = 1e3 * self.program.seconds[1]
        last = stages.pop()  # the program, written and compiled
        stages.append(StageTime(last.name, last.milliseconds - compile))
        self.stage_times = [*stages, StageTime("Python's compile", compile)]
        self.timed = ProfiledProgram.of(self.program)

    def run(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        return self.timed(*inputs)


class Profiler:
    """What `profile` returns: calls the function and returns the `Profile` of the call."""

    def __init__(self, function: Callable[..., Any], repeat: int) -> None:
        self.repeat = repeat
        self.first: tuple[Any, ...] = ()
        self.named: dict[str, Any] = {}
        if isinstance(function, functools.partial) and isinstance(function.func, Compiled):
            self.first, self.named = function.args, function.keywords  # a method
            function = function.func
        if isinstance(function, VjpFunction):
            raise TypeError(
                "profile takes a function whose calls run one program, and vjp makes two.\n"
                "  Profile pb.grad of a function with a scalar result, or a plain function that "
                "calls vjp and the pullback."
            )
        if not isinstance(function, Built | Compiled):
            check_callable("profile", function)
            function = Compiled(function, Options("compile"))
        self.function: Built | Compiled = function
        self.compiling = 0.0
        self.programs: Programs[Any] | None = None
        self.built: ProfiledProgram | None = None
        if isinstance(function, Compiled):
            self.name = function.name
            made = functools.partial(self._made, function)
            self.programs = Programs(function.name, function.arguments, made)
        else:
            self.name = function.function.name
        self._lock = threading.RLock()

    def _made(self, owner: Compiled, call: Call) -> _Entry:
        started = time.perf_counter()
        entry = _Entry(owner, call)
        self.compiling += time.perf_counter() - started
        return entry

    def __call__(self, *args: Any, **kwargs: Any) -> Profile:
        return self._profiled(args, kwargs, self.repeat)

    def warm(self, *args: Any, **kwargs: Any) -> Profile:
        """Run once, so that calls find the program compiled and the memory at hand."""
        return self._profiled(args, kwargs, 1)

    def _profiled(self, args: tuple[Any, ...], kwargs: dict[str, Any], repeat: int) -> Profile:
        if current() is not None:
            raise UnsupportedError(
                f"{self.name} is profiled in a function that is being traced, where nothing runs.\n"
                "  Profile the outer function: its equations are told apart by their lines."
            )
        args, kwargs = (*self.first, *args), {**self.named, **kwargs}
        recordings: list[Recording] = []
        around = 0.0
        with self._lock:
            while True:
                self.compiling = 0.0
                started = time.perf_counter()
                result, program, stages = self._run(args, kwargs)
                took = time.perf_counter() - started - self.compiling
                last = program.last
                assert last is not None  # it has just run
                recordings.append(last)
                around += max(took - (last.end - last.start) / 1e9, 0.0)
                if len(recordings) == repeat:
                    break
        # Another program may have served earlier runs, where guards failed.
        same = [r for r in recordings if r.timed is recordings[-1].timed]
        return Profile(self.name, result, same, around / repeat, stages, program)

    def _run(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, ProfiledProgram, Sequence[StageTime]]:
        """Run once: return the result, the program that ran, and the stages that made it."""
        if isinstance(self.function, Built):
            if self.built is None:
                self.built = ProfiledProgram.of(self.function.program)
            return self.function.call(self.built, *args), self.built, ()
        assert self.programs is not None
        entry, flat = self.programs.run(args, kwargs)
        return entry.build(flat), entry.timed, entry.stage_times


def profile(function: Callable[..., Any], repeat: int = 1) -> Profiler:
    """Return a function that calls another and tells where the time went.

    Parameters
    ----------
    function
        What `grad`, `value_and_grad`, `compile` or `build` returned; a plain function is compiled.
    repeat
        How often a call runs the function: figures are means of so many runs. All that it does
        happens as often: what it writes, prints and draws.

    Returns
    -------
    Profiler
        Takes the function's arguments and returns a `Profile`, with the result in it. A second call
        finds the program compiled and the memory at hand.

    Raises
    ------
    TypeError
        For what `vjp` returns.
    UnsupportedError
        At a call, where it stands in a function that is being traced.

    Notes
    -----
    The clock is read around each equation of the program, which else is the same; what the clock
    takes is measured and taken off.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> found = pb.profile(pb.grad(lambda w: np.sum(w ** 2)))(np.array([1.0, 2.0]))
    >>> found.result
    array([2., 4.])
    >>> [row.calls for row in found.equations]
    [1.0]
    """
    if repeat < 1:
        raise ValueError(f"repeat is {repeat} and must be at least 1")
    return Profiler(function, repeat)


__all__ = ["Profile", "Profiler", "profile"]
