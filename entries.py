"""Compiled programs by signature: which one serves a call, and what it is called with.

A signature has several entries where its function reads from outside, or writes into arrays that
overlap in one call and not in another. Each entry says by its guards whether it is for a call.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from .arguments import Arguments, Spec, Wanted
from .ir.errors import DifferentiationError, StructureError, UnsupportedError
from .ir.ops.guard import Missed
from .runtime.owners import have_owners
from .tracer.foreign import MeetsForeign
from .tracer.native import foreign_classes
from .tracer.overlap import Group, buffer, overlaps
from .tracer.report import located
from .tracer.taking import Take
from .tracer.trace import trace

CACHE_SIZE = 128
"""Signatures that one function keeps; the one unused for longest goes first."""
GUARDED_SIZE = 8
"""Programs kept for one signature whose guards differ; the oldest goes first."""
KNOWN_SIZE = 4
"""Programs whose code looks at a call before its key is made; those used last."""


class CacheInfo(NamedTuple):
    """As `functools.lru_cache` reports it."""

    hits: int
    misses: int
    maxsize: int
    currsize: int


class Call(NamedTuple):
    """One call of a transformed function: its arguments, flattened and as they came.

    `objects` are what its guards read; `arrays` and `shared` are set where the call's arrays
    overlap: the arguments and hidden inputs, and the groups of those that share memory. `exact`
    keeps NumPy's bits whatever the function's options say.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    leaves: Sequence[Any]
    objects: list[Any]
    arrays: Sequence[Any] = ()
    shared: tuple[Group, ...] = ()
    exact: bool = False


def scanned(
    arguments: Arguments, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, Call]:
    """Return the signature of a call, and the call."""
    given = args, kwargs
    try:
        leaves, objects, key = arguments.scan(args, kwargs)
    except MeetsForeign:
        args, kwargs = arguments.native(args, kwargs)
        leaves, objects, key = arguments.scan(args, kwargs)
    # The last two objects are for what the function stores in its arguments themselves.
    return key, Call(args, kwargs, leaves, [*objects, *given])


_numbers = itertools.count()


