"""Sparse Jacobians and Hessians: the dense ones, from few products."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

import pullback as pb
from pullback.ir.errors import (
    ArgumentError,
    DifferentiationError,
    ShapeError,
    UnsupportedError,
)
from pullback.passes.coloring import columns_colored, read_columns, read_stars, stars_colored

X = np.random.default_rng(0).normal(size=8)


def banded(x):
    y = np.zeros_like(x)
    y[1:-1] = x[2:] - 2 * x[1:-1] + x[:-2] + np.exp(x[1:-1])
    return y


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def assembled(x):
    """Add up what elements contribute to their three nodes."""
    total = np.zeros(8)
    for k in range(0, 6, 2):
        total[k : k + 3] += np.sin(x[k : k + 3]) * x[k]
    return total


def marching(x):
    h = x[0]
    out = np.zeros(8)
    for k in range(8):
        h = np.sin(h) if k % 3 else x[k] ** 2
        out[k] = h
    return out


def cornered(x):
    return np.concatenate([np.sum(x, keepdims=True), x[1:] * x[0]])


JACOBIANS = {
    "cornered": cornered,
    "banded": banded,
    "assembled": assembled,
    "marching": marching,
    "wide": lambda x: x[:2] * np.sum(x),
    "tall": lambda x: np.concatenate([np.sin(x), x[::-1] * x]),
    "dense row": lambda x: np.concatenate([x[:3] ** 2, [np.prod(x)]]),
    "matrix": lambda x: x.reshape(2, 4) * x[:4],
    "scalar": lambda x: np.sum(x[2:4] ** 2),
    "nothing": lambda x: np.floor(x),
    "permuted": lambda x: x[np.array([3, 1, 0])] ** 3,
}


@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
@pytest.mark.parametrize("name", JACOBIANS)
def test_a_jacobian_is_the_dense_one(name, mode):
    f = JACOBIANS[name]
    found = pb.sparse_jacobian(f, mode=mode)(X)
    dense = np.reshape(pb.jacobian(f)(X), (-1, 8))
    assert isinstance(found, scipy.sparse.csr_array)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found.toarray(), dense, rtol=1e-12, atol=1e-14)


HESSIANS = {
    "rosenbrock": rosenbrock,
    "arrow": lambda x: np.sum(x[0] * x[1:] ** 3),
    "separable": lambda x: np.sum(np.cos(x)),
    "dense": lambda x: np.sum(x) ** 3,
    "linear": lambda x: 2 * np.sum(x) + 1,
    "grid": lambda x: (
        np.sum(np.diff(x.reshape(2, 4), axis=0) ** 4)
        + np.sum(np.cos(np.diff(x.reshape(2, 4), axis=1)))
    ),
    "loop": lambda x: np.sum(assembled(x) ** 2),
    "absolute": lambda x: np.sum(np.abs(x)) + x[0] * x[3],
}


@pytest.mark.parametrize("name", HESSIANS)
def test_a_hessian_is_the_dense_one(name):
    f = HESSIANS[name]
    found = pb.sparse_hessian(f)(X)
    np.testing.assert_allclose(found.toarray(), pb.hessian(f)(X), rtol=1e-11, atol=1e-12)
    np.testing.assert_array_equal((found - found.T).toarray(), 0)


def test_as_many_products_as_a_band_is_wide():
    x = np.linspace(0, 1, 100_000)
    assert pb.sparse_jacobian(banded).compression(x).products == 3
    found = pb.sparse_hessian(rosenbrock)
    assert found.compression(x).products == 3
    assert found(x).nnz == 299_998
    star = pb.sparse_hessian(HESSIANS["arrow"]).compression(x)
    assert star.products == 2
    assert str(star) == "299,997 entries of 100,000 x 100,000 from 2 products, in forward mode"


def test_the_fewer_of_rows_and_columns():
    wide = pb.sparse_jacobian(JACOBIANS["wide"]).compression(X)
    assert (wide.mode, wide.products) == ("reverse", 2)
    tall = pb.sparse_jacobian(lambda x: np.outer(x, x[:2])).compression(X)
    assert (tall.mode, tall.products) == ("forward", 3)


def test_dense_rows_and_columns_are_computed_apart():
    def controlled(x):
        return np.concatenate([[np.sum(x**2)], banded(x) * x[0], [np.prod(x[:6])]])

    def turned(x):
        return np.concatenate([x[0] * x[1:] + x[-1] ** 2, [np.sum(x)]])

    x = np.random.default_rng(3).normal(size=30)
    for f, products in ((controlled, 6), (turned, 4), (cornered, 3)):
        sparse_one = pb.sparse_jacobian(f)
        np.testing.assert_allclose(sparse_one(x).toarray(), pb.jacobian(f)(x), atol=1e-12)
        assert sparse_one.compression(x).products == products
        assert sparse_one.compression(x).mode == "both"
    large = pb.sparse_jacobian(cornered).compression(np.ones(100_000))
    assert str(large) == "299,998 entries of 100,000 x 100,000 from 3 products, in both modes"


def test_several_arrays_stand_one_behind_the_other():
    def f(p, y, scale):
        return {"a": p["w"] * scale, "b": (y[:2] ** 2, np.sum(p["w"]))}

    p = {"w": np.array([1.0, 2.0]), "n": 3.0}
    y = np.array([4.0, 5.0, 6.0])
    found = pb.sparse_jacobian(f, argnums=(0, 1, 2))(p, y, 3.0).toarray()
    expected = np.zeros((5, 7))
    expected[:2, :2] = 3 * np.eye(2)
    expected[:2, 6] = p["w"]
    expected[2:4, 3:5] = np.diag(2 * y[:2])
    expected[4, :2] = 1
    np.testing.assert_allclose(found, expected)

    def loss(p, y):
        return np.sum(p["w"] ** 2) * p["n"] + np.sum(y**3) * p["w"][0]

    dense = pb.hessian(loss, argnums=(0, 1))(p, y)
    found = pb.sparse_hessian(loss, argnums=(0, 1))(p, y).toarray()
    np.testing.assert_allclose(found[:2, :2], dense[0]["w"][0]["w"])
    np.testing.assert_allclose(found[2, :2], dense[0]["n"][0]["w"])
    np.testing.assert_allclose(found[:2, 3:], dense[0]["w"][1])
    np.testing.assert_allclose(found[3:, 3:], dense[1][1])


def test_patterns_follow_integer_arguments():
    @pb.sparse_jacobian
    def lengths(x, edges):
        return (x[edges[:, 0]] - x[edges[:, 1]]) ** 2

    def dense(edges):
        found = np.zeros((len(edges), 8))
        for k, (i, j) in enumerate(edges):
            found[k, i] += 2 * (X[i] - X[j])
            found[k, j] -= 2 * (X[i] - X[j])
        return found

    first, second = np.array([[0, 1], [2, 3], [5, 7]]), np.array([[0, 4], [6, 3], [1, 2]])
    for edges in (first, second, first):
        found = lengths(X, edges)
        assert found.nnz == 6
        np.testing.assert_allclose(found.toarray(), dense(edges), atol=1e-14)
    assert lengths.programs.info().misses == 1
    edges = first.copy()
    assert lengths(X, edges).nnz == 6
    edges[0] = [6, 7]  # the arrays themselves may change
    np.testing.assert_allclose(lengths(X, edges).toarray(), dense(edges), atol=1e-14)


EDGES = np.array([[0, 1], [1, 4]])


def test_patterns_follow_integer_arrays_from_outside():
    def stretched(x):
        return x[EDGES[:, 0]] * x[EDGES[:, 1]]

    assert pb.sparse_jacobian(stretched)(X).nnz == 4
    assert pb.sparsity(stretched, X).nnz == 4


def test_positions_from_floats_are_any():
    found = pb.sparse_jacobian(lambda x: x[np.argmax(x)] * x[:2])
    assert found(X).nnz == 16
    dense = pb.jacobian(lambda x: x[np.argmax(x)] * x[:2])
    for x in (X, X[::-1].copy()):
        np.testing.assert_allclose(found(x).toarray(), dense(x))


def test_sparsity():
    assert pb.sparsity(banded, X).dtype == bool
    assert pb.sparsity(banded, pb.Spec(8)).nnz == 18
    assert pb.sparsity(rosenbrock, X, of="hessian").nnz == 22
    found = pb.sparsity(lambda x, y: x[:2] * y, X, np.ones(2), argnums=(0, 1))
    assert found.shape == (2, 10)
    assert pb.sparsity(lambda x, at: x[at], X, pb.Spec(2, "int64")).nnz == 16
    assert pb.sparsity(lambda x, at: x[at], X, np.array([1, 2])).nnz == 2


def test_rules_that_are_within_their_own_rules():
    near = 3 * np.eye(8) + np.eye(8, k=1)

    def fixed(a):
        return pb.fixed_point(lambda x, a: 0.3 * np.cos(x) + 0.1 * a, np.zeros(8), a)

    def solved(b):
        return pb.custom_linear_solve(
            lambda x: near @ x,
            b,
            lambda _, b: np.linalg.solve(near, b),
            lambda _, b: np.linalg.solve(near.T, b),
        )

    twice = pb.custom_vjp(lambda x: 2 * x)
    twice.defvjp(lambda x: (twice(x), None), lambda _, ct: (twice(ct),))

    def both(x):
        return twice(x)

    for f in (fixed, solved, both):
        dense = pb.jacobian(f)(X)
        assert np.all(pb.sparsity(f, X).toarray() | (dense == 0))
        np.testing.assert_allclose(pb.sparse_jacobian(f)(X).toarray(), dense, atol=1e-12)
    curved = pb.sparse_hessian(lambda a: np.sum(fixed(a) ** 2))(X).toarray()
    np.testing.assert_allclose(curved, pb.hessian(lambda a: np.sum(fixed(a) ** 2))(X), atol=1e-12)


def test_a_pattern_of_ones_own():
    given_one = scipy.sparse.diags_array([np.ones(8)] * 3, offsets=[-1, 0, 1], shape=(8, 8))
    f = pb.sparse_jacobian(banded, sparsity=given_one)
    np.testing.assert_allclose(f(X).toarray(), pb.jacobian(banded)(X), atol=1e-14)
    h = pb.sparse_hessian(rosenbrock, sparsity=np.tri(8, 8, 1))
    np.testing.assert_allclose(h(X).toarray(), pb.hessian(rosenbrock)(X), rtol=1e-12)
    with pytest.raises(DifferentiationError, match="lacks entries that are not zero"):
        pb.sparse_jacobian(banded, sparsity=np.eye(8))(X)
    with pytest.raises(DifferentiationError, match="lacks entries that are not zero"):
        pb.sparse_jacobian(banded, sparsity=np.eye(8), mode="reverse")(X)
    with pytest.raises(ShapeError, match=r"\[8, 7\], and the derivative \[8, 8\]"):
        pb.sparse_jacobian(banded, sparsity=np.ones((8, 7)))(X)


def test_aux_decorators_and_methods():
    @pb.sparse_jacobian(has_aux=True)
    def f(x):
        return x**2, {"sum": np.sum(x)}

    class Model:
        @pb.sparse_hessian(argnums=1)
        def loss(self, x):
            return rosenbrock(x)

    matrix, aux = f(X)
    np.testing.assert_allclose(matrix.diagonal(), 2 * X)
    assert aux["sum"] == np.sum(X)
    assert Model().loss(X).nnz == 22
    assert f.__name__ == "f"


def test_what_is_stored_outside_is_the_values_of_each_call():
    seen = {}

    @pb.sparse_jacobian(has_aux=True)
    def f(x):
        seen["last"] = x[-1]
        return x**2, np.sum(x)

    for x in (X, X, 2 * X):
        matrix, total = f(x)
        np.testing.assert_allclose(matrix.diagonal(), 2 * x)
        assert total == np.sum(x)
        assert seen == {"last": x[-1]}


def test_single_precision_stays():
    assert pb.sparse_jacobian(banded)(X.astype(np.float32)).dtype == np.float32


def test_each_matrix_is_the_callers():
    f = pb.sparse_jacobian(banded)
    first = f(X)
    kept = first.toarray()
    first.data[:] = 0
    first.eliminate_zeros()
    np.testing.assert_array_equal(f(X).toarray(), kept)


def test_matrices_whose_memory_is_recycled_are_the_callers():
    f = pb.sparse_jacobian(lambda x: x[1:] ** 2 - x[:-1])
    x = np.linspace(0.0, 1.0, 40_001)
    wanted = f(x).copy()
    held = f(x)
    for _ in range(3):
        dropped = f(2 * x)
        dropped.data[::2] = 0
        dropped.eliminate_zeros()
        del dropped
    again = f(x)
    assert not np.shares_memory(again.data, held.data)
    assert not np.shares_memory(again.indices, held.indices)
    for matrix in (held, again):
        assert abs(matrix - wanted).nnz == 0
        assert matrix.nnz == 80_000
        assert matrix.indices.dtype == matrix.indptr.dtype == np.int32
        assert matrix.has_canonical_format
    pb.release()
    assert abs(f(x) - wanted).nnz == 0


def test_two_parts_keep_the_entries_that_happen_to_be_zero():
    f = pb.sparse_jacobian(cornered)
    point = np.zeros(30)
    compression = f.compression(point)
    assert compression.mode == "both"
    assert f(point).nnz == compression.pattern.nnz
    point[3] = 2.0
    np.testing.assert_allclose(f(point).toarray(), pb.jacobian(cornered)(point))


def test_a_hessian_that_follows_a_rule_need_not_be_symmetric():
    @pb.custom_vjp
    def f(x):
        return np.sum(x[1:] * x[:-1])

    f.defvjp(lambda x: (f(x), x), lambda x, ct: (ct * np.roll(x, 1) * x,))
    x = np.arange(1.0, 7.0)
    found = pb.sparse_hessian(f)(x).toarray()
    np.testing.assert_allclose(found, pb.jacobian(pb.grad(f))(x))
    assert not np.array_equal(found, found.T)


def test_random_numbers_are_drawn_once():
    def walk(x, rng):
        for _ in range(3):
            x = x * rng.normal(size=8) + x**2
        return x

    rng, again = np.random.default_rng(5), np.random.default_rng(5)
    found = pb.sparse_jacobian(walk)(X, rng)
    dense = pb.jacobian(walk)(X, np.random.default_rng(5))
    np.testing.assert_allclose(found.toarray(), dense, rtol=1e-12)
    again.normal(size=24)
    assert rng.normal() == again.normal()


def test_errors():
    with pytest.raises(UnsupportedError, match="which traced code cannot hold"):
        pb.compile(lambda x: pb.sparse_jacobian(banded)(x).data)(X)
    with pytest.raises(DifferentiationError, match="returns a scalar"):
        pb.sparse_hessian(banded)(X)
    with pytest.raises(DifferentiationError, match="only where it is holomorphic"):
        pb.sparse_jacobian(lambda z: z**2)(X.astype(complex))
    with pytest.raises(DifferentiationError, match="`k`: it is int64"):
        pb.sparse_jacobian(lambda k: k * 2.0)(np.arange(3))
    with pytest.raises(UnsupportedError, match="only the run knows"):
        pb.sparsity(lambda x: x[x > 0], X)
    with pytest.raises(UnsupportedError, match="nearly dense"):
        pb.sparse_jacobian(lambda x: x - np.mean(x))(np.ones(100_000))
    with pytest.raises(UnsupportedError, match="100,000 in a row and 100,000 in a column"):
        pb.sparse_jacobian(cornered, mode="forward")(np.ones(100_000))
    with pytest.raises(ArgumentError, match="neither 'jacobian' nor 'hessian'"):
        pb.sparsity(banded, X, of="gradient")
    with pytest.raises(ArgumentError, match="mode='backward'"):
        pb.sparse_jacobian(banded, mode="backward")
    with pytest.raises(TypeError, match="takes a function"):
        pb.sparse_hessian(3)


@st.composite
def patterns(draw, square=False):
    height = draw(st.integers(1, 9))
    width = height if square else draw(st.integers(1, 9))
    bits = draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    found = np.array(bits).reshape(height, width)
    if square:
        found = found | found.T
    if draw(st.booleans()):
        found[0] = True
        if square:
            found[:, 0] = True
    return found


def sparse(pattern):
    found = scipy.sparse.csr_array(pattern)
    found.sort_indices()
    return found


def restored(pattern, values, colors, read):
    """Return the matrix from the sums of its columns of one colour."""
    sums = np.stack([values[:, colors == c].sum(axis=1) for c in range(colors.max() + 1)])
    product, place = read(pattern, colors)
    data = sums[product, place]
    found = scipy.sparse.csr_array((data, pattern.indices, pattern.indptr), shape=pattern.shape)
    return found.toarray()


@settings(max_examples=150, deadline=None)
@given(patterns())
def test_sums_of_columns_give_each_back(pattern):
    values = np.where(pattern, np.random.default_rng(0).normal(size=pattern.shape), 0)
    colors = columns_colored(sparse(pattern))
    np.testing.assert_allclose(
        restored(sparse(pattern), values, colors, read_columns), values, atol=1e-12
    )


@settings(max_examples=150, deadline=None)
@given(patterns(square=True))
def test_a_star_colouring_gives_each_entry_from_one_side(pattern):
    values = np.where(pattern, np.random.default_rng(0).normal(size=pattern.shape), 0)
    values = values + values.T
    colors = stars_colored(sparse(pattern))
    np.testing.assert_allclose(
        restored(sparse(pattern), values, colors, read_stars), values, atol=1e-12
    )


def test_a_pattern_that_is_no_matrix() -> None:
    with pytest.raises(pb.StructureError, match="the pattern is a str, and no matrix"):
        pb.sparse_jacobian(lambda x: x, sparsity="full")(np.ones(2))
