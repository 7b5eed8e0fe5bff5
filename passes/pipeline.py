"""The pipeline, in order.

`PULLBACK_DUMP` prints functions as the passes make them: `all`, `changed` (only what a pass
changed), `diff` (what changed, as a difference), or the name of a pass. `PULLBACK_CHECK=1` verifies
after every pass; a failure names the pass and writes its input to a file.
`PULLBACK_WITHOUT=fuse,hoist` leaves passes out, to find the one at fault.
"""

from __future__ import annotations

import difflib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..ir.core import Function
from ..ir.errors import VerificationError
from .batch import Batch
from .chain import Chain
from .contract import Contract
from .custom_rules import Inline
from .dce import Dce
from .dots import Dots
from .fuse import Fuse
from .loops import Hoist
from .merge import Merge
from .place import Place
from .recompute import Recompute
from .rematerialize import Rematerialize
from .rewrite import Class
from .settle import Settle
from .simplify import Simplify

Pass = Callable[[Function], Function]


class Pipeline(NamedTuple):
    """The passes, in the parts that a derivative may have to run apart.

    `before` and `early` stand on both sides of reverse mode. `again` has what is computed again in
    place of being kept, and `fusion` is last, run on each of the functions that a joint one is cut
    into.
    """

    before: tuple[Pass, ...]
    early: tuple[Pass, ...]
    again: tuple[Pass, ...]
    fusion: tuple[Pass, ...]

    @property
    def late(self) -> tuple[Pass, ...]:
        """What follows once it is known what may be computed again."""
        return (*self.again, *self.fusion)

    @property
    def after(self) -> tuple[Pass, ...]:
        """All that comes after reverse mode."""
        return (*self.early, *self.late)


STABLE = Pipeline(
    before=(Simplify(Class.EXACT), Chain(), Dce()),
    early=(
        Inline(),
        Contract(),
        Settle(),
        Simplify(Class.STABLE),
        Chain(),
        Hoist(),
        Batch(),
        Dce(),
        Place(),
        Merge(),
    ),
    again=(Recompute(), Rematerialize()),
    fusion=(Fuse(), Dots()),
)
EXACT = Pipeline(
    before=(Simplify(Class.EXACT), Dce(keep_raising=True)),
    early=(Inline(), Settle(), Simplify(Class.EXACT), Hoist(), Dce(keep_raising=True), Merge()),
    again=(Recompute(keep_raising=True), Rematerialize()),
    fusion=(Fuse(exact=True),),
)


class Stage(NamedTuple):
    """What one step of the compilation made, and how long it took."""

    name: str
    function: Function
    milliseconds: float


def run(
    function: Function, passes: Sequence[Pass], stages: list[Stage], prefix: str = ""
) -> Function:
    """Run passes in order, recording a stage for each."""
    left_out = os.environ.get("PULLBACK_WITHOUT", "").split(",")
    for step in passes:
        plain = str(getattr(step, "name", step))
        if plain in left_out:
            continue
        name = prefix + plain
        started = time.perf_counter()
        result = step(function)
        stage = Stage(name, result, 1e3 * (time.perf_counter() - started))
        record(stage, function, stages)
        function = result
    return function


def record(stage: Stage, before: Function | None, stages: list[Stage]) -> None:
    """Append a stage; check and dump it if the environment asks."""
    stages.append(stage)
    if os.environ.get("PULLBACK_CHECK") == "1":
        check(stage, before)
    dump = os.environ.get("PULLBACK_DUMP")
    if dump:
        _dump(dump, stage, before)


def check(stage: Stage, before: Function | None) -> None:
    """Verify what a step made.

    Raises
    ------
    VerificationError
        It names the step and the file that holds the step's input.
    """
    from ..ir.verify import verify

    try:
        verify(stage.function)
    except VerificationError as error:
        where = ""
        if before is not None:
            with tempfile.NamedTemporaryFile(
                "w", suffix=".py", prefix=f"pullback-{stage.name}-", delete=False
            ) as file:
                file.write(str(before))
            where = f" Its input is in {file.name}."
        raise VerificationError(
            f"internal error: {stage.name} made a function that breaks the rules: {error}.{where}"
        ) from error


def _dump(dump: str, stage: Stage, before: Function | None) -> None:
    old, new = "" if before is None else str(before), str(stage.function)
    if dump not in ("all", "changed", "diff", stage.name) or (dump == "changed" and old == new):
        return
    count = len(stage.function.eqns)
    was = "" if before is None else f" from {len(before.eqns)}"
    print(f"# {stage.name}: {count} equations{was}, {stage.milliseconds:.2f} ms", file=sys.stderr)
    text = new
    if dump == "diff":
        lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=1)
        text = "\n".join(lines)
    print(text, file=sys.stderr)
