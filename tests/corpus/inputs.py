"""Seeded inputs of the corpus at two sizes, and what other libraries can run."""

from __future__ import annotations

import importlib.util
import itertools
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

import pullback as pb

PROGRAMS = Path(__file__).with_name("programs.py")
_spec = importlib.util.spec_from_file_location("corpus_programs", PROGRAMS)
assert _spec is not None
assert _spec.loader is not None
programs = sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(programs)

Inputs = Callable[[Generator, int], tuple[Any, ...]]


@dataclass(frozen=True)
class Program:
    """A program of the corpus: its inputs for a size, and what to differentiate."""

    name: str
    inputs: Inputs
    argnums: tuple[int, ...]
    without: dict[str, str] = field(default_factory=dict)
    """Libraries that cannot run it, each with the reason."""

    @property
    def function(self) -> Callable[..., Any]:
        return getattr(programs, self.name)  # type: ignore[no-any-return]

    @property
    def gradient(self) -> Any:
        """The compiled value and gradient, made anew so that nothing is remembered."""
        return pb.value_and_grad(self.function, argnums=self.argnums)

    def arguments(self, size: int, dtype: Any = np.float64) -> tuple[Any, ...]:
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        return tuple(cast(a, np.dtype(dtype)) for a in self.inputs(rng, size))


def cast(value: Any, dtype: np.dtype) -> Any:
    """Return the value with its float64 arrays in another precision."""
    if isinstance(value, list | tuple):
        return type(value)(cast(v, dtype) for v in value)
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        return value.astype(dtype)
    return dtype.type(value) if isinstance(value, np.float64) else value


def _normal(*shapes: tuple[Any, ...], scale: float = 0.5) -> Inputs:
    def make(rng: Generator, n: int) -> tuple[Any, ...]:
        return tuple(
            scale * rng.standard_normal(tuple(d(n) if callable(d) else d for d in shape))
            for shape in shapes
        )

    return make


def N(n: int) -> int:
    return n


def _mlp(rng: Generator, n: int) -> tuple[Any, ...]:
    sizes = [3, n, 4, 2]
    params = [
        (rng.standard_normal((a, b)) / np.sqrt(a), 0.1 * rng.standard_normal(b))
        for a, b in itertools.pairwise(sizes)
    ]
    return params, rng.standard_normal((n, 3)), rng.standard_normal((n, 2))


def _relu(rng: Generator, n: int) -> tuple[Any, ...]:
    a, b, c, d = _normal((3, 5), (5,), (5, 4), (4,))(rng, n)
    return a, b, c, d, rng.standard_normal((n, 3)), rng.integers(0, 4, n)


def _classifier(rng: Generator, n: int) -> tuple[Any, ...]:
    return *_normal((3, 4), (N, 3))(rng, n), rng.integers(0, 4, n)


def _autoencoder(rng: Generator, n: int) -> tuple[Any, ...]:
    return *_normal((4, 3), (3,), (4,))(rng, n), rng.uniform(0.1, 0.9, (n, 4))


def _dropout(rng: Generator, n: int) -> tuple[Any, ...]:
    return *_normal((3, 4), (4, 2), (N, 3))(rng, n), (rng.random((n, 4)) < 0.8).astype(float)


def _labelled(rng: Generator, n: int) -> tuple[Any, ...]:
    w, X = _normal((3,), (N, 3))(rng, n)
    return w, X, np.where(rng.random(n) < 0.5, 1.0, -1.0)


def _logistic(rng: Generator, n: int) -> tuple[Any, ...]:
    w, X, y = _labelled(rng, n)
    return w, np.float64(0.3), X, (y + 1.0) / 2.0


def _poisson(rng: Generator, n: int) -> tuple[Any, ...]:
    return *_normal((3,), (N, 3))(rng, n), rng.poisson(2.0, n).astype(float)


def _student(rng: Generator, n: int) -> tuple[Any, ...]:
    w, X, y = _normal((3,), (N, 3), (N,))(rng, n)
    return w, np.float64(-0.2), X, y


def _gp(rng: Generator, n: int) -> tuple[Any, ...]:
    return np.array([0.1, 0.3, -1.0]), np.sort(rng.uniform(0, 3, n)), rng.standard_normal(n)


def _gp2(rng: Generator, n: int) -> tuple[Any, ...]:
    return np.array([0.8, 0.6]), np.linspace(0, 3, n) ** 1.1, rng.standard_normal(n)


def _cox(rng: Generator, n: int) -> tuple[Any, ...]:
    return *_normal((2,), (N, 2))(rng, n), (rng.random(n) < 0.7).astype(float)


def _factorisation(rng: Generator, n: int) -> tuple[Any, ...]:
    U, V, R = _normal((N, 2), (4, 2), (N, 4))(rng, n)
    return U, V, R, (rng.random((n, 4)) < 0.6).astype(float)


def _interpolation(rng: Generator, n: int) -> tuple[Any, ...]:
    grid = np.linspace(0.0, 1.0, n) ** 1.5
    x = rng.uniform(0.05, 0.95, n + 2)
    return rng.standard_normal(n), grid, x, np.searchsorted(grid, x) - 1


def _nbody(rng: Generator, n: int) -> tuple[Any, ...]:
    n = min(n, 4)
    return *_normal((n, 3), (n, 3), scale=1.0)(rng, n), rng.uniform(1.0, 2.0, n)


def _sinkhorn(rng: Generator, n: int) -> tuple[Any, ...]:
    a, b = rng.uniform(0.5, 1.0, n), rng.uniform(0.5, 1.0, n + 1)
    return rng.uniform(0.0, 1.0, (n, n + 1)), a / a.sum(), b / b.sum()


