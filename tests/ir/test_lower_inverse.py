"""The inverse of a triangle by blocks is the inverse, at every way of cutting it."""

import numpy as np
import pytest

from pullback.ir.ops.lower_inverse import LEAF, LOWER_INVERSE


@pytest.mark.parametrize("n", [1, LEAF, LEAF + 1, 2 * LEAF + 1, 5 * LEAF])
@pytest.mark.parametrize("lead", [(), (2,)])
def test_it_is_the_inverse_of_the_lower_triangle(n: int, lead: tuple[int, ...]) -> None:
    a = np.random.default_rng(n).standard_normal((*lead, n, n)) / n + np.eye(n)
    inverse = LOWER_INVERSE.evaluate(a)
    np.testing.assert_allclose(
        np.tril(a) @ inverse, np.broadcast_to(np.eye(n), a.shape), atol=1e-12
    )
    np.testing.assert_array_equal(inverse, np.tril(inverse))
    assert inverse.flags.c_contiguous


@pytest.mark.parametrize("n", [2, 3 * LEAF])
def test_rows_that_lapack_would_exchange_stay(n: int) -> None:
    # Below a small diagonal: the pivots of a general LU factorisation would leave it.
    a = np.tril(np.random.default_rng(n).standard_normal((n, n)), -1) / n + 1e-3 * np.eye(n)
    np.testing.assert_array_equal(np.triu(LOWER_INVERSE.evaluate(a), 1), 0)


def test_a_zero_on_the_diagonal_is_an_error() -> None:
    a = np.eye(2 * LEAF)
    a[LEAF, LEAF] = 0
    with pytest.raises(np.linalg.LinAlgError):
        LOWER_INVERSE.evaluate(a)
