"""The Hessian of a chain of terms between neighbours, which is tridiagonal."""

import importlib
from typing import Any

import numpy as np

from ..case import Arguments, Size, with_namespace
from .contestants import DENSE
from .task import Task, by_hand, once


def chained_rosenbrock(x: Any) -> Any:
    """Rosenbrock's function over each pair of neighbours."""
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def make(rng: np.random.Generator, dtype: Any, n: int) -> Arguments:
    """Draw a point."""
    return (rng.standard_normal(n).astype(dtype),)


def diagonals(x: Any) -> tuple[Any, Any, Any]:
    """Differentiate twice by hand: the diagonals below, in and above the middle."""
    main = np.zeros_like(x)
    main[:-1] = 1200.0 * x[:-1] ** 2 - 400.0 * x[1:] + 2.0
    main[1:] += 200.0
    off = -400.0 * x[:-1]
    return off, main, off


def hessian(x: Any) -> Any:
    """Give the sparse matrix of the diagonals."""
    sparse: Any = importlib.import_module("scipy.sparse")
    return sparse.diags_array(diagonals(x), offsets=(-1, 0, 1), format="csr")


def read(matrix: Any) -> tuple[Any, ...]:
    """Take the diagonals out of a matrix, sparse or not."""
    return tuple(np.asarray(matrix.diagonal(k)) for k in (-1, 0, 1))


def in_jax_dense(jax: Any) -> Any:
    """Compute all entries, most of which are zero."""
    return jax.jit(jax.hessian(with_namespace(chained_rosenbrock, jax.numpy)))


def in_jax_by_colors(jax: Any) -> Any:
    """Color by hand: columns of one residue modulo three meet in no row, so three products do.

    Of the matrix only the entries are computed by JAX; where they stand is known before.
    """
    jnp: Any = jax.numpy
    sparse: Any = importlib.import_module("scipy.sparse")
    gradient = jax.grad(with_namespace(chained_rosenbrock, jnp))

    def entries(x: Any, rows: Any, columns: Any) -> Any:
        seeds = (jnp.arange(len(x)) % 3 == jnp.arange(3)[:, None]).astype(x.dtype)
        products = jax.vmap(lambda v: jax.jvp(gradient, (x,), (v,))[1])(seeds)
        return products[columns % 3, rows]

    compiled = jax.jit(entries)
    known: dict[int, Any] = {}

    def whole(x: Any) -> Any:
        n = len(x)
        if n not in known:
            pattern = sparse.diags_array(
                (np.ones(n - 1), np.ones(n), np.ones(n - 1)), offsets=(-1, 0, 1), format="csr"
            )
            rows = np.repeat(np.arange(n), np.diff(pattern.indptr))
            known[n] = pattern, jnp.asarray(rows), jnp.asarray(pattern.indices)
        pattern, rows, columns = known[n]
        data = np.asarray(compiled(x, rows, columns))
        return sparse.csr_array((data, pattern.indices, pattern.indptr), shape=(n, n))

    return whole


TASKS = (
    Task(
        name="sparse_hessian",
        title="tridiagonal Hessian of a chained Rosenbrock function",
        family="second order",
        sizes=(
            Size("2000", {"n": 2000}, quick=True, dtype="float64"),
            Size("100000", {"n": 100_000}, dtype="float64"),
        ),
        make=make,
        by_hand=diagonals,
        ways={
            "pullback": once(lambda pb: pb.sparse_hessian(chained_rosenbrock)),
            "by hand": by_hand(hessian),
            "jax": once(in_jax_by_colors),
            DENSE: once(in_jax_dense),
        },
        only={DENSE: ("2000",)},
        read=read,
    ),
)