def _power_iteration(rng: Generator, n: int) -> tuple[Any, ...]:
    A = rng.standard_normal((n, n))
    return A @ A.T + np.eye(n), rng.standard_normal(n)


def _pendulum(rng: Generator, n: int) -> tuple[Any, ...]:
    return rng.standard_normal((2, n)), rng.uniform(1.0, 2.0, n)


def _kalman(rng: Generator, n: int) -> tuple[Any, ...]:
    F = np.array([[1.0, 0.1], [-0.1, 0.9]])
    return F, 0.1 * np.eye(2), np.float64(0.4), np.zeros(2), np.eye(2), rng.standard_normal(n)


def _positive_scalar(*shapes: tuple[Any, ...], value: float) -> Inputs:
    def make(rng: Generator, n: int) -> tuple[Any, ...]:
        return np.float64(value), *_normal(*shapes)(rng, n)

    return make


def _learned(rng: Generator, n: int) -> tuple[Any, ...]:
    w, X, y = _normal((3,), (N, 3), (N,))(rng, n)
    return w, np.float64(0.1), X, y


def _rolls(rng: Generator, n: int) -> tuple[Any, ...]:
    return rng.standard_normal(n), np.float64(0.2)


NESTED = dict.fromkeys(("autograd", "jax"), "takes a gradient of pullback's within")

CORPUS: tuple[Program, ...] = (
    Program("mlp_tanh", _mlp, (0, 1)),
    Program("mlp_relu_cross_entropy", _relu, (0, 1, 2, 3)),
    Program("sigmoid_autoencoder", _autoencoder, (0, 1, 2)),
    Program("logsumexp_classifier", _classifier, (0, 1)),
    Program("layer_norm", _normal((N, 4), (4,), (4,)), (0, 1, 2)),
    Program("batch_norm", _normal((N, 3), (3,), (3,), (3, 2)), (0, 1, 2, 3)),
    Program("attention", _normal((2, N, 3), (3, 3), (3, 3), (3, 3)), (0, 1, 2, 3)),
    Program(
        "multihead_attention",
        _normal((N, 4), (4, 12), (4, 4)),
        (0, 1, 2),
        {"autograd": "has no x.transpose(1, 0)"},
    ),
    Program(
        "convolution",
        _normal((2, N, N), (2, 3, 3), (2,)),
        (0, 1, 2),
        dict.fromkeys(("autograd", "jax"), "has no sliding windows"),
    ),
    Program("dropout_network", _dropout, (0, 1, 2)),
    Program("contrastive", _normal((N, 3), (N, 3)), (0, 1), {"autograd": "norm has no keepdims"}),
    Program("softplus_elu", _normal((3, 4), (N, 3)), (0, 1)),
    Program("logistic_regression", _logistic, (0, 1, 2)),
    Program("poisson_regression", _poisson, (0, 1)),
    Program("student_regression", _student, (0, 1, 2)),
    Program("huber", _normal((3,), (N, 3), (N,)), (0, 1)),
    Program("quantile", _normal((3,), (N, 3), (N,)), (0, 1)),
    Program("squared_hinge", _labelled, (0, 1)),
    Program(
        "gaussian_mixture",
        _normal((3,), (3, 2), (3,), (N, 2)),
        (0, 1, 2),
        {"autograd": "has no logaddexp.reduce"},
    ),
    Program("gp_cholesky", _gp, (0, 2), {"autograd": "diagonal has no rule"}),
    Program("gp_slogdet", _gp2, (0, 2)),
    Program("cox_partial_likelihood", _cox, (0, 1)),
    Program("matrix_factorisation", _factorisation, (0, 1)),
    Program("pca_reconstruction", _normal((4, 2), (N, 4)), (0, 1)),
    Program("soft_kmeans", _normal((3, 2), (N, 2)), (0, 1)),
    Program("polynomial_regression", _normal((4,), (N,), (N,)), (0, 1)),
    Program(
        "cumulative_returns", _normal((3,), (N, 3)), (0, 1), {"autograd": "has no rule for cumprod"}
    ),
    Program("total_variation", _normal((N, N), (N, N)), (0, 1)),
    Program("interpolation", _interpolation, (0, 2), {"autograd": "has no rule for take"}),
    Program("power_spectrum", _normal((N,)), (0,)),
    Program("ising_energy", _normal((N, N), (N, N)), (0, 1)),
    Program("heat_by_rolls", _rolls, (0, 1)),
    Program("nbody_energy", _nbody, (0, 1, 2)),
    Program("pendulum_rk4", _pendulum, (0, 1)),
    Program("leapfrog", _normal((N,), (N,), (N,)), (0, 1, 2)),
    Program("sinkhorn", _sinkhorn, (0, 1, 2)),
    Program("power_iteration", _power_iteration, (0, 1)),
    Program("rnn", _normal((3, 3), (2, 3), (3,), (2, 3), (N, 2, 2)), (0, 1, 2, 3, 4)),
    Program("lstm", _normal((2, 12), (3, 12), (12,), (3,), (3,), (N, 2)), (0, 1, 2, 3, 4, 5)),
    Program("gru", _normal((5, 3), (5, 3), (5, 3), (2, 3), (N, 2, 2)), (0, 1, 2, 3, 4)),
    Program("kalman", _kalman, (0, 1, 2, 3, 4, 5)),
    Program("autoregression", _normal((2,), (2,), (N,)), (0, 1, 2)),
    Program("smoothing_backward", _positive_scalar((N, 2), value=0.6), (0, 1)),
    Program("learned_optimizer", _learned, (0, 1, 2), NESTED),
)
SMALL, LARGE = 4, 9
