"""Every op, on its own samples: types, values, gradients of both orders, generated source."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import differences
import numpy as np
import pytest
from single_ops import STRUCTURAL, TAPES, function_of

from pullback.ir.binding import lone_symbol, renamed_type
from pullback.ir.core import Literal
from pullback.ir.dims import Size
from pullback.ir.errors import DTypeError, ShapeError
from pullback.ir.op import Effect, Elementwise, Op
from pullback.ir.ops.index import AT, Index, IndexUpdate, Span
from pullback.ir.ops.matmul import MatMul
from pullback.ir.ops.reduce import ArgMax, Max, Sum
from pullback.ir.ops.shape import BroadcastTo, Reshape, Transpose
from pullback.ir.samples import numbers
from pullback.ir.types import ArrayType, type_of
from pullback.passes.reverse import reverse

inexact, largest = differences.inexact, differences.largest

# As NumPy does, a conversion from complex to real warns.
pytestmark = pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")

DTYPES = tuple(map(np.dtype, ("f8", "c16", "f4", "f2", "i8", "i4", "u1", "?")))

Sample = tuple[Op, tuple[Any, ...]]


def elementwise_samples(op: Elementwise) -> Iterator[Sample]:
    shapes = {1: [((2, 3),), ((),)], 2: [((2, 3), (3,)), ((), (2, 1)), ((0,), ())]}
    shapes[3] = [((2, 3), (), (3,)), ((), (), ())]
    for dtypes in itertools.product(DTYPES, repeat=op.ufunc.nin):
        try:
            resolved = op.ufunc.resolve_dtypes((*dtypes, None))
        except TypeError:
            continue
        if resolved[:-1] != dtypes:
            continue
        for shape in shapes[op.ufunc.nin]:
            operands = []
            for k, (dtype, s, domain) in enumerate(zip(dtypes, shape, op.domain, strict=True)):
                low, high = domain if dtype.kind in "fc" else (1, 5)
                operands.append(numbers(*s, dtype=dtype, low=low, high=high, seed=k)[()])
            yield op, tuple(operands)


def samples_of(name: str) -> list[Sample]:
    entry = Op.REGISTRY[name]
    if isinstance(entry, Elementwise):
        return list(elementwise_samples(entry))
    return list(entry.samples())


NAMES = sorted(set(Op.REGISTRY) - STRUCTURAL - TAPES)
every_op = pytest.mark.parametrize("name", NAMES)


def as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def same_bits(left: Any, right: Any) -> bool:
    left, right = np.asarray(left), np.asarray(right)
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype.kind == "c":  # the loops for one and for many may fuse products differently
        return np.allclose(left, right, rtol=1e-14, atol=1e-14, equal_nan=True)
    return left.tobytes() == right.tobytes()


@every_op
def test_the_types_are_those_of_the_values(name: str) -> None:
    samples = samples_of(name)
    assert samples
    for op, operands in samples:
        results = as_tuple(op.evaluate(*operands))
        inferred = op.infer(*map(type_of, operands))
        sizes = {
            symbol: size
            for type, result in zip(inferred, results, strict=True)
            for dim, size in zip(type.shape, np.shape(result), strict=True)
            if (symbol := lone_symbol(dim)) in op.binds
        }
        found = tuple([renamed_type(type, sizes) for type in inferred])
        assert found == tuple(map(type_of, results)), op


@every_op
def test_operands_are_left_as_they_were(name: str) -> None:
    for op, operands in samples_of(name):
        before = [np.array(v) for v in operands]
        op.evaluate(*operands)
        written = 1 if name == "write_back" else 0  # that one is there to change its operand
        pairs = list(zip(before, operands, strict=True))
        assert all(same_bits(a, b) for a, b in pairs[written:])


@every_op
def test_gradients_of_both_orders_agree_with_finite_differences(name: str) -> None:
    samples = samples_of(name)
    checked = 0
    for op, operands in samples:
        types = [type_of(v) for v in operands]
        wide = all(
            t.dtype.kind in "biu" or t.dtype in ("f8", "c16") for t in [*types, *op.infer(*types)]
        )
        if not (op.has_gradient and inexact(types) and wide):
            continue
        function = function_of(op, operands)
        backward = differences.check_both_orders(function, operands)
        # No Jacobian: nothing is larger than what the equation reads and writes.
        bound = largest([*types, *[r.type for r in function.results]])
        assert largest([r.type for e in backward.eqns for r in e.results]) <= bound, op
        checked += 1
    assert checked or not any(
        op.has_gradient and inexact([type_of(v) for v in operands]) for op, operands in samples
    )


@every_op
def test_rules_stay_in_the_precision_of_the_operands(name: str) -> None:
    for op, operands in samples_of(name):
        types = [type_of(v) for v in operands]
        function = function_of(op, operands)
        narrow = {t.dtype for t in [*types, *[r.type for r in function.results]] if t.is_inexact}
        if narrow != {np.dtype("f4")} or not op.has_gradient:
            continue
        wrt, seeds = inexact(types), inexact([r.type for r in function.results])
        backward = reverse(function, wrt, seeds=seeds)
        dtypes = {r.type.dtype for e in backward.eqns for r in e.results}
        assert np.dtype("f8") not in dtypes, backward.eqns


class Names:
    """Binds constants for `eval`."""

    exact = False

    def __init__(self) -> None:
        self.scope: dict[str, Any] = {}

    def bind(self, value: object, hint: str) -> str:
        name = f"{hint.replace('.', '_')}_{len(self.scope)}"
        self.scope[name] = value
        return name

    def size(self, dim: Size) -> str:
        return str(dim)

    def atom(self, operand: str) -> Literal | None:
        value = self.scope.get(operand)
        return Literal(value) if isinstance(value, np.ndarray) else None


def run_source(op: Op, operands: Sequence[Any], out: Any = None) -> Any:
    names = Names()
    texts = [names.bind(v, "operand") for v in operands]
    if op.updates is not None:
        target = names.scope[texts[op.updates]] = np.array(operands[op.updates])
        exec(op.emit(names, texts, None), names.scope)
        return target
    place = None if out is None else names.bind(out, "out")
    result = eval(op.emit(names, texts, place), names.scope)
    return result if out is None else out


@every_op
def test_the_generated_source_computes_the_same(name: str) -> None:
    for op, operands in samples_of(name):
        expected = as_tuple(op.evaluate(*operands))
        with np.errstate(all="ignore"):  # `-x` of an unsigned scalar warns, np.negative does not
            found = as_tuple(run_source(op, operands))
        assert all(same_bits(f, e) for f, e in zip(found, expected, strict=True)), op


@every_op
def test_the_generated_source_writes_into_out(name: str) -> None:
    for op, operands in samples_of(name):
        if not op.has_out:
            continue
        expected = op.evaluate(*operands)
        out = np.empty(np.shape(expected), np.asarray(expected).dtype)
        assert same_bits(run_source(op, operands, out), expected), op
        allowed = op.takes_over
        if allowed is None:
            allowed = tuple(range(len(operands))) if op.is_elementwise else ()
        for k in allowed:
            if type_of(operands[k]) == type_of(expected):
                place = np.array(operands[k])
                over = [place if j == k else v for j, v in enumerate(operands)]
                assert same_bits(run_source(op, over, place), expected), (op, k)


@every_op
def test_facts_fit_together(name: str) -> None:
    for op, operands in samples_of(name)[:3]:
        assert op.name == name
        again = [sample for sample, _ in samples_of(name)]
        assert op in again
        assert hash(op) in map(hash, again)
        assert op.effect in Effect
        types = [type_of(v) for v in operands]
        results = op.infer(*types)
        assert op.flops(types, results) >= 0
        assert op.extra_bytes(types, results) >= 0
        if op.is_view and len(operands) == 1 and np.ndim(operands[0]):
            assert (
                np.shares_memory(op.evaluate(operands[0]), operands[0])
                or not results[0].size
                or (isinstance(op, Reshape))
            )


@pytest.mark.parametrize("name", sorted(STRUCTURAL & set(Op.REGISTRY)))
def test_structural_ops_compute_nothing_by_themselves(name: str) -> None:
    assert Op.REGISTRY[name].evaluate is Op.evaluate


@pytest.mark.parametrize(
    "op",
    [
        Sum((-1,)),
        Sum((-2, -1), keepdims=True),
        Transpose((-1, -2)),
        Reshape((6,), 2),
        Reshape((3, 1, 2), 2),
        BroadcastTo((4, 2, 3), 2),
        Index((1, Span(0, 2, 2))),
        Index((AT, Span(0, 3, 1)), gather=True),
    ],
    ids=str,
)
def test_leading_axes_are_batches(op: Op) -> None:
    x = numbers(5, 2, 3)
    rest = (np.array([1, 0, -1]),) if isinstance(op, Index) and op.gather else ()
    whole = op.evaluate(x, *rest)
    (inferred,) = op.infer(type_of(x), *map(type_of, rest))
    assert inferred == type_of(whole)
    assert same_bits(whole, np.stack([op.evaluate(part, *rest) for part in x]))
    assert same_bits(whole, run_source(op, (x, *rest)))


def test_a_missing_conversion_is_an_error() -> None:
    f4, f8 = ArrayType(np.dtype("f4"), ()), ArrayType(np.dtype("f8"), ())
    with pytest.raises(DTypeError, match="a `convert` is missing"):
        Op.REGISTRY["add"].infer(f4, f8)
    with pytest.raises(DTypeError, match="one dtype"):
        MatMul().infer(f4.with_shape((2, 2)), f8.with_shape((2, 2)))


@pytest.mark.parametrize(
    ("op", "shapes", "message"),
    [
        (MatMul(), [(2, 3), (4, 2)], "inner sizes differ"),
        (Max((-1,)), [(2, 0)], "no identity"),
        (ArgMax(-1), [(0,)], "empty sequence"),
        (Reshape((5,), 1), [(4,)], "cannot reshape"),
        (BroadcastTo((3,), 1), [(2,)], "cannot broadcast"),
        (Op.REGISTRY["add"], [(2,), (3,)], "do not broadcast"),
        (IndexUpdate((Span(0, 2, 1),)), [(3,), (4,)], "could not write|do not broadcast"),
    ],
)
def test_shapes_that_do_not_fit(op: Op, shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        op.infer(*[ArrayType(np.dtype("f8"), s) for s in shapes])
