"""Learning: recurrent cells over lists, clusters, resampling, trees by recursion."""

# As people write it: names change their types, and matrices have capital letters.
# mypy: disable-error-code="assignment,attr-defined"

from typing import Any

import numpy as np

from .program import Arguments, Program


def sigmoid(x: Any) -> Any:
    """Apply the logistic function."""
    return 1 / (1 + np.exp(-x))


def rnn(xs: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    """All states of a tanh cell over a sequence of batches."""
    h = np.zeros((xs.shape[1], Wh.shape[0]), dtype=xs.dtype)
    hs = []
    for x in xs:
        h = np.tanh(x @ Wx + h @ Wh + b)
        hs.append(h)
    return np.stack(hs)


def lstm(xs: Any, W: Any, b: Any) -> Any:
    """All hidden states, and the last memory, of an LSTM over a sequence of batches."""
    n = W.shape[1] // 4
    h = np.zeros((xs.shape[1], n), dtype=xs.dtype)
    c = np.zeros_like(h)
    hs = []
    for t in range(len(xs)):
        z = np.concatenate([xs[t], h], axis=1) @ W + b
        i, f, o = sigmoid(z[:, :n]), sigmoid(z[:, n : 2 * n]), sigmoid(z[:, 2 * n : 3 * n])
        g = np.tanh(z[:, 3 * n :])
        c = f * c + i * g
        h = o * np.tanh(c)
        hs.append(h)
    return np.stack(hs), c


def gru(xs: Any, Wz: Any, Wr: Any, Wh: Any) -> Any:
    """All states of a GRU over a sequence of batches."""
    h = np.zeros((xs.shape[1], Wz.shape[1]), dtype=xs.dtype)
    hs = []
    for x in xs:
        xh = np.concatenate((x, h), axis=-1)
        z = sigmoid(xh @ Wz)
        r = sigmoid(xh @ Wr)
        candidate = np.tanh(np.concatenate((x, r * h), axis=-1) @ Wh)
        h = (1 - z) * h + z * candidate
        hs.append(h)
    return np.array(hs)


def kmeans_step(X: Any, centers: Any) -> Any:
    """One step of k-means: every point joins the nearest center; the inertia before the step."""
    sums = np.zeros_like(centers)
    counts = np.zeros(len(centers))
    inertia = 0.0
    for x in X:
        d = np.sum((centers - x) ** 2, axis=1)
        k = np.argmin(d)
        sums[k] += x
        counts[k] += 1
        inertia += d[k]
    new = centers.copy()
    for k in range(len(centers)):
        if counts[k] > 0:
            new[k] = sums[k] / counts[k]
    return new, inertia


def bootstrapped_mean(x: Any, draws: Any) -> Any:
    """Give the mean over resamples of x (a row of `draws` each), and its standard error."""
    means = []
    for row in draws:
        means.append(x[row].mean())  # noqa: PERF401 - as people write it
    means = np.array(means)
    return means.mean(), means.std()


def soft_decision_tree(x: Any, W: Any, b: Any, leaves: Any, node: int = 0) -> Any:
    """Mix the values of the leaves by the odds of going left at every node above them."""
    if node >= len(b):
        return leaves[node - len(b)]
    p = sigmoid(x @ W[node] + b[node])[:, None]
    left = soft_decision_tree(x, W, b, leaves, 2 * node + 1)
    right = soft_decision_tree(x, W, b, leaves, 2 * node + 2)
    return p * left + (1 - p) * right


def tree_rnn(words: Any, left: Any, right: Any, embedding: Any, W: Any, b: Any) -> Any:
    """Encode a tree, given as index arrays, from its leaves to its root, which is node 0."""

    def encode(node: int) -> Any:
        if left[node] < 0:
            return embedding[words[node]]
        children = np.concatenate([encode(left[node]), encode(right[node])])
        return np.tanh(W @ children + b)

    return encode(0)


def make_cell(size: tuple[int, int, int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a sequence of batches, two matrices of weights, and a bias."""
    steps, batch, inputs, hidden = size
    xs = rng.standard_normal((steps, batch, inputs))
    Wx = rng.standard_normal((inputs, hidden)) / np.sqrt(inputs)
    Wh = rng.standard_normal((hidden, hidden)) / np.sqrt(hidden)
    b = 0.1 * rng.standard_normal(hidden)
    return tuple(a.astype(dtype) for a in (xs, Wx, Wh, b))


def make_gates(size: tuple[int, int, int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a sequence of batches, the weights of the four gates side by side, and biases."""
    steps, batch, inputs, hidden = size
    xs = rng.standard_normal((steps, batch, inputs))
    W = rng.standard_normal((inputs + hidden, 4 * hidden)) / np.sqrt(inputs + hidden)
    return xs.astype(dtype), W.astype(dtype), np.zeros(4 * hidden, dtype)


def make_three_gates(
    size: tuple[int, int, int, int], dtype: Any, rng: np.random.Generator
) -> Arguments:
    """Draw a sequence of batches and the weights of three gates."""
    steps, batch, inputs, hidden = size
    xs = rng.standard_normal((steps, batch, inputs)).astype(dtype)
    W = rng.standard_normal((3, inputs + hidden, hidden)) / np.sqrt(inputs + hidden)
    return xs, *W.astype(dtype)


def make_clusters(size: tuple[int, int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw points around k centers, and guesses of the centers."""
    n, k, dim = size
    centers = 3 * rng.standard_normal((k, dim))
    X = centers[rng.integers(0, k, n)] + rng.standard_normal((n, dim))
    return X.astype(dtype), (centers + 0.3 * rng.standard_normal((k, dim))).astype(dtype)


def make_resamples(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a sample, and the indices of its resamples."""
    n, resamples = size
    return rng.standard_normal(n).astype(dtype), rng.integers(0, n, (resamples, n))


def make_soft_tree(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw points, a hyperplane for each inner node, and values of the leaves."""
    n, depth = size
    inner = 2**depth - 1
    x, W = rng.standard_normal((n, 8)), rng.standard_normal((inner, 8)) / 3
    b, leaves = rng.standard_normal(inner), rng.standard_normal((inner + 1, 4))
    return tuple(a.astype(dtype) for a in (x, W, b, leaves))


def make_tree(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a binary tree with some leaves, embeddings of words, the weights of a node."""
    leaves, dim = size
    children: list[tuple[int, int]] = [(-1, -1)]
    open_leaves = [0]
    while len(open_leaves) < leaves:
        parent = open_leaves.pop(rng.integers(len(open_leaves)))
        children[parent] = (len(children), len(children) + 1)
        open_leaves += children[parent]
        children += [(-1, -1), (-1, -1)]
    left, right = np.array(children).T
    words = rng.integers(0, 10, len(children))
    embedding = rng.standard_normal((10, dim)).astype(dtype)
    W = (rng.standard_normal((dim, 2 * dim)) / np.sqrt(dim)).astype(dtype)
    return words, left.copy(), right.copy(), embedding, W, np.zeros(dim, dtype)


PROGRAMS = (
    Program(
        "rnn",
        "RNN with a list",
        rnn,
        make_cell,
        (0, 1, 2, 3),
        (12, 3, 4, 6),
        ((16, 2, 3, 5), (200, 16, 64, 128)),
        "array",
    ),
    Program(
        "lstm",
        "LSTM with a list",
        lstm,
        make_gates,
        (0, 1, 2),
        (12, 3, 4, 6),
        ((16, 2, 3, 5), (100, 16, 64, 128)),
        "array",
    ),
    Program(
        "gru",
        "GRU with a list",
        gru,
        make_three_gates,
        (0, 1, 2, 3),
        (12, 3, 4, 6),
        ((16, 2, 3, 5), (100, 16, 64, 128)),
        "array",
    ),
    Program(
        "kmeans_step",
        "k-means step",
        kmeans_step,
        make_clusters,
        (0, 1),
        (20, 9, 2),
        ((30, 10, 3), (2000, 50, 20)),
        "array",
    ),
    Program(
        "bootstrapped_mean",
        "bootstrapped mean",
        bootstrapped_mean,
        make_resamples,
        (0,),
        (12, 14),
        ((17, 20), (5000, 200)),
        "array",
    ),
    Program(
        "soft_decision_tree",
        "soft decision tree by recursion",
        soft_decision_tree,
        make_soft_tree,
        (0, 1, 2, 3),
        (5, 2),
        ((6, 3), (1000, 4)),
        "array",
        staged=False,
        reason="the recursion is over nodes that are known: each call is written out",
    ),
    Program(
        "tree_rnn",
        "tree-structured RNN",
        tree_rnn,
        make_tree,
        (3, 4, 5),
        (6, 4),
        ((9, 5), (200, 64)),
        "array",
    ),
)
