"""The text parses to what was printed: random functions, literals, dims, errors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pullback.ir.builder import Builder
from pullback.ir.core import Eqn, Function, Literal, Module, Value
from pullback.ir.dims import Dim, Symbol, minimum
from pullback.ir.equality import equal_up_to_renaming
from pullback.ir.errors import ParseError
from pullback.ir.evaluate import evaluate
from pullback.ir.op import Elementwise, Op
from pullback.ir.ops import elementwise as ew
from pullback.ir.ops.control import Call, Fused, Loop
from pullback.ir.ops.index import AT, Index, IndexUpdate, Span
from pullback.ir.ops.matmul import MatMul
from pullback.ir.ops.reduce import Sum
from pullback.ir.ops.select import Convert, Where
from pullback.ir.ops.shape import Concatenate, Full, Reshape, Transpose
from pullback.ir.parser import parse, parse_function, parse_module
from pullback.ir.printer import constants_of, print_function, print_module
from pullback.ir.types import ArrayType, Kind, type_of
from pullback.ir.verify import verify

F32, F64, I64 = np.dtype("f4"), np.dtype("f8"), np.dtype("i8")
DTYPES = [np.dtype(c) for c in ("f4", "f8", "f2", "g", "i8", "i4", "u1", "c8", "c16", "?")]
HINTS = [
    *(None, "x", "x", "h", "for", "match", "sum", "add", "nan", "f32", "3a", "W[0]", "λ", "loop"),
    *("t1", "t1_1", "dx", "array", "self.w", "", "_", "x_1", "constant", "ﬁ", "body", "dh", "bool"),
]
SHAPES: list[tuple[int, ...]] = [(), (3,), (2, 3), (1, 3), (3, 2), (0, 3), (2, 1)]
SPECIAL = [0.0, -0.0, 1.0, -1.5, 0.1, float("nan"), -float("nan"), float("inf"), -float("inf")]
SPECIAL += [1e-45, 1e30, 6.5e4, 1 / 3]


def scalar(draw: Any, dtype: np.dtype) -> Any:
    """Return a NumPy scalar with any bits."""
    how = draw(st.sampled_from(["special", "bits", "small"]))
    if how == "bits" and dtype.kind != "b" and dtype.char not in "gG":
        size = dtype.itemsize
        return np.frombuffer(draw(st.binary(min_size=size, max_size=size)), dtype)[0]
    with np.errstate(all="ignore"):
        if dtype.kind == "c":
            parts = [draw(st.sampled_from(SPECIAL)) for _ in range(2)]
            return dtype.type(complex(*parts))
        if dtype.kind == "f":
            if how == "special":
                return dtype.type(draw(st.sampled_from(SPECIAL)))
            return dtype.type(1) / dtype.type(draw(st.integers(1, 9)))
    return dtype.type(draw(st.integers(0, 1 if dtype.kind == "b" else 100)))


def literal(draw: Any, type: ArrayType) -> Literal:
    if not type.shape:
        return Literal(scalar(draw, type.dtype))
    flat = [scalar(draw, type.dtype) for _ in range(type.size)]
    return Literal(np.array(flat, type.dtype).reshape(type.shape))


class Programs:
    """Draws random programs; every choice that parse or print could get wrong is in reach."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw

    def pick(self, items: Any) -> Any:
        return self.draw(st.sampled_from(list(items)))

    def type(self) -> ArrayType:
        return ArrayType(self.pick(DTYPES), self.pick(SHAPES))

    def value(self, type: ArrayType) -> Value:
        return Value(type, self.pick(HINTS))

    def name(self, results: tuple[Value, ...], pool: list[Value]) -> None:
        for value in results:
            value.hint = self.pick(HINTS)
            if self.pick([False, False, True]):
                value.cotangent_of = self.pick(pool)
            pool.append(value)

    def operand(self, like: ArrayType, pool: list[Value]) -> Any:
        if not like.is_static:
            return self.pick([v for v in pool if v.type == like])
        same = [v for v in pool if v.type.dtype == like.dtype and v.type.shape in (like.shape, ())]
        if same and self.pick([True, True, False]):
            return self.pick(same)
        return literal(self.draw, like.with_shape(self.pick([like.shape, ()])))

    def step(self, builder: Builder, pool: list[Value], depth: int) -> None:
        kind = self.pick(["unary", "binary", "shape", "index", "where", "fused", "loop", "matmul"])
        x = self.pick(pool)
        if not x.type.is_static:  # other steps need sizes
            kind = self.pick(["unary", "binary"])
        if kind == "fused" and depth:
            made = self.fused(builder, pool, depth)
        elif kind == "loop" and depth:
            made = self.loop(builder, pool, depth)
        else:
            made = self.plain(kind, builder, x, pool)
        self.name(made, pool)

    def plain(self, kind: str, builder: Builder, x: Value, pool: list[Value]) -> tuple[Value, ...]:
        t, numeric = x.type, x.type.dtype.kind != "b"

        def emit(op: Any, *operands: Any) -> tuple[Value, ...]:
            return builder.append(op, operands, op.infer(*[a.type for a in operands]))

        if kind == "binary" and numeric:
            pair = [x, self.operand(t, pool)]
            if self.pick([True, False]):
                pair.reverse()
            ops = [ew.add, ew.subtract, ew.multiply, ew.less]
            if t.dtype.kind in "fc":  # integers to negative powers raise
                ops.append(ew.power)
            return emit(self.pick(ops), *pair)
        if kind == "where":
            mask = literal(self.draw, ArrayType(np.dtype(bool), ()))
            masks = [v for v in pool if v.type == mask.type]
            return emit(Where(), self.pick([mask, *masks]), x, self.operand(t, pool))
        if kind == "matmul" and t.ndim == 2 and t.dtype.kind in "fc" and t.dtype.char != "g":
            (transposed,) = emit(Transpose((-1, -2)), x)
            return emit(MatMul(), x, transposed)
        if kind == "index" and t.ndim and 0 not in t.shape:
            return self.index(emit, x, pool)
        if kind == "shape":
            if t.ndim:
                flat = Reshape((t.size,), t.ndim)
                options = [flat, Sum((-1,), True), Concatenate(-1), Transpose((-1,))]
                return emit(self.pick(options), x)
            return emit(Full((2, 3)), x)
        real = t.dtype.kind != "c"
        if real and self.pick([True, False]):
            return emit(Convert(self.pick([d for d in DTYPES if d.kind != "c"])), x)
        return emit(ew.negative if numeric and t.dtype.kind != "u" else ew.logical_not, x)

    def index(self, emit: Any, x: Value, pool: list[Value]) -> tuple[Value, ...]:
        size = x.type.shape[-1]
        spans = [Span(0, size, 1), Span(size - 1, size, -1), Span(0, 1, 2), Span(size, 0, 1)]
        items: Any = (self.pick([*spans, 0, -1, AT]),)
        if self.pick([True, False]):
            items = (None, *items)
        position = literal(self.draw, ArrayType(I64, ())).value % size
        positions = [Literal(np.int64(position))] if AT in items else []
        op = Index(items, False)
        if self.pick([True, False]):
            return emit(op, x, *positions)
        return emit(IndexUpdate(items), x, literal(self.draw, x.type.with_shape(())), *positions)

    def region(
        self, types: list[ArrayType], depth: int, returns: Any, dims: tuple[Symbol, ...] = ()
    ) -> Function:
        builder = Builder()
        for type in types:
            builder.param(self.value(type))
        pool = list(builder.params)
        for _ in range(self.pick([0, 1, 2])):
            self.step(builder, pool, depth - 1)
        return builder.finish("region", returns(builder, pool), dims=dims)

    def fused(self, builder: Builder, pool: list[Value], depth: int) -> tuple[Value, ...]:
        static = [v for v in pool if v.type.is_static]
        operands = [self.pick(static) for _ in range(self.pick([1, 2]))]
        if self.pick([True, False]):
            operands = list(dict.fromkeys(operands))
        body = self.region(
            [a.type for a in operands],
            depth,
            lambda b, p: [self.pick([v for v in p if v.type.is_static]) for _ in "ab"],
        )
        op = Fused(body)
        return builder.append(op, tuple(operands), op.infer(*[a.type for a in operands]))

    def loop(self, builder: Builder, pool: list[Value], depth: int) -> tuple[Value, ...]:
        ranged = self.pick([True, True, False])
        static = [v for v in pool if v.type.is_static]
        x, captured = self.pick(static), self.pick(static)
        index = Symbol(self.pick(["i", "n", "f32", "for"]), 0, self.pick([None, 9]))
        trips: Any = 3
        lo, hi, step = self.pick([(0, 3, 1), (2, 5, 1), (6, 0, -2), (0, 5, 2)])
        limit = Literal(np.int64(2))
        types = [*([ArrayType(I64, ())] if ranged else []), x.type, captured.type]
        test = None
        if not ranged or self.pick([True, False]):
            trips = Symbol(self.pick(["n", "trips", "i"]))

        def returns(b: Builder, p: list[Value]) -> list[Any]:
            carry = p[1 if ranged else 0]
            return [carry, self.pick([v for v in p if v.type.is_static])]

        body = self.region(types, depth, returns, (index,) if ranged else ())
        if isinstance(trips, Symbol):
            guard = Builder()
            for t in types:
                guard.param(self.value(t))
            first: Any = guard.params[0] if ranged else Literal(np.int64(3))
            ok = guard.append(ew.less, (first, limit), (ArrayType(np.dtype(bool), ()),))
            test = guard.finish("test", ok, dims=(index,) if ranged else ())
        op = Loop(
            body, 1, trips, ranged, test, backward=self.pick([False, True]), counts=trips != 3
        )
        head = [Literal(np.int64(v)) for v in (lo, hi, step)] if ranged else []
        operands = (*head, x, captured)
        return builder.append(op, operands, op.infer(*[a.type for a in operands]))

    def function(self) -> Function:
        builder = Builder()
        for _ in range(self.pick([1, 2, 3])):
            builder.param(self.value(self.type()))
        pool = list(builder.params)
        for _ in range(self.draw(st.integers(0, 6))):
            self.step(builder, pool, 2)
        # A stack's length is a dim that does not leave: only what a signature can say is returned.
        static = [v for v in pool if v.type.is_static]
        results: list[Any] = [self.pick(static) for _ in range(self.pick([0, 1, 2]))]
        if self.pick([True, False]):
            results.append(literal(self.draw, ArrayType(self.pick(DTYPES), ())))
        kinds = [
            Kind.ARRAY if v.type.shape else self.pick(Kind) for v in (*builder.params, *results)
        ]
        count = len(builder.params)
        return builder.finish(
            self.pick(["f", "g.<locals>.h", "lambda"]),
            results,
            param_kinds=kinds[:count],
            result_kinds=kinds[count:],
        )

    def arguments(self, function: Function) -> list[Any]:
        return [
            literal(self.draw, p.type).value
            if kind is not Kind.ARRAY
            else np.array(literal(self.draw, p.type).value)
            for p, kind in zip(function.params, function.param_kinds, strict=True)
        ]


