"""Dynamic programming over sequences, by sums, maxima and soft minima."""

from typing import Any

import numpy as np

from .program import Arguments, Program


def hmm_forward(pi: Any, A: Any, B: Any, obs: Any) -> Any:
    """Log likelihood of observations of a hidden Markov model, by the scaled forward recursion."""
    alpha = pi * B[:, obs[0]]
    scale = alpha.sum()
    alpha = alpha / scale
    loglik = np.log(scale)
    for o in obs[1:]:
        alpha = (alpha @ A) * B[:, o]
        scale = alpha.sum()
        alpha /= scale
        loglik += np.log(scale)
    return loglik


def viterbi(log_pi: Any, log_A: Any, log_B: Any, obs: Any) -> Any:
    """Score of the best path of states, and the path."""
    T, K = len(obs), len(log_pi)
    delta = np.empty((T, K))
    back = np.zeros((T, K), dtype=int)
    delta[0] = log_pi + log_B[:, obs[0]]
    for t in range(1, T):
        scores = delta[t - 1][:, None] + log_A
        back[t] = np.argmax(scores, axis=0)
        delta[t] = np.max(scores, axis=0) + log_B[:, obs[t]]
    path = np.zeros(T, dtype=int)
    path[-1] = np.argmax(delta[-1])
    for t in range(T - 2, -1, -1):
        path[t] = back[t + 1, path[t + 1]]
    return np.max(delta[-1]), path


def dynamic_time_warping(x: Any, y: Any) -> Any:
    """Cost of the best alignment of two series of vectors."""
    n, m = len(x), len(y)
    D = np.full((n + 1, m + 1), np.inf)
    D[0, 0] = 0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            cost = np.sum((x[i - 1] - y[j - 1]) ** 2)
            D[i, j] = cost + min(D[i - 1, j], D[i, j - 1], D[i - 1, j - 1])
    return D[n, m]


def soft_alignment(cost: Any, gap: float, gamma: float) -> Any:
    """Edit distance with soft minima: `cost` of replacing, `gap` of leaving out."""
    n, m = cost.shape
    D = np.zeros((n + 1, m + 1))
    for i in range(1, n + 1):
        D[i, 0] = D[i - 1, 0] + gap
    for j in range(1, m + 1):
        D[0, j] = D[0, j - 1] + gap
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            a = D[i - 1, j - 1] + cost[i - 1, j - 1]
            b = D[i - 1, j] + gap
            c = D[i, j - 1] + gap
            low = min(a, b, c)
            total = (
                np.exp((low - a) / gamma) + np.exp((low - b) / gamma) + np.exp((low - c) / gamma)
            )
            D[i, j] = low - gamma * np.log(total)
    return D[-1, -1]


def crf(emissions: Any, transitions: Any, tags: Any) -> Any:
    """Negative log likelihood of tags under a linear-chain conditional random field."""

    def logsumexp(a: Any) -> Any:
        top = np.max(a, axis=0)
        return top + np.log(np.sum(np.exp(a - top), axis=0))

    score = emissions[0, tags[0]]
    for t in range(1, len(tags)):
        score += transitions[tags[t - 1], tags[t]] + emissions[t, tags[t]]
    alpha = emissions[0]
    for t in range(1, len(emissions)):
        alpha = emissions[t] + logsumexp(alpha[:, None] + transitions)
    return logsumexp(alpha) - score


def make_markov(size: tuple[int, int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw start, transition and emission probabilities, and observations."""
    steps, states, symbols = size
    pi = rng.dirichlet(np.ones(states))
    A = rng.dirichlet(np.ones(states), states)
    B = rng.dirichlet(np.ones(symbols), states)
    obs = rng.integers(0, symbols, steps)
    return pi.astype(dtype), A.astype(dtype), B.astype(dtype), obs


def make_scores(size: tuple[int, int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw as for the Markov model, in logarithms."""
    pi, A, B, obs = make_markov(size, np.float64, rng)
    return *(np.log(p + 1e-3).astype(dtype) for p in (pi, A, B)), obs


def make_series(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw two walks of vectors of length three."""
    x, y = (np.cumsum(rng.standard_normal((n, 3)), axis=0) for n in size)
    return x.astype(dtype), y.astype(dtype)


def make_costs(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw costs of replacing, the cost of a gap, and a softness."""
    return rng.uniform(0.0, 2.0, size).astype(dtype), 0.7, 0.5


def make_tags(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw emissions at each step, transitions, and tags."""
    steps, tags = size
    emissions, transitions = rng.standard_normal((steps, tags)), rng.standard_normal((tags, tags))
    return emissions.astype(dtype), transitions.astype(dtype), rng.integers(0, tags, steps)


PROGRAMS = (
    Program(
        "hmm_forward",
        "HMM forward",
        hmm_forward,
        make_markov,
        (0, 1, 2),
        (12, 4, 5),
        ((18, 5, 4), (300, 64, 20)),
        "array",
    ),
    Program(
        "viterbi",
        "Viterbi path",
        viterbi,
        make_scores,
        (0, 1, 2),
        (12, 4, 5),
        ((18, 5, 4), (300, 64, 20)),
        "array",
    ),
    Program(
        "dynamic_time_warping",
        "dynamic time warping",
        dynamic_time_warping,
        make_series,
        (0, 1),
        (9, 10),
        ((13, 12), (60, 60)),
        "scalar",
    ),
    Program(
        "soft_alignment",
        "soft edit-distance alignment",
        soft_alignment,
        make_costs,
        (0, 1, 2),
        (9, 10),
        ((13, 12), (50, 50)),
        "scalar",
    ),
    Program(
        "crf",
        "conditional random field",
        crf,
        make_tags,
        (0, 1),
        (12, 4),
        ((18, 5), (200, 40)),
        "array",
    ),
)
