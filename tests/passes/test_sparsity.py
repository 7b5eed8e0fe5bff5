"""Patterns of Jacobians, read off the program, against derivatives by finite differences."""

import numpy as np
import pytest
import scipy.linalg
import scipy.signal
import scipy.special
from differences import jacobian_by_differences

import pullback as pb
from pullback.ir.errors import UnsupportedError
from pullback.passes.pipeline import STABLE, run
from pullback.passes.reverse import reverse
from pullback.passes.sparsity import sparsity


def traced(f, *args):
    return pb.compile(f).inspect(*args).forward


def moves(f, x):
    """Return which entries of the Jacobian differ from zero at a point, by differences."""
    return np.abs(jacobian_by_differences(f, x, 1e-5)).reshape(-1, x.size) > 1e-7


def patterns(f, x):
    """Return the pattern found, and that of the derivative at a point."""
    found = sparsity(traced(f, x), [0], [0])
    assert found.dtype == bool
    return found.toarray(), moves(f, x)


def shared_sum(x):
    return x[:2] * np.sum(x[2:])


def written(x):
    y = np.zeros((2, 5))
    y[0, 1:4] = x[:3]
    y[1, ::2] = np.sin(x[3])
    y[0, -1] += x[5] * x[0]
    return y


def gathered(x):
    at = np.array([0, 3, 3, 5])
    y = np.zeros(4)
    np.add.at(y, np.array([0, 1, 1, 3]), x[at] ** 2)
    return np.concatenate([y, x[at[1:]] * x[at[:-1]]])


def chain(x):
    h = x[0]
    out = np.zeros(5)
    for i in range(5):
        h = np.tanh(h) * x[i] if i != 2 else x[i]
        out[i] = h
    return out


def tridiagonal_loop(x):
    out = np.zeros(len(x))
    for i in range(1, len(x) - 1):
        out[i] = x[i - 1] * x[i + 1] - x[i]
    return out


def branched(x):
    return x[1:] * 2 if x[0] > 0 else x[:-1] ** 2


def stepped(x):
    def step(_, u):
        v = np.zeros_like(u)
        v[1:] = u[1:] - 0.1 * u[1:] * u[:-1]
        v[0] = u[0]
        return v

    return pb.fori_loop(0, 2, step, x)


TIGHT = {
    "elementwise": lambda x: np.exp(x) * np.arange(1.0, 7) + 1,
    "neighbours": lambda x: np.sin(x[1:]) * x[:-1],
    "rolled": lambda x: np.roll(x, 2) * x,
    "reversed": lambda x: x[::-2],
    "reshaped": lambda x: np.sum(x.reshape(2, 3).T ** 2, axis=1),
    "reduced": lambda x: np.prod(x.reshape(2, 3), axis=-1, keepdims=True),
    "broadcast": lambda x: x[:3, None] + x[None, 3:],
    "shared_sum": shared_sum,
    "matmul": lambda x: x.reshape(2, 3) @ np.ones((3, 2)),
    "product": lambda x: x[:4].reshape(2, 2) @ x[2:].reshape(2, 2),
    "stacked product": lambda x: x.reshape(3, *(1,) * 9, 2) @ np.ones((2, 1)),
    "matvec": lambda x: np.arange(1.0, 13).reshape(2, 6) @ x,
    "einsum": lambda x: np.einsum("ij,kj->ki", x.reshape(2, 3), np.ones((4, 3))),
    "diagonal": lambda x: np.einsum("ii->i", x[:4].reshape(2, 2)),
    "vecdot": lambda x: np.vecdot(x.reshape(2, 3), x.reshape(2, 3)),
    "dot": lambda x: np.dot(x.reshape(3, 1, 2), np.ones((2, 4))),
    "where": lambda x: np.where(np.arange(6) % 2 == 0, x, 0.0)[::2],
    "written": written,
    "gathered": gathered,
    "windows": lambda x: np.sum(np.lib.stride_tricks.sliding_window_view(x, 3), axis=-1),
    "correlate": lambda x: np.correlate(x, np.array([1.0, -2.0, 1.5]), "same"),
    "convolve": lambda x: scipy.signal.convolve(x, np.array([1.0, 2.0]), "full"),
    "triangle": lambda x: np.tril(x[:4].reshape(2, 2)),
    "stacked": lambda x: np.stack([x[:2], x[2:4]], axis=1),
    "floored": lambda x: np.floor(x * 3.3) + np.flip(x),
    "fft": lambda x: np.abs(np.fft.fft(x.reshape(2, 3))) ** 2,
    "solves": lambda x: np.linalg.inv(x.reshape(6, 1, 1)[:2] + x[2] * np.eye(2)),
    "logsumexp": lambda x: scipy.special.logsumexp(x.reshape(3, 2), axis=1),
    "chain": chain,
    "tridiagonal_loop": tridiagonal_loop,
    "stepped": stepped,
}