@st.composite
def programs(draw: Any) -> tuple[Function, list[Any]]:
    maker = Programs(draw)
    function = maker.function()
    return function, maker.arguments(function)


def same_bits(left: Any, right: Any) -> bool:
    a, b = np.asarray(left), np.asarray(right)
    if type(left) is not type(right) or a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.char in "gG":  # ten of the sixteen bytes count
        return bool(np.array_equal(a, b, equal_nan=True))
    return a.tobytes() == b.tobytes()


def assert_round_trip(function: Function) -> Function:
    text = print_function(function)
    parsed = parse_function(text, constants_of(function))
    verify(parsed)
    assert equal_up_to_renaming(function, parsed), text
    assert print_function(parsed) == text
    return parsed


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(programs())
def test_random_functions_round_trip(program: tuple[Function, list[Any]]) -> None:
    function, arguments = program
    verify(function)
    parsed = assert_round_trip(function)
    with np.errstate(all="ignore"):
        expected = evaluate(function, *arguments)
        actual = evaluate(parsed, *arguments)
    assert all(same_bits(a, b) for a, b in zip(expected, actual, strict=True))


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_literals_keep_their_bits(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(DTYPES))
    value = literal(data.draw, ArrayType(dtype, data.draw(st.sampled_from(SHAPES))))
    neighbour = data.draw(st.sampled_from([d for d in DTYPES if d.kind == dtype.kind]))
    x, mask = Value(ArrayType(neighbour, ())), Literal(np.True_)
    parameter = Value(value.type)
    chosen = Value(Where().infer(mask.type, value.type, value.type)[0])
    beside = Value(x.type)
    eqns = [
        Eqn(Where(), (mask, value, value), (chosen,)),
        Eqn(Where(), (mask, x, x), (beside,)),
    ]
    parsed = assert_round_trip(Function("f", [x, parameter], eqns, [value, chosen]))
    assert parsed.eqns[0].operands[1] == value


