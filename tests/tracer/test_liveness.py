"""What a loop or branch carries, against a search over all paths through the program."""

from __future__ import annotations

import ast
import random
import textwrap
from typing import Any

import pytest

from pullback.tracer.exits import flag_of, remove_exits
from pullback.tracer.liveness import Names, analyse


def function(source: str) -> ast.FunctionDef:
    node = ast.parse(textwrap.dedent(source)).body[0]
    assert isinstance(node, ast.FunctionDef)
    return node


def at_first(source: str, kind: type[ast.stmt] | None = None) -> Names:
    """Return the names of the first loop or branch."""
    node = function(source)
    found = analyse(node)
    wanted = (kind,) if kind else (ast.For, ast.While, ast.If)
    return next(found[n] for n in ast.walk(node) if isinstance(n, wanted) and n in found)


# --- All paths ------------------------------------------------------------------------------

VARIABLES = "abcdefg"


class Programs:
    """Makes functions that read and bind `VARIABLES` in nested loops and branches."""

    def __init__(self, seed: int, around: bool) -> None:
        self.random = random.Random(seed)
        self.around = around
        self.lines = ["def f(a, b):"]
        self.block(1, False, 0)
        self.line(1, f"return {self.name()}")

    def name(self) -> str:
        return self.random.choice(VARIABLES)

    def line(self, indent: int, words: str) -> None:
        self.lines.append("    " * indent + words)

    def block(self, indent: int, in_loop: bool, depth: int) -> None:
        for _ in range(self.random.randint(1, 3)):
            self.statement(indent, in_loop, depth)

    def statement(self, indent: int, in_loop: bool, depth: int) -> None:
        kinds = ["=", "=", "=", "op", "call"] + ["if", "for", "while"] * (depth < 3)
        kinds += ["try", "with"] * (self.around and depth < 3)
        kinds += ["exit"] * (depth > 0)
        kind = self.random.choice(kinds)
        x, y, z = self.name(), self.name(), self.name()
        if kind == "=":
            value = self.random.choice(["0", f"{y} + {z}", f"({y} := {z})"])
            self.line(indent, f"{x} = {value}")
        elif kind == "op":
            self.line(indent, f"{x} += {y}")
        elif kind == "call":
            self.line(indent, f"g({x}[{y}])")
        elif kind == "exit":
            exits = ["return", f"return {x}", "raise"] + ["break", "continue"] * 2 * in_loop
            self.line(indent, self.random.choice(exits))
        elif kind == "if":
            self.compound(indent, f"if {x} < {y}:", in_loop, depth)
        elif kind == "for":
            self.compound(indent, f"for {x} in range({y}):", True, depth)
        elif kind == "while":
            test = self.random.choice(["True", x, f"({x} := {y})", f"{x} < {y}"])
            self.compound(indent, f"while {test}:", True, depth)
        elif kind == "with":
            self.line(indent, f"with suppress({x}):")
            self.block(indent + 1, in_loop, depth + 1)
        else:
            self.line(indent, "try:")
            self.block(indent + 1, in_loop, depth + 1)
            self.line(indent, f"except {x}:")
            self.block(indent + 1, in_loop, depth + 1)

    def compound(self, indent: int, head: str, in_loop: bool, depth: int) -> None:
        self.line(indent, head)
        self.block(indent + 1, in_loop, depth + 1)
        if self.random.random() < 0.4:
            self.line(indent, "else:")
            self.block(indent + 1, in_loop and head.startswith("if"), depth + 1)


