"""Text at every run: print, f-strings, logging and warnings, as plain Python would do them."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.equality import equal_up_to_renaming
from pullback.ir.evaluate import evaluate
from pullback.ir.parser import parse_function

X = np.array([0.5, -1.25, 1e6])
Pair = namedtuple("Pair", ["first", "second"])
SINK = io.StringIO()
LOGGER = logging.getLogger("pullback.tests")


@dataclass
class Point:
    at: Any
    name: str = "p"


class Named:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"<named {self.value!r} {self.value:.2f}>"


def captured(function: Callable[..., Any], *args: Any) -> tuple[str, str, Any]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        result = function(*args)
    return out.getvalue(), err.getvalue(), result


def printed(show: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        show(x)
        return x * 2

    return function


PRINTS: dict[str, Callable[[Any], Any]] = {
    "an array": lambda x: print(x),
    "a scalar": lambda x: print(x.sum(), x[0]),
    "a scalar in a list": lambda x: print([x.sum(), float(x[0])], (x[1],)),
    "Python numbers": lambda x: print(float(x[0]), float(x[0]) * 2, x.size, x.shape),
    "nothing traced": lambda x: print("hello", 3, None, [1, "a"]),
    "nothing": lambda x: print(),
    "sep and end": lambda x: print("a", x[0], x[1], sep="--", end="!\n"),
    "sep and end of None": lambda x: print(1, x[0], sep=None, end=None),
    "stderr": lambda x: print(x, file=sys.stderr),
    "stdout, flushed": lambda x: print(x, file=sys.stdout, flush=True),
    "a dict": lambda x: print({"a": x, 2: [x[0]]}, {"k"}),
    "a named tuple": lambda x: print(Pair(x, 1)),
    "a dataclass": lambda x: print(Point(x[0])),
    "an own class": lambda x: print(Named(x[0]), [Named(x[1])]),
    "a bool": lambda x: print(x > 0, (x > 0).any()),
    "an int": lambda x: print(np.arange(3) * x.astype(int), x.astype(int).sum()),
    "a complex": lambda x: print(x * 1j, x[0] * 1j),
    "float32": lambda x: print(x.astype("f4"), x.astype("f4")[0]),
    "without axes": lambda x: print(np.array(x[0]), [np.array(x[0])]),
    "a matrix": lambda x: print(np.outer(x, x)),
    "an f-string": lambda x: print(f"x={x} {x.sum():.3f} {x[0]!r} {x[1]!s:>9} {3:04d} {'a'!r}"),
    "an f-string with =": lambda x: print(f"{x[0]=} {x.sum()=:.1f}"),
    "an f-string of a width": lambda x: print(f"{x[0]:>{x.size + 7}.2e}|"),
    "an f-string of a list": lambda x: print(f"{[x[0], x]}"),
    "an f-string twice": lambda x: print(f"{f'{x[0]:.1f}'} and {f'{x[1]}'!s}"),
    "str": lambda x: print(str(x) + "," + str(x[0]) + ";", str(x)),
    "repr": lambda x: print(repr(x), repr(x[0]), repr([x])),
    "format": lambda x: print(format(x[0], ".3f"), format(x[0]), format(float(x[1]), "+.1e")),
    "str.format": lambda x: print("{} {1:.2f} {a}".replace("{}", "{0}").format(x, x[0], a=x[1])),
    "percent": lambda x: print("%s and %.3f%%" % (x, x[0])),  # noqa: UP031
    "percent of one": lambda x: print("%r" % x),  # noqa: UP031
    "percent of names": lambda x: print("%(a)8.2f|%(b)s" % {"a": x[0], "b": "t"}),  # noqa: UP031
    "percent of widths": lambda x: print("%-12s|%12s|%d" % (x[0], x[1], x[2])),  # noqa: UP031
    "join": lambda x: print(", ".join([str(x[0]), "b", f"{x[1]:.1f}"])),
    "join of a generator": lambda x: print("; ".join(f"{v:.2f}" for v in x)),
    "added texts": lambda x: print("a" + f"{x[0]}" + "b" + f"{x[1]}"),
    "a loop": lambda x: [print(i, v) for i, v in enumerate(x)],
    "before a write": lambda x: overwrite(x),
    "options in a block": lambda x: in_options(x),
}


def overwrite(x: Any) -> None:
    y = x * 1.0
    text = f"{y}"
    y[0] = 7.0
    print(text, y)


def in_options(x: Any) -> None:
    print(x)
    with np.printoptions(precision=2, suppress=True):
        text = f"{x}"
        print(x)
        with np.printoptions(precision=1):
            print(x)
    print(x, end="\n")
    print(text)


@pytest.mark.parametrize("show", PRINTS.values(), ids=PRINTS)
@pytest.mark.parametrize("exact", [False, True])
def test_prints_are_pythons(show: Callable[[Any], Any], exact: bool) -> None:
    function = printed(show)
    program = pb.compile(function, exact=exact)
    for x in (X, X * 3.5):
        out, err, result = captured(function, x)
        assert captured(program, x)[:2] == (out, err)
        np.testing.assert_array_equal(program(x), result)
    assert program.cache_info().misses == 1


@pytest.mark.parametrize("show", PRINTS.values(), ids=PRINTS)
def test_a_gradient_prints_once(show: Callable[[Any], Any]) -> None:
    def loss(x: Any) -> Any:
        y = x * 2
        show(y)
        return np.sum(y**2)

    expected = captured(loss, X)[:2]
    for transform in (pb.grad, pb.value_and_grad):
        assert captured(transform(loss), X)[:2] == expected
    assert captured(lambda x: pb.vjp(loss, x)[1](1.0), X)[:2] == expected
    second = pb.grad(lambda x: np.sum(pb.grad(loss)(x)))
    assert captured(second, X)[:2] == expected


@pytest.mark.parametrize("show", PRINTS.values(), ids=PRINTS)
def test_the_text_of_the_program_prints_the_same(
    show: Callable[[Any], Any],
) -> None:
    function = pb.compile(printed(show)).inspect(X).stages[0].function
    parsed = parse_function(str(function))
    assert equal_up_to_renaming(function, parsed)
    assert captured(evaluate, parsed, X)[:2] == captured(printed(show), X)[:2]


def test_print_options_are_those_of_the_run() -> None:
    function = printed(lambda x: print(x, [x]))
    program = pb.compile(function)
    program(X)
    with np.printoptions(precision=1, legacy="1.25"):
        assert captured(program, X)[0] == captured(function, X)[0]


def in_a_loop(x: Any) -> Any:
    def step(c: Any, row: Any) -> Any:
        print("c", c, f"{row:.2f}")
        return 0.5 - c * row, c  # the same bits in every mode

    c, ys = pb.scan(step, 1.0, x)
    print("end", ys)
    return c + ys.sum()


def only_effects(x: Any) -> Any:
    def step(i: Any, c: Any) -> Any:
        print("i", i, x[0])
        return c

    pb.fori_loop(0, 3, step, x)
    return x.sum()


@pytest.mark.parametrize("function", [in_a_loop, only_effects])
def test_loops_print_in_every_iteration(function: Any) -> None:
    expected = captured(function, X / 10)[0]
    for transform in (pb.compile, pb.grad, pb.value_and_grad):
        assert captured(transform(function), X / 10)[0] == expected


def test_prints_before_an_error_have_happened() -> None:
    def function(x: Any) -> Any:
        print("before", x[0])
        y = np.linalg.inv(np.outer(x, x))
        print("after")
        return y

    def run(f: Any) -> None:
        with pytest.raises(np.linalg.LinAlgError):
            f(np.zeros(2))

    assert captured(run, pb.compile(function, exact=True))[0] == captured(run, function)[0]


def test_a_file_of_outside() -> None:
    def function(x: Any) -> Any:
        print("x", x, file=SINK)
        return x

    program = pb.compile(function)
    for _ in range(2):
        program(X)
    assert SINK.getvalue() == f"x {X}\n" * 2

    def into(file: Any, x: Any) -> Any:
        print(x, file=file)
        return x

    program = pb.compile(into)
    for _ in range(2):
        sink = io.StringIO()
        program(sink, X)
        assert sink.getvalue() == f"{X}\n"


def test_an_object_of_outside_shows_itself_at_every_run() -> None:
    held = Named(1.0)

    def function(x: Any) -> Any:
        print("held", held, x)
        return x

    program = pb.compile(function)
    for value in (1.0, 2.0):
        held.value = value
        assert captured(program, X)[0] == captured(function, X)[0]


# ---- logging, warnings, errors -------------------------------------------------------------------


def logs(x: Any) -> Any:
    LOGGER.warning("x[0] is %.2f of %s", x[0], x.shape)
    LOGGER.info(f"x is {x}")
    LOGGER.debug("not shown %s", x)
    logging.error("nothing traced")  # noqa: LOG015
    LOGGER.log(logging.ERROR, "level %r", x[0])
    return x * 2


def test_logging_at_every_run(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def records() -> list[Any]:
        found = [
            (r.name, r.levelname, r.getMessage(), r.pathname, r.lineno) for r in caplog.records
        ]
        caplog.clear()
        return found

    logs(X)
    expected = records()
    assert len(expected) == 4
    for transform in (pb.compile(logs), pb.grad(lambda x: logs(x).sum())):
        for _ in range(2):
            transform(X)
            assert records() == expected


def test_warnings_at_every_run() -> None:
    def function(x: Any) -> Any:
        warnings.warn(f"x is {x}", stacklevel=1)
        warnings.warn("deprecated", DeprecationWarning, stacklevel=1)
        warnings.warn(RuntimeWarning("an object"), stacklevel=1)
        return x

    def run(f: Any) -> list[Any]:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            f(X)
        return [(w.category, str(w.message), w.filename, w.lineno) for w in found]

    program = pb.compile(function)
    assert run(program) == run(function)
    assert run(program) == run(function)


def test_text_in_an_error_shows_what_is_traced() -> None:
    def function(x: Any) -> Any:
        if x.ndim == 1:
            raise ValueError(f"bad {x.shape}: {x}")
        return x

    with pytest.raises(ValueError, match=r"bad \(3,\): <traced x: f64\[3\]>"):
        pb.compile(function)(X)
    assert pb.compile(function)(X[None]).shape == (1, 3)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: {f"{x[0]}": x},
        lambda x: x if str(x[0]) == "1" else -x,
        lambda x: x * len(str(x)),
        lambda x: f"{x[0]}".upper(),
        lambda x: float(f"{x[0]}") * x,
        lambda x: x if "n" in str(x) else -x,
        lambda x: f"{str(x[0]) + 'a':>20}",
        lambda x: f"{x[0]}",
    ],
)
def test_what_needs_the_characters_is_refused(function: Any) -> None:
    with pytest.raises((pb.UnsupportedError, TypeError)):
        pb.compile(function)(X)


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (lambda x: print(f"{x:.2f}"), TypeError),
        (lambda x: print(f"{x[0]:d}"), ValueError),
        (lambda x: print("%d and %d" % (x[0],)), TypeError),  # noqa: F507, UP031
        (lambda x: print("%d" % (x[0], x[1])), TypeError),  # noqa: F507, UP031
        (lambda x: print(x, x, sep=3), TypeError),
    ],
)
def test_errors_of_formats_are_pythons(function: Any, error: type[Exception]) -> None:
    for f in (function, pb.compile(function)):
        with pytest.raises(error):
            f(X)


def test_trace_alone_prints_nothing() -> None:
    assert captured(pb.compile(printed(lambda x: print(x))).inspect, X)[0] == ""
