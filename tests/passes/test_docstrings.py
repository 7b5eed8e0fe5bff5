"""The Before and After in the docstring of each pass are what the pass does."""

from __future__ import annotations

import importlib
import re
import textwrap
from collections.abc import Callable

import pytest

from pullback.ir.core import Function
from pullback.ir.equality import equal_up_to_renaming
from pullback.ir.machine import Machine
from pullback.ir.parser import parse_function
from pullback.ir.plan import Fresh, Home
from pullback.ir.verify import verify
from pullback.passes import pipeline
from pullback.passes.accumulate import Accumulate
from pullback.passes.batch import Batch
from pullback.passes.batching import batched
from pullback.passes.chain import Chain
from pullback.passes.contract import Contract
from pullback.passes.custom_rules import Inline
from pullback.passes.dce import Dce
from pullback.passes.diagonal import diagonal
from pullback.passes.donation import donate
from pullback.passes.dots import Dots
from pullback.passes.factors import joined
from pullback.passes.forward import forward
from pullback.passes.fuse import Fuse
from pullback.passes.loops import Hoist
from pullback.passes.memory import plan_memory
from pullback.passes.merge import Merge
from pullback.passes.observe import observe
from pullback.passes.place import Place
from pullback.passes.protect import protect
from pullback.passes.recompute import Recompute
from pullback.passes.rematerialize import Rematerialize
from pullback.passes.reverse import reverse
from pullback.passes.rewrite import Class
from pullback.passes.separate import separate
from pullback.passes.settle import Settle
from pullback.passes.simplify import Simplify
from pullback.passes.taylor import taylor


def in_checkpoint(f: Function, count: int) -> Function:
    """Mark so many equations as a checkpoint, and the others as its adjoint."""
    for k, eqn in enumerate(f.eqns):
        eqn.provenance = eqn.provenance.with_marks(((0, int(k >= count)),))
    return f


def with_adjoint(f: Function, count: int) -> Function:
    """Take the equations after so many for adjoint ones."""
    for eqn in f.eqns[count:]:
        eqn.provenance = eqn.provenance.as_derived("vjp")
    return f


def as_cotangent(f: Function) -> Function:
    """Mark every equation as one of a cotangent."""
    for eqn in f.eqns:
        eqn.provenance = eqn.provenance.as_derived("vjp")
    return f


BLOCK = re.compile(r"^(?:Before|After)[^\n]*::\n\n((?:    .*\n|\n)+)", re.MULTILINE)
PASSES: dict[str, Callable[[Function], Function]] = {
    "forward": lambda f: forward(f, (0,)),
    "forward_cond": lambda f: forward(f, (1,)),
    "forward_loop": lambda f: forward(f, (0, 1)),
    "forward_recursion": lambda f: forward(f, (0,)),
    "reverse": lambda f: reverse(f, (0,)),
    "reverse_cond": lambda f: reverse(f, (1,)),
    "reverse_loop": lambda f: reverse(f, (0, 1)),
    "reverse_recursion": lambda f: reverse(f, (0, 1)),
    "simplify": Simplify(),
    "dce": Dce(),
    "diagonal": lambda f: diagonal(f, (0,)),
    "donation": lambda f: donate(f, (0,), (Fresh(0, False),), 1)[0],
    "dots": Dots(),
    "factors": joined,
    "fuse": Fuse(machine=Machine(cores=2, l2=1 << 20, l3=32 << 20)),
    "loops": Hoist(),
    "batch": Batch(),
    "batching": lambda f: batched(f, (True, False), 5)[0],
    "batching_cond": lambda f: batched(f, (True, True), 5)[0],
    "batching_loop": lambda f: batched(f, (True,), 5)[0],
    "merge": Merge(),
    "observe": lambda f: observe(f)[0],
    "place": Place(),
    "protect": protect,
    "separate": lambda f: separate(f, {k: Fresh(int(k > 0), False) for k in range(3)}),
    "settle": Settle(),
    "contract": Contract(),
    "chain": lambda f: Dce()(Chain()(f)),
    "accumulate": Accumulate(),
    "custom_rules": Inline(),
    "stable": lambda f: Dce()(Simplify(Class.STABLE)(as_cotangent(f))),
    "choices": lambda f: Dce()(Simplify(Class.STABLE)(as_cotangent(f))),
    "cancel": lambda f: Dce()(Simplify(Class.STABLE)(as_cotangent(f))),
    "scatter": lambda f: Simplify(Class.STABLE)(as_cotangent(f)),
    "scalars": lambda f: Dce()(Simplify()(f)),
    "sums": lambda f: Dce()(Simplify()(f)),
    "recompute": lambda f: Recompute()(in_checkpoint(f, 3)),
    "taylor": lambda f: Dce()(taylor(f, (0,), 2)),
    "taylor_regions": lambda f: Dce()(taylor(f, (0, 1), 1)),
    "rematerialize": lambda f: Rematerialize()(with_adjoint(f, 3)),
}


def texts(module: str) -> list[str]:
    doc = importlib.import_module(f"pullback.passes.{module}").__doc__
    return [textwrap.dedent(text) for text in BLOCK.findall(doc)]


@pytest.mark.parametrize("module", PASSES)
def test_the_after_is_what_the_pass_makes_of_the_before(module: str) -> None:
    before, after = map(parse_function, texts(module))
    verify(before)
    verify(after)
    assert not equal_up_to_renaming(before, after)
    found = PASSES[module](before)
    verify(found)
    assert equal_up_to_renaming(found, after), f"the pass makes\n{found}"


def test_the_memory_plan_is_what_its_docstring_says() -> None:
    (before,) = map(parse_function, texts("memory"))
    plan = plan_memory(before)
    homes = {v.hint: plan.cells[v] for eqn in before.eqns for v in eqn.results if v.type.shape}
    assert list(plan.slots) == [8000]
    assert homes["y"] is homes["z"]
    assert homes["y"].home is Home.SLOT
    assert homes["w"].home is Home.FRESH
    assert plan.fresh_bytes == 8000


def test_every_pass_of_the_pipeline_has_its_example() -> None:
    passes = {
        type(step).__module__.rsplit(".", 1)[1]
        for steps in (
            pipeline.STABLE.before,
            pipeline.STABLE.after,
            pipeline.EXACT.before,
            pipeline.EXACT.after,
        )
        for step in steps
    }
    assert passes <= set(PASSES)
