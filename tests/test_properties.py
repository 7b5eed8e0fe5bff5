"""What must hold of every program: sizes of adjoints, order of effects, memory, re-entrance."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pullback as pb
from pullback.ir.core import Eqn, Function, Value
from pullback.ir.evaluate import evaluate
from pullback.ir.op import Effect, Op
from pullback.ir.ops.control import Loop
from pullback.ir.parser import parse_function
from pullback.ir.plan import Plan
from pullback.ir.types import ArrayType
from pullback.passes import pipeline
from pullback.passes.memory import plan_memory
from pullback.tracer.tree import flatten

HERE = Path(__file__).parent


def load(path: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


corpus = load(HERE / "corpus" / "inputs.py", "corpus_of_properties")
checker = load(HERE / "plan_checker.py", "plan_checker")
each_program = pytest.mark.parametrize("program", corpus.CORPUS, ids=lambda p: p.name)


def inputs_of(gradient: Any, arguments: Any) -> list[Any]:
    return list(gradient.arguments.scan(arguments, {})[0])


# -- no Jacobian ----------------------------------------------------------------------------------


def iterated(function: Function, times: int = 1) -> Iterator[tuple[Eqn, int]]:
    """Yield every equation with how often the loops around it run."""
    for eqn in function.eqns:
        yield eqn, times
        for region in eqn.op.regions:
            trips = eqn.op.length if isinstance(eqn.op, Loop) else 1
            yield from iterated(region, times * (trips if isinstance(trips, int) else 1))


def largest(eqn: Eqn) -> int:
    return max(a.type.size for a in (*eqn.operands, *eqn.results))


@each_program
def test_no_adjoint_value_is_larger_than_the_equation_it_comes_from(program: Any) -> None:
    stages = program.gradient.inspect(*program.arguments(corpus.LARGE)).stages
    bound: dict[Any, int] = {}
    for eqn, times in iterated(stages[0].function):
        frames = eqn.provenance.frames
        bound[frames] = max(bound.get(frames, 0), times * largest(eqn))
        for frame in frames:
            bound[frame] = max(bound.get(frame, 0), times * largest(eqn))
    checked = 0
    for stage in stages:
        for eqn, _ in iterated(stage.function):
            if not eqn.provenance.is_adjoint or not eqn.provenance.frames or eqn.op.regions:
                continue
            limit = max(bound.get(frame, 0) for frame in eqn.provenance.frames)
            checked += 1
            for result in eqn.results:
                assert result.type.size <= limit, f"{stage.name}: {eqn.op.name} makes {result.type}"
    assert checked


# -- ordered effects ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Note(Op):
    """Appends its operand to a list: an equation that must neither move nor merge."""

    name = "note_for_tests"
    effect = Effect.ORDERED
    seen: Any = None

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return types

    def evaluate(self, *operands: Any) -> Any:
        return operands[0]


del Op.REGISTRY[Note.name]  # it is no op of the package


def noted(function: Function) -> list[Any]:
    """Return what each ordered equation reads, in order, by hint."""
    return [
        eqn.operands[0].hint if isinstance(eqn.operands[0], Value) else eqn.operands[0].value
        for eqn in function.eqns
        if eqn.op.effect is Effect.ORDERED
    ]


@pytest.mark.parametrize("passes", [pipeline.STABLE.after, pipeline.EXACT.after])
def test_no_pass_moves_merges_or_drops_an_ordered_effect(passes: Any) -> None:
    function = parse_function("""
def f(x: f64[3], y: f64[3]) -> f64[3]:
    a = tanh(x)
    b = a * y
    c = exp(b)
    s = sum(c, axes=(-1,))
    d = c * s
    e = d + a
    return e