class Graph:
    """Points of a program: what each reads or binds, and the points that may come next."""

    def __init__(self, node: ast.FunctionDef) -> None:
        self.steps: list[tuple[str, str, list[int]]] = []  # read or bind, name, next points
        self.heads: dict[ast.stmt, list[int]] = {}
        self.afters: dict[ast.stmt, int] = {}
        self.entries: dict[ast.stmt, int] = {}
        self.raises: list[int] = []
        self.at_first: dict[int, int] = {}  # the flag of a loop is false when it starts
        self.end = self.add("", "", [])
        self.start = self.block(node.body, self.end, -1, -1)

    def add(self, kind: str, name: str, following: list[int]) -> int:
        # Inside of a `try`, every step may raise.
        self.steps.append((kind, name, following + self.raises[-1:]))
        return len(self.steps) - 1

    def reading(self, node: ast.AST | None, following: int) -> int:
        """Add the reads and `:=` of an expression without branches."""
        events: list[tuple[str, str]] = []

        def walk(inner: ast.AST) -> None:
            if isinstance(inner, ast.NamedExpr):
                walk(inner.value)
                events.append(("bind", inner.target.id))
            elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load):
                events.append(("read", inner.id))
            else:
                for child in ast.iter_child_nodes(inner):
                    walk(child)

        if node is not None:
            walk(node)
        for kind, name in reversed(events):
            following = self.add(kind, name, [following])
        return following

    def block(self, body: list[ast.stmt], following: int, breaks: int, continues: int) -> int:
        for statement in reversed(body):
            following = self.statement(statement, following, breaks, continues)
        return following

    def statement(self, node: Any, following: int, breaks: int, continues: int) -> int:
        if isinstance(node, ast.Assign):
            for target in reversed(node.targets):
                following = self.add("bind", target.id, [following])
            return self.reading(node.value, following)
        if isinstance(node, ast.AugAssign):
            following = self.add("bind", node.target.id, [following])
            return self.add("read", node.target.id, [self.reading(node.value, following)])
        if isinstance(node, ast.Expr):
            return self.reading(node.value, following)
        if isinstance(node, ast.Return):
            return self.reading(node.value, self.end)
        if isinstance(node, ast.Raise):
            return self.add("", "", [])
        if isinstance(node, ast.Break | ast.Continue):
            return breaks if isinstance(node, ast.Break) else continues
        if isinstance(node, ast.If):
            blocks = [self.block(b, following, breaks, continues) for b in (node.body, node.orelse)]
            self.heads[node], self.afters[node] = blocks, following
            choice = self.add("", "", blocks)
            entry = self.entries[node] = self.reading(node.test, choice)
            return entry
        if isinstance(node, ast.For | ast.While):
            return self.loop(node, following, breaks, continues)
        if isinstance(node, ast.With):
            self.raises.append(following)
            inside = self.block(node.body, following, breaks, continues)
            self.raises.pop()
            return self.reading(node.items[0].context_expr, inside)
        if isinstance(node, ast.Try):
            handler = node.handlers[0]
            caught = self.block(handler.body, following, breaks, continues)
            self.raises.append(self.reading(handler.type, caught))
            inside = self.block(node.body, following, breaks, continues)
            self.raises.pop()
            return inside
        assert isinstance(node, ast.Pass)
        return following

    def loop(self, node: Any, following: int, breaks: int, continues: int) -> int:
        end = self.block(node.orelse, following, breaks, continues)
        head = self.add("", "", [])
        body = self.block(node.body, head, following, head)
        if isinstance(node, ast.For):
            test = self.add("", "", [self.add("bind", node.target.id, [body]), end])
        else:
            endless = isinstance(node.test, ast.Constant)
            test = self.reading(node.test, self.add("", "", [body] if endless else [body, end]))
        flag = flag_of(node)
        again = test if flag is None else self.add("read", flag, [test, following])
        self.steps[head][2].append(again)
        start = self.add("", "", [head])
        self.at_first[start] = test
        self.heads[node], self.afters[node] = [head], following
        entry = start if isinstance(node, ast.While) else self.reading(node.iter, start)
        self.entries[node] = entry
        return entry

    def is_live(self, name: str, point: int) -> bool:
        """Say whether some path from `point` reads `name` before it binds it."""
        waiting, seen = [point], {point}
        while waiting:
            kind, what, following = self.steps[waiting.pop()]
            if what == name and kind == "read":
                return True
            for step in following if what != name else following[1:]:
                if step not in seen:
                    seen.add(step)
                    waiting.append(step)
        return False

    def is_bound(self, name: str, point: int) -> bool:
        """Say whether all paths from the start to `point` bind `name`."""
        waiting, seen = [self.start], {self.start}
        while waiting:
            step = waiting.pop()
            if step == point:
                return False
            kind, what, following = self.steps[step]
            if step in self.at_first:
                following = [self.at_first[step], *following[1:]]
            for then in following if (kind, what) != ("bind", name) else following[1:]:
                if then not in seen:
                    seen.add(then)
                    waiting.append(then)
        return True


