"""Random recursive functions: values against plain NumPy, gradients against differences.

`python tests/fuzz/test_recursion.py FIRST LAST` tries the seeds in between; it prints what differs.
"""

from __future__ import annotations

import linecache
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / ".src"))

import pullback as pb
from pullback.ir.core import walk
from pullback.ir.ops.recursion import Recursion

SEEDS = 16
DEPTHS = (3.0, 0.0, 4.0)


class Program:
    """The text of a function with a recursive one inside: `program(x, w, v, n)`."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.is_array = self.random.random() < 0.6
        self.pairs = self.random.random() < 0.4
        self.sums = self.random.random() < 0.4

    def text(self) -> str:
        """Return the function's source."""
        names = ["x", *(["s"] if self.sums else [])]
        lines = [f"    def g(x, n, k{', s' if self.sums else ''}):", "        if n < 1.0:"]
        lines.append(f"            return {self.returned(names)}")
        lines.append(f"        y = {self.value(2, names)}")
        names.append("y")
        if self.is_array and self.random.random() < 0.4:
            lines += ["        z = np.zeros(3)", "        z[1] = v[k % 4]", "        y = y + z * n"]
        if self.random.random() < 0.4:
            lines += ["        if np.sum(y) > 1.0:", f"            return {self.returned(names)}"]
        if self.random.random() < 0.3:
            step = f"y = y * 0.9 + {self.value(1, names)} * v[i % 4]"
            lines += ["        for i in range(5):", f"            {step}"]
        for pair in ("a", "b"), ("c", "d"):
            results = ", ".join(pair if self.pairs else pair[:1])
            lines.append(f"        {results} = {self.call(names)}")
            names += pair if self.pairs else pair[:1]
            if self.random.random() < 0.5:
                break
        lines.append(f"        return {self.returned(names)}")
        lines.append(f"    r = g(x, n, 0{', x * 0.5' if self.sums else ''})")
        lines.append(f"    return {'np.sum(r[0]) + np.sum(r[1])' if self.pairs else 'np.sum(r)'}")
        return "\n".join(["def program(x, w, v, n):", *lines, ""])

    def returned(self, names: Sequence[str]) -> str:
        return ", ".join([self.value(2, names) for _ in range(2 if self.pairs else 1)])

    def call(self, names: Sequence[str]) -> str:
        more = f", {self.value(1, names)}" if self.sums else ""
        left = self.random.choice(["1.0", "2.0"])
        return f"g({self.value(1, names)}, n - {left}, k + 1{more})"

    def value(self, depth: int, names: Sequence[str]) -> str:
        weight = "(w - x)" if self.is_array else "(w[1] + x)"
        if depth == 0 or self.random.random() < 0.2:
            return self.random.choice([*names, *names, weight, "w[0] * x", "(v[k % 4] - x)"])
        a, b = self.value(depth - 1, names), self.value(depth - 1, names)
        forms = [f"({a} + {b})", f"({a} - {b})", f"({a} * {b})", f"({a} * v[(k + 1) % 4])"]
        forms += [f"np.{f}({a})" for f in ("sin", "cos", "tanh")]
        if self.is_array:
            forms.append(f"np.where({a} > {b}, {a}, {b} * 0.5)")
        return self.random.choice(forms)


def function_of(text: str, seed: int) -> Callable[..., Any]:
    filename = f"<recursion {seed}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
    namespace: dict[str, Any] = {"np": np, "__name__": "recursive_program"}
    exec(compile(text, filename, "exec"), namespace)
    made: Callable[..., Any] = namespace["program"]
    return made


def slopes(function: Callable[..., Any], args: Sequence[Any], k: int, along: Any) -> list[Any]:
    """Return differences along a direction with two steps: one may cross a branch."""
    found = []
    for step in (1e-5, 1e-7):
        ends = [
            function(*args[:k], args[k] + sign * step * along, *args[k + 1 :]) for sign in (1, -1)
        ]
        found.append((ends[0] - ends[1]) / (2.0 * step))
    return found


def difference(seed: int) -> tuple[str, bool]:
    """Return how a program differs, "" where it does not, and whether it holds a recursion."""
    program = Program(seed)
    function = function_of(program.text(), seed)
    rng = np.random.default_rng(seed)
    x: Any = 0.5 * rng.standard_normal(3) if program.is_array else 0.5 * float(rng.normal())
    args = (x, rng.standard_normal(3), rng.standard_normal(4), 3.0)
    compiled = pb.compile(function, exact=True)
    for depth in DEPTHS:
        expected, found = function(*args[:3], depth), compiled(*args[:3], depth)
        if not np.array_equal(expected, found) or type(expected) is not type(found):
            return f"at depth {depth} it is {found}, not {expected}", True
    forward = compiled.inspect(*args).forward
    is_compiled = any(isinstance(e.op, Recursion) for e in walk(forward))
    gradient = pb.grad(function, argnums=(0, 1, 2))
    for k, found in enumerate(gradient(*args)):
        along = rng.standard_normal(np.shape(args[k]))[()]
        expected = slopes(function, args, k, along)
        if not any(np.isclose(np.sum(found * along), e, rtol=1e-4, atol=1e-5) for e in expected):
            return f"slope {k} is {np.sum(found * along)}, not {expected}", is_compiled
    if is_compiled:
        along = rng.standard_normal(3)
        first = pb.grad(function, argnums=1)
        second = pb.grad(lambda *a: np.sum(first(*a) * along), argnums=1)(*args)
        expected = slopes(first, args, 1, along)
        if not any(np.allclose(second, e, rtol=1e-3, atol=1e-4) for e in expected):
            return f"the second derivative is {second}, not {expected}", is_compiled
    return "", is_compiled


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_random_recursion(seed: int) -> None:
    message, is_compiled = difference(seed)
    assert not message, f"{message}\n{Program(seed).text()}"
    assert is_compiled


if __name__ == "__main__":
    np.seterr(all="ignore")
    for number in range(*map(int, sys.argv[1:3])):
        text, _ = difference(number)
        if text:
            print(number, text)