class GuardedEntry:
    """A traced function with the guards that say which calls it is for.

    Guards on what is read from outside are checked before a run (`inputs`), those on computed
    values during it (`run`). `donated` are the arguments in whose memory results are given.
    `arguments` describes the arguments that it was traced for, `number` says which program was made
    first. `key` is the signature, set when it first serves a call that it was not made for; `take`
    the code that knows it again, None where there is none.
    """

    __slots__ = (
        *("arguments", "collect", "donated", "exact", "key", "number", "shared", "simple", "take"),
        *("traced", "was_seen"),
    )

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: Arguments,
        call: Call,
        *,
        name: str,
        has_aux: bool,
        wanted: Wanted | None,
    ) -> None:
        self.number = next(_numbers)
        self.arguments = arguments.shown(call.args, call.kwargs)
        self.traced = trace(
            function,
            arguments.describe(call.args, call.kwargs),
            arguments.leaf_specs(call.args, call.kwargs),
            call.objects,
            name=name,
            has_aux=has_aux,
            writes_back=wanted is None,
            values=call.leaves,
            arrays=call.arrays,
            shared=call.shared,
        )
        self.shared = call.shared
        self.exact = call.exact
        self.key: Any = None
        self.take: Take | None = None
        self.was_seen = False
        self.donated: Sequence[int] = ()
        self.collect = self.traced.collect
        self.simple = self.collect is None and not self.traced.written
        if wanted is not None and self.shared:
            self._check_separate(set(wanted.positions))

    def _check_separate(self, wanted: set[int]) -> None:
        """Raise where an argument to differentiate by is written, and overlaps with another."""
        written = {p for p, _ in self.traced.written}
        for group in self.shared:
            if written.intersection(group.positions) and wanted.intersection(group.positions):
                raise DifferentiationError(
                    "the derivative with respect to an array that the function writes into is not "
                    "defined where it overlaps with another argument.\n"
                    "  Pass a copy of one of them."
                )

    def inputs(self, leaves: Sequence[Any], objects: list[Any]) -> Sequence[Any] | None:
        """Return what the program takes, None where it is not for this call.

        Raises
        ------
        ValueError
            Where the function writes into an array that is read-only.
        """
        hidden = [] if self.collect is None else self.collect(objects)
        if hidden is None:
            return None
        arrays = [*leaves, *hidden]
        if self.traced.written and not self._may_write(arrays, objects):
            return None
        if self.shared:
            return [*leaves, *[buffer(arrays, g) for g in self.shared], *hidden]
        return _apart(arrays, self.donated) if self.donated else arrays

    def _may_write(self, arrays: Sequence[Any], objects: Sequence[Any]) -> bool:
        """Whether what is written overlaps with other arrays as it did when the program was traced.

        Raises
        ------
        ValueError
            Where an array that is written is read-only.
        """
        written = self.traced.written
        positions = [p for p, _ in written]
        is_clear = not self.shared and have_owners(arrays, positions)
        if not is_clear and overlaps(arrays, positions) != self.shared:
            return False
        for position, location in written:
            if not arrays[position].flags.writeable and not self.shared:
                text = _read_only(objects)
                raise ValueError(text if location is None else located(text, location))
        return True

    def run(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """Return what the program computes from its inputs.

        Raises
        ------
        Missed
            Where a value decides a branch otherwise: the program is not for this call, and has done
            nothing.
        """
        raise NotImplementedError


def _apart(arrays: Sequence[Any], positions: Sequence[int]) -> Sequence[Any]:
    """Return the arrays with those at some positions copied where the memory is not theirs alone.

    These are read-only arrays, and arrays that overlap with any other.
    """
    groups = () if have_owners(arrays, positions) else overlaps(arrays, positions)
    shared = {p for group in groups for p in group.positions}
    wrong = {p for p in positions if p in shared or not arrays[p].flags.writeable}
    if not wrong:
        return arrays
    return [np.array(a, order="C") if k in wrong else a for k, a in enumerate(arrays)]


def _read_only(objects: Sequence[Any]) -> str:
    """Return NumPy's message, with a word on arrays of other libraries where there are some."""
    found = foreign_classes(objects[-2:])
    if not found:
        return "assignment destination is read-only"
    return (
        f"assignment destination is read-only: of {' or '.join(found)} NumPy reads a copy, or "
        "memory that may not be written.\n  Pass an ndarray to have it written into."
    )


E = TypeVar("E", bound=GuardedEntry)


class Programs(Generic[E]):
    """The programs of one function.

    `entries` may be read without the lock: an entry's list is replaced, never changed.
    """

    def __init__(self, name: str, arguments: Arguments, make: Callable[[Call], E]) -> None:
        self.name = name
        self.arguments = arguments
        self.make = make
        self.entries: OrderedDict[Any, list[E]] = OrderedDict()
        self.hits = 0
        self.misses = 0
        self.known: tuple[E, ...] = ()
        self._lock = threading.RLock()

    def run(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], missed: Sequence[E] = ()
    ) -> tuple[E, tuple[Any, ...]]:
        """Return the entry for a call and what its program returns, compiled if there is none.

        `missed` are the entries that are known not to be for this call.
        """
        key, call = scanned(self.arguments, args, kwargs)
        self.keep(key)
        left = list(missed)
        while True:
            for entry in self._untried(key, left):
                inputs = entry.inputs(call.leaves, call.objects)
                try:
                    if inputs is not None:
                        found = entry, entry.run(inputs)
                        self.hits += 1
                        self._know(key, entry, call)
                        return found
                except Missed:
                    pass
                left.append(entry)
            with self._lock:
                if self._untried(key, left):
                    continue  # another thread was first
                entry, inputs = self._added(key, call)
            try:
                return entry, entry.run(inputs)
            except Missed:
                if call.exact:
                    raise _changes_while_traced(self.name) from None
                # A branch hangs on the last bits, which a rewrite has changed.
                left.append(entry)
                call = call._replace(exact=True)

    def again(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[E | None, Sequence[Any]]:
        """Run the program of a call like one before, without making its signature.

        Return its entry and what it returns; None and the entries that are not for this call, where
        no code knows it.
        """
        missed: list[E] = []
        for entry in self.known:
            take = entry.take
            assert take is not None
            objects: list[Any] | None = None if entry.simple else []
            leaves = take(args, kwargs, objects)
            if leaves is None:
                continue
            inputs: Sequence[Any] | None = leaves
            if objects is not None:
                inputs = entry.inputs(leaves, [*objects, args, kwargs])
            try:
                if inputs is not None:
                    flat = entry.run(inputs)
                    self.hits += 1
                    if len(self.entries) > CACHE_SIZE // 2:
                        self.keep(entry.key)
                    return entry, flat
            except Missed:
                pass
            missed.append(entry)
        return None, missed

    def _know(self, key: Any, entry: E, call: Call) -> None:
        """Have an entry look at the next calls first, from the second that it serves on."""
        if entry.key is None:
            entry.key = key
            return
        if not entry.was_seen:
            entry.was_seen = True
            entry.take = self.arguments.taker(call.args, call.kwargs)
        if entry.take is None or entry in self.known or not self._lock.acquire(blocking=False):
            return  # not acquired: another thread compiles
        try:
            if entry in self.entries.get(key, ()):
                self.known = (entry, *self.known[: KNOWN_SIZE - 1])
        finally:
            self._lock.release()

    def _untried(self, key: Any, left: Sequence[E]) -> list[E]:
        return [e for e in self.entries.get(key, ()) if not any(e is other for other in left)]

    def _added(self, key: Any, call: Call) -> tuple[E, Sequence[Any]]:
        """Compile for a call and keep the entry; return it with the inputs of its program.

        Raises
        ------
        StructureError
            Where a `Spec` stands for an array, which only `inspect` and its like can take.
        """
        specs = [leaf for leaf in call.leaves if isinstance(leaf, Spec)]
        if specs:
            raise StructureError(
                f"{self.name} is called with {specs[0]} in the place of an array.\n"
                "  Call it with arrays; inspect, explain and pb.sparsity take Specs."
            )
        self.misses += 1
        with uncollected():
            entry = self._made(call)
        inputs = entry.inputs(call.leaves, call.objects)
        if inputs is None:
            raise _changes_what_it_reads(self.name)
        self.entries[key] = [*self.entries.get(key, []), entry][-GUARDED_SIZE:]
        self.entries.move_to_end(key)
        while len(self.entries) > CACHE_SIZE:
            self.entries.popitem(last=False)
        self.known = tuple([e for e in self.known if e in self.entries.get(e.key, ())])
        return entry, inputs

    def _made(self, call: Call) -> E:
        """Compile for a call; anew where a written array turns out to overlap with another."""
        entry = self.make(call)
        written = [p for p, _ in entry.traced.written]
        hidden = [] if not written or entry.collect is None else entry.collect(call.objects)
        if not written or hidden is None:
            return entry
        arrays = [*call.leaves, *hidden]
        shared = overlaps(arrays, written)
        return self.make(call._replace(arrays=arrays, shared=shared)) if shared else entry

    def keep(self, key: Any) -> None:
        """Note that a signature was used; only the order in which a full cache forgets needs it."""
        if len(self.entries) > CACHE_SIZE // 2:
            with self._lock:
                if key in self.entries:
                    self.entries.move_to_end(key)

    def made(self) -> list[E]:
        """Return the programs that are kept, the first made first."""
        with self._lock:
            entries = [e for kept in self.entries.values() for e in kept]
        return sorted(entries, key=lambda e: e.number)

    def info(self) -> CacheInfo:
        """Return hits, misses, the greatest number of signatures kept, and how many are."""
        return CacheInfo(self.hits, self.misses, CACHE_SIZE, len(self.entries))

    def clear(self) -> None:
        """Forget every program."""
        with self._lock:
            self.entries.clear()
            self.known = ()
            self.hits = self.misses = 0


@contextlib.contextmanager
def uncollected() -> Generator[None]:
    """Keep the garbage collector still: a compilation makes many small objects and no cycles.

    It takes a third off the compilation of 10,000 equations.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _changes_what_it_reads(name: str) -> UnsupportedError:
    """Return the error for a function whose guards fail right after it was traced."""
    return UnsupportedError(
        f"{name} changes something that it also reads from outside (a global, an attribute or a "
        "container), which would happen while it is traced and not when it runs.\n"
        "  Return the value instead, or pass what changes as an argument."
    )


def _changes_while_traced(name: str) -> UnsupportedError:
    """Return the error for a function whose branches are others right after it was traced."""
    return UnsupportedError(
        f"{name} branches on a value that is another when the program runs than it was while the "
        "function was traced, for the same arguments.\n"
        "  Another thread may be writing into them: pass a copy."
    )


__all__ = ["CacheInfo", "Call", "GuardedEntry", "Programs", "scanned", "uncollected"]
