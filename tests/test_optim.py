"""Optimizers and schedules against their published formulas, plain and compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.errors import ArgumentError, DTypeError, ShapeError, StructureError

optim = pb.optim
STEPS = 5
RNG = np.random.default_rng(0)
GRADS = [RNG.standard_normal(4) for _ in range(STEPS)]
START = RNG.standard_normal(4)


def adam_by_hand(p, rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=0.0):
    m = v = np.zeros_like(p)
    for t, g in enumerate(GRADS, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        step = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        p = p - rate(t - 1) * (step + weight_decay * p)
    return p


def sgd_by_hand(p, rate, momentum=0.0, nesterov=False):
    trace = np.zeros_like(p)
    for t, g in enumerate(GRADS):
        trace = g + momentum * trace
        p = p - rate(t) * (g + momentum * trace if nesterov else trace)
    return p


def rmsprop_by_hand(p, rate, decay, eps, centered=False, momentum=0.0, nesterov=False):
    nu = mu = trace = np.zeros_like(p)
    for t, g in enumerate(GRADS):
        nu = decay * nu + (1 - decay) * g**2
        mu = decay * mu + (1 - decay) * g
        step = -rate(t) * g / np.sqrt(nu - (mu**2 if centered else 0) + eps)
        trace = step + momentum * trace
        p = p + (step + momentum * trace if nesterov else trace)
    return p


def halved(count: Any) -> Any:
    return 0.1 * 0.5**count


def tenth(count: Any) -> Any:
    return 0.1


CASES = {
    "sgd": (optim.sgd(0.1), sgd_by_hand(START, tenth)),
    "sgd momentum": (optim.sgd(halved, 0.9), sgd_by_hand(START, halved, 0.9)),
    "sgd nesterov": (optim.sgd(0.1, 0.9, True), sgd_by_hand(START, tenth, 0.9, True)),
    "adam": (optim.adam(0.1, b1=0.8), adam_by_hand(START, tenth, 0.8)),
    "adam large eps": (optim.adam(0.1, eps=0.1), adam_by_hand(START, tenth, eps=0.1)),
    "adam schedule": (optim.adam(halved), adam_by_hand(START, halved)),
    "adamw": (
        optim.adamw(halved, weight_decay=0.3),
        adam_by_hand(START, halved, weight_decay=0.3),
    ),
    "rmsprop": (optim.rmsprop(0.1, 0.8, 1e-4), rmsprop_by_hand(START, tenth, 0.8, 1e-4)),
    "rmsprop centered": (
        optim.rmsprop(halved, 0.8, 1e-4, centered=True),
        rmsprop_by_hand(START, halved, 0.8, 1e-4, centered=True),
    ),
    "rmsprop momentum": (
        optim.rmsprop(0.1, 0.8, 1e-4, momentum=0.7),
        rmsprop_by_hand(START, tenth, 0.8, 1e-4, momentum=0.7),
    ),
    "rmsprop nesterov": (
        optim.rmsprop(0.1, 0.8, 1e-4, momentum=0.7, nesterov=True),
        rmsprop_by_hand(START, tenth, 0.8, 1e-4, momentum=0.7, nesterov=True),
    ),
    "chain": (
        optim.chain(optim.scale(2.0), optim.sgd(0.05, 0.9)),
        sgd_by_hand(START, tenth, 0.9),
    ),
    "decayed": (
        optim.chain(optim.add_decayed_weights(0.0), optim.adam(0.1)),
        adam_by_hand(START, tenth),
    ),
}


def split(vector: np.ndarray, dtype: Any) -> Any:
    """Return a vector as a tree with a matrix, a Python number and a gap."""
    a = vector.astype(dtype)
    return {"w": a[:2].reshape(1, 2), "rest": (a[2:3], float(a[3])), "none": None}


def joined(tree: Any) -> np.ndarray:
    return pb.tree.ravel(tree)[0]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_steps(name, compiled, dtype):
    opt, expected = CASES[name]

    def step(params: Any, state: Any, grads: Any) -> Any:
        updates, state = opt.update(grads, state, params)
        return optim.apply_updates(params, updates), state

    run = pb.compile(step) if compiled else step
    params = split(START, dtype)
    state = (pb.compile(opt.init) if compiled else opt.init)(params)
    structure = pb.tree.structure((params, state))
    for grads in GRADS:
        params, state = run(params, state, split(grads, dtype))
    rtol = 1e-12 if dtype is np.float64 else 1e-4
    np.testing.assert_allclose(joined(params), expected, rtol=rtol)
    assert pb.tree.structure((params, state)) == structure
    assert params["w"].dtype == params["rest"][0].dtype == dtype
    assert type(params["rest"][1]) is float
    for leaf in pb.tree.leaves(state):
        assert leaf.dtype in (dtype, np.float64, np.int64)
    if compiled:
        assert run.cache_info().misses == 1  # the count of steps is data


def test_state_keeps_the_dtype_of_its_parameter():
    params = {"a": np.ones(3, np.float32), "b": np.ones(2)}
    opt = optim.adam(optim.cosine_decay(0.1, 100))
    state = opt.init(params)
    for _ in range(2):
        updates, state = opt.update(params, state, params)
    for tree in (state.mu, state.nu, updates):
        assert tree["a"].dtype == np.float32
        assert tree["b"].dtype == np.float64


def test_moments_of_complex_parameters_are_real():
    z = np.array([3 + 4j])
    opt = optim.adam(0.1)
    updates, state = opt.update(z, opt.init(z), z)
    assert state.nu.dtype == np.float64
    np.testing.assert_allclose(updates, -0.1 * z / 5)


def test_clips_in_a_chain():
    grads = {"a": np.array([3.0, 4.0]), "b": np.array([0.0])}
    opt = optim.chain(optim.clip_by_global_norm(1.0), optim.clip_by_value(-0.7, 0.7))
    updates, state = opt.update(grads, opt.init(grads))
    np.testing.assert_allclose(updates["a"], [0.6, 0.7])
    assert state == (optim.EmptyState(), optim.EmptyState())


def test_a_whole_loop_of_steps_in_one_program():
    opt = optim.adam(optim.warmup_cosine(0.0, 0.3, 5, 60))

    def loss(params: Any) -> Any:
        return np.sum((params["w"] - 3) ** 2) + params["b"] ** 2

    def fit(params: Any, steps: int) -> Any:
        state = opt.init(params)
        for _ in range(steps):
            updates, state = opt.update(pb.grad(loss)(params), state, params)
            params = optim.apply_updates(params, updates)
        return params, state.count

    params = {"w": np.zeros(3), "b": np.float64(1.0)}
    fitted, count = pb.compile(fit)(params, 60)
    expected, _ = fit(params, 60)
    assert count == 60
    np.testing.assert_allclose(fitted["w"], expected["w"], rtol=1e-9)
    np.testing.assert_allclose(fitted["w"], 3, atol=0.1)


def test_a_step_is_differentiable():
    def after(rate: Any, w: Any) -> Any:
        opt = optim.sgd(rate, momentum=0.5)
        state = opt.init(w)
        for _ in range(3):
            updates, state = opt.update(2 * w, state, w)
            w = optim.apply_updates(w, updates)
        return np.sum(w**2)

    pb.check_grads(after, (np.float64(0.1), np.array([1.0, 2.0])), order=1)


# ---- schedules -----------------------------------------------------------------------------------


SCHEDULES = {
    "constant": (optim.constant(0.3), lambda n: 0.3),
    "linear": (
        optim.linear(2.0, 1.0, 10, transition_begin=5),
        lambda n: 2 - min(max(n - 5, 0), 10) / 10,
    ),
    "exponential": (
        optim.exponential_decay(2.0, 10, 0.5, transition_begin=5, end_value=0.6),
        lambda n: max(2 * 0.5 ** (max(n - 5, 0) / 10), 0.6),
    ),
    "growth": (
        optim.exponential_decay(2.0, 10, 1.5, end_value=4.0),
        lambda n: min(2 * 1.5 ** (n / 10), 4),
    ),
    "staircase": (
        optim.exponential_decay(2.0, 10, 0.5, staircase=True),
        lambda n: 2 * 0.5 ** (n // 10),
    ),
    "cosine": (
        optim.cosine_decay(2.0, 20, alpha=0.1, exponent=2),
        lambda n: 2 * (0.9 * (0.5 * (1 + np.cos(np.pi * min(n, 20) / 20))) ** 2 + 0.1),
    ),
    "warmup": (
        optim.warmup_cosine(0.1, 1.0, 5, 20, end_value=0.2),
        lambda n: (
            0.1 + 0.9 * n / 5
            if n < 5
            else 0.8 * 0.5 * (1 + np.cos(np.pi * min(n - 5, 15) / 15)) + 0.2
        ),
    ),
    "no warmup": (
        optim.warmup_cosine(0.1, 1.0, 0, 20),
        lambda n: 0.5 * (1 + np.cos(np.pi * min(n, 20) / 20)),
    ),
    "pieces": (
        optim.piecewise_constant(2.0, {10: 0.1, 5: 0.5}),
        lambda n: 2 * (0.5 if n >= 5 else 1) * (0.1 if n >= 10 else 1),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name):
    schedule, by_hand = SCHEDULES[name]
    compiled = pb.compile(lambda count: 1.0 * schedule(count))
    for n in (0, 1, 4, 5, 6, 9, 10, 19, 20, 30):
        expected = pytest.approx(by_hand(n), rel=1e-12)
        assert schedule(n) == expected
        assert compiled(np.int64(n)) == expected
    assert compiled.cache_info().misses == 1


def test_what_makes_no_sense():
    with pytest.raises(ArgumentError, match="transition_steps=0 is no positive number"):
        optim.linear(1.0, 0.0, 0)
    with pytest.raises(ArgumentError, match="decay_steps=3 counts the warm-up too"):
        optim.warmup_cosine(0.0, 1.0, 5, 3)
    opt = optim.adamw(0.1)
    with pytest.raises(ArgumentError, match="adamw needs the parameters"):
        opt.update(np.ones(2), opt.init(np.ones(2)))
    with pytest.raises(DTypeError, match=r"`params\['n'\]` is int64"):
        optim.adam(0.1).init({"n": 3})
    with pytest.raises(DTypeError, match="Keep what is not to change in a tree of its own"):
        optim.apply_updates({"n": 3}, {"n": 0.5})


PARAMS = {"w": np.ones(3), "b": 1.0}
ADAM = optim.adam(0.1)
CHAIN = optim.chain(optim.clip_by_global_norm(1.0), ADAM)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ADAM.update({"w": np.ones(3)}, ADAM.init(PARAMS), PARAMS),
            StructureError,
            "`grads` lacks the key 'b', and `params` has it",
        ),
        (
            lambda: ADAM.update({"w": np.ones(1), "b": 1.0}, ADAM.init(PARAMS), PARAMS),
            ShapeError,
            r"`grads\['w'\]` has the shape \(1,\), and `params` has \(3,\) there",
        ),
        (
            lambda: ADAM.update({"w": [np.ones(3)], "b": 1.0}, ADAM.init(PARAMS), PARAMS),
            StructureError,
            r"`grads\['w'\]` is a list, and `params` has an array of shape \(3,\) there",
        ),
        (
            lambda: ADAM.update(PARAMS, PARAMS, PARAMS),
            StructureError,
            "adam needs the AdamState that its `init` made, and was given a dict",
        ),
        (
            lambda: ADAM.update(PARAMS, optim.sgd(0.1).init(PARAMS)),
            StructureError,
            "adam needs the AdamState that its `init` made, and was given a SgdState",
        ),
        (
            lambda: ADAM.update(PARAMS, ADAM.init({"w": np.ones(2), "b": 1.0})),
            ShapeError,
            r"`state.mu\['w'\]` has the shape \(2,\), and `grads` has \(3,\) there",
        ),
        (
            lambda: optim.rmsprop(0.1).update(PARAMS, optim.rmsprop(0.1).init([1.0])),
            StructureError,
            "`state.nu` is a list, and `grads` has a dict there",
        ),
        (
            lambda: optim.sgd(0.1, 0.9).update(PARAMS, optim.sgd(0.1, 0.9).init([1.0])),
            StructureError,
            "`state.trace` is a list, and `grads` has a dict there",
        ),
        (
            lambda: CHAIN.update(PARAMS, ADAM.init(PARAMS), PARAMS),
            StructureError,
            "chain needs the tuple of 2 states that its `init` made, and was given an AdamState",
        ),
        (
            lambda: optim.apply_updates(PARAMS, {"w": np.ones((2, 3)), "b": 1.0}),
            ShapeError,
            r"`updates\['w'\]` has the shape \(2, 3\), and `params` has \(3,\) there",
        ),
        (
            lambda: optim.add_decayed_weights(0.1).update(PARAMS, optim.EmptyState(), 1.0),
            StructureError,
            "`params` is a float, and `updates` has a dict there",
        ),
        (lambda: optim.chain(ADAM, 3), ArgumentError, "argument 1 is an int"),
        (lambda: optim.chain(optim.adam), ArgumentError, "argument 0 is a function"),
        (lambda: optim.sgd("fast"), ArgumentError, "sgd: the learning rate is a str"),
        (lambda: optim.adamw((0.1,)), ArgumentError, "adamw: the learning rate is a tuple"),
        (
            lambda: optim.rmsprop(np.ones(2)),
            ArgumentError,
            r"rmsprop: the learning rate is an array of shape \(2,\)",
        ),
    ],
)
def test_trees_that_do_not_fit_are_called_by_their_names(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_compiled_step_that_swaps_state_and_parameters_says_where():
    @pb.compile
    def step(params, state):
        return ADAM.update(params, params, state)

    with pytest.raises(StructureError, match=r"ADAM.update\(params, params, state\): adam needs"):
        step(PARAMS, ADAM.init(PARAMS))


def test_a_rate_may_be_an_argument_of_a_compiled_step():
    step = pb.compile(lambda rate, w: optim.sgd(rate).update(w, optim.sgd(rate).init(w))[0])
    np.testing.assert_array_equal(step(0.5, np.ones(2)), [-0.5, -0.5])
    np.testing.assert_array_equal(step(np.array(0.25), np.ones(2)), [-0.25, -0.25])