LOOSE = {
    "cumsum": lambda x: np.cumsum(x.reshape(2, 3), axis=1),
    "sorted": lambda x: np.sort(x.reshape(2, 3), axis=1),
    "at a value": lambda x: x[np.argmax(x)] * x[:2],
    "branched": branched,
    "svd": lambda x: np.linalg.svd(x.reshape(2, 3), compute_uv=False),
    "filtered": lambda x: scipy.signal.lfilter([1.0], [1.0, -0.5], x),
    "interp": lambda x: np.interp(x[:3], np.arange(4.0) - 1, np.arange(4.0) ** 2),
}


@pytest.mark.parametrize("name", TIGHT)
def test_exactly_the_entries_that_can_differ_from_zero(name):
    x = np.array([0.31, 1.13, 0.77, -0.4, 0.95, 0.57])
    found, true = patterns(TIGHT[name], x)
    np.testing.assert_array_equal(found, true)


@pytest.mark.parametrize("name", LOOSE)
def test_never_fewer_than_differ_from_zero(name):
    rng = np.random.default_rng(0)
    for _ in range(4):
        found, true = patterns(LOOSE[name], rng.normal(size=6))
        assert np.all(found | ~true)


def test_what_has_no_derivative_depends_on_nothing():
    f = traced(lambda x: pb.stop_gradient(x) * x[::-1] + np.sign(x), np.ones(3))
    np.testing.assert_array_equal(sparsity(f, [0], [0]).toarray(), np.eye(3)[::-1] > 0)


def test_a_wide_set_is_shared_and_written_out_in_the_end():
    x = np.linspace(0.1, 1, 200)
    found, true = patterns(lambda x: (x - np.mean(x[:150])) * np.sum(np.sin(x[100:])), x)
    np.testing.assert_array_equal(found, true)


def test_a_sum_of_what_holds_a_sum_costs_no_square():
    f = traced(lambda x: np.sum((x - np.mean(x)) ** 2), np.ones(1_000_000))
    assert sparsity(f, [0], [0]).nnz == 1_000_000


def test_a_dense_pattern_of_great_size_is_refused():
    f = traced(lambda x: x - np.mean(x), np.ones(100_000))
    with pytest.raises(UnsupportedError, match="nearly dense"):
        sparsity(f, [0], [0])


def test_positions_from_known_values_are_followed():
    f = traced(lambda x, at: x[at + 1] * 2, np.ones(5), np.array([0, 2]))
    known = sparsity(f, [0], [0], {1: np.array([0, 2])})
    np.testing.assert_array_equal(known.toarray(), [[0, 1, 0, 0, 0], [0, 0, 0, 1, 0]])
    assert sparsity(f, [0], [0]).toarray().all()