NO_SAMPLES = {
    *("loop", "cond", "call", "custom", "fused", "recursion", "recur"),
    *("tape_new", "tape_push", "tape_pop", "pack", "unpack"),
}


def op_samples(name: str) -> list[tuple[Op, tuple[Any, ...]]]:
    entry = Op.REGISTRY[name]
    if not isinstance(entry, Elementwise):
        return list(entry.samples())
    for dtypes in itertools.product(map(np.dtype, "dql?"), repeat=entry.ufunc.nin):
        try:
            fits = entry.ufunc.resolve_dtypes((*dtypes, None))[:-1] == dtypes
        except TypeError:
            continue
        if fits:
            return [(entry, tuple(np.ones((2, 3), dtype) for dtype in dtypes))]
    raise AssertionError(f"{name} has no sample")


@pytest.mark.parametrize("name", sorted(set(Op.REGISTRY) - NO_SAMPLES))
def test_every_op_round_trips(name: str) -> None:
    for op, operands in op_samples(name):
        types = [type_of(np.asarray(a)) for a in operands]
        params = [Value(t) for t in types]
        objects = [t.dtype == np.dtype(object) for t in types]  # they have no literals
        literals = [
            p if is_object else Literal(np.asarray(a))
            for p, a, is_object in zip(params, operands, objects, strict=True)
        ]
        mixed = [*params[:1], *literals[1:]]
        for atoms in (params, literals, mixed):
            results = tuple(map(Value, op.infer(*types)))
            assert_round_trip(Function("f", params, [Eqn(op, tuple(atoms), results)], results))


