"""Random smooth programs as text, from one array to a number, for derivatives of higher order.

Most axes have three elements, as many as there are directions and examples, so that an axis taken
for another one gives wrong numbers and no error. NumPy runs each statement at once; what it refuses
is left out.
"""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np

Shape = tuple[int, ...]

LARGEST = 27
SHAPES: list[Shape] = [(3,), (3,), (3, 3), (2, 3), (3, 1), (1, 3), (3, 3, 3), (1,)]
ELEMENTWISE = [
    "np.sin({a})", "np.tanh({a})", "np.exp(0.3 * np.sin({a}))", "{a} ** 2", "{a} ** 3",
    "np.sqrt(1.5 + np.sin({a}))", "0.7 * {a}", "1.0 / (2.0 + np.sin({a}))", "np.cos({a})",
    "np.log(2.0 + np.cos({a}))", "np.abs(np.exp(1j * {a}) + 0.5)", "np.exp({a} * 1j).real",
    "np.real(({a} + 0.5j) ** 2 * np.conj({a} * 1j + 1))",
]  # fmt: skip
BINARY = [
    "{a} + {b}", "{a} - {b}", "{a} * {b}", "{a} * {b}", "np.sin({a} * {b})",
    "{a} / (2.5 + np.cos({b}))", "np.hypot({a}, 1.5 + np.sin({b}))", "np.logaddexp({a}, {b})",
    "np.arctan2({a}, 2.0 + np.tanh({b}))", "{a} @ {b}", "np.outer({a}, {b})",
    "np.tensordot({a}, {b}, axes=0)", "np.concatenate([{a}, {b}], axis={axis})",
    "np.einsum('ij,jk->ik', {a}, {b})", "np.einsum('i,j->ij', {a}, {b})",
    "np.einsum('ij,j->i', {a}, {b})", "np.einsum('ij,kj->ik', {a}, {b})",
    "np.einsum('...i,...i->...', {a}, {b})", "np.where({mask}, {a}, {b})",
    "np.linalg.solve({a} + 4 * np.eye(3), {b})",
]  # fmt: skip
REDUCING = [
    "np.sum({a}, axis={axis}, keepdims={flag})", "np.mean({a}, axis={axis}, keepdims={flag})",
    "np.prod({a}, axis={axis}, keepdims={flag})", "np.var({a}, axis={axis}, keepdims={flag})",
    "np.sum({a})", "np.sqrt(1.0 + np.sum({a}**2, axis={axis}))", "np.cumsum({a}, axis={axis})",
    "np.cumprod({a}, axis={axis})", "np.einsum('ii->i', {a})", "np.trace({a})",
    "np.linalg.inv({a} + 4 * np.eye(3))", "np.linalg.det({a} + 3 * np.eye(3))",
    "np.linalg.slogdet({a} + 4 * np.eye(3))[1]", "np.real(np.fft.fft({a}))",
    "np.linalg.cholesky({a} @ np.swapaxes({a}, -1, -2) + 2 * np.eye(3))",
]  # fmt: skip
MOVING = [
    "{a}.T", "np.swapaxes({a}, 0, {axis})", "{a}[None]", "{a}[..., None]", "{a}[0]", "{a}[..., -1]",
    "{a}[::-1]", "{a}[1:]", "{a}[:, 0:1]", "{a}[np.array([2, 0, 2])]", "{a}[:, [1, 1, 0]]",
    "np.broadcast_to({a}, (3, *{a}.shape))", "np.reshape({a}, -1)", "np.reshape({a}, (3, -1))",
    "np.reshape({a}, (1, -1))", "np.roll({a}, 1, axis={axis})", "np.flip({a}, axis={axis})",
    "np.diagonal({a})", "np.tril({a})", "np.diff({a}, axis={axis})",
    "np.stack([{a}, np.sin({a}), {a} * 2.0], axis={axis})", "np.pad({a}, 1)",
    "np.take_along_axis({a}, np.array([[2, 0, 1]]), axis=0)",
]  # fmt: skip
WRITES = [
    "{v}[0] *= 1.5", "{v}[..., -1] = 0.3 * {v}[..., -1] ** 2", "{v}[:1] += np.sin(np.sum({a}))",
    "{v}[...] -= np.cos({b})", "{v}[{mask}] *= 2.0", "{v}[[0, -1]] = {v}[[-1, 0]]",
    "np.add.at({v}, [0, 0, 2], 0.5 * np.sin({v}[0]))", "np.multiply({v}, np.sin({a}), out={v})",
    "{v}.T[...] += {b}", "{v}.reshape(-1)[1:] *= {v}.reshape(-1)[:-1]",
]  # fmt: skip
BLOCKS = [
    "for i in range(3):\n    {v}[i] = np.sin({v}[i]) * np.sum({a})",
    "for i in range(1, 3):\n    {v}[i] = np.tanh({v}[i - 1] + {v}[i] * {b})",
    "k = 0\nwhile k < 3:\n    {v} = np.tanh({v} + {a} * k)\n    k += 1",
    "for i in range(3):\n    if i == 1:\n        {v} = -{v}\n    else:\n        {v} += 0.1 * {b}",
    "if np.sum({a}) > 0.0:\n    {v} = {v} * np.sum(np.sin({a}))\nelse:\n    {v} = {v} ** 2 + 0.1",
    "for i in range(3):\n    if np.sum({v}[i]) > 0:\n        {v}[i] *= np.cos({a}[i])",
]
ENDS = ["np.sum({a}**2)", "np.sum(np.sin({a}))", "np.sum({a})", "np.mean({a}**3)"]
ERRORS = (ValueError, TypeError, IndexError, np.linalg.LinAlgError)


class Smooth:
    """A program under way: its lines, and what its names hold when NumPy runs them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.shape = self.random.choice(SHAPES)
        start = np.random.default_rng(seed).uniform(-1, 1, self.shape)
        self.names: dict[str, Any] = {"x": start}
        self.lines: list[str] = []
        for _ in range(self.random.randint(3, 9)):
            self.add()
        made = list(self.names)[-3:]
        total = " + ".join([self.random.choice(ENDS).format(a=name) for name in made])
        lines = "\n".join([*self.lines, f"return {total}"]).splitlines()
        self.text = "\n    ".join(["def program(x):", *lines]) + "\n"

    def add(self) -> None:
        """Add a statement that NumPy takes, if it does take the one that is drawn."""
        v = f"v{len(self.lines)}"
        forms = self.random.choice([ELEMENTWISE, BINARY, BINARY, REDUCING, MOVING, WRITES, BLOCKS])
        names = list(self.names)
        filling = {
            "v": v,
            "a": self.random.choice(names),
            "b": self.random.choice([*names, "0.5", "np.array([0.3, -1.1, 0.6])"]),
            "axis": self.random.choice([0, 0, 1, -1]),
            "flag": self.random.choice([True, False]),
            "mask": "np.arange(3) > 0",
        }
        form = self.random.choice(forms)
        is_kept = forms is WRITES or forms is BLOCKS
        text = f"{v} = np.array({{a}})\n{form}" if is_kept else f"{v} = {form}"
        self.execute(text.format(**filling), v)

    def execute(self, text: str, v: str) -> None:
        names: dict[str, Any] = {"np": np, **self.names}
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                exec(text, names)
            except ERRORS:
                return
        made = names[v]
        if np.size(made) in range(1, LARGEST + 1) and np.all(np.abs(made) < 100):
            self.lines.append(text)
            self.names[v] = np.asarray(made)
