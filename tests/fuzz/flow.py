"""Random programs with loops and branches, as text: state of every kind, writes, early exits.

Vectors have 5 elements and matrices 5 by 5, so that any name fits any place. What a block binds is
not read after it, but now and then in the end, where it may have no value.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
Lines = list[str]

PRELUDE = """
class Thing:
    def __init__(self):
        self.p = 0.25
        self.n = 0

def bump(v, i, z):
    v[i] += z
    for k in range(2):
        v[k] = v[k] * 0.5
    return v

"""
START = ['d = {"p": 0.5, "q": np.zeros(5)}', "o = Thing()", "t = (0.0, a, 0)", "p = None"]
LISTS = "[np.sum(np.stack([np.sum(q) for q in L])) if L else 0.0 for L in [{}]]"
DEEPEST = 3


def arguments(seed: int) -> list[Any]:
    """Return the arguments of a program: some call for another path than others."""
    rng = np.random.default_rng(seed)
    sign = (1, -1, 1)[seed % 3]
    return [
        sign * rng.normal(size=5) * 0.7,
        rng.random(5) - 0.3,
        rng.normal(size=(5, 5)) * 0.5,
        rng.integers(0, 5, size=3),
        float(rng.normal()),
        3,
    ]


class Flow:
    """A program under way, and the names that it may use: by kind, as the block has them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.numbers = itertools.count()
        self.names: dict[str, Lines] = {
            "s": ["x"], "v": ["a", "b"], "m": ["M"], "i": [], "n": [], "flag": [], "L": [],
        }  # fmt: skip
        self.maybe: dict[str, None] = {}
        self.loops = 0
        self.left = self.random.randint(6, 22)

    def text(self) -> str:
        """Return the whole program."""
        body: Lines = []
        while self.left > 0:
            body += self.block(0)
        names = self.names
        kept = [*names["s"], *names["v"], *names["m"], *names["flag"], *names["n"]]
        kept += [name for name in sorted(self.maybe) if self.chance(0.25)]
        lists = LISTS.format(", ".join(names["L"]))
        end = f'return ({", ".join(kept)}, d["p"], d["q"], o.p, o.n, t, p, {lists})'
        lines = "\n".join(indented([*START, *body, end]))
        return f"{PRELUDE}def program(a, b, M, c, x, n):\n{lines}\n"

    # -- drawing -----------------------------------------------------------------------------------

    def one(self, choices: list[T]) -> T:
        return self.random.choice(choices)

    def name(self, kind: str) -> str:
        return self.one(self.names[kind])

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def fresh(self, kind: str) -> str:
        made = f"{kind}{next(self.numbers)}"
        self.names[kind].append(made)
        return made

    def bind(self, kind: str, value: str) -> Lines:
        known = self.names[kind]
        name = self.one(known) if known and self.chance(0.65) else self.fresh(kind)
        return [f"{name} = {value}"]

    # -- expressions -------------------------------------------------------------------------------

    def index(self) -> str:
        forms = ["0", "2", "-1", "4", "c[0]", "c[1]"]
        for name in (*self.names["i"], *self.names["n"]):
            forms += [f"{name} % 5", f"({name} + 1) % 5", f"({name} * 2 + 1) % 5"] * 2
        forms += [f"{i} % 5 - 1" for i in self.names["i"]]
        return self.one(forms)

    def cut(self) -> str:
        whole = [*self.names["i"], *self.names["n"]]
        return self.one(["2", "3", *[f"{i} % 5" for i in whole], *[f"{i} % 5 + 1" for i in whole]])

    def scalar(self, depth: int = 0) -> str:
        forms: list[Callable[[], str]] = [
            lambda: self.name("s"),
            lambda: self.name("s"),
            lambda: f"{self.name('v')}[{self.index()}]",
            lambda: f"{self.name('v')}[{self.index()}]",
            lambda: f"{self.name('m')}[{self.index()}, {self.index()}]",
            lambda: self.one(["0.5", "1.25", "-0.75"]),
        ]
        inner = depth + 1
        if self.names["i"]:
            forms.append(lambda: f"{self.name('i')} * 0.25")
        if depth < 2:
            forms += [
                lambda: f"({self.scalar(inner)} * 0.5 + {self.scalar(inner)})",
                lambda: f"np.sin({self.scalar(inner)})",
                lambda: f"np.tanh({self.scalar(inner)} * {self.scalar(inner)})",
                lambda: f"np.sum({self.vector(inner)}) * 0.2",
                lambda: f"np.sum({self.name('v')}[:{self.cut()}]) * 0.3",
                lambda: f"abs({self.scalar(inner)})",
                lambda: f"({self.scalar(inner)} if {self.test(inner)} else {self.scalar(inner)})",
            ]
        return self.one(forms)()

    def vector(self, depth: int = 0) -> str:
        inner = depth + 1
        forms: list[Callable[[], str]] = [
            lambda: self.name("v"),
            lambda: self.name("v"),
            lambda: f"{self.name('m')}[{self.index()}]",
            lambda: f"{self.name('m')}[:, {self.index()}]",
        ]
        if depth < 2:
            forms += [
                lambda: f"np.sin({self.vector(inner)})",
                lambda: f"({self.vector(inner)} * 0.5 + {self.vector(inner)})",
                lambda: f"({self.vector(inner)} * {self.scalar(inner)})",
                lambda: f"{self.vector(inner)}[::-1]",
                lambda: f"np.roll({self.vector(inner)}, 1)",
                lambda: f"np.where({self.vector(inner)} > 0, {self.vector(inner)}, 0.1)",
                lambda: f"{self.name('v')}.copy()",
            ]
        return self.one(forms)()

    def test(self, depth: int = 0) -> str:
        inner = depth + 1
        forms: list[Callable[[], str]] = [
            lambda: f"{self.scalar(2)} > {self.one(['0.1', '0', '-0.3'])}",
            lambda: f"{self.scalar(2)} < {self.scalar(2)}",
            lambda: f"-0.5 < {self.scalar(2)} <= 0.8",
            lambda: f"np.any({self.vector(2)} > 0.6)",
        ]
        if self.names["i"]:
            forms += [lambda: f"{self.name('i')} % 2 == 0", lambda: f"{self.name('i')} > c[0]"]
        if self.names["flag"]:
            forms += [lambda: self.name("flag"), lambda: f"not {self.name('flag')}"]
        if depth < 2:
            forms += [
                lambda: f"({self.test(inner)} and {self.test(inner)})",
                lambda: f"({self.test(inner)} or {self.test(inner)})",
                lambda: f"not ({self.test(inner)})",
            ]
        return self.one(forms)()

    # -- blocks ------------------------------------------------------------------------------------

    def block(self, depth: int) -> Lines:
        lines: Lines = []
        for _ in range(self.random.randint(1, 4)):
            if self.left > 0:
                self.left -= 1
                lines += self.statement(depth)
        return lines or ["pass"]

    def scoped(self, make: Callable[[], Lines]) -> Lines:
        """Return a block; what it binds is forgotten."""
        before = {kind: list(names) for kind, names in self.names.items()}
        lines = indented(make())
        for kind, names in self.names.items():
            self.maybe.update(dict.fromkeys(n for n in names if n not in before[kind]))
        self.names = before
        return lines

    def statement(self, depth: int) -> Lines:
        forms = [self.assign] * 4 + [self.assign_vector] * 3 + [self.write] * 5
        forms += [self.exchange, self.flag, self.alias, self.start_list, self.state]
        if self.loops:
            forms += [self.leave] * 2 + [self.append] * 2
        if depth < DEEPEST:
            nested = [self.for_] * 5 + [self.if_] * 4 + [self.while_]
            return self.one(
                [*[lambda f=f: f() for f in forms], *[lambda f=f: f(depth) for f in nested]]
            )()
        return self.one(forms)()

    def if_(self, depth: int) -> Lines:
        lines = [f"if {self.test()}:", *self.scoped(lambda: self.block(depth + 1))]
        if self.chance(0.3):
            lines += [f"elif {self.test()}:", *self.scoped(lambda: self.block(depth + 1))]
        if self.chance(0.6):
            lines += ["else:", *self.scoped(lambda: self.block(depth + 1))]
        return lines

    def for_(self, depth: int) -> Lines:
        head: Lines = []

        def body() -> Lines:
            head.append(self.head(depth))
            self.loops += 1
            lines = self.block(depth + 1)
            self.loops -= 1
            return lines

        lines = self.scoped(body)
        lines = [*head, *lines]
        if self.chance(0.12):
            lines += ["else:", *self.scoped(lambda: self.block(depth + 1))]
        return lines

    def head(self, depth: int) -> str:
        most = self.one(["7", "12", "15", "5"] if depth == 0 else ["3", "5", "4", "8"])
        ranges = [f"range({most})"] * 4 + ["range(c[2])"] * 2
        ranges += [
            f"range(1, {most})", f"range({most}, 0, -1)", f"range({most}, -1, -2)", "range(0)",
            "range(c[0], c[0] + 4)", "range(n)", "range(n, -2, -1)",
        ]  # fmt: skip
        for i in self.names["i"]:
            ranges += [f"range({i} % 5)", f"range({i}, 6)", f"range({i} % 5, -1, -1)"] * 2
        vector, other = self.name("v"), self.vector(1)
        kind = self.random.random()
        if kind < 0.7:
            over = self.one(ranges)
            return f"for {self.fresh('i')} in {over}:"
        if kind < 0.77:
            over = self.one([vector, other, f"reversed({vector})"])
            return f"for {self.fresh('s')} in {over}:"
        if kind < 0.85:
            return f"for {self.fresh('i')}, {self.fresh('s')} in enumerate({vector}):"
        if kind < 0.92:
            return f"for {self.fresh('s')}, {self.fresh('s')} in zip({vector}, {other}):"
        matrix = self.name("m")
        return f"for {self.fresh('v')} in {self.one([matrix, f'{matrix}.T'])}:"

    def while_(self, depth: int) -> Lines:
        test = self.one([self.test(1), "True"])
        count = self.fresh("n")

        def body() -> Lines:
            self.loops += 1
            lines = [f"{count} += 1", *self.block(depth + 1)]
            self.loops -= 1
            return lines

        return [f"{count} = 0", f"while {count} < 7 and ({test}):", *self.scoped(body)]

    def leave(self) -> Lines:
        leave = self.one(["break", "continue", "continue", "return (x, a)"])
        return [f"if {self.test()}:", f"    {leave}"]

    # -- statements --------------------------------------------------------------------------------

    def assign(self) -> Lines:
        if self.chance(0.4):
            return [f"{self.name('s')} {self.one(['+=', '-='])} {self.scalar()}"]
        return self.bind("s", self.scalar())

    def assign_vector(self) -> Lines:
        if self.chance(0.3):
            return [f"{self.name('v')} {self.one(['+=', '-='])} {self.vector()} * 0.5"]
        return self.bind("v", self.vector())

    def write(self) -> Lines:
        v, m, i, j = self.name("v"), self.name("m"), self.index(), self.index()
        scalar, vector = self.scalar(1), self.vector(1)
        # A product is no view: NumPy does not look after every overlap.
        forms = [
            f"{v}[{i}] = {scalar}", f"{v}[{i}] += {scalar}", f"{v}[1:] = {vector}[:-1] * 1.0",
            f"{v}[:{self.cut()}] *= 0.5", f"{v}[{self.cut()}:] = {scalar}",
            f"{m}[{i}] = {vector} * 1.0", f"{m}[:, {i}] += {vector} * 1.0",
            f"{m}.T[{i}] = {vector} * 1.0", f"{m}[{i}, {j}] = {scalar}",
            f"{m}[{i}][{j}] += {scalar}", f"{v}[::-1][{i}] = {scalar}", f"bump({v}, {i}, {scalar})",
            f"{m}[{i}, :{self.cut()}] -= {scalar}", f"{v}[{v} > 0.9] = 0.25",
            f"np.add({v}, {vector} * 0.5, out={v})",
        ]  # fmt: skip
        return [self.one(forms)]

    def exchange(self) -> Lines:
        v, m, i, j = self.name("v"), self.name("m"), self.index(), self.index()
        one, two = self.random.sample(self.names["v"], 2)
        forms = [
            f"{one}, {two} = {two}, {one}", f"{one}, {two} = {two}, {self.vector(1)}",
            f"{v}[{i}], {v}[{j}] = {v}[{j}], {v}[{i}]",
            f"{m}[{i}], {m}[{j}] = {m}[{j}].copy(), {m}[{i}].copy()",
        ]  # fmt: skip
        return [self.one(forms)]

    def flag(self) -> Lines:
        if self.chance(0.3):
            counted = self.names["n"]
            return [f"{self.one(counted)} += 1"] if counted else self.bind("n", "0")
        return self.bind("flag", self.one([self.test(1), "True", "False"]))

    def alias(self) -> Lines:
        v, m, i = self.name("v"), self.name("m"), self.index()
        return self.bind("v", self.one([v, f"{v}[::-1]", f"{m}[{i}]", f"{m}.T[{i}]"]))

    def start_list(self) -> Lines:
        if self.names["L"] and self.chance(0.5):
            known = self.name("L")
            return [f"if {known}:", f"    {known}[0] = {known}[0] * 0.5"]
        first = self.one(["[]", f"[{self.scalar(1)}]", f"[{self.vector(1)}]"])
        return [f"{self.fresh('L')} = {first}"]

    def append(self) -> Lines:
        if not self.names["L"]:
            return self.assign()
        return [f"{self.name('L')}.append({self.one([self.scalar(1), self.vector(1)])})"]

    def state(self) -> Lines:
        scalar, vector = self.scalar(1), self.vector(1)
        kind = self.random.randrange(7)
        if kind == 0:
            return [f'd["p"] = d["p"] * 0.5 + {scalar}']
        if kind == 1:
            return [f"o.p = o.p * 0.5 + {scalar}", "o.n += 1"]
        if kind == 2:
            return [f"t = (t[0] * 0.5 + {scalar}, {vector}, t[2] + 1)"]
        if kind == 3:
            return ["if p is None:", f"    p = {vector}", "else:", f"    p = p * 0.5 + {vector}"]
        if kind == 4:
            return self.bind("s", 'd["p"] + o.p + t[0]')
        if kind == 5:
            return [f'd["q"][{self.index()}] = {scalar}']
        return [f"f = lambda z: z * 0.5 + {self.name('s')}", *self.bind("s", f"f({scalar})")]


def indented(lines: Lines) -> Lines:
    return [f"    {line}" for line in lines]