def bound_in(node: ast.stmt) -> set[str]:
    return {
        n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }


@pytest.mark.parametrize("around", [False, True])
@pytest.mark.parametrize("removed", [False, True])
def test_random_programs_against_all_paths(removed: bool, around: bool) -> None:
    total = carried = missed = 0
    for seed in range(400):
        node = function("\n".join(Programs(seed, around).lines))
        if removed:
            remove_exits(node)
        text = ast.unparse(node)
        graph = Graph(node)
        local = bound_in(node) | {"a", "b"}
        result = analyse(node)
        assert set(result) == set(graph.heads)
        for statement, names in result.items():
            assert set(names.assigned) == bound_in(statement)
            after = {n for n in local if graph.is_live(n, graph.afters[statement])}
            heads = graph.heads[statement]
            head = {n for n in local if any(graph.is_live(n, point) for point in heads)}
            exact = bound_in(statement) & (head | after)
            total += 1
            carried += len(exact)
            if around:
                # Where something may raise, more may be live than is.
                missed += set(names.carried) != exact
                assert set(names.live_after) >= after, text
                assert set(names.carried) >= exact, text
            else:
                assert set(names.live_after) == after, text
                assert set(names.carried) == exact, text
            for name in names.definite - {"a", "b"}:
                assert graph.is_bound(name, graph.entries[statement]), (name, text)
    assert total > 600
    assert carried > 600
    assert missed < total / 5


# --- Chosen programs ------------------------------------------------------------------------


def test_temporaries_are_not_carried() -> None:
    names = at_first("""
        def f(a, s, n):
            for i in range(n):
                t = a[i] * s
                s = s + t
            return s
    """)
    assert names.assigned == ("s", "i", "t")
    assert names.carried == ("s",)
    assert names.live_after == ("s",)
    assert names.rebound == ("s",)
    assert names.definite == {"a", "s", "n"}


def test_augmented_names_are_not_rebound() -> None:
    names = at_first("""
        def f(x, y):
            for i in range(3):
                x += 1
                y += 1
                y = y * 2
            return x, y, i
    """)
    assert names.carried == ("x", "y", "i")
    assert names.rebound == ("y", "i")


def test_a_branch_carries_what_is_read_in_it_or_after() -> None:
    names = at_first("""
        def f(x):
            if x > 0:
                y = x
                t = y
                z = t
            else:
                x = 2
                y = 1
            return y
    """)
    assert names.carried == ("x", "y")
    assert names.definite == {"x"}


BINDINGS = {
    "for (i, (j, *k)) in x: pass": ("i", "j", "k"),
    "i = j = 1": ("i", "j"),
    "i, x[0], y.z = 1, 2, 3": ("i",),
    "(i := 1) + 2": ("i",),
    "g([(i := j) for j in x])": ("i",),
    "with g() as (i, j): pass": ("i", "j"),
    "import i.j, k as m": ("i", "m"),
    "from i import j": ("j",),
    "def i(j): k = 1": ("i",),
    "class i: j = 1": ("i",),
    "try: pass\n        except E as i: pass": ("i",),
    "match x:\n          case [i, *j]: pass\n          case {'k': k, **m}: pass": (
        "i",
        "j",
        "k",
        "m",
    ),
    "i: int = 1": ("i",),
    "i: int": (),
    "lambda i: (k := i)": (),
    "[i for i in x]": (),
    "x[0] = 1": (),
    "x.i += 1": (),
}