def one(text: str) -> Function:
    return parse_function(text)


def test_bare_number_takes_the_dtype_beside_it() -> None:
    f = one("def f(x: f32[3], m: bool[3]) -> f32[3]:\n    y = where(m, 1.0, x)\n    return y\n")
    assert f.eqns[0].operands[1] == Literal(np.float32(1.0))
    g = one("def f(m: bool[3]) -> f64[3]:\n    y = where(m, 1.0, 2.0)\n    return y\n")
    assert g.eqns[0].operands[1] == Literal(np.float64(1.0))


def test_other_dtypes_say_so() -> None:
    x = Value(ArrayType(np.dtype("i4"), (3,)), "x")
    y = Value(ArrayType(F64, (3, 4)))
    op = Full((3, 4))
    for value in (np.float64(0.5), np.float32(0.5)):
        z = Value(ArrayType(value.dtype, (3, 4)))
        text = print_function(Function("f", [x], [Eqn(op, (Literal(value),), (z,))], [z]))
        assert ("f32(0.5)" in text) == (value.dtype == F32)
    assert y.type.shape == (3, 4)


def test_text_by_hand_may_nest_and_leave_types_out() -> None:
    f = one(
        "def f(x: f64[3], W: f64[3, 3]) -> f64[3]:\n"
        "    y = tanh(W.T @ x) * 2.0 - x[::-1]\n"
        "    return y\n"
    )
    verify(f)
    x, w = np.arange(3.0), np.arange(9.0).reshape(3, 3)
    (result,) = evaluate(f, x, w)
    assert np.array_equal(result, np.tanh(w.T @ x) * 2.0 - x[::-1])


def test_dims_round_trip() -> None:
    n, i = Symbol("n", 1), Symbol("n", 0, 9)
    size = Dim.of(n)
    other = (Dim.of(i) + 2 * size - 1) // 3 + minimum(size, Dim.of(i)) % 4
    x = Value(ArrayType(F64, (size, other)), "x")
    f = Function("f", [x], [], [x], dims=(n, i))
    text = print_function(f)
    assert "n_1" in text
    assert "n >= 1" in text
    assert "0 <= n_1 <= 9" in text
    assert_round_trip(f)


def test_layouts_of_parameters_round_trip() -> None:
    x = Value(ArrayType(F64, (3, 4)), "x", layout=(8, -24))
    f = Function("f", [x], [], [x])
    assert "x: f64[3:8, 4:-24]" in print_function(f)
    parsed = assert_round_trip(f)
    assert parsed.params[0].layout == (8, -24)
    plain = Function("f", [Value(x.type)], [], [])
    assert not equal_up_to_renaming(f.replace(results=[]), plain)


def test_large_constants_stand_in_a_table_or_are_given() -> None:
    for count in (17, 1000):
        data = np.arange(float(count))
        x = Value(ArrayType(F64, (count,)), "x")
        y = Value(x.type, "y")
        f = Function("f", [x], [Eqn(ew.add, (x, Literal(data)), (y,))], [y])
        text = print_function(f)
        if count == 17:
            assert equal_up_to_renaming(f, parse_function(text))
        else:
            with pytest.raises(ParseError, match="its bytes are missing"):
                parse(text)
            wrong = {name: value + 1 for name, value in constants_of(f).items()}
            with pytest.raises(ParseError, match="is another one"):
                parse(text, wrong)
        assert equal_up_to_renaming(f, parse_function(text, constants_of(f)))