def test_positions_that_are_not_known_are_any_along_their_axis_only():
    def f(x, at):
        return x[:, at]

    found = sparsity(traced(f, np.ones((2, 3)), np.array([1])), [0], [0])
    np.testing.assert_array_equal(found.toarray(), [[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])

    def g(x, at):
        y = np.zeros((2, 2))
        y[:, at] = x
        return y

    found = sparsity(traced(g, np.ones(2), np.array([1, 0])), [0], [0])
    assert found.toarray().all()


def test_several_arguments_and_results():
    def f(x, y):
        return x[:2] * y, np.sum(y)

    found = sparsity(traced(f, np.ones(3), np.ones(2)), [0, 1], [1, 0])
    np.testing.assert_array_equal(
        found.toarray(), [[0, 0, 0, 1, 1], [1, 0, 0, 1, 0], [0, 1, 0, 0, 1]]
    )


def test_a_loop_of_which_only_the_run_knows_the_end():
    def f(x):
        return pb.while_loop(lambda u: np.sum(u) < 10, lambda u: 2 * u * u[::-1], x)

    found, true = patterns(f, np.array([0.5, 0.6, 0.7, 0.8]))
    assert np.all(found | ~true)
    # What x[0] and x[3] make never meets x[1].
    np.testing.assert_array_equal(found, np.eye(4) + np.eye(4)[::-1] > 0)


def test_a_long_loop_is_run_until_no_set_grows():
    def f(x):
        total = np.zeros(3)
        for _ in range(100_000):
            total = total * 0.5 + x[:3]
        return total

    found = sparsity(traced(f, np.ones(5)), [0], [0])
    np.testing.assert_array_equal(found.toarray(), np.eye(3, 5) > 0)


def test_sets_that_keep_growing_hold_all_that_enters():
    def f(x):
        return pb.while_loop(
            lambda u: np.sum(u) < 10, lambda u: u + np.concatenate([u[:1], u[:-1]]), x
        )

    x = np.linspace(0.1, 0.2, 12)
    found, true = patterns(f, x)
    assert np.all(found | ~true)


def hessian_pattern(f, x):
    gradient = reverse(traced(f, x), [0], keep=[])
    gradient = run(gradient, STABLE.early, [])
    return sparsity(gradient, [0], [0]).toarray()


def arrow(x):
    return np.sum(x[0] * x[1:] ** 2)


def recurrent(x):
    h = 0.0
    for i in range(len(x)):
        h = np.tanh(h) + x[i] ** 2
    return h


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
        lambda x: np.sum(x**3) + 4 * np.sum(x),
        arrow,
        recurrent,
    ],
    ids=["rosenbrock", "separable", "arrow", "recurrent"],
)
def test_the_pattern_of_a_hessian_is_that_of_the_gradient(f):
    x = np.array([0.3, 1.1, 0.7, -0.4, 0.9, 0.5])
    true = moves(pb.grad(f), x)
    np.testing.assert_array_equal(hessian_pattern(f, x), true)


def test_a_rule_of_the_users_own_says_what_depends_on_what():
    @pb.custom_vjp
    def shifted(x, y):
        return np.concatenate([x[1:], y])

    shifted.defvjp(
        lambda x, y: (shifted(x, y), None),
        lambda _, ct: (np.concatenate([np.zeros(1), ct[: len(ct) - 1]]), ct[-1:] + ct[:1]),
    )
    found = pb.sparsity(lambda x: shifted(x[:3], x[3:] ** 2), np.ones(4))
    np.testing.assert_array_equal(found.toarray(), [[0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]])


def test_a_size_that_only_the_run_knows_is_refused():
    f = traced(lambda x: x[x > 0] * 2, np.ones(3))
    with pytest.raises(UnsupportedError, match="only the run knows"):
        sparsity(f, [0], [0])
    inside = traced(lambda x: np.sum(x[:3][x[:3] > 0]) * x, np.ones(4))
    assert sparsity(inside, [0], [0]).toarray().tolist() == [
        [1, 1, 1, 0],
        [1, 1, 1, 0],
        [1, 1, 1, 0],
        [1, 1, 1, 1],
    ]