@pytest.mark.parametrize("statement", BINDINGS)
def test_everything_that_binds_is_assigned(statement: str) -> None:
    names = at_first(f"def f(x, y):\n    if x:\n        {statement}\n    return locals()", ast.If)
    assert set(names.assigned) == set(BINDINGS[statement])
    # `locals()` reads them all.
    assert names.carried == names.assigned == names.rebound


def test_globals_and_nonlocals_are_nobody_s_business() -> None:
    names = at_first("""
        def f(x):
            global g
            for i in x:
                g = i
            return g
    """)
    assert names.assigned == ("i",)
    assert names.live_after == ()


def test_deleted_names() -> None:
    source = """
        def f(x, y):
            t = 1
            for i in x:
                del t
                t = i
            del y
            if x:
                y = 1
            return y
    """
    loop, branch = at_first(source), at_first(source, ast.If)
    assert "t" in loop.carried
    assert "t" in loop.definite
    assert "y" not in branch.definite
    assert branch.carried == ("y",)


def test_what_handlers_unbind_is_not_definite() -> None:
    names = at_first("""
        def f(x):
            e = 1
            try:
                g()
            except ValueError as e:
                h(e)
            if x:
                e = 2
            return e
    """)
    assert names.carried == ("e",)
    assert names.definite == {"x"}


CELLS = {
    "lambda": ("h = lambda: t", True),
    "function": ("def h(): return t", True),
    "function with a name of its own": ("def h(t): return t", False),
    "lambda in a lambda": ("h = lambda: (lambda: t)", True),
    "generator": ("h = (t for _ in x)", True),
    "generator that is summed": ("h = sum(t for _ in x)", False),
    "list": ("h = [t for _ in x]", False),
    "function in a list": ("h = [lambda: t for _ in x]", True),
    "lambda with a name of its own": ("h = [lambda t=t: t for _ in x]", False),
}


@pytest.mark.parametrize("case", CELLS)
def test_what_functions_read_later_is_carried(case: str) -> None:
    statement, is_carried = CELLS[case]
    names = at_first(f"""
        def f(x):
            for i in x:
                t = i
                {statement}
            return 1
    """)
    assert ("t" in names.carried) is is_carried


def test_what_a_function_rebinds_counts_as_assigned() -> None:
    names = at_first("""
        def f(x):
            t = 0
            def g():
                nonlocal t
                t = t + 1
            for i in x:
                g()
            return t
    """)
    assert names.assigned == ("t", "i")
    assert names.carried == names.rebound == ("t",)


def test_a_flag_is_live_at_the_head_of_its_loop() -> None:
    node = function("def f(x):\n    for i in x:\n        if i:\n            break")
    remove_exits(node)
    loop = next(n for n in ast.walk(node) if isinstance(n, ast.For))
    names = analyse(node)[loop]
    assert names.carried == ("__pb_break_1__",)
    assert "__pb_break_1__" in names.definite


def test_managers_that_let_exceptions_pass() -> None:
    source = """
        def f(x):
            for i in x:
                with {}():
                    t = i
                g(t)
    """
    assert at_first(source.format("np.errstate")).carried == ()
    assert at_first(source.format("suppress")).carried == ("t",)


def test_finally_reads_on_every_way_out() -> None:
    names = at_first("""
        def f(x):
            t = 0
            try:
                for i in x:
                    t = i
                    if i:
                        return 1
                    t = 2
            finally:
                g(t)
    """)
    assert names.carried == ("t",)


def test_functions_inside_are_left_to_their_own_call() -> None:
    node = function("def f(x):\n    def g(y):\n        if y:\n            y = 1\n    return g")
    assert analyse(node) == {}
