"""The rewrite keeps Python's meaning, and hooks what it says that it hooks."""

from __future__ import annotations

import ast
import copy
import dis
import importlib.util
import linecache
import sys
import types
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback.tracer import rewrite as rewrite_module
from pullback.tracer.rewrite import NEUTRAL, is_rewritten, rewrite, why_not
from pullback.tracer.source import same_code

HERE = Path(__file__).parent


def load(path: Path, name: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


corpus = load(HERE / "rewrite_corpus.py", "rewrite_corpus")


def rewritten(function: Any, hooks: Mapping[str, Any] = NEUTRAL) -> types.FunctionType:
    made = rewrite(function, hooks)
    assert made is not None, why_not(function)
    return made


def frames_of(error: BaseException, file: str) -> list[Any]:
    """Return function name and position of each traceback entry in `file`.

    The position is exact, but for truth that fails: Python reports its statement, we the operand.
    """
    untruthful = str(error) == "no truth"
    entries = []
    entry = error.__traceback__
    while entry is not None:
        code = entry.tb_frame.f_code
        if code.co_filename == file:
            where = list(code.co_positions())[entry.tb_lasti // 2]
            entries.append((code.co_qualname, where[0] if untruthful else where))
        entry = entry.tb_next
    return entries


def outcome(function: Any, make: Callable[[], tuple[Any, ...]], log: list[Any], file: str) -> Any:
    """Run and describe everything that can be observed: result or error, arguments, order."""
    log.clear()
    arguments = make()
    log.clear()
    try:
        result = function(*arguments)
    except Exception as error:
        return type(error), str(error), frames_of(error, file), repr(arguments), repr(log)
    return repr(result), repr(arguments), repr(log)


@pytest.fixture(autouse=True)
def fresh_closures() -> Iterator[None]:
    """Give the corpus its initial state again: plain and rewritten runs share its cells."""
    cell = corpus.CASES["closure"][0].__closure__[0]
    before = cell.cell_contents
    yield
    cell.cell_contents = before


@pytest.mark.parametrize("name", corpus.CASES)
def test_same_behaviour(name: str) -> None:
    function, make = corpus.CASES[name]
    file = str(HERE / "rewrite_corpus.py")
    cells = [(cell, cell.cell_contents) for cell in function.__closure__ or ()]
    plain = outcome(function, make, corpus.LOG, file)
    for cell, content in cells:
        cell.cell_contents = content
    made = rewritten(function)
    assert outcome(made, make, corpus.LOG, file) == plain
    assert not same_code(made.__code__, function.__code__)
    for attribute in ("__name__", "__qualname__", "__module__", "__doc__", "__defaults__"):
        assert getattr(made, attribute) == getattr(function, attribute)
    assert made.__kwdefaults__ == function.__kwdefaults__
    assert made.__annotations__ == function.__annotations__
    assert made.__globals__ is function.__globals__
    code = made.__code__
    assert code.co_qualname == function.__code__.co_qualname
    theirs = function.__code__
    names = {*code.co_varnames, *code.co_cellvars}  # what a deferred operand reads is in a cell
    assert {n for n in names if not n.startswith("__pb_")} == {
        *theirs.co_varnames,
        *theirs.co_cellvars,
    }
    assert code.co_firstlineno == function.__code__.co_firstlineno


# --- What is hooked -------------------------------------------------------------------------


def recording() -> tuple[list[Any], dict[str, Any]]:
    """Return a log, and hooks that write their name and first plain arguments to it."""
    log: list[Any] = []

    def recorder(name: str, neutral: Any) -> Any:
        def hook(*args: Any, **kwargs: Any) -> Any:
            if len(args) > 2 and type(args[0]) is tuple and len(args[0]) == 5:
                args_shown = args[3:]  # of a loop or branch: what the rewrite knows of it is ours
            else:
                args_shown = args
            plain = tuple(a for a in args_shown if isinstance(a, int | str | slice | tuple | None))
            log.append((name.removeprefix("__pb_").removesuffix("__"), *plain))
            return neutral(*args, **kwargs)

        return hook

    hooks = {name: recorder(name, neutral) for name, neutral in NEUTRAL.items()}
    # It looks at the frame that calls it.
    hooks["__pb_locals__"] = NEUTRAL["__pb_locals__"]
    return log, hooks


def record(function: Any, *args: Any) -> list[Any]:
    log, hooks = recording()
    rewritten(function, hooks)(*args)
    return log


W = [[1, 2], [3, 4]]
HEAD = 2


def test_names_calls_attributes_items() -> None:
    free = [5]

    def f(x: Any) -> Any:
        h = max(x, W[0])
        h = free
        return h.index(HEAD + 3, 0)

    assert record(f, [0, 0]) == [
        ("global", "W"),
        ("item", 0),
        ("call",),
        ("name", "h"),
        ("free", "free"),
        ("attr", "index"),
        ("global", "HEAD", 2),
        ("call", 5, 0),
    ]


def test_variables_of_the_function_itself_are_no_inputs() -> None:
    free = 1

    def f(x: int) -> Any:
        y = x + 1

        def g(z: int) -> int:
            w = y + z + free
            return w  # noqa: RET504

        return [g(i) + y for i in (1,)]

    assert record(f, 1) == [
        ("name", "y", 2),
        ("iter", (1,)),
        ("call", 1),
        ("free", "free", 1),
        ("name", "w", 4),
    ]


def test_slices_are_made_by_a_hook() -> None:
    def f(x: Any) -> Any:
        return x[1:], x[0][:]

    assert record(f, ["ab", "cd"]) == [
        ("slice", 1, None, None),
        ("item", slice(1, None, None)),
        ("item", 0),
        ("slice", None, None, None),
        ("item", "ab", slice(None, None, None)),
    ]


def test_stores() -> None:
    def f(x: Any, o: Any) -> None:
        x[0] = 1
        x[1:2] += [7]
        o.a = x[0]
        o.a -= 2
        del x[0], o.a

    assert record(f, [0, 0], types.SimpleNamespace()) == [
        ("setitem", 0, 1),
        ("slice", 1, 2, None),
        ("item", slice(1, 2, None)),
        ("aug", "+="),
        ("setitem", slice(1, 2, None)),
        ("item", 0),
        ("setattr", "a", 1),
        ("attr", "a"),
        ("aug", 1, 2, "-="),
        ("setattr", "a", -1),
        ("delitem", 0),
        ("delattr", "a"),
    ]


def test_augmented_hooks_get_owner_key_old_value_and_operator() -> None:
    seen = []

    def f(x: Any, o: Any) -> None:
        x[0] += 5
        o.a *= 3

    hooks = {
        "__pb_augitem__": lambda *args: seen.append(args),
        "__pb_augattr__": lambda *args: seen.append(args),
    }
    owner = types.SimpleNamespace(a=2)
    x = [1]
    rewritten(f, hooks)(x, owner)
    assert seen == [(x, 0, 1, 5, "+="), (owner, "a", 2, 3, "*=")]
    assert x == [1]
    assert owner.a == 2


COUNT = 0


def test_assignments_tell_names() -> None:
    def f(x: Any) -> Any:
        global COUNT  # noqa: PLW0603
        a = b = x * 2
        c, (d, e) = x + 1, divmod(x, 2)
        f = 1
        g = a
        h = lambda: 0  # noqa: E731
        i: int = x - 1
        x += 1
        COUNT = x
        return b, c, d, e, f, g, h, i, (j := -x), j

    assert [entry for entry in record(f, 4) if entry[0] not in ("call", "global")] == [
        ("name", "a", 8),
        ("name", "c", 5),
        ("name", "d", 2),
        ("name", "e", 0),
        ("name", "i", 3),
        ("aug", 4, 1, "+="),
        ("name", "x", 5),
        ("setglobal", "COUNT", 5),
        ("name", "j", -5),
    ]


def test_stores_to_variables_of_outer_functions_are_told() -> None:
    total = 0

    def f(x: int) -> None:
        nonlocal total
        total = 3
        total += x
        for total in (9,):  # noqa: B007
            pass
        first, total = divmod(x, 2)

    log = [entry for entry in record(f, 5) if entry[0] != "name"]
    assert log == [
        ("setfree", "total", 3),
        ("free", "total", 3),
        ("aug", 3, 5, "+="),
        ("setfree", "total", 8),
        ("iter", (9,)),
        ("for", (9,)),
        ("setfree", "total", 9),
        ("call", 5, 2),
        ("setfree", "total", 1),
    ]
    assert total == 1


def test_tests_and_iterables() -> None:
    # Without `assert`, which pytest rewrites itself.
    def f(x: int) -> Any:
        y = 1 if x > 1 else 2
        if not x:
            return y
        while x > 1:
            x -= 1
        while True:
            break
        return [i for i in (1, 2) if i > 1]

    kinds = ("test", "iter", "if", "ifexp", "not", "while")
    log = [entry for entry in record(f, 2) if entry[0] in kinds]
    assert log == [
        ("ifexp", True),
        ("not", 2),
        ("if", False),
        ("while",),
        ("while",),
        ("iter", (1, 2)),
        ("test", False),
        ("test", True),
    ]


def test_asserts_and_guards_are_tests() -> None:
    log, hooks = recording()
    rewritten(corpus.asserts, hooks)(1)
    assert [entry[:2] for entry in log if entry[0] == "assert"] == [
        ("assert", True),
        ("assert", 1),
        ("assert", True),
    ]
    log, hooks = recording()
    rewritten(corpus.matches, hooks)([1])
    assert ("test", 1) in log


def test_each_operand_of_a_test_is_asked_once() -> None:
    def f(x: Any, y: Any) -> Any:
        if (x or y) and not (x and 1):
            return x or y
        return None

    asked = [entry for entry in record(f, 0, 2) if entry[0] in ("and", "or", "not", "if")]
    assert asked == [("or", 0), ("and", 2), ("and", 0), ("not", 0), ("if", True), ("or", 0)]


def test_builtins_are_no_inputs_unless_a_global_shadows_them() -> None:
    source = "def f(x):\n    return abs(x)\n"
    file = "<shadowing>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space: dict[str, Any] = {}
    exec(compile(source, file, "exec"), space)
    assert record(space["f"], -1) == [("call", -1)]
    space["abs"] = lambda x: "mine"
    assert record(space["f"], -1) == [("global", "abs"), ("call", -1)]
    assert rewritten(space["f"])(-1) == "mine"


def test_a_rewritten_function_gets_the_new_hooks() -> None:
    def f(x: Any) -> Any:
        def g(y: Any) -> Any:
            return y[0]

        return g

    g = rewritten(f)(0)
    assert is_rewritten(g)
    assert not is_rewritten(f)
    assert record(g, "ab") == [("item", "ab", 0)]
    assert record(rewritten(f), 0) == []


def test_original_cells_are_kept() -> None:
    value = 1

    def f() -> int:
        return value

    made = rewritten(f)
    assert made() == 1
    value = 2
    assert made() == 2


def test_hook_calls_have_the_positions_of_the_expressions() -> None:
    function = corpus.method_chain
    made = rewritten(function)
    assert calls_by_text(made) >= {
        '",".join(words)',
        "upper()",
        'replace(\n            "A",\n            note("z"),\n        )',
        'note("z")',
        'split(",")',
        "split",
    }


def calls_by_text(function: types.FunctionType) -> set[str]:
    lines = Path(function.__code__.co_filename).read_text().splitlines(keepends=True)
    found = set()
    for instruction in dis.get_instructions(function):
        where = instruction.positions
        if instruction.opname == "CALL" and where is not None and where.lineno is not None:
            assert where.end_lineno is not None
            rows = lines[where.lineno - 1 : where.end_lineno]
            rows[-1] = rows[-1][: where.end_col_offset]
            rows[0] = rows[0][where.col_offset :]
            found.add("".join(rows))
    return found


# --- What cannot be rewritten ---------------------------------------------------------------


def generator() -> Iterator[int]:
    yield 1


async def coroutine() -> int:
    return 1


async def asynchronous_generator() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (generator, "it is a generator"),
        (coroutine, "it is a coroutine"),
        (asynchronous_generator, "it is an asynchronous generator"),
        (eval("lambda x: x"), "its source cannot be found"),
        (eval(compile("lambda x: x + 1", __file__, "eval")), None),
    ],
)
def test_reasons(function: Any, reason: str | None) -> None:
    expected = reason or "its source on disk differs from the code that runs"
    assert why_not(function) == expected
    assert rewrite(function, NEUTRAL) is None


