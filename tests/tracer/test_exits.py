"""Functions without exits do what they did, in the same order, and keep every statement."""

from __future__ import annotations

import ast
import contextlib
import copy
import random
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pullback.tracer.exits import flag_of, is_native, remove_exits


def transformed(source: str) -> ast.FunctionDef:
    node = ast.parse(textwrap.dedent(source)).body[0]
    assert isinstance(node, ast.FunctionDef)
    remove_exits(node)
    return node


def text(source: str) -> str:
    return ast.unparse(transformed(source))


# --- Random programs ------------------------------------------------------------------------


class Programs:
    """Makes functions of nested loops and branches; `t` logs, `c` decides, and both may raise."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = 0
        self.lines: list[str] = []

    def function(self) -> str:
        self.lines = ["def f(t, c, items, manager, Boom):"]
        self.block(1, 0, 0)
        return "\n".join(self.lines)

    def number(self) -> int:
        self.count += 1
        return self.count

    def line(self, indent: int, words: str) -> None:
        self.lines.append("    " * indent + words)

    def block(self, indent: int, loops: int, depth: int, final: bool = False) -> None:
        for _ in range(self.random.randint(1, 4 if depth < 3 else 2)):
            self.statement(indent, loops, depth, final)

    def statement(self, indent: int, loops: int, depth: int, final: bool) -> None:
        kinds = ["t"] * 4 + ["if"] * 5 + ["for", "while", "with", "try", "match", "def"]
        exits = ["return", "return None"] + ["break", "continue", "break", "continue"] * bool(loops)
        if depth >= 5 or self.count > 40:
            kinds = ["t"]
        if not final:
            kinds += exits[:2] if depth else []
            kinds += exits[2:]
        kind = self.random.choice(kinds)
        getattr(self, f"make_{kind.split()[0]}", self.make_exit)(indent, loops, depth, kind)

    def make_exit(self, indent: int, loops: int, depth: int, kind: str) -> None:
        if kind == "return":
            kind = self.random.choice(["return", f"return t({self.number()})"])
        self.line(indent, kind)

    def make_t(self, indent: int, loops: int, depth: int, kind: str) -> None:
        self.line(indent, f"t({self.number()})")

    def make_if(self, indent: int, loops: int, depth: int, kind: str) -> None:
        self.line(indent, f"if c({self.number()}):")
        self.block(indent + 1, loops, depth + 1)
        if self.random.random() < 0.3:
            self.line(indent, f"elif c({self.number()}):")
            self.block(indent + 1, loops, depth + 1)
        if self.random.random() < 0.4:
            self.line(indent, "else:")
            self.block(indent + 1, loops, depth + 1)

    def make_for(self, indent: int, loops: int, depth: int, kind: str) -> None:
        self.line(indent, f"for x in items({self.number()}):")
        self.loop(indent, loops, depth)

    def make_while(self, indent: int, loops: int, depth: int, kind: str) -> None:
        test = self.random.choice(["True", f"c({self.number()})", f"c({self.number()})"])
        self.line(indent, f"while {test}:")
        self.loop(indent, loops, depth)

    def loop(self, indent: int, loops: int, depth: int) -> None:
        self.line(indent + 1, f"t({self.number()})")
        self.block(indent + 1, loops + 1, depth + 1)
        if self.random.random() < 0.3:
            self.line(indent, "else:")
            self.block(indent + 1, loops, depth + 1)

    def make_with(self, indent: int, loops: int, depth: int, kind: str) -> None:
        self.line(indent, f"with manager({self.number()}):")
        self.block(indent + 1, loops, depth + 1)

    def make_try(self, indent: int, loops: int, depth: int, kind: str) -> None:
        self.line(indent, "try:")
        self.block(indent + 1, loops, depth + 1)
        if self.random.random() < 0.7:
            self.line(indent, "except Boom:")
            self.block(indent + 1, loops, depth + 1)
            if self.random.random() < 0.3:
                self.line(indent, "else:")
                self.block(indent + 1, loops, depth + 1)
            if self.random.random() < 0.5:
                return
        self.line(indent, "finally:")
        self.block(indent + 1, 0, depth + 1, final=True)

    def make_match(self, indent: int, loops: int, depth: int, kind: str) -> None:
        self.line(indent, f"match c({self.number()}):")
        for case in ("True", "False"):
            self.line(indent + 1, f"case {case}:")
            self.block(indent + 2, loops, depth + 2)

    def make_def(self, indent: int, loops: int, depth: int, kind: str) -> None:
        self.line(indent, "def g():")
        self.block(indent + 1, 0, depth + 1)
        self.line(indent, "t(g())")


class Boom(Exception):
    pass


class Exhausted(BaseException):
    pass


def run(tree: ast.FunctionDef, seed: int) -> tuple[list[Any], Any]:
    """Run a function on the decisions of `seed`; return what it did, and how it ended."""
    decisions = random.Random(seed)
    log: list[Any] = []

    def t(number: int) -> int:
        log.append(number)
        if len(log) > 120:
            raise Exhausted
        if decisions.random() < 0.06:
            raise Boom(number)
        return number

    def c(number: int) -> bool:
        t(number)
        return decisions.random() < 0.45

    def items(number: int) -> range:
        t(number)
        return range(decisions.randint(0, 3))

    @contextlib.contextmanager
    def manager(number: int) -> Iterator[None]:
        t(number)
        try:
            yield
        except Boom:
            if number % 2:
                raise
        finally:
            log.append(-number)

    module = ast.fix_missing_locations(ast.Module([tree], []))
    space: dict[str, Any] = {}
    exec(compile(module, "<program>", "exec"), space)
    try:
        return log, space["f"](t, c, items, manager, Boom)
    except (Boom, Exhausted) as error:
        return log, repr(error)


class Driven(ast.NodeTransformer):
    """Stops each loop where its flag is true, as a driver does."""

    def visit_For(self, node: ast.For) -> ast.For:
        self.generic_visit(node)
        flag = flag_of(node)
        if flag is not None:
            node.body.append(ast.If(ast.Name(flag, ast.Load()), [ast.Break()], []))
        return node

    visit_While: Any = visit_For


SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def leaving(node: ast.AST, in_loop: bool = False) -> Iterator[ast.stmt]:
    """Yield the exits in `node` that leave it, or end an iteration of it early."""
    for child in ast.iter_child_nodes(node):
        is_jump = isinstance(child, ast.Break | ast.Continue) and not in_loop
        if isinstance(child, ast.Return) or is_jump:
            yield child
        elif not isinstance(child, SCOPES):
            yield from leaving(child, in_loop or isinstance(child, ast.For | ast.While))


def logged(tree: ast.AST) -> list[int]:
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and n.args]
    return sorted(n.args[0].value for n in calls if isinstance(n.args[0], ast.Constant))


@pytest.mark.parametrize("part", range(8))
def test_random_programs_do_what_they_did(part: int) -> None:
    changed = flags = natives = 0
    for seed in range(part * 100, part * 100 + 100):
        source = Programs(seed).function()
        original = ast.parse(source).body[0]
        assert isinstance(original, ast.FunctionDef)
        tree = transformed(source)
        changed += ast.unparse(tree) != ast.unparse(original)
        assert logged(tree) == logged(original), source
        for node in ast.walk(tree):
            if isinstance(node, ast.If | ast.For | ast.While):
                natives += is_native(node)
                if not is_native(node):
                    assert not list(leaving(node)), f"{source}\n\n{ast.unparse(tree)}"
                    assert isinstance(node, ast.If) or not node.orelse
        driven = Driven().visit(copy.deepcopy(tree))
        flags += ast.unparse(driven) != ast.unparse(tree)
        for run_seed in range(4):
            expected = run(original, run_seed)
            assert run(driven, run_seed) == expected, f"{source}\n\n{ast.unparse(tree)}"
    assert changed > 50
    assert flags > 10
    assert natives > 10


# --- Chosen programs ------------------------------------------------------------------------

CASES = {
    "nothing to do": (
        """
        def f(x):
            for i in range(3):
                if x:
                    x = x - i
            return x
        """,
        """
        def f(x):
            for i in range(3):
                if x:
                    x = x - i
            return x
        """,
    ),
    "continue": (
        """
        def f(x):
            for i in range(3):
                if x[i] < 0:
                    continue
                x[i] = 1
            return x
        """,
        """
        def f(x):
            for i in range(3):
                if x[i] < 0:
                    pass
                else:
                    x[i] = 1
            return x
        """,
    ),
    "continue in one of two branches that fall through": (
        """
        def f(x):
            for i in range(3):
                if x[i] < 0:
                    if i:
                        continue
                    x[i] = 2
                x[i] = 1
        """,
        """
        def f(x):
            for i in range(3):
                __pb_skip_1__ = False
                if x[i] < 0:
                    if i:
                        __pb_skip_1__ = True
                    else:
                        x[i] = 2
                if not __pb_skip_1__:
                    x[i] = 1
        """,
    ),
    "break and else": (
        """
        def f(x):
            while x > 1:
                x = x / 2
                if x == 3:
                    break
                x = x - 1
            else:
                x = 7
            return x
        """,
        """
        def f(x):
            __pb_break_1__ = False
            while x > 1:
                x = x / 2
                if x == 3:
                    __pb_break_1__ = True
                else:
                    x = x - 1
            if not __pb_break_1__:
                x = 7
            return x
        """,
    ),
    "else without break": (
        """
        def f(x):
            for i in range(3):
                x = x + i
            else:
                x = 7
            return x
        """,
        """
        def f(x):
            for i in range(3):
                x = x + i
            x = 7
            return x
        """,
    ),
    "guard": (
        """
        def f(x):
            if x > 0:
                return x
            y = -x
            return y
        """,
        """
        def f(x):
            if x > 0:
                __pb_result__ = x
            else:
                y = -x
                __pb_result__ = y
            return __pb_result__
        """,
    ),
    "guard of a function without a result": (
        """
        def f(x):
            if len(x) == 0:
                return
            x[0] = 1
        """,
        """
        def f(x):
            if len(x) == 0:
                pass
            else:
                x[0] = 1
        """,
    ),
    "falls off the end": (
        """
        def f(x):
            if x:
                return 1
            g()
        """,
        """
        def f(x):
            if x:
                __pb_result__ = 1
            else:
                g()
                __pb_result__ = None
            return __pb_result__
        """,
    ),
    "return in two loops": (
        """
        def f(x):
            for i in range(3):
                for j in range(i):
                    if x[i, j]:
                        return j
                x[i] = 1
            return -1
        """,
        """
        def f(x):
            __pb_returned__ = False
            __pb_break_1__ = False
            for i in range(3):
                __pb_break_2__ = False
                for j in range(i):
                    if x[i, j]:
                        __pb_result__ = j
                        __pb_returned__ = __pb_break_2__ = True
                if __pb_returned__:
                    __pb_break_1__ = True
                else:
                    x[i] = 1
            if not __pb_returned__:
                __pb_result__ = -1
            return __pb_result__
        """,
    ),
    "endless loop": (
        """
        def f(x):
            while True:
                x = g(x)
                if x < 1:
                    return x
        """,
        """
        def f(x):
            __pb_returned__ = False
            __pb_break_1__ = False
            while True:
                x = g(x)
                if x < 1:
                    __pb_result__ = x
                    __pb_returned__ = __pb_break_1__ = True
            return __pb_result__
        """,
    ),
    "with at the end": (
        """
        def f(x):
            with errstate():
                if x > 1:
                    return 1
                return x
        """,
        """
        def f(x):
            __pb_returned__ = False
            with errstate():
                if x > 1:
                    __pb_result__ = 1
                else:
                    __pb_result__ = x
                __pb_returned__ = True
            if not __pb_returned__:
                __pb_result__ = None
            return __pb_result__
        """,
    ),
    "what is not reached": (
        """
        def f(x):
            for i in x:
                break
                i = 2
            return x
        """,
        """
        def f(x):
            __pb_break_1__ = False
            for i in x:
                __pb_break_1__ = True
                if False:
                    i = 2
            return x
        """,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_becomes_of(name: str) -> None:
    source, expected = CASES[name]
    assert text(source) == textwrap.dedent(expected).strip()


def found(tree: ast.AST, kind: type[Any]) -> Any:
    return next(node for node in ast.walk(tree) if isinstance(node, kind))


def test_exits_in_try_stay_and_mark_what_they_leave() -> None:
    source = """
        def f(x):
            for i in range(3):
                for k in range(3):
                    if k == 2:
                        break
                if i:
                    try:
                        g(i)
                    except ValueError:
                        break
                if i == 2:
                    continue
            if x:
                return 1
            return 2
    """
    tree = transformed(source)
    outer = found(tree, ast.For)
    inner = found(outer.body[1], ast.For)
    assert is_native(outer)
    assert flag_of(outer) is None
    assert not is_native(inner)
    assert flag_of(inner) == "__pb_break_1__"
    branches = [n for n in ast.walk(tree) if isinstance(n, ast.If)]
    lines = {n.lineno: is_native(n) for n in branches}
    assert lines == {5: False, 7: True, 12: True, 14: False}
    # The exits of the function that come later are removed all the same.
    assert isinstance(tree.body[-1], ast.Return)
    assert ast.unparse(tree.body[-1]) == "return __pb_result__"


def test_return_in_try_of_the_function_leaves_earlier_guards_native() -> None:
    tree = transformed("""
        def f(x):
            if x:
                return 1
            try:
                return g(x)
            except ValueError:
                return 2
    """)
    assert is_native(found(tree, ast.If))
    assert "__pb_" not in ast.unparse(tree)


def test_functions_inside_have_names_of_their_own() -> None:
    tree = transformed("""
        def f(x):
            def g(y):
                if y:
                    return 1
                return 2
            class C:
                for i in range(3):
                    if i:
                        break
                def h(self):
                    for i in self:
                        break
            return g(x)
    """)
    inner, outer = tree.body[0], tree.body[1]
    assert "return __pb_result__" in ast.unparse(inner)
    assert isinstance(outer, ast.ClassDef)
    assert is_native(outer.body[0])
    assert "break\n" in ast.unparse(outer)
    assert "__pb_break_1__ = True" in ast.unparse(outer.body[1])


@pytest.mark.parametrize("head", ["async def g():", "def g():\n    yield 1"])
def test_generators_and_coroutines_stay(head: str) -> None:
    inner = f"{head}\n    for i in x:\n        if i:\n            return\n"
    tree = transformed("def f(x):\n" + textwrap.indent(inner, "    ") + "    return g")
    assert is_native(found(tree, ast.For))
    assert is_native(found(tree, ast.If))
    assert "__pb_" not in ast.unparse(tree)


def depth(node: ast.AST) -> int:
    inside = max((depth(child) for child in ast.iter_child_nodes(node)), default=0)
    return inside + isinstance(node, ast.If | ast.For | ast.While | ast.With)


@pytest.mark.parametrize("wrap", [False, True])
def test_many_guards_do_not_nest(wrap: bool) -> None:
    guards = [f"if t({i}) == {i + 1}:\n    return {i}" for i in range(60)]
    body = "\n".join([*guards, "t(-1)", "return -2"])
    if wrap:
        body = f"for x in items(0):\n{textwrap.indent(body, '    ')}\nreturn 5"
    source = f"def f(t, c, items, manager, Boom):\n{textwrap.indent(body, '    ')}"
    original = ast.parse(source).body[0]
    assert isinstance(original, ast.FunctionDef)
    tree = transformed(source)
    # A driver is made of two blocks, and Python allows 20.
    assert depth(tree) <= 8
    driven = Driven().visit(tree)
    for seed in range(5):
        assert run(driven, seed) == run(original, seed)


def positions(tree: ast.AST) -> set[tuple[int, int]]:
    return {(n.lineno, n.col_offset) for n in ast.walk(tree) if isinstance(n, ast.stmt | ast.expr)}


def test_new_nodes_have_the_positions_of_the_user() -> None:
    for seed in range(50):
        source = Programs(seed).function()
        before = positions(ast.parse(source))
        tree = transformed(source)
        assert positions(tree) <= before
        # Nothing is left without a position: the compiler would refuse it.
        compile(ast.Module([tree], []), "<program>", "exec")


def test_names_are_not_mangled_in_a_class() -> None:
    tree = transformed("def f(self):\n    for i in self:\n        if i:\n            return i")
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and "__pb" in n.id}
    assert names == {"__pb_result__", "__pb_returned__", "__pb_break_1__"}
    assert all(name.endswith("__") for name in names)


def test_the_check_of_exits_sees_them() -> None:
    loop: Callable[[str], list[ast.stmt]] = lambda s: list(leaving(ast.parse(s).body[0]))  # noqa: E731
    assert len(loop("for i in x:\n    if i:\n        break\n    continue")) == 2
    assert loop("for i in x:\n    def g():\n        return 1") == []
    assert loop("if x:\n    for i in x:\n        break") == []