""")
    notes: list[Eqn] = []
    named = {r.hint: r for eqn in function.eqns for r in eqn.results}
    eqns: list[Eqn] = []
    for eqn in function.eqns:
        eqns.append(eqn)
        for value in (named["a"], eqn.result):
            if value.type.shape and value.hint in ("a", "c", "d"):
                notes.append(Eqn(Note(), (value,), (Value(value.type),)))
                eqns.append(notes[-1])
    function = function.replace(eqns=eqns)
    before = noted(function)
    assert len(before) > 5
    after = pipeline.run(function, passes, [])
    assert noted(after) == before
    made = {r: k for k, eqn in enumerate(after.eqns) for r in eqn.results}
    for k, eqn in enumerate(after.eqns):
        assert all(made[a] < k for a in eqn.operands if a in made)


# -- memory ---------------------------------------------------------------------------------------


def compiled_plans(program: Any) -> Iterator[Plan]:
    arguments = program.arguments(corpus.SMALL)
    for exact in (False, True):
        yield pb.compile(program.function, exact=exact).inspect(*arguments).plan
        yield (
            pb.value_and_grad(program.function, argnums=program.argnums, exact=exact)
            .inspect(*arguments)
            .plan
        )


@each_program
def test_no_value_is_lost_while_it_is_live(program: Any) -> None:
    for plan in compiled_plans(program):
        checker.check(plan)
    for stage in program.gradient.inspect(*program.arguments(corpus.SMALL)).stages:
        checker.check(plan_memory(stage.function))


def test_the_checker_sees_a_value_that_is_overwritten() -> None:
    function = parse_function("""
def f(x: f64[3]) -> f64[3]:
    a = tanh(x)
    b = exp(x)
    c = a * b
    return c
