"""The JAX twins of the corpus give what their NumPy programs give."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pullback.benchmarks.corpus import PROGRAMS
from pullback.benchmarks.corpus.program import results_of

pytest.importorskip("jax")

from pullback.benchmarks.corpus.jax_twins import FORWARD_TWINS, TWINS, double_precision, jax


@pytest.fixture(autouse=True)
def in_double_precision() -> Iterator[None]:
    with double_precision():
        yield


def test_double_precision_is_given_back() -> None:
    inside = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", False)
    with double_precision():
        assert jax.config.jax_enable_x64
    assert not jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", inside)


@pytest.mark.parametrize(
    ("name", "twin"),
    [*TWINS.items(), *FORWARD_TWINS.items()],
    ids=[*TWINS, *(f"{name} forward" for name in FORWARD_TWINS)],
)
def test_twin_gives_the_same(name: str, twin: Any) -> None:
    program = PROGRAMS[name]
    for size in (program.tiny, program.sizes[0]):
        args: tuple[Any, ...] = program.arguments(size)
        got, want = results_of(twin(*args)), results_of(program.function(*args))
        for g, w in zip(got, want, strict=True):
            assert g.dtype == np.float64
            np.testing.assert_allclose(g, w, rtol=1e-12, atol=1e-12 * np.max(np.abs(w)))
