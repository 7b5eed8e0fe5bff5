"""Every case says the same thing four times: each way is held to the others."""

import importlib
import itertools

import numpy as np
import pytest

import pullback as pb
from pullback.benchmarks.case import FAMILIES, Case, Size, leaves, map_leaves, with_namespace
from pullback.benchmarks.cases import CASES
from pullback.benchmarks.contestants import PEERS
from pullback.benchmarks.harness import TOLERANCES, disagreement

RUNS = [(case, size) for case in CASES.values() for size in case.sizes]
QUICK_RUNS = [(case, size) for case, size in RUNS if size.quick]


def named(runs: list[tuple[Case, Size]]) -> pytest.MarkDecorator:
    ids = [f"{case.name}: {size.label}" for case, size in runs]
    return pytest.mark.parametrize(("case", "size"), runs, ids=ids)


def test_each_case_has_one_quick_size() -> None:
    assert [case.name for case, _ in QUICK_RUNS] == list(CASES)


def test_each_family_has_cases() -> None:
    assert {case.family for case in CASES.values()} == set(FAMILIES)


@named(RUNS)
def test_the_hand_written_value_is_the_loss(case: Case, size: Size) -> None:
    args = case.arguments(size, np.float64)
    value, _ = case.by_hand(*args)
    np.testing.assert_allclose(value, case.loss(*args), rtol=1e-12)


@named(QUICK_RUNS)
def test_the_hand_written_gradient_is_the_slope_of_the_loss(case: Case, size: Size) -> None:
    params, *data = case.arguments(size, np.float64)
    _, grads = case.by_hand(params, *data)
    for index, grad in enumerate(leaves(grads)):
        direction = np.random.default_rng(index).standard_normal(np.shape(grad))
        direction /= np.linalg.norm(direction)

        def moved(distance: float, index: int = index, direction: np.ndarray = direction) -> float:
            count = itertools.count()
            there = map_leaves(
                lambda a: a + distance * direction if next(count) == index else a, params
            )
            return float(case.loss(there, *data))

        slope = (moved(1e-5) - moved(-1e-5)) / 2e-5
        np.testing.assert_allclose(np.sum(grad * direction), slope, rtol=1e-5, atol=1e-8)


@named(RUNS)
def test_arguments_have_the_size_s_dtype_and_follow_the_seed(case: Case, size: Size) -> None:
    first, again = case.arguments(size), case.arguments(size)
    # Data may be indices as well; parameters are numbers.
    assert {a.dtype for a in leaves(first) if a.dtype.kind != "i"} == {np.dtype(size.dtype)}
    assert {a.dtype for a in leaves(first[0])} == {np.dtype(size.dtype)}
    assert {np.asarray(a).dtype for a in leaves(case.by_hand(*first))} == {np.dtype(size.dtype)}
    assert disagreement(first, again) == 0
    assert disagreement(first, case.arguments(size, seed=1)) > 0


@named(QUICK_RUNS)
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_computes_the_hand_written_gradient(case: Case, size: Size, peer) -> None:
    pytest.importorskip(peer.package)
    args = case.arguments(size)
    with peer.precision(args):
        result = peer.prepare(case, args).run()
    assert disagreement(result, case.by_hand(*args)) < TOLERANCES[size.dtype]
    assert {np.asarray(leaf).dtype for leaf in leaves(result)} == {np.dtype(size.dtype)}


@named(RUNS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("f4", 1e-4), ("f8", 1e-11)])
def test_pullback_computes_the_hand_written_gradient(
    case: Case, size: Size, dtype: str, tolerance: float
) -> None:
    args = case.arguments(size, dtype)
    before = map_leaves(np.copy, args)
    step = pb.value_and_grad(case.loss)
    expected = case.by_hand(*args)
    for _ in range(2):
        result = step(*args)
        assert disagreement(result, expected) < tolerance
    assert {np.asarray(a).dtype for a in leaves(result)} == {np.dtype(dtype)}
    assert disagreement(args, before) == 0


def test_a_namespace_replaces_numpy_in_a_function_and_those_it_calls() -> None:
    xp = importlib.import_module("types").SimpleNamespace(
        **{name: getattr(np, name) for name in ("max", "log", "sum", "exp", "mean")},
        maximum=lambda a, b: np.minimum(a, b),
    )
    digits = importlib.import_module("pullback.benchmarks.digits")
    params = digits.initial(np.random.default_rng(0))
    x, targets = np.ones((2, 64), np.float32), np.eye(10, dtype=np.float32)[:2]
    # `loss` calls `scores`, and only that one calls np.maximum.
    changed = with_namespace(digits.loss, xp)(params, x, targets)
    assert changed != digits.loss(params, x, targets)
