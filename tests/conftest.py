"""Options and fixtures of all tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="rewrite the golden files")
    parser.addoption("--tiny-tiles", action="store_true", help="cut whatever can be cut")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Return `check(name, text)`: the text is that of `goldens/name`, which `--update` rewrites."""

    def check(name: str, text: str) -> None:
        path = Path(request.path).parent / "goldens" / name
        if request.config.getoption("--update"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no golden {name}: run pytest --update and read what it writes"
        assert text == path.read_text(encoding="utf-8")

    return check


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify programs after each pass."""
    monkeypatch.setenv("PULLBACK_CHECK", "1")


@pytest.fixture
def jax_in_double() -> Iterator[Any]:
    """Give JAX, which computes in double precision; skip where it is not installed."""
    jax: Any = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield jax
    jax.config.update("jax_enable_x64", before)


def pytest_configure(config: pytest.Config) -> None:
    """Compile for one machine everywhere; with `--tiny-tiles`, one with caches of few entries."""
    from pullback.ir import machine

    sizes = [(2, 1 << 20), (3, 32 << 20)]
    pinned: list[Any] = [
        mock.patch.object(machine, "_cores", return_value=2),
        mock.patch.object(machine, "_cache_sizes", return_value=sizes),
    ]
    if config.getoption("--tiny-tiles"):
        from tiny_tiles import tiny_tiles

        pinned.append(tiny_tiles())
    for context in pinned:
        context.__enter__()
        config.add_cleanup(partial(context.__exit__, None, None, None))
    with mock.patch.dict(os.environ):
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_THREAD_TIMEOUT"):
            os.environ.pop(name, None)
        machine.machine()  # which is kept
