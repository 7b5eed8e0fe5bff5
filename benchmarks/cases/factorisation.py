"""Matrix factorisation with biases: gathers of rows by rating, and sums back into them."""

from typing import Any

import numpy as np

from ..case import Arguments, Case, Size

PENALTY = 1e-3


def loss(params: Any, users: Any, items: Any, ratings: Any) -> Any:
    """Mean squared error of the ratings that are known, with an L2 penalty."""
    P, Q, bp, bq, mu = params
    predicted = mu + bp[users] + bq[items] + np.sum(P[users] * Q[items], axis=1)
    return np.mean((predicted - ratings) ** 2) + PENALTY * (np.sum(P * P) + np.sum(Q * Q))


def make(
    rng: np.random.Generator, dtype: Any, users: int, items: int, rank: int, ratings: int
) -> Arguments:
    """Draw factors, biases and ratings, some users and items more often than others."""
    P = (rng.standard_normal((users, rank)) / np.sqrt(rank)).astype(dtype)
    Q = rng.standard_normal((items, rank)).astype(dtype)
    bp = (0.1 * rng.standard_normal(users)).astype(dtype)
    bq = (0.1 * rng.standard_normal(items)).astype(dtype)
    who = (users * rng.random(ratings) ** 2).astype(np.int64)
    what = (items * rng.random(ratings) ** 2).astype(np.int64)
    stars = rng.integers(1, 6, size=ratings).astype(dtype)
    return (P, Q, bp, bq, np.asarray(3, dtype)), who, what, stars


def by_hand(params: Any, users: Any, items: Any, ratings: Any) -> tuple[Any, Any]:
    """Value and gradient in NumPy, which adds into rows fastest by `np.bincount`."""
    P, Q, bp, bq, mu = params
    p, q = P[users], Q[items]
    error = mu + bp[users] + bq[items] + np.sum(p * q, axis=1) - ratings
    value = np.mean(error * error) + PENALTY * (np.sum(P * P) + np.sum(Q * Q))

    derror = (2 / len(error)) * error
    dp = _added(derror[:, None] * q, users, P) + 2 * PENALTY * P
    dq = _added(derror[:, None] * p, items, Q) + 2 * PENALTY * Q
    dbp = np.bincount(users, derror, len(bp)).astype(P.dtype)
    dbq = np.bincount(items, derror, len(bq)).astype(P.dtype)
    return value, (dp, dq, dbp, dbq, derror.sum())


def _added(rows: Any, index: Any, like: Any) -> Any:
    """Sum `rows` into those that `index` names of an array like `like`."""
    result = np.empty_like(like)
    for column in range(like.shape[1]):
        result[:, column] = np.bincount(index, rows[:, column], len(like))
    return result


def in_torch(torch: Any, params: Any, users: Any, items: Any, ratings: Any) -> Any:
    """Say `loss` in PyTorch, with its embeddings."""
    P, Q, bp, bq, mu = params
    look_up = torch.nn.functional.embedding
    biases = bp.index_select(0, users) + bq.index_select(0, items)
    predicted = mu + biases + (look_up(users, P) * look_up(items, Q)).sum(1)
    error = torch.nn.functional.mse_loss(predicted, ratings)
    return error + PENALTY * ((P * P).sum() + (Q * Q).sum())


CASE = Case(
    name="factorisation",
    title="matrix factorisation with biases, squared error",
    family="statistics and linear algebra",
    sizes=(
        Size(
            "2,000 ratings, 200 x 100, rank 8",
            {"users": 200, "items": 100, "rank": 8, "ratings": 2000},
            quick=True,
        ),
        Size(
            "100,000 ratings, 2,000 x 1,000, rank 16",
            {"users": 2000, "items": 1000, "rank": 16, "ratings": 100_000},
        ),
    ),
    loss=loss,
    make=make,
    by_hand=by_hand,
    torch=in_torch,
)