""")
    plan = plan_memory(function)
    checker.check(plan)
    a, b = (eqn.result for eqn in plan.function.eqns[:2])
    cells = dict(plan.cells)
    cells[b] = cells[a]
    broken = Plan(plan.function, cells, plan.slots, plan.loops, 0, 0, 0)
    with pytest.raises(checker.BrokenPlan, match="multiply reads"):
        checker.check(broken)


def arrays_of(value: Any) -> list[np.ndarray]:
    if isinstance(value, np.ndarray):
        return [value]
    return [a for part in value for a in arrays_of(part)] if isinstance(value, tuple) else []


@each_program
def test_results_share_no_memory_with_workspaces_arguments_or_each_other(program: Any) -> None:
    arguments = program.arguments(corpus.SMALL)
    gradient = program.gradient
    inputs = inputs_of(gradient, arguments)
    gradient(*arguments)
    ((entry,),) = gradient.programs.entries.values()
    before = [np.array(a) for a in inputs]
    results = [r for r in entry.program(*inputs) if isinstance(r, np.ndarray)]
    spaces = [ws for pool in entry.program._pools.values() for _, ws in pool]
    kept = [a for ws in spaces for a in arrays_of(ws)]
    assert kept or not entry.plan.slots
    copies = [r.copy() for r in results]
    for k, result in enumerate(results):
        assert not any(np.shares_memory(result, a) for a in kept)
        assert not any(np.shares_memory(result, a) for a in inputs if isinstance(a, np.ndarray))
        assert not any(np.shares_memory(result, r) for r in results[:k])
        assert result.flags.writeable
    entry.program(*[2 * a if np.result_type(a).kind == "f" else a for a in inputs])
    for result, copy in zip(results, copies, strict=True):
        assert result.tobytes() == copy.tobytes()
    for argument, copy in zip(inputs, before, strict=True):
        assert np.asarray(argument).tobytes() == copy.tobytes()


# -- random loops ---------------------------------------------------------------------------------

SHAPES = [(3,), (2, 3), ()]


@st.composite
def loop_programs(draw: st.DrawFn) -> Any:
    """Return a function of (three carries, rows) whose loop mixes its carries at random."""
    shape = draw(st.sampled_from(SHAPES))
    kinds = ["same", "other", "sum", "product", "row", "captured", "view", "tanh", "made"]
    picks = draw(st.lists(st.sampled_from(kinds), min_size=3, max_size=3))
    ys = draw(st.lists(st.sampled_from([*kinds, "next"]), min_size=0, max_size=3))
    order = draw(st.permutations(range(3)))
    again = draw(st.booleans())
    reverse = draw(st.booleans())
    length = draw(st.integers(1, 4))
    same_init = draw(st.booleans())

    def pick(kind: str, k: int, carry: Any, x: Any, w: Any, made: Any) -> Any:
        a, b = carry[k], carry[order[k]]
        if kind == "view":
            return a[::-1] if shape else a
        return {
            "same": a,
            "other": b,
            "sum": a + b,
            "product": a * x,
            "row": x,
            "captured": w,
            "tanh": np.tanh(a + b * 0.5),
            "made": made,
        }[kind]

    def f(a: Any, b: Any, w: Any, xs: Any) -> Any:
        def step(carry: Any, x: Any) -> Any:
            made = np.sin(carry[0] * x) + carry[order[1]]
            after = tuple(pick(p, k, carry, x, w, made) for k, p in enumerate(picks))
            if again:
                after = (after[0], after[0], after[2])
            out = [
                after[k] if y == "next" else pick(y, k, carry, x, w, made) for k, y in enumerate(ys)
            ]
            return after, out

        start = (a, a if same_init else b, w * 1.5)
        carry, out = pb.scan(step, start, xs, reverse=reverse)
        return carry, out, a * 2.0

    return f, shape, length


def loss_of(f: Any) -> Any:
    def loss(*arguments: Any) -> Any:
        leaves: list[Any] = []
        flatten(f(*arguments), leaves)
        total: Any = 0.0
        for k, leaf in enumerate(leaves):
            total = total + np.sum(np.sin(leaf + 0.1 * k))
        return total

    return loss


def bits(value: Any) -> list[bytes]:
    leaves: list[Any] = []
    flatten(value, leaves)
    return [np.asarray(leaf).tobytes() for leaf in leaves]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(loop_programs(), st.integers(0, 1000))
def test_random_loops(case: Any, seed: int) -> None:
    f, shape, length = case
    rng = np.random.default_rng(seed)
    arguments = [rng.standard_normal(shape)[()] for _ in range(3)]
    arguments.append(rng.standard_normal((length, *shape)))
    compiled = pb.compile(f, exact=True)
    expected = bits(f(*arguments))
    assert bits(compiled(*arguments)) == expected
    assert bits(compiled(*arguments)) == expected
    loss = loss_of(f)
    gradient = pb.grad(loss, argnums=(0, 1, 2, 3))
    inspection = gradient.inspect(*arguments)
    checker.check(inspection.plan)
    checker.check(compiled.inspect(*arguments).plan)
    found = gradient(*arguments)
    reference = evaluate(inspection.optimized, *arguments)
    assert bits(found) == [np.asarray(r).tobytes() for r in reference]
    assert in_two_threads(lambda: bits(gradient(*arguments))) == [bits(found)] * 2
    for k, slope in enumerate(found):
        way = rng.standard_normal(np.shape(arguments[k]))
        ahead, behind = list(arguments), list(arguments)
        ahead[k], behind[k] = arguments[k] + 1e-6 * way, arguments[k] - 1e-6 * way
        difference = (loss(*ahead) - loss(*behind)) / 2e-6
        assert np.sum(slope * way) == pytest.approx(difference, rel=1e-5, abs=1e-6)


def in_two_threads(call: Any) -> list[Any]:
    found: list[Any] = []
    barrier = threading.Barrier(2)

    def work() -> None:
        barrier.wait()
        for _ in range(3):
            last = call()
        found.append(last)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@each_program
def test_two_threads_get_what_one_gets(program: Any) -> None:
    arguments = program.arguments(corpus.LARGE)
    gradient = program.gradient
    expected = bits(gradient(*arguments))
    assert in_two_threads(lambda: bits(gradient(*arguments))) == [expected] * 2
