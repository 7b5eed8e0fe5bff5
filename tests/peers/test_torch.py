"""Networks that are defined by running them: gradients agree with PyTorch's autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.benchmarks.case import leaves, map_leaves, with_namespace

torch: Any = pytest.importorskip("torch")


def mlp(params, x, target):
    W1, b1, W2, b2 = params
    scores = np.tanh(x @ W1 + b1) @ W2 + b2
    return np.mean(np.log(np.sum(np.exp(scores), axis=1)) - np.sum(target * scores, axis=1))


def residual_network(params, x, target):
    blocks, head = params
    h = x
    for W, b in blocks:
        h = h + np.tanh(h @ W + b)
    return np.mean((h @ head - target) ** 2)


def rnn(params, xs, target):
    Wh, Wx, b = params
    h = 0.0 * xs[0] @ Wx
    errors = 0.0
    for t in range(len(xs)):
        h = np.tanh(h @ Wh + xs[t] @ Wx + b)
        errors = errors + np.sum((h - target) ** 2)
    return errors


def encode(params, tree):
    if not isinstance(tree, tuple):
        return tree
    W, b = params
    return np.tanh(np.concatenate([encode(params, side) for side in tree]) @ W + b)


def tree_network(params, tree, target):
    return np.sum((encode(params, tree) - target) ** 2)


def branching_network(params, x, target):
    """As deep as its activations say."""
    W, b = params
    h = x
    depth = 0
    while np.sum(h**2) > 0.8 and depth < 6:
        if h[0] > 0.0:
            h = np.tanh(W @ h + b)
        else:
            h = 0.5 * (W.T @ h)
        depth += 1
    return np.sum((h - target) ** 2)


def shared_weights(params, x, target):
    """One matrix used three times, once transposed, in a list that grows while it runs."""
    (W,) = params
    states = [x]
    for _ in range(3):
        states.append(np.tanh(W @ states[-1]) + W.T @ states[0])
    return sum(np.sum((s - target) ** 2) for s in states)


RNG = np.random.default_rng(3)


def draw(*shapes: Any) -> Any:
    return tuple(0.6 * RNG.standard_normal(shape) for shape in shapes)


def deep_tree(depth: int) -> Any:
    """A tree that is deeper on the left."""
    if depth == 0:
        return 0.6 * RNG.standard_normal(3)
    return deep_tree(depth - 1), deep_tree(max(depth - 2, 0))


NETWORKS: dict[str, tuple[Callable[..., Any], Any, Any, Any]] = {
    "mlp": (mlp, draw((3, 4), 4, (4, 2), 2), *draw((5, 3)), np.eye(2)[[0, 1, 1, 0, 1]]),
    "residual": (
        residual_network,
        ((draw((3, 3), 3), draw((3, 3), 3), draw((3, 3), 3)), *draw(3)),
        *draw((4, 3), 4),
    ),
    "rnn": (rnn, draw((3, 3), (2, 3), 3), *draw((7, 2), 3)),
    "tree": (tree_network, draw((6, 3), 3), deep_tree(4), *draw(3)),
    "branching": (branching_network, draw((3, 3), 3), 3.0 * draw(3)[0], *draw(3)),
    "branching otherwise": (branching_network, draw((3, 3), 3), -3.0 * draw(3)[0], *draw(3)),
    "shared": (shared_weights, draw((3, 3)), *draw(3, 3)),
}

each_network = pytest.mark.parametrize("name", NETWORKS)


def in_torch(name: str) -> tuple[Any, Any, list[Any]]:
    """The loss as PyTorch runs it, its arguments, and the parameters that it differentiates."""
    function, *args = NETWORKS[name]
    tensors = [map_leaves(lambda a: torch.from_numpy(a.copy()), arg) for arg in args]
    wanted = [leaf.requires_grad_() for leaf in leaves(tensors[0])]
    return with_namespace(function, torch), tensors, wanted


def slopes_of(value: Any, wanted: list[Any], **options: Any) -> Any:
    """The gradient, zero for what a branch leaves unused."""
    options |= {"allow_unused": True, "materialize_grads": True}
    return torch.autograd.grad(value, wanted, **options)


def assert_close(found: Any, expected: Any) -> None:
    for got, want in zip(leaves(found), expected, strict=True):
        np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-10, atol=1e-12)


@each_network
def test_values_and_gradients(name: str) -> None:
    function, *args = NETWORKS[name]
    loss, tensors, wanted = in_torch(name)
    theirs = loss(*tensors)
    value, gradient = pb.value_and_grad(function)(*args)
    assert_close(value, [theirs])
    assert_close(gradient, slopes_of(theirs, wanted))


@each_network
def test_products_with_the_hessian(name: str) -> None:
    function, params, *data = NETWORKS[name]
    rng = np.random.default_rng(1)
    direction = map_leaves(lambda a: rng.standard_normal(a.shape), params)
    loss, tensors, wanted = in_torch(name)
    slopes = slopes_of(loss(*tensors), wanted, create_graph=True)
    slope = sum(
        torch.sum(s * torch.from_numpy(d)) for s, d in zip(slopes, leaves(direction), strict=True)
    )
    theirs = slopes_of(slope, wanted)

    def product(params: Any, direction: Any) -> Any:
        return pb.jvp(pb.grad(lambda p: function(p, *data)), (params,), (direction,))[1]

    assert_close(product(params, direction), theirs)
    assert_close(pb.hvp(lambda p: function(p, *data), (params,), (direction,))[0], theirs)


def test_gradients_of_each_example_are_those_of_a_loop() -> None:
    function, params, xs, targets = NETWORKS["mlp"]
    gradient = pb.vmap(pb.grad(function), in_axes=(None, 0, 0))
    found = gradient(params, xs[:, None], targets[:, None])
    for k in range(len(xs)):
        loss, (theirs, x, target), wanted = in_torch("mlp")
        expected = slopes_of(loss(theirs, x[k : k + 1], target[k : k + 1]), wanted)
        assert_close(map_leaves(lambda leaf, k=k: leaf[k], found), expected)