def test_builtins_cannot_be_rewritten() -> None:
    assert why_not(len) == "it is not a Python function"


def test_edited_file(tmp_path: Path) -> None:
    path = tmp_path / "edited.py"
    path.write_text("def f(x):\n    return x + 1\n\ndef g(x):\n    return x + 1\n")
    module = load(path, "edited")
    path.write_text("def f(x):\n    return x + 2\n\ndef g(x):\n    return x + 1  # same\n")
    assert why_not(module.f) == "its source on disk differs from the code that runs"
    assert rewritten(module.g)(1) == 2


@pytest.mark.parametrize(
    ("old", "new"), [("1", "1.0"), ("1", "True"), ("0.0", "-0.0"), ("(1, 2)", "(1, 2.0)")]
)
def test_equal_constants_of_another_type_differ(old: str, new: str) -> None:
    codes = [compile(f"lambda: {constant}", "f", "eval") for constant in (old, new, old)]
    assert not same_code(codes[0], codes[1])
    assert same_code(codes[0], codes[2])


def test_lambdas_on_one_line_are_told_apart() -> None:
    for index, function in enumerate(corpus.TWINS):
        positions = set(function.__code__.co_positions())
        made = rewritten(function)
        assert positions <= set(made.__code__.co_positions()), index


def test_codes_are_not_kept_alive() -> None:
    source = "def f(x):\n    return x[0]\n"
    file = "<dropped>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space: dict[str, Any] = {}
    exec(compile(source, file, "exec"), space)
    rewritten(space["f"])
    code = weakref.ref(space["f"].__code__)
    key = id(space["f"].__code__)
    assert key in rewrite_module._templates
    space.clear()
    assert code() is None
    assert key not in rewrite_module._templates


