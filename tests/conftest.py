"""Options and fixtures of all tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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


def pytest_configure(config: pytest.Config) -> None:
    """With `--tiny-tiles` all tests compile for a machine whose cache holds a few entries."""
    if config.getoption("--tiny-tiles"):
        from tiny_tiles import tiny_tiles

        context = tiny_tiles()
        context.__enter__()
        config.add_cleanup(lambda: context.__exit__(None, None, None))