def test_modules_round_trip() -> None:
    x = Value(ArrayType(F64, (3,)), "x")
    y, p, q = (Value(x.type, h) for h in ("y", "p", "q"))
    helper = Function("helper", [x], [Eqn(ew.tanh, (x,), (y,))], [y, y])
    z = Value(x.type, "z")
    call = Call("helper", (x.type, x.type))
    main = Function("main", [z], [Eqn(call, (z,), (p, q))], [q])
    module = Module({"main": main, "helper": helper}, "main")
    verify(module)
    text = print_module(module)
    parsed = parse(text)
    assert isinstance(parsed, Module)
    assert parsed.entry == "main"
    verify(parsed)
    assert all(equal_up_to_renaming(f, parsed.functions[n]) for n, f in module.functions.items())
    (result,) = evaluate(parsed.main, np.ones(3), module=parsed)
    assert np.array_equal(result, np.tanh(np.ones(3)))


def test_a_single_call_takes_its_type_from_the_annotation() -> None:
    f = one("def f(x: f64) -> f64:\n    y : f64 = call(f, x)\n    return y\n")
    assert f.eqns[0].op == Call("f", (ArrayType(F64, ()),))
    assert list(parse_module(print_function(f)).functions) == ["f"]


HEAD = "def f(x: f64[3], yes: bool) -> f64[3]:\n"
BAD = {
    "unknown op": ("    y : f64[3] = tahn(x)\n", "`tahn` is no op; nearest: `tan`, `tanh`"),
    "undefined": ("    y : f64[3] = tanh(X)\n", "`X` is not defined here; nearest: `x`"),
    "wrong type": ("    y : f32[3] = tanh(x)\n", "expected f64[3], the inferred type"),
    "twice": ("    x : f64[3] = tanh(x)\n", "`x` is assigned twice"),
    "shape": ("    y = x + array([1.0, 2.0], f64)\n", "do not broadcast together"),
    "dtype": ("    y = tanh(yes) + x\n", "a `convert` is missing"),
    "attribute": ("    y = sum(x, axis=0)\n", "sum: "),
    "code": ("    y = sum(x, axes=(print(x),))\n", "`print` is no record"),
    "dim": ("    y = reshape(x, shape=(m,), rank=1)\n", "`m` is no dtype, bound dim, op"),
    "count": ("    y, z = tanh(x)\n", "this has 1 results, for 2 names"),
    "atom": ("    y = x\n", "expected an op"),
    "number": ("    y = x + i8(300)\n", "300 does not fit in i8"),
    "statement": ("    for i in x: pass\n", "expected `name : type = expression`"),
    "region": ("    y = loop(body, range(3), carry=(x,))\n", "expected a function defined above"),
    "with": ("    with open(x):\n        y = tanh(x)\n", "expected `with fused("),
    "syntax": ("    y = tanh(x\n", "was never closed"),
}


@pytest.mark.parametrize("case", BAD)
def test_errors_say_where_and_what(case: str) -> None:
    line, message = BAD[case]
    with pytest.raises(ParseError) as caught:
        parse(f"{HEAD}{line}    return y\n")
    text = str(caught.value)
    assert message in text
    assert text.startswith("line 2: ")
    assert line.splitlines()[0].strip() in text
    assert "^" in text


def test_the_caret_is_under_the_mistake() -> None:
    with pytest.raises(ParseError) as caught:
        parse(f"{HEAD}    é : f64[3] = tahn(x)\n    return é\n")
    _, row, carets = str(caught.value).splitlines()
    assert row[carets.index("^") : carets.rindex("^") + 1] == "tahn"


def test_errors_of_signatures() -> None:
    for text, message in {
        "def f(x: f65[3]) -> ():\n    return ()\n": "expected a dtype",
        "def f(x: f64[n]) -> ():\n    return ()\n": "the dim `n` is not bound",
        "def f(x) -> ():\n    return ()\n": "`x` needs a type",
        "def f(x: f64) -> f32:\n    return x\n": "this is f64, but the function returns f32",
        "def f(x: f64) -> f64:\n    y = tanh(x)\n": "expected `return`",
        "": "expected a function",
        "x = 1\n": "expected `def name(...)`",
    }.items():
        with pytest.raises(ParseError, match="line") as caught:
            parse(text)
        assert message in str(caught.value)