def test_the_docstring_shows_what_happens() -> None:
    text = rewrite_module.__doc__ or ""
    before, after = (part.split("::\n")[0] for part in text.split("Before::")[1].split("After::"))
    after = text.split("After::")[1].split("A store keeps")[0]
    trees = [ast.parse("if 1:\n" + part) for part in (before.removesuffix("After"), after)]
    given_tree, expected = (tree.body[0].body[0] for tree in trees)  # type: ignore[attr-defined]
    from pullback.tracer.hooking import Hooking
    from pullback.tracer.scope import Scope

    Hooking(Scope(given_tree, None), {"np"}, set()).function_body(given_tree)
    assert ast.unparse(given_tree) == ast.unparse(expected)


# --- Random programs ------------------------------------------------------------------------

_ATOMS = st.sampled_from(["a", "b", "x[0]", "x[a % 3]", "G", "free", "2", "f(a)", "o.v", "-b"])
_EXPRESSIONS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} > 0 else {t[2]})"),
        inner.map(lambda e: f"f({e})"),
        inner.map(lambda e: f"sum([{e} for a in range(2)])"),
        inner.map(lambda e: f"(lambda b: {e})(a)"),
        inner.map(lambda e: f"(b := {e})"),
        inner.map(lambda e: f"x[({e}) % 3]"),
    ),
    max_leaves=6,
)
_TARGETS = st.sampled_from(["a", "b", "x[b % 3]", "o.v", "x[f(1) % 3]"])
_SIMPLE = st.one_of(
    st.tuples(_TARGETS, _EXPRESSIONS).map(lambda t: f"{t[0]} = {t[1]}"),
    st.tuples(_TARGETS, st.sampled_from("+-*"), _EXPRESSIONS).map(
        lambda t: f"{t[0]} {t[1]}= {t[2]}"
    ),
    st.tuples(_TARGETS, _TARGETS, _EXPRESSIONS, _EXPRESSIONS).map(
        lambda t: f"{t[0]}, {t[1]} = {t[2]}, {t[3]}"
    ),
    st.tuples(_TARGETS, _TARGETS, _EXPRESSIONS).map(lambda t: f"{t[0]} = {t[1]} = {t[2]}"),
    _EXPRESSIONS.map(lambda e: f"if {e}:\n        a = f({e})"),
    _EXPRESSIONS.map(lambda e: f"for b in range(2):\n        a = a - {e}"),
    st.tuples(_TARGETS, _TARGETS).map(lambda t: f"for {t[0]} in (1, 2):\n        {t[1]} += 1"),
)


@given(st.lists(_SIMPLE, min_size=1, max_size=5))
def test_random_programs(statements: list[str]) -> None:
    body = "".join(f"    {statement}\n" for statement in statements)
    file = "<random program>"
    log: list[Any] = []
    source = "def outer(free):\n  def program(x, o, f):\n    a, b = 1, 2\n" + body
    source += "    return a, b\n  return program\n"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space: dict[str, Any] = {"G": 3}
    exec(compile(source, file, "exec"), space)
    program = space["outer"](4)

    def arguments() -> tuple[Any, ...]:
        x = corpus.Traced([1, 2, 3])

        def f(value: Any) -> Any:
            corpus.LOG.append(value)
            x[0] += 1
            return value - 1

        return x, types.SimpleNamespace(v=5), f

    results = []
    for function in (program, rewritten(program)):
        kept: list[tuple[Any, ...]] = []

        def make(kept: list[tuple[Any, ...]] = kept) -> tuple[Any, ...]:
            kept.append(arguments())
            return kept[0]

        found = outcome(lambda *args, g=function: g(*args), make, log := corpus.LOG, file)
        results.append((found[0], copy.copy(kept[0][0]), kept[0][1], repr(log)))
    assert results[0] == results[1]
