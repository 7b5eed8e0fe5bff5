"""Where each value lives when a function runs: made by the memory pass, read by the runtime."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .core import Eqn, Function, Value
from .dims import Symbol
from .machine import machine
from .ops.reduce import Reduction
from .types import ArrayType


class Home(enum.Enum):
    """The kinds of memory."""

    CALLER = "caller"
    """A parameter: the caller's memory."""
    SLOT = "slot"
    """A slot of the workspace, reused."""
    FRESH = "fresh"
    """Allocated in this call because it leaves with a result, or its size is known only now."""
    NUMPY = "numpy"
    """Allocated by a NumPy function that has no `out=`."""
    STACK = "stack"
    """A row of a loop's stacked output."""


class Cell:
    """A piece of memory and the value that holds it now.

    `end` is the index of the last equation of its block that reads it; `pinned` cells belong to a
    carry and outlive the body; every value
    that holds the cell in turn has its `layout`.
    """

    __slots__ = ("end", "home", "layout", "owner", "pinned", "slot", "stack")

    def __init__(
        self, home: Home, owner: Value, end: int, slot: int = -1, stack: Value | None = None
    ) -> None:
        self.home = home
        self.owner = owner
        self.end = end
        self.slot = slot
        self.stack = stack
        self.layout = owner.layout
        self.pinned = False


@dataclass(frozen=True)
class Fresh:
    """What is known of a result that NumPy makes anew, neither an argument nor a view of one.

    Results of equal `owner` are views of one array, those of others share no memory. `spread` says
    that the result was broadcast, so that NumPy's has strides of 0 too and is not writeable.
    """

    owner: int
    spread: bool


@dataclass(frozen=True)
class LoopPlan:
    """How a loop's body meets its surroundings.

    `moves` are the carries whose next value is copied into the carry's memory at the end of an
    iteration; `adopted` those whose initial value already stands there; `direct` the outputs that
    the body computes in their row of the stack.
    """

    moves: frozenset[int]
    adopted: frozenset[int]
    direct: frozenset[int]


@dataclass(frozen=True)
class BranchPlan:
    """How a branch of a cond hands over its results.

    `cells` are the memory of the cond's results as the branch sees it, None for those without axes;
    `moved` are the results that are copied there at the end; `renamed` those whose array, made in
    the branch, becomes the result itself.
    """

    cells: tuple[Cell | None, ...]
    moved: frozenset[int]
    renamed: frozenset[int]


@dataclass(frozen=True)
class CondPlan:
    """How a cond meets its surroundings; `made` are the results that get memory of their own."""

    made: frozenset[int]
    branches: tuple[BranchPlan, ...]


@dataclass(frozen=True)
class CallPlan:
    """How a recursion, or a call within one, or a record meets its surroundings.

    `copied` are the carries whose operand is copied, for the result needs memory of its own, or
    the operands that a record holds copies of; `moved` are the carries whose last value the body of
    a recursion copies into the carry's memory, `shared` the results that it returns copies of;
    `released` are the arrays that need not be kept during the call.
    """

    copied: frozenset[int]
    moved: frozenset[int] = frozenset()
    shared: frozenset[int] = frozenset()
    released: tuple[Value, ...] = ()


ALIGNMENT = 64


def aligned(nbytes: int) -> int:
    """Return the bytes that an array takes up in scratch memory, with what follows aligned."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class Part:
    """What a part of a region makes of one result: a part along `axis`, or a partial reduction."""

    axis: int | None
    reduction: Reduction | None = None


@dataclass(frozen=True)
class Parts:
    """A tiled region as a function of parts: `body` mentions `size`, the entries of a part.

    The operands' `extent` entries are cut into parts of `tile`; only the last may be smaller.
    """

    body: Function
    size: Symbol
    extent: int
    tile: int
    results: tuple[Part, ...]

    @property
    def count(self) -> int:
        """How many parts there are."""
        return -(-self.extent // self.tile)


@dataclass(frozen=True)
class TilePlan(Parts):
    """How a tiled region runs, by several threads where `threads`.

    `registers` are the arrays of a part that hold what does not leave it: the cell of the values
    that each holds in turn, and its type.
    """

    threads: bool
    registers: tuple[tuple[Cell, ArrayType], ...]


@dataclass(frozen=True)
class Plan:
    """The memory plan of a flattened function: a cell for each value with axes, also in loops."""

    function: Function
    cells: Mapping[Value, Cell]
    slots: Sequence[int]
    loops: Mapping[Value, LoopPlan]
    copied: int
    fresh_bytes: int
    numpy_bytes: int
    conds: Mapping[Eqn, CondPlan] = field(default_factory=dict)
    calls: Mapping[Eqn, CallPlan] = field(default_factory=dict)
    tiles: Mapping[Eqn, TilePlan] = field(default_factory=dict)

    @property
    def scratch_bytes(self) -> int:
        """Bytes of scratch memory of each thread that shares a tiled region."""
        sizes = [
            sum(aligned(type.nbytes) for _, type in plan.registers) for plan in self.tiles.values()
        ]
        return max(sizes, default=0)

    @property
    def workspace_bytes(self) -> int:
        """Bytes kept between calls, but for the scratch memory of threads."""
        return sum(self.slots) + self.partial_bytes

    @property
    def partial_bytes(self) -> int:
        """Bytes of what the parts of tiled regions reduce to."""
        return sum(
            plan.count * result.type.nbytes
            for eqn, plan in self.tiles.items()
            for result, part in zip(eqn.results, plan.results, strict=True)
            if part.reduction is not None
        )

    @property
    def transient_bytes(self) -> int:
        """Predicted bytes that a call allocates and holds at once: results and NumPy's own."""
        from .peak import transient_peak  # which reads plans

        return transient_peak(self)

    def peak(self, threads: int) -> int:
        """Return the predicted bytes of a call on some threads beyond its arguments."""
        parts = [plan.count for plan in self.tiles.values() if plan.threads]
        scratch = min(threads, max(parts, default=1)) * self.scratch_bytes
        return self.workspace_bytes + scratch + self.transient_bytes

    @property
    def peak_bytes(self) -> int:
        """Predicted bytes of a call beyond its arguments, at its peak, with all cores at work."""
        return self.peak(machine().cores)

    def __str__(self) -> str:
        members: dict[int, list[str]] = {}
        for value, cell in self.cells.items():
            if cell.home is Home.SLOT:
                members.setdefault(cell.slot, []).append(f"{value.hint or '·'}: {value.type}")
        lines = [
            (
                f"workspace {self.workspace_bytes:,} bytes in {len(self.slots)} slots; scratch of "
                f"each thread {self.scratch_bytes:,}; results {self.fresh_bytes:,}; NumPy's own "
                f"{self.numpy_bytes:,}; peak {self.peak_bytes:,}"
            )
        ]
        for number, nbytes in enumerate(self.slots):
            names = members.get(number, [])
            more = f", … ({len(names)} values)" if len(names) > 6 else ""
            lines.append(f"  slot {number:<3} {nbytes:>12,} bytes  {', '.join(names[:6])}{more}")
        return "\n".join(lines)
