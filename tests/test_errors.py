"""Every error message, against its golden; the exception class is NumPy's; the next call works."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import error_cases as cases
import numpy as np
import pytest

import pullback as pb

HERE = Path(__file__).parent


CASES = cases.CASES
VECTOR = np.array([1.0, 2.0, 3.0])


def stable(text: str, function: Callable[..., Any]) -> str:
    """Return a message with line numbers counted from the start of the function."""
    first = function.__code__.co_firstlineno

    def place(found: re.Match[str]) -> str:
        return f"  case.py:{int(found[1]) - first + 1} in"

    def gutter(found: re.Match[str]) -> str:
        return f"{int(found[1]) - first + 1:>7} |"

    text = re.sub(r"(?m)^  \S*error_cases\.py:(\d+) in", place, text)
    return re.sub(r"(?m)^ *(\d+) \|", gutter, text)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_message(case: Any, golden: Callable[[str, str], None]) -> None:
    transformed = case.transform(case.function)
    with pytest.raises(case.error) as caught:
        transformed(*case.bad)
    error = caught.value
    assert type(error).__mro__[1] is not object
    if case.as_numpy:
        with pytest.raises(Exception) as plain:  # noqa: PT011  (whatever NumPy raises)
            case.function(*case.bad)
        builtin = next(c for c in type(plain.value).__mro__ if c.__module__ == "builtins")
        assert isinstance(error, builtin)
        if isinstance(plain.value, IndexError):
            assert isinstance(error, IndexError)
    text = f"{type(error).__name__}: {stable(str(error), case.function)}\n"
    assert text.count("case.py:") <= 1
    golden(f"errors/{case.name}.txt", text)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_the_next_call_works(case: Any) -> None:
    transformed = case.transform(case.function)
    for _ in range(2):
        with pytest.raises(case.error):
            transformed(*case.bad)
    if case.good is not None:
        transformed(*case.good)
        if case.transform is pb.compile:
            np.testing.assert_allclose(transformed(*case.good), case.function(*case.good))
    assert pb.compile(np.sin)(0.0) == 0.0


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_the_excerpt_is_the_users_line(case: Any) -> None:
    with pytest.raises(case.error) as caught:
        case.transform(case.function)(*case.bad)
    if "error_cases.py:" not in str(caught.value):
        return
    _, shown, carets = re.search(r"\n *(\d+) \| (.*)\n *\| (.*)", str(caught.value)).groups()  # type: ignore[union-attr]
    start, end = carets.index("^"), carets.rindex("^") + 1
    assert shown[start:end].strip()
    assert shown[start:end] == shown[start:end].strip()


def test_every_golden_has_a_case() -> None:
    names = {path.stem for path in (HERE / "goldens" / "errors").iterdir()}
    assert names == {case.name for case in CASES}


# ---- what the user's own code raises -----------------------------------------------------------


class OwnError(Exception):
    """An error of the user's."""


def raises_own(x: Any) -> Any:
    if x.shape == (3,):
        raise OwnError("mine")
    return x * 2


def raises_value_error(x: Any) -> Any:
    raise ValueError("mine")


def raises_key_error(x: Any) -> Any:
    return {"a": x}["b"]


def opens_nothing(x: Any) -> Any:
    with open("/does/not/exist") as file:
        return file, x


def names_nothing(x: Any) -> Any:
    return x + undefined  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    "function", [raises_own, raises_value_error, raises_key_error, opens_nothing, names_nothing]
)
@pytest.mark.parametrize("transform", [pb.compile, pb.grad, pb.value_and_grad])
def test_an_error_of_the_users_passes_unchanged(
    function: Callable[..., Any], transform: Callable[..., Any]
) -> None:
    with pytest.raises(Exception) as plain:  # noqa: PT011
        function(VECTOR)
    with pytest.raises(type(plain.value)) as caught:
        transform(function)(VECTOR)
    assert type(caught.value) is type(plain.value)
    assert str(caught.value) == str(plain.value)
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert any(f.name == function.__name__ and f.filename == __file__ for f in frames)


def test_the_user_can_catch_an_error_of_numpy() -> None:
    def product(x: Any) -> Any:
        try:
            return x @ np.ones(7)
        except ValueError:
            return x * 2

    np.testing.assert_array_equal(pb.compile(product)(VECTOR), VECTOR * 2)


