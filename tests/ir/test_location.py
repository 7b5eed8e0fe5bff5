"""Locations resolve lazily, are values, and are shown as errors show them."""

from __future__ import annotations

import copy
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from pullback.ir.location import Location, excerpt

MODEL = """\
import numpy as np


def layer(x, W, b):
    y = "é" + x
    h = np.tanh(x @ W + b)
    z = np.sum(
        h,
        axis=0,
    )
	return z
"""


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "model.py"
    path.write_text(MODEL, encoding="utf-8")
    return str(path)


def here() -> Location:
    frame = sys._getframe(1)
    return Location.at(frame.f_code, frame.f_lasti)


def test_from_a_frame() -> None:
    location = (1, here())[1]
    assert location.file == __file__
    assert location.function == "test_from_a_frame"
    assert location.line == location.end_line == test_from_a_frame.__code__.co_firstlineno + 1
    assert (location.column, location.end_column) == (19, 25)
    assert location.text == "    location = (1, here())[1]"
    assert location.expression == "here()"


def test_a_comprehension_counts_as_its_function() -> None:
    nested: Any = [[here() for _ in range(1)] for _ in range(1)]
    assert nested[0][0].function == "test_a_comprehension_counts_as_its_function"
    (generated,) = (here() for _ in range(1))
    assert generated.function == "test_a_comprehension_counts_as_its_function"
    assert (lambda: here())().function.endswith("<lambda>")


def test_unknown_offset_is_the_function() -> None:
    code = here.__code__
    location = Location.at(code, -1)
    assert (location.line, location.column) == (code.co_firstlineno, None)
    assert location.expression == "def here() -> Location:"


def test_values() -> None:
    a = Location("f.py", 6, "layer", 16, 6, 21)
    b = Location("f.py", 6, "layer", 16, 6, 21)
    lazy = here()
    plain = Location(
        lazy.file, lazy.line, lazy.function, lazy.column, lazy.end_line, lazy.end_column
    )
    assert a == b
    assert hash(a) == hash(b)
    assert a != Location("f.py", 6, "layer", 16, 6, 22)
    assert a != "f.py"
    assert lazy == plain
    assert pickle.loads(pickle.dumps(lazy)) == copy.deepcopy(lazy) == plain
    assert repr(a) == "Location('f.py', 6, 'layer', 16, 6, 21)"
    for name in ("line", "file", "other"):
        with pytest.raises(AttributeError):
            setattr(a, name, 1)


def test_expressions(model: str) -> None:
    assert Location(model, 6, "layer", 16, 6, 21).expression == "x @ W"
    assert Location(model, 5, "layer", 8, 5, 16).expression == '"é" + x'
    several = Location(model, 7, "layer", 8, 10, 5)
    assert several.expression == "np.sum(\n        h,\n        axis=0,\n    )"
    assert Location(model, 6).expression == "h = np.tanh(x @ W + b)"
    assert Location("missing.py", 6).expression == ""


EXCERPT = """\
  model.py:6 in layer
      6 |     h = np.tanh(x @ W + b)
        |                 ^^^^^"""


def test_excerpt(model: str, tmp_path: Path) -> None:
    location = Location(model, 6, "make.<locals>.layer", 16, 6, 21)
    assert excerpt(location, relative_to=str(tmp_path)) == EXCERPT
    assert excerpt(location, relative_to="/elsewhere").splitlines()[0] == f"  {model}:6 in layer"


def test_excerpt_is_relative_to_the_current_folder(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert excerpt(Location(model, 6, "layer", 16, 6, 21)) == EXCERPT


@pytest.mark.parametrize(
    ("where", "carets"),
    [
        ((7, "f", 8, 10, 5), ("z = np.sum(", "    ^^^^^^^")),
        ((5, "f", 8, 5, 16), ('y = "é" + x', "    ^^^^^^^")),
        ((6, "f"), ("h = np.tanh(x @ W + b)", "^" * 22)),
        ((6, "f", 10, 6, 10), ("h = np.tanh(x @ W + b)", "      ^")),
        ((11, "f", 8, 11, 9), ("return z", "       ^")),
    ],
)
def test_carets(model: str, where: Any, carets: tuple[str, str]) -> None:
    lines = excerpt(Location(model, *where)).splitlines()
    assert [line.split("|     ")[1] for line in lines[1:]] == list(carets)


def test_excerpt_without_source() -> None:
    assert excerpt(Location("<string>", 3, "f", 0, 3, 1)) == "  <string>:3 in f"
    assert excerpt(Location("<string>", 3)) == "  <string>:3"


def test_large_line_numbers_keep_the_columns_aligned(tmp_path: Path) -> None:
    path = tmp_path / "long.py"
    path.write_text("\n" * 1_234_566 + "x = y\n")
    lines = excerpt(Location(str(path), 1_234_567, "f", 4, 1_234_567, 5)).splitlines()
    assert lines[1].index("y") == lines[2].index("^")
