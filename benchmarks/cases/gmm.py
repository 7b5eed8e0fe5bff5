"""The log-likelihood of a Gaussian mixture: broadcasting, exponentials and reductions."""

import math
from typing import Any

import numpy as np

from ..case import Arguments, Case, Size

LOG_TWO_PI = math.log(2 * math.pi)


def loss(params: Any, x: Any) -> Any:
    """Mean negative log-likelihood of `x` under diagonal Gaussians."""
    logits, means, log_scales = params
    z = (x[:, None, :] - means) * np.exp(-log_scales)
    log_weights = logits - np.log(np.sum(np.exp(logits)))
    log_joint = log_weights - np.sum(log_scales, axis=1) - 0.5 * np.sum(z * z, axis=2)
    top = np.max(log_joint, axis=1, keepdims=True)
    log_likelihood = top[:, 0] + np.log(np.sum(np.exp(log_joint - top), axis=1))
    return 0.5 * LOG_TWO_PI * x.shape[1] - np.mean(log_likelihood)


def make(rng: np.random.Generator, dtype: Any, points: int, components: int, dim: int) -> Arguments:
    """Draw a mixture and points near it."""
    logits = (0.5 * rng.standard_normal(components)).astype(dtype)
    means = (2 * rng.standard_normal((components, dim))).astype(dtype)
    log_scales = (0.2 * rng.standard_normal((components, dim))).astype(dtype)
    near = means[rng.integers(components, size=points)]
    x = (near + rng.standard_normal((points, dim))).astype(dtype)
    return (logits, means, log_scales), x


def by_hand(params: Any, x: Any) -> tuple[Any, Any]:
    """Value and gradient, as one writes them in NumPy."""
    logits, means, log_scales = params
    precision = np.exp(-log_scales)
    z = (x[:, None, :] - means) * precision
    weights = np.exp(logits)
    weights = weights / weights.sum()
    log_joint = np.log(weights) - log_scales.sum(axis=1) - 0.5 * (z * z).sum(axis=2)
    top = log_joint.max(axis=1, keepdims=True)
    joint = np.exp(log_joint - top)
    total = joint.sum(axis=1, keepdims=True)
    value = 0.5 * LOG_TWO_PI * x.shape[1] - np.mean(top + np.log(total))

    responsibility = joint / total / len(x)
    mass = responsibility.sum(axis=0)
    weighted = responsibility[:, :, None] * z
    dmeans = -weighted.sum(axis=0) * precision
    dlog_scales = mass[:, None] - (weighted * z).sum(axis=0)
    return value, (weights - mass, dmeans, dlog_scales)


def in_torch(torch: Any, params: Any, x: Any) -> Any:
    """Say `loss` in PyTorch, with its own logsumexp."""
    logits, means, log_scales = params
    z = (x[:, None, :] - means) * torch.exp(-log_scales)
    log_weights = torch.log_softmax(logits, dim=0)
    log_joint = log_weights - log_scales.sum(dim=1) - 0.5 * (z * z).sum(dim=2)
    return 0.5 * LOG_TWO_PI * x.shape[1] - torch.logsumexp(log_joint, dim=1).mean()


CASE = Case(
    name="gmm",
    title="Gaussian mixture, log-likelihood",
    family="statistics and linear algebra",
    sizes=(
        Size("500 x 8, 8 components", {"points": 500, "components": 8, "dim": 8}, quick=True),
        Size("5000 x 8, 16 components", {"points": 5000, "components": 16, "dim": 8}),
    ),
    loss=loss,
    make=make,
    by_hand=by_hand,
    torch=in_torch,
)