def test_a_call_with_wrong_arguments_is_pythons_error() -> None:
    function = pb.compile(lambda x, n: x * n)
    for arguments in [(), (VECTOR,), (VECTOR, 2, 3)]:
        with pytest.raises(TypeError, match="positional argument"):
            function(*arguments)
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        function(VECTOR, m=2)


def test_what_is_no_function_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="grad takes a function, not int"):
        pb.grad(5)
    with pytest.raises(pb.UnsupportedError, match="rows is a generator function"):

        @pb.compile
        def rows(x: Any) -> Any:
            yield from x

    with pytest.raises(pb.UnsupportedError, match="later is a coroutine function"):

        @pb.grad
        async def later(x: Any) -> Any:
            return x


def test_what_is_no_program_is_refused() -> None:
    with pytest.raises(TypeError, match=r"build takes an IR function or module.*, not an int"):
        pb.build(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="profile takes a function, not int"):
        pb.profile(5)  # type: ignore[arg-type]


def test_a_scan_outside_of_a_trace_names_what_is_no_pair() -> None:
    for found, shown in ((1.0, "one array or number"), ((1, 2, 3), "a tuple of 3"), ([], "a list")):
        with pytest.raises(pb.StructureError, match=f"this one returns {shown}"):
            pb.scan(lambda c, x, found=found: found, 0.0, np.ones(2))
    with pytest.raises(pb.ShapeError, match="there are no arrays, and no length"):
        pb.scan(lambda c, x: (c, x), 0.0)


def test_static_arguments_are_checked_at_once() -> None:
    with pytest.raises(pb.ArgumentError, match=r"static_argnames='q'.*`x`, `n`"):
        pb.compile(lambda x, n: x, static_argnames="q")
    with pytest.raises(pb.ArgumentError, match="static_argnums=9"):
        pb.compile(lambda x, n: x, static_argnums=9)
    with pytest.raises(pb.ArgumentError, match=r"argnums=1\.5"):
        pb.grad(lambda x: x, argnums=1.5)(1.0)


# ---- functions without source ------------------------------------------------------------------

SOURCELESS: dict[str, Any] = {}
exec(
    """
import numpy as np
W = np.ones(3)
kept = []
def product(x): return np.sin(x) * W * W
def number(x): return float(x[0]) * x
def keeps(x): kept.append(np.sin(x)); return x * 2.0
def uses(x): return kept[0] + x
""",
    SOURCELESS,
)


def test_without_source_dispatch_alone_is_used() -> None:
    compiled = pb.compile(SOURCELESS["product"])
    for weights in (np.full(3, 2.0), np.zeros(3)):
        SOURCELESS["W"] = weights
        np.testing.assert_array_equal(compiled(VECTOR), np.sin(VECTOR) * weights * weights)
        weights[0] = 7.0
        np.testing.assert_array_equal(compiled(VECTOR), np.sin(VECTOR) * weights * weights)


def test_without_source_the_error_says_so() -> None:
    with pytest.raises(pb.ConcretizationError) as caught:
        pb.compile(SOURCELESS["number"])(VECTOR)
    message = " ".join(str(caught.value).split())
    assert "`number` was traced without its source: its source cannot be found" in message
    assert message.endswith("can then not be traced: define it in a file.")


# ---- traced values that escape -----------------------------------------------------------------


def test_an_escaped_value_says_where_it_is_used() -> None:
    SOURCELESS["kept"].clear()
    with pytest.raises(pb.UnsupportedError, match="keeps changes something that it also reads"):
        pb.compile(SOURCELESS["keeps"])(VECTOR)
    kept = SOURCELESS["kept"][0]
    for use in (
        lambda: kept + 1.0,
        lambda: np.sin(kept),
        lambda: float(kept),
        lambda: bool(kept),
        lambda: np.asarray(kept),
        lambda: kept[0],
        lambda: pb.compile(lambda x: x + kept)(VECTOR),
        lambda: pb.grad(lambda x: np.sum(x * kept))(VECTOR),
    ):
        with pytest.raises(pb.EscapedError) as caught:
            use()
        assert "after the call that made it has ended" in str(caught.value)
        assert "test_errors.py:" in str(caught.value)
        assert "It was made here:\n  <string>:7 in keeps" in str(caught.value)
    assert repr(kept) == "<traced value: f64[3]>"
