"""The callable that a transformation returns: its cache of compiled programs and its calls.

A call flattens the arguments, looks the signature up, reads the hidden inputs, runs the program and
builds the result's structure. Everything slow happens once for each signature, in `Entry`.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .arguments import Argnums, Arguments, Chosen, Wanted
from .budget import KeptTable, fitted, planned_peak
from .entries import CacheInfo, Call, GuardedEntry, Programs, scanned, uncollected
from .explain import Explanation, explained
from .inspection import Inspection
from .ir.core import Atom, Function, Value
from .ir.dims import Symbol
from .ir.errors import ArgumentError, UnsupportedError
from .losses import check_scalar
from .passes.batch import Batch
from .passes.checkpoint import Kept, checkpoint
from .passes.donation import donate
from .passes.memory import plan_memory
from .passes.pipeline import EXACT, STABLE, Pipeline, Stage, record, run
from .passes.reverse import reverse
from .passes.rewind import rewind
from .passes.separate import separate
from .passes.straight_line import marked
from .runtime.program import Program
from .tracer.nested import inline_call, inline_function, trace_apart
from .tracer.state import current
from .tracer.trace import Traced
from .tracer.tree import Node, Structure, unflattener


class Options(NamedTuple):
    """What a transformation asks of its function.

    `mode` is "compile", "grad" or "value_and_grad"; `memory` is a number of bytes, `donated` are
    the arguments whose memory results may have, by number and by name. The derivative of a
    `holomorphic` function is complex. `called` is what the user called, where it is not the mode.
    """

    mode: str
    argnums: Argnums = 0
    has_aux: bool = False
    allow_int: bool = False
    exact: bool = False
    memory: int | None = None
    holomorphic: bool = False
    donated: tuple[int | Sequence[int], str | Sequence[str]] = ((), ())
    called: str | None = None

    def check_loss(self, traced: Traced, wanted: Wanted) -> None:
        """Raise unless a traced function returns what can be differentiated.

        Raises
        ------
        DifferentiationError
        """
        positions = wanted.positions if self.holomorphic else None
        check_scalar(self.called or self.mode, traced, positions)


class Entry(GuardedEntry):
    """One compiled program with what a call needs around it."""

    __slots__ = ("build", "kept", "plan", "program", "reasons", "stages")

    def __init__(self, owner: Compiled, call: Call) -> None:
        options, arguments = owner.options, owner.arguments
        self.stages: list[Stage] = []
        self.kept: list[Kept] = []
        self.reasons: dict[Value, str] = {}
        wanted = None
        if options.mode != "compile":
            wanted = arguments.wanted(call.args, call.kwargs, options.argnums, options.allow_int)
        started = time.perf_counter()
        super().__init__(
            owner.function,
            arguments,
            call,
            name=owner.name,
            has_aux=options.has_aux,
            wanted=wanted,
        )
        self._stage("trace", self.traced.function, started)
        if owner.donated.positions or owner.donated.names:
            self._donate(arguments.places(owner.donated, call.args, call.kwargs))
        function, owned = self._optimize(owner, wanted, owner.options.exact or call.exact)
        started = time.perf_counter()
        kept = range(self.traced.results if options.mode == "grad" else 0, len(self.traced.fresh))
        fresh = {k: f for k, n in enumerate(kept) if (f := self.traced.fresh[n]) is not None}
        self.plan = plan_memory(separate(function, fresh))
        self._stage("plan", function, started)
        started = time.perf_counter()
        self.program = Program(self.plan, owned, fresh, owner.options.exact or call.exact)
        self._stage("emit", function, started)
        gradients = None if wanted is None else gradient_structure(wanted)
        self.build = builder(self.traced, gradients, options.mode)

    def run(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        return self.program(*inputs)

    def _donate(self, positions: Sequence[int]) -> None:
        """Give results in the memory of arguments, unless arguments share theirs."""
        traced = self.traced
        if self.shared:
            return
        started = time.perf_counter()
        outputs = len(traced.fresh) - traced.stored
        function, pairs = donate(traced.function, positions, traced.fresh, outputs)
        fresh = [None if k in pairs else f for k, f in enumerate(traced.fresh)]
        self.traced = dataclasses.replace(traced, function=function, fresh=fresh)
        self.donated = sorted(pairs.values())
        self.simple = self.simple and not self.donated
        self._stage("donate", function, started, traced.function)

    def _optimize(
        self, owner: Compiled, wanted: Wanted | None, exact: bool
    ) -> tuple[Function, frozenset[int]]:
        options = owner.options
        passes = EXACT if exact else STABLE
        function = run(self.traced.function, passes.before, self.stages)
        if wanted is None:
            return run(function, passes.after, self.stages, "again "), frozenset()
        options.check_loss(self.traced, wanted)
        rows: dict[Symbol, int] = {}
        if options.memory is not None:
            started = time.perf_counter()
            before_it = function
            function, self.kept = checkpoint(function, wanted.positions, options.memory, rows)
            self._stage("checkpoint", function, started, before_it)
        started = time.perf_counter()
        keep = list(range(len(function.results)))
        if options.mode == "grad":
            keep = keep[self.traced.results :]
        whole = function if options.memory is None else marked(function)
        joint = reverse(whole, wanted.positions, keep=keep)
        self._stage("reverse", joint, started, function)
        if rows:
            started, before_it = time.perf_counter(), joint
            joint = rewind(joint, rows)
            self._stage("rewind", joint, started, before_it)
        owned = frozenset(range(len(keep), len(joint.results)))
        if options.memory is None:
            return run(joint, passes.after, self.stages, "joint "), owned
        return self._within(joint, passes, options.memory), owned

    def _within(self, joint: Function, passes: Pipeline, memory: int) -> Function:
        """Run the passes so that what is kept is within a budget."""
        late = passes.late
        result = run(joint, passes.early, self.stages, "joint ")
        plain = [p for p in passes.early if not isinstance(p, Batch)]
        if len(plain) < len(passes.early) and any(e.op.regions for e in joint.eqns):
            # Products taken out of loops are stacks too.
            stages: list[Stage] = []
            smaller = run(joint, plain, stages, "smaller ")
            more = planned_peak(result, late) - planned_peak(smaller, late)
            if KeptTable(self.kept).peak + more > memory:
                self.stages += stages
                result = smaller
        started, before = time.perf_counter(), result
        result, self.reasons = fitted(result, late, memory)
        self._stage("fit", result, started, before)
        return run(result, late, self.stages, "joint ")

    def _stage(
        self, name: str, function: Function, started: float, before: Function | None = None
    ) -> None:
        milliseconds = 1e3 * (time.perf_counter() - started)
        record(Stage(name, function, milliseconds), before, self.stages)


def builder(
    traced: Traced, gradients: Structure | None, mode: str
) -> Callable[[Sequence[Any]], Any]:
    """Return the function that builds the caller's result from the program's flat results.

    It also stores outside what the function does, once all is computed.
    """
    build = _unflattener(traced, gradients, mode)
    if traced.commit is None:
        return build
    commit = traced.commit
    end = len(traced.function.results) - (traced.results if mode == "grad" else 0)
    start = end - traced.stored

    def built(flat: Sequence[Any]) -> Any:
        result = build((*flat[:start], *flat[end:]))
        commit(flat[start:end])
        return result

    return built


def _unflattener(
    traced: Traced, gradients: Structure | None, mode: str
) -> Callable[[Sequence[Any]], Any]:
    output = traced.structure
    aux = traced.aux
    if gradients is None:
        return unflattener(output if aux is None else _pair(output, aux))
    if mode == "grad":
        # The program returns the leaves of aux first.
        return unflattener(gradients) if aux is None else _swapped(aux, gradients)
    value = output if aux is None else _pair(output, aux)
    return unflattener(_pair(value, gradients))


def _pair(first: Structure, second: Structure) -> Structure:
    return Node(tuple, 2, (first, second))


def _swapped(aux: Structure, gradients: Structure) -> Callable[[Sequence[Any]], Any]:
    build = unflattener(_pair(aux, gradients))

    def swapped(flat: Sequence[Any]) -> Any:
        second, first = build(flat)
        return first, second

    return swapped


def gradient_structure(wanted: Wanted) -> Structure:
    """Return the structure of the gradients: that of the one argument, or a tuple of several."""
    if wanted.single:
        return wanted.structures[0]
    return Node(tuple, len(wanted.structures), tuple(wanted.structures))


def check_callable(what: str, function: Any) -> None:
    """Raise unless a function can be transformed.

    Raises
    ------
    TypeError
        For what cannot be called; UnsupportedError for generators and coroutines.
    """
    if not callable(function):
        raise TypeError(f"{what} takes a function, not {type(function).__name__}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        kind = "a generator function"
    elif inspect.iscoroutinefunction(function):
        kind = "a coroutine function"
    else:
        return
    raise UnsupportedError(
        f"{function.__name__} is {kind}, and only functions that return their result are traced.\n"
        "  Return a list of arrays in place of yielding them."
    )


def name_of(function: Any) -> str:
    """Return what errors and programs call a function."""
    return str(getattr(function, "__name__", type(function).__name__)).strip("<>")


def traced_nested(
    function: Callable[..., Any],
    arguments: Arguments,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    has_aux: bool = False,
) -> tuple[Traced, list[Atom]]:
    """Trace a function apart from the trace under way; also return what to call it with there."""
    return trace_apart(
        function,
        arguments.describe(args, kwargs),
        arguments.leaf_specs(args, kwargs),
        arguments.leaves(args, kwargs),
        name=name_of(function),
        has_aux=has_aux,
    )


class Compiled:
    """A transformed function, as `pullback.compile` and `pullback.grad` return it.

    It is called as the function is. `inspect(*args)` shows what it is compiled to, `explain(*args)`
    why, and `cache_info()` counts the programs that were made and used.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> slope = pb.grad(lambda x: np.sum(x * x))
    >>> slope(np.ones(2)), slope(np.ones(3)), slope(np.zeros(3))
    (array([2., 2.]), array([2., 2., 2.]), array([0., 0., 0.]))
    >>> slope.cache_info()
    CacheInfo(hits=1, misses=2, maxsize=128, currsize=2)
    """

    def __init__(
        self,
        function: Callable[..., Any],
        options: Options,
        static_argnums: int | Sequence[int] = (),
        static_argnames: str | Sequence[str] = (),
    ) -> None:
        check_callable(options.mode, function)
        # First, since the attributes of a function that is itself transformed have our names.
        functools.update_wrapper(self, function)
        self.function = function
        self.options = options
        self.name = name_of(function)
        self.arguments = Arguments(function, static_argnums, static_argnames)
        self.donated = self._donated(*options.donated)
        self.programs = Programs(self.name, self.arguments, self._entry)

    def _donated(self, argnums: int | Sequence[int], argnames: str | Sequence[str]) -> Chosen:
        """Return the arguments that are donated.

        Raises
        ------
        ArgumentError
            For what is no parameter, or is static.
        """
        found = self.arguments.chosen("donate", argnums, argnames)
        static = found.names & self.arguments.static_names
        if static or found.positions & self.arguments.static_positions:
            shown = ", ".join(f"`{n}`" for n in sorted(static)) or "an argument"
            raise ArgumentError(
                f"{shown} is static, so it has no memory to donate.\n"
                "  Leave it out of donate_argnums, or make it traced."
            )
        return found

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if current() is not None:
            return self._inline(args, kwargs)
        programs = self.programs
        entry, found = programs.again(args, kwargs)
        if entry is not None:
            return entry.build(found)
        entry, flat = programs.run(args, kwargs, found)
        return entry.build(flat)

    def _entry(self, call: Call) -> Entry:
        """Compile, and keep what calls need; `inspect` keeps the stages."""
        entry = Entry(self, call)
        entry.stages.clear()
        return entry

    def _inline(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Write this function into the trace under way."""
        if self.options.mode == "compile":
            return inline_call(self.function, args, kwargs)
        wanted = self.arguments.wanted(args, kwargs, self.options.argnums, self.options.allow_int)
        traced, operands = traced_nested(
            self.function, self.arguments, args, kwargs, self.options.has_aux
        )
        flat = inline_function(self._nested_joint(traced, wanted), operands)
        return builder(traced, gradient_structure(wanted), self.options.mode)(flat)

    def _nested_joint(self, traced: Traced, wanted: Wanted) -> Function:
        options = self.options
        options.check_loss(traced, wanted)
        keep = list(range(len(traced.function.results)))
        if self.options.mode == "grad":
            keep = keep[traced.results :]
        function = traced.function
        if self.options.memory is not None:
            function, _ = checkpoint(function, wanted.positions, self.options.memory)
        return reverse(function, wanted.positions, keep=keep)

    def inspect(self, *args: Any, **kwargs: Any) -> Inspection:
        """Return the stages of the compilation for these arguments, arrays or `Spec`s."""
        _, call = scanned(self.arguments, args, kwargs)
        with uncollected():
            entry = Entry(self, call)
        return Inspection(
            entry.stages,
            entry.program.source.text,
            entry.plan,
            entry.kept,
            self.options.memory,
            entry.reasons,
        )

    def explain(self, *args: Any, **kwargs: Any) -> Explanation:
        """Return what becomes of each loop and branch for these arguments, and why.

        Also why each program that is kept was made: what differed from one made before.
        """
        _, call = scanned(self.arguments, args, kwargs)
        with uncollected():
            entry = GuardedEntry(
                self.function,
                self.arguments,
                call,
                name=self.name,
                has_aux=self.options.has_aux,
                wanted=None,
            )
        return explained(self.name, entry.traced.decisions, self.programs.made())

    def cache_info(self) -> CacheInfo:
        """Return hits, misses, the greatest number of signatures kept, and how many are."""
        return self.programs.info()

    def cache_clear(self) -> None:
        """Forget every compiled program."""
        self.programs.clear()

    def __repr__(self) -> str:
        return f"<pullback.{self.options.mode} of {self.name}>"


__all__ = ["Compiled", "Entry", "Options"]
