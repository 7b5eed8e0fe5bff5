"""Functions with rules as text, and the errors of rules."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.core import Function
from pullback.ir.equality import equal_up_to_renaming
from pullback.ir.printer import constants_of

X = np.array([0.3, 0.7, 1.1])


@pb.custom_vjp
def wave(x: Any, y: Any) -> Any:
    return np.sin(x) * y


wave.defvjp(lambda x, y: (wave(x, y), (x, y)), lambda kept, ct: (ct * kept[1], None))


def total(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: np.sum(function(*args))


def test_the_text_of_a_function_with_a_rule() -> None:
    traced = pb.grad(total(wave)).inspect(X, X).stages[0].function
    text = str(traced)
    assert "def body(x: f64[3], y: f64[3]) -> f64[3]:" in text
    assert "label='wave'" in text
    parsed = pb.parse(text, constants_of(traced))
    assert isinstance(parsed, Function)
    assert equal_up_to_renaming(parsed, traced)


def correct(x: Any, y: Any) -> Any:
    return x * y, (x, y)


def of_one(kept: Any, ct: Any) -> Any:
    return (ct * kept[1],)


def no_tuple(kept: Any, ct: Any) -> Any:
    return ct * kept[1]


def summed(kept: Any, ct: Any) -> Any:
    return ct * kept[1], np.sum(ct)


def single(kept: Any, ct: Any) -> Any:
    return ct * kept[1], ct.astype(np.float32)


def nested(kept: Any, ct: Any) -> Any:
    return ct * kept[1], (ct,)


def broken(kept: Any, ct: Any) -> Any:
    return ct @ np.ones((7, 7)), ct


def fine(kept: Any, ct: Any) -> Any:
    return ct * kept[1], ct * kept[0]


def no_pair(x: Any, y: Any) -> Any:
    return x * y


def other_type(x: Any, y: Any) -> Any:
    return np.sum(x * y), None


def other_structure(x: Any, y: Any) -> Any:
    return (x * y,), None


def product(x: Any, y: Any) -> Any:
    return x * y


def squared(primals: Any, tangents: Any) -> Any:
    return primals[0] * primals[1], tangents[0] * tangents[1]


def total_tangent(primals: Any, tangents: Any) -> Any:
    return primals[0] * primals[1], np.sum(tangents[0])


def no_tangent(primals: Any, tangents: Any) -> Any:
    return primals[0] * primals[1]


def clip(kept: Any, ct: Any) -> Any:
    return np.clip(ct, -1.0, 1.0), ct


def message(function: Callable[..., Any]) -> str:
    with pytest.raises(pb.PullbackError) as caught:
        function(X, X)
    text = re.sub(r"(test_custom_messages\.py):\d+", r"\1:N", str(caught.value))
    text = re.sub(r"(?m)^  .*/(test_custom_messages\.py)", r"  \1", text)
    text = re.sub(r"(?m)^ *\d+ \|", "      N |", text)
    return f"{type(caught.value).__name__}: {text}\n"


def test_messages(golden: Callable[[str, str], None]) -> None:
    def reverse_mode(forward: Any, backward: Any) -> str:
        function = pb.custom_vjp(product)
        function.defvjp(forward, backward)
        return message(pb.grad(total(function), argnums=(0, 1)))

    def forward_mode(rule: Any) -> str:
        function = pb.custom_jvp(product)
        function.defjvp(rule)
        return message(pb.grad(total(function)))

    def writes(x: Any, y: Any) -> Any:
        x[0] = 1.0
        return x * y

    def pushed(x: Any, y: Any) -> Any:
        function = pb.custom_vjp(product)
        function.defvjp(correct, clip)
        return pb.jvp(function, (x, y), (x, y))

    def selfish(x: Any, y: Any) -> Any:
        function = pb.custom_vjp(product)
        function.defvjp(lambda x, y: (product(x, y), pb.grad(total(function))(x, y)), fine)
        return np.sum(function(x, y))

    def by_name(x: Any, y: Any) -> Any:
        function = pb.custom_vjp(lambda x, *, y: x * y)
        function.defvjp(correct, fine)
        return np.sum(function(x, y=y))

    texts = [reverse_mode(correct, b) for b in (of_one, no_tuple, summed, single, nested, broken)]
    texts += [reverse_mode(f, fine) for f in (no_pair, other_type, other_structure)]
    texts += [forward_mode(r) for r in (squared, total_tangent, no_tangent)]
    texts += [message(pb.grad(total(pb.custom_vjp(product))))]
    texts += [message(pb.grad(total(pb.custom_jvp(product))))]
    texts += [message(f) for f in (pb.compile(pushed), pb.grad(selfish))]
    texts += [message(pb.grad(by_name))]
    golden("messages/custom_rules.txt", "\n".join(texts))
    function = pb.custom_vjp(writes)
    function.defvjp(correct, fine)
    with pytest.raises(ValueError, match="read-only"):
        pb.grad(total(function))(X, X)


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="custom_vjp takes a function"):
        pb.custom_vjp(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="defvjp takes a function"):
        wave.defvjp(correct, None)  # type: ignore[arg-type]
    with pytest.raises(pb.ArgumentError, match="nondiff_argnums"):
        pb.custom_jvp(product, nondiff_argnums=(0,)).defjvps(None, None)
