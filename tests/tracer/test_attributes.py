"""Attributes of arrays, scalar types called as functions, and what is refused, against NumPy."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import against_numpy as against
import numpy as np
import pytest

import pullback as pb
from pullback.ir.samples import numbers

Case = Callable[..., Any]

TYPES: dict[str, Case] = {
    "float32": lambda x: np.float32(x),
    "float64": lambda x: np.float64(x),
    "half": lambda x: np.half(x),
    "complex64": lambda x: np.complex64(x),
    "complex128 of two": lambda x: np.complex128(np.real(x).flat[0], 2.0),
    "int64": lambda x: np.int64(np.real(x)),
    "int8": lambda x: np.int8(np.real(x)),
    "bool": lambda x: np.bool_(x),
    "list": lambda x: np.float32([np.real(x).flat[0], 1.0]),
    "rows": lambda x: np.float64([np.real(x).ravel()[:2], [1, 2]]),
    "scalar": lambda x: np.float32(np.real(x).flat[0]) * 2,
    "of a Python float": lambda x: np.float32(float(np.real(x).flat[0])),
    "int of a Python float": lambda x: np.int32(float(np.real(x).flat[0]) * 100),
    "too large": lambda x: np.int8(float(np.real(x).flat[0]) * 1e5 + 1e5),
    "nan": lambda x: np.int32(float(np.real(x).flat[0]) * np.inf * 0),
    "fromiter": lambda x: np.fromiter((v * 2 for v in np.real(x).ravel()), float),
    "fromiter ints": lambda x: np.fromiter((v * 2 for v in np.real(x).ravel()), np.int32),
    "fromiter some": lambda x: np.fromiter((v for v in np.real(x).ravel()), "f4", 1),
    "fromiter too many": lambda x: np.fromiter((v for v in np.real(x).ravel()), "f4", 99),
    "fromiter numbers": lambda x: np.fromiter(range(4), float) * np.real(x).flat[0],
    "isinstance": lambda x: x * isinstance(np.float32(np.real(x).flat[0]), np.float32),
}

ARRAYS: dict[str, np.ndarray] = {
    "vector": numbers(3),
    "matrix": numbers(2, 3),
    "fortran": np.asfortranarray(numbers(2, 3)),
    "transposed": numbers(2, 3, 4).transpose(2, 0, 1),
    "strided": numbers(6)[::2],
    "0-d": np.asarray(1.5),
    "scalar": np.float64(-0.75),  # type: ignore[dict-item]
    "float32": numbers(3, dtype="f4"),
    "complex": numbers(3, dtype="c16"),
    "int": numbers(3, dtype="i8", low=0, high=99),
}


@pytest.mark.parametrize("name", TYPES)
def test_scalar_types_convert(name: str) -> None:
    for label, x in ARRAYS.items():
        try:
            against.compare(TYPES[name], [x])
        except BaseException as error:
            error.add_note(f"on {label}: {x!r}")
            raise


def test_scalar_types_differentiate() -> None:
    for name in ("float64", "rows", "complex128 of two", "fromiter"):
        against.differentiate(TYPES[name], [numbers(4)])
    assert pb.grad(lambda x: np.sum(np.float32(x) ** 2))(np.array([1.0, 2.0])).tolist() == [2, 4]


def test_a_scalar_type_of_a_complex_number_raises_as_in_numpy() -> None:
    with pytest.raises(TypeError, match="not 'complex'"):
        pb.compile(lambda x: np.float64(complex(x[0])))(numbers(2))


def answered(question: Case, x: Any) -> Any:
    """Return the answer to a question that is asked while tracing."""
    answers: list[Any] = []
    pb.compile(lambda x: [answers.append(question(x)), x * 1][1])(x)
    return answers[0]


FLAGS = ("c_contiguous", "f_contiguous", "contiguous", "fortran", "fnc", "forc", "aligned")
FLAGS += ("carray", "farray", "behaved", "writeable")
KEYS = ("C", "F", "CONTIGUOUS", "FORTRAN", "W", "A", "B", "CA", "FA", "FNC", "FORC", "CARRAY")


@pytest.mark.parametrize("name", FLAGS)
def test_flags_are_those_of_numpy(name: str) -> None:
    for label, x in ARRAYS.items():
        assert answered(lambda x: getattr(x.flags, name), x) == getattr(x.flags, name), label


@pytest.mark.parametrize("key", KEYS)
def test_flags_have_short_names(key: str) -> None:
    x = numbers(3, 4)
    assert answered(lambda x: x.flags[key], x) == x.flags[key]
    assert answered(lambda x: x.T[1:].flags[key], x) == x.T[1:].flags[key]


def test_flags_of_what_is_computed() -> None:
    assert answered(lambda x: (x * 2).T.flags.f_contiguous, numbers(3, 4))
    assert not answered(lambda x: np.broadcast_to(x, (2, 3, 4)).flags.writeable, numbers(3, 4))


def test_setting_writeable_holds() -> None:
    def lock(x: Any) -> Any:
        y = x.copy()
        y.flags.writeable = False
        y[0] = 1.0
        return y

    with pytest.raises(ValueError, match="read-only"):
        pb.compile(lock)(numbers(3))


def test_arrays_have_a_device_and_a_namespace() -> None:
    x = numbers(3)
    against.compare(lambda x: x.__array_namespace__().sin(x), [x])
    against.compare(lambda x: x.to_device("cpu") * (x.device == "cpu"), [x])
    against.compare(lambda x: x.to_device("gpu"), [x])
    against.compare(lambda x: x.to_device("cpu", stream=1), [x])
    against.compare(lambda x: x.__array_namespace__(api_version="1") and x, [x])
    against.compare(lambda x: x.argpartition(1), [x])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: np.load("a.npy") + x, r"np.load cannot be traced(.|\n)*reads a file(.|\n)*pass"),
        (lambda x: [np.save("a.npy", x), x][1], r"writes a file(.|\n)*Return the array"),
        (lambda x: [np.seterr(all="ignore"), x][1], r"set what is outside"),
        (lambda x: np.frombuffer(x), r"np.frombuffer cannot(.|\n)*memory"),
        (lambda x: np.poly1d(x)(2.0), r"leading zeros(.|\n)*polyval"),
        (lambda x: np.asmatrix(x), r"subclass(.|\n)*A @ B"),
        (lambda x: [x.tobytes(), x][1], r"`tobytes` of an array cannot be traced.(.|\n)*bytes are"),
        (lambda x: [pickle.dumps(x), x][1], r"bytes are known only when"),
        (lambda x: x if x.base is None else x + 1, r"Whose memory"),
        (lambda x: x if x.flags.owndata else x + 1, r"Whose memory"),
        (lambda x: x[x > 0].flags.f_contiguous * x, r"depends on its size"),
        (lambda x: np.frompyfunc(len, 1, 1)(x), r"Python objects(.|\n)*np.vectorize"),
        (lambda x: np.matmul(x[x > 0], x[x > 0], axes=[0, 0, ()]), r"known only at run time"),
    ],
)
def test_what_is_refused_says_why_and_what_to_write(function: Case, message: str) -> None:
    with pytest.raises(pb.UnsupportedError, match=message):
        pb.compile(function)(numbers(3))


def test_refused_functions_are_as_ever_outside(tmp_path: Path) -> None:
    compiled = pb.compile(lambda x: x * 2)
    np.save(tmp_path / "a.npy", compiled(numbers(3)))
    assert np.load(tmp_path / "a.npy").tolist() == (numbers(3) * 2).tolist()


def test_copies_are_arrays_of_their_own() -> None:
    def copied(x: Any) -> Any:
        y, z = copy.copy(x), copy.deepcopy([x])[0]
        y[0], z[1] = 5.0, 6.0
        return x * 1, y, z

    against.compare(copied, [numbers(3)])


def test_constants_decide_branches_while_tracing() -> None:
    def counted(x: Any) -> Any:
        n = np.array(0)
        while n < 3:
            x, n = x * 2, n + 1
        k = np.asarray(2)
        return x * int(k) if k > 1 else x

    against.compare(counted, [numbers(3)])
