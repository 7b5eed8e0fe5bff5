"""The printed text: goldens of its style, names, kinds, source lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pullback.ir.builder import Builder
from pullback.ir.core import UNKNOWN, Eqn, Function, Literal, Module, Provenance, Value
from pullback.ir.dims import Dim, Symbol
from pullback.ir.location import Location
from pullback.ir.ops import elementwise as ew
from pullback.ir.ops.control import Call, Fused, Loop
from pullback.ir.ops.index import AT, Index, IndexUpdate, Span
from pullback.ir.ops.matmul import MatMul
from pullback.ir.ops.reduce import Sum
from pullback.ir.ops.select import Convert
from pullback.ir.ops.shape import Transpose
from pullback.ir.parser import parse, parse_function
from pullback.ir.printer import print_equation, print_function, print_module
from pullback.ir.types import ArrayType, Kind
from pullback.ir.verify import verify

F32, F64, I64 = np.dtype("f4"), np.dtype("f8"), np.dtype("i8")
Golden = Callable[[str, str], None]

MODEL = """import numpy as np


def loss(x, W, b, t):
    # one layer
    h = np.tanh(x @ W + b)
    e = h - t
    return np.sum(e * e) / x.shape[0]
"""


def named(values: tuple[Value, ...], *hints: str | None) -> Value:
    for value, hint in zip(values, hints, strict=True):
        value.hint = hint
    return values[0]


def model(tmp_path: Path) -> Function:
    """Build the example of the design by hand: a gradient with one fused region."""
    path = tmp_path / "model.py"
    path.write_text(MODEL)

    def line(number: int, derived: str = "primal") -> Provenance:
        return Provenance((Location(str(path), number),), derived)

    outer, inner = Builder(), Builder()
    x = outer.param(Value(ArrayType(F32, (64, 784)), "x"))
    w = outer.param(Value(ArrayType(F32, (784, 256)), "W"))
    b = outer.param(Value(ArrayType(F32, (256,)), "b"))
    t = outer.param(Value(ArrayType(F32, (64, 256)), "t"))

    def emit(builder: Builder, op: object, *operands: object) -> tuple[Value, ...]:
        types = op.infer(*[a.type for a in operands])  # type: ignore[attr-defined]
        return builder.append(op, operands, types)  # type: ignore[arg-type]

    outer.provenance = inner.provenance = line(6)
    z = named(emit(outer, MatMul(), x, w), "z")
    p, q, r = (inner.param(Value(v.type)) for v in (z, b, t))
    a = named(emit(inner, ew.add, p, q), "a")
    h = named(emit(inner, ew.tanh, a), "h")
    inner.provenance = line(7)
    e = named(emit(inner, ew.subtract, h, r), "e")
    inner.provenance = line(8)
    s = named(emit(inner, ew.multiply, e, e), "s")
    total = named(emit(inner, Sum((-2, -1)), s), "q")
    inner.provenance = line(8, "vjp")
    g = named(emit(inner, ew.multiply, Literal(np.float32(1 / 32)), e), "g")
    inner.provenance = line(6, "vjp")
    u = named(emit(inner, ew.multiply, h, h), "u")
    v = named(emit(inner, ew.subtract, Literal(np.float32(1)), u), "v")
    da = emit(inner, ew.multiply, g, v)[0]
    db = emit(inner, Sum((-2,)), da)[0]
    body = inner.finish("body", [da, db, total])
    da, db, total = emit(outer, Fused(body), z, b, t)
    da.cotangent_of, db.cotangent_of, total.hint = a, b, "q"
    outer.provenance = line(8)
    loss = named(emit(outer, ew.divide, total, Literal(np.float32(64))), "loss")
    outer.provenance = line(6, "vjp")
    transposed = named(emit(outer, Transpose((-1, -2)), x), "xT")
    dw = emit(outer, MatMul(), transposed, da)[0]
    dw.cotangent_of = w
    return outer.finish("loss_grad", [loss, dw, db])


def test_fused_gradient(tmp_path: Path, golden: Golden) -> None:
    f = model(tmp_path)
    verify(f)
    golden("fused_gradient.py", print_function(f))
    golden("fused_gradient_plain.py", print_function(f, types=False, margin=False))


def test_loop(golden: Golden) -> None:
    n, i = Symbol("n", 1), Symbol("i", 0, 9)
    inner = Builder()
    k = inner.param(Value(ArrayType(I64, ()), "i"))
    h = inner.param(Value(ArrayType(F64, (Dim.of(n),)), "h"))
    xs = inner.param(Value(ArrayType(F64, (10, Dim.of(n))), "xs"))
    x = inner.one(Index((AT, Span(0, Dim.of(n), 1))), xs, k)
    new = inner.one(ew.tanh, inner.one(ew.add, h, x))
    body = inner.finish("body", [new, new], dims=(i, n))
    outer = Builder()
    start = outer.param(Value(h.type, "h"))
    stack = outer.param(Value(xs.type, "xs"))
    bounds = [Literal(np.int64(v)) for v in (0, 10, 1)]
    op = Loop(body, 1, 10, backward=True, dims=(Dim.of(n),))
    last, rows = outer.emit(op, [*bounds, start, stack])
    assert isinstance(last, Value)
    assert isinstance(rows, Value)
    named((last, rows), "h", "hs")
    f = outer.finish("rnn", [last, rows], dims=(n,))
    verify(f)
    golden("loop.py", print_function(f))


def test_while(golden: Golden) -> None:
    x = ArrayType(F64, ())
    guard, inner, outer = Builder(), Builder(), Builder()
    test = guard.finish(
        "test", [guard.one(ew.greater, guard.param(Value(x, "x")), Literal(np.float64(1)))]
    )
    value = inner.param(Value(x, "x"))
    body = inner.finish("body", [inner.one(ew.multiply, value, Literal(np.float64(0.5)))])
    start = outer.param(Value(x, "x"))
    op = Loop(body, 1, Symbol("trips"), ranged=False, test=test, counts=True)
    last, count = outer.emit(op, [start])
    f = outer.finish("halve", [last, count], result_kinds=[Kind.PYTHON, Kind.PYTHON])
    verify(f)
    golden("while.py", print_function(f))


def test_module(golden: Golden) -> None:
    x, y, z = (Value(ArrayType(F64, (3,)), h) for h in "xyz")
    helper = Function("helper", [x], [Eqn(ew.tanh, (x,), (y,))], [y])
    main = Function("main", [x], [Eqn(Call("helper", (x.type,)), (x,), (z,))], [z])
    golden("module.py", print_module(Module({"main": main, "helper": helper}, "main")))


def test_writes_and_kinds(golden: Golden) -> None:
    b = Builder()
    x = b.param(Value(ArrayType(F64, (3, 4)), "x", layout=(8, 24)))
    s = b.param(Value(ArrayType(F64, ()), "s"))
    k = b.param(Value(ArrayType(F32, ()), "k"))
    flag = b.param(Value(ArrayType(np.dtype(bool), ()), "flag"))
    one = b.param(Value(ArrayType(np.dtype(bool), ()), "one"))
    wide = b.one(Convert(F64), k)
    y = b.one(IndexUpdate((0, Span(1, 2, 1))), x, wide)
    z = b.one(IndexUpdate((Span(2, 3, -1), AT)), y, Literal(np.float64(0.5)), Literal(np.int64(1)))
    f = b.finish(
        "f",
        [z, flag],
        param_kinds=[Kind.ARRAY, Kind.PYTHON, Kind.ARRAY, Kind.SCALAR, Kind.PYTHON],
    )
    assert s.hint == "s"
    assert one.hint == "one"
    verify(f)
    golden("writes_and_kinds.py", print_function(f))


def test_goldens_parse(tmp_path: Path) -> None:
    for path in sorted((Path(__file__).parent / "goldens").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        verify(parse(text))


def two_adds(hints: list[str | None]) -> list[str]:
    """Return the names that values with these hints get."""
    x = Value(ArrayType(F64, ()), "x")
    values = [Value(x.type, hint) for hint in hints]
    f = Function("f", [x], [Eqn(ew.add, (x, x), (v,)) for v in values], values)
    lines = print_function(f).splitlines()
    return [line.split(":")[0].strip() for line in lines[1:-1]]


def test_names_are_unique_identifiers() -> None:
    assert two_adds(["y", "y", None, "for", "add", "W[0]", "3a"]) == [
        *("y", "y_1", "t1", "for_1", "add_1", "W_0", "_3a"),
    ]


def test_generated_names_avoid_later_hints() -> None:
    assert two_adds([None, "t1"]) == ["t2", "t1"]


def test_of_several_cotangents_the_last_has_the_plain_name() -> None:
    x = Value(ArrayType(F64, ()), "x")
    first, second, third = (Value(x.type, cotangent_of=x) for _ in range(3))
    eqns = [Eqn(ew.add, (x, x), (v,)) for v in (first, second, third)]
    lines = print_function(Function("f", [x], eqns, [third])).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:-1]] == ["dx_1", "dx_2", "dx"]


def test_cotangent_of_a_renamed_value() -> None:
    x = Value(ArrayType(F64, ()), "x")
    y, z = Value(x.type, "x"), Value(x.type)
    z.cotangent_of = y
    eqns = [Eqn(ew.add, (x, x), (y,)), Eqn(ew.add, (x, x), (z,))]
    text = print_function(Function("f", [x], eqns, [z]))
    assert "x_1 : f64" in text
    assert "dx_1 : f64" in text.replace("dx_1: ", "dx_1 : ")


def test_several_files_are_named() -> None:
    x = Value(ArrayType(F64, ()), "x")
    y, z = Value(x.type, "y"), Value(x.type, "z")
    places = [Provenance((Location(f"/nowhere/{n}.py", 3),)) for n in ("one", "two")]
    eqns = [Eqn(ew.add, (x, x), (v,), p) for v, p in zip((y, z), places, strict=True)]
    text = print_function(Function("f", [x], eqns, [z]))
    assert "# one.py:3" in text
    assert "# two.py:3" in text


def test_region_that_is_no_block_prints_as_a_definition() -> None:
    inner, outer = Builder(), Builder()
    a = inner.param(Value(ArrayType(F64, (3,)), "a"))
    b = inner.param(Value(ArrayType(F64, (3,)), "b"))
    body = inner.finish("body", [inner.one(ew.multiply, a, b), a])
    x = outer.param(Value(a.type, "x"))
    outer.emit(Fused(body), [x, x])
    f = outer.finish("f", [x])
    text = print_function(f)
    assert "def body(a: f64[3], b: f64[3]) -> (f64[3], f64[3]):" in text
    assert "fused(x, x, body=body)" in text
    verify(parse_function(text))


def test_long_signatures_wrap() -> None:
    params = [Value(ArrayType(F64, (1000, 1000)), f"parameter{k}") for k in range(9)]
    text = print_function(Function("f", params, [], params[:1]))
    assert max(map(len, text.splitlines())) <= 100
    assert [p.hint for p in parse_function(text).params] == [p.hint for p in params]


def test_one_equation() -> None:
    x, y = Value(ArrayType(F64, ()), "x"), Value(ArrayType(F64, ()), "y")
    eqn = Eqn(ew.subtract, (Literal(np.float64(1)), x), (y,), UNKNOWN)
    assert print_equation(Function("f", [x], [eqn], [y]), eqn) == "y : f64 = 1.0 - x"
