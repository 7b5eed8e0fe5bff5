"""What the general tests of ops do not see: contractions, layouts, LAPACK's corners, BLAS bits."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback.ir import ops  # noqa: F401  (fills the registry)
from pullback.ir.core import Atom, Value
from pullback.ir.dims import Size
from pullback.ir.errors import DTypeError, ShapeError
from pullback.ir.op import Effect, Op
from pullback.ir.ops.contract import contract, contract_all
from pullback.ir.ops.einsum import Einsum
from pullback.ir.ops.linalg import (
    Band,
    Cholesky,
    Cofactor,
    Det,
    Inv,
    MatrixShapeError,
    SLogDet,
    Solve,
)
from pullback.ir.ops.matmul import Dot, MatMul, VecDot
from pullback.ir.samples import numbers
from pullback.ir.types import ArrayType, layout_of, type_of

SIZES = {"a": 2, "b": 3, "c": 1, "d": 4, "e": 2}


class Names:
    """Implements `Emitter` for operands of given types and layouts."""

    def __init__(self, **values: Any) -> None:
        self.atoms = {n: Value(type_of(v), n, None, layout_of(v)) for n, v in values.items()}

    def bind(self, value: object, hint: str) -> str:
        return hint

    def size(self, dim: Size) -> str:
        return str(dim)

    def atom(self, operand: str) -> Atom | None:
        return self.atoms.get(operand)


def labelled(labels: str, seed: int = 0) -> np.ndarray:
    return numbers(*[SIZES[c] for c in labels], seed=seed)


# ---- contractions --------------------------------------------------------------------------------

terms = st.permutations("abcde").flatmap(lambda p: st.integers(0, 4).map(lambda n: "".join(p[:n])))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_contractions_are_einsums(data: st.DataObject) -> None:
    labels = [data.draw(terms) for _ in range(data.draw(st.integers(1, 4)))]
    present = sorted(set("".join(labels)))
    into = "".join(data.draw(st.permutations(present)))[: data.draw(st.integers(0, len(present)))]
    arrays = [labelled(of, k) for k, of in enumerate(labels)]
    expected = np.einsum(f"{','.join(labels)}->{into}", *arrays)
    found = contract_all(list(zip(arrays, labels, strict=True)), into)
    assert np.shape(found) == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_a_contraction_copies_no_operand_that_blas_can_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, ct = np.zeros((5, 2, 3)), np.zeros((5, 2, 4))
    seen: list[tuple[Any, Any]] = []

    def multiply(x: Any, y: Any, left: int, right: int) -> Any:
        seen.append((x, y))
        return np.matmul(x, y)

    monkeypatch.setattr("pullback.ir.ops.contract.apply_matmul", multiply)
    result = contract((a, "xmk"), (ct, "xmn"), "kn")
    ((left, right),) = seen
    assert result.shape == (3, 4)
    assert left.shape == (3, 10)
    assert np.shares_memory(left, a)
    assert np.shares_memory(right, ct)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_the_layout_of_an_einsum_is_numpys(data: st.DataObject) -> None:
    sizes = {"a": 2, "b": 3, "c": 4, "d": 1}
    inputs, arrays = [], []
    for k in range(data.draw(st.integers(1, 3))):
        of = "".join(data.draw(st.permutations("abcd")))[: data.draw(st.integers(1, 3))]
        x = numbers(*[sizes[c] for c in of], seed=k)
        arrays.append(x.T.copy().T if data.draw(st.booleans()) else x)
        inputs.append(of)
    present = sorted(set("".join(inputs)))
    output = "".join(data.draw(st.permutations(present)))[: data.draw(st.integers(0, len(present)))]
    op = Einsum(tuple(inputs), output)
    result = np.asarray(op.evaluate(*arrays))
    layouts = [layout_of(x) for x in arrays]
    found = op.layouts([type_of(x) for x in arrays], layouts)
    layout = found[0] if found is not None else None
    real = layout_of(result)
    # Strides along axes of size 1 mean nothing.
    assert (layout is None) == (real is None)
    if layout is not None and real is not None:
        moving = [k for k, n in enumerate(result.shape) if n > 1]
        assert [layout[k] for k in moving] == [real[k] for k in moving]


def test_einsum_of_one_operand_without_a_sum_is_a_view() -> None:
    x = numbers(3, 3)
    for op in (Einsum(("ij",), "ji"), Einsum(("ii",), "i")):
        assert op.is_view
        assert np.shares_memory(op.evaluate(x), x)
    assert not Einsum(("ij",), "i").is_view


@pytest.mark.parametrize(
    ("inputs", "output", "shapes"),
    [
        (("ij", "jk"), "ik", [(5, 2, 3), (3, 4)]),
        (("ij", "jk"), "ik", [(5, 2, 3), (5, 3, 4)]),
        (("ii", "ij"), "j", [(3, 3), (5, 3, 2)]),
        (("i",), "", [(5, 3)]),
    ],
)
def test_leading_axes_of_einsum_are_batches(
    inputs: tuple[str, ...], output: str, shapes: list[tuple[int, ...]]
) -> None:
    op = Einsum(inputs, output)
    arrays = [numbers(*s, seed=k) for k, s in enumerate(shapes)]
    lead = [x.ndim - len(of) for x, of in zip(arrays, inputs, strict=True)]
    parts = [
        op.evaluate(*[x[b] if n else x for x, n in zip(arrays, lead, strict=True)])
        for b in range(5)
    ]
    whole = op.evaluate(*arrays)
    assert type_of(whole) == op.infer(*map(type_of, arrays))[0]
    np.testing.assert_allclose(whole, np.stack(parts), rtol=1e-12)


@pytest.mark.parametrize(
    ("inputs", "output", "shapes", "message"),
    [
        (("ii",), "i", [(2, 3)], "differ in size"),
        (("ij", "jk"), "ik", [(2, 3), (4, 2)], "has the sizes 3 and 4"),
        (("ij",), "i", [(2,)], "fewer axes"),
    ],
)
def test_einsum_of_shapes_that_do_not_fit(
    inputs: tuple[str, ...], output: str, shapes: list[tuple[int, ...]], message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        Einsum(inputs, output).infer(*[ArrayType(np.dtype(float), s) for s in shapes])


# ---- products ------------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_dot_and_matmul_have_the_same_bits_where_one_is_emitted_for_the_other(
    data: st.DataObject,
) -> None:
    m, k, n = (data.draw(st.integers(0, 40)) for _ in range(3))
    dtype = data.draw(st.sampled_from(["f4", "f8"]))
    shapes: list[tuple[int, ...]] = [data.draw(st.sampled_from([(m, k), (k,)]))]
    shapes.append(data.draw(st.sampled_from([(k, n), (k,)])))
    a, b = (
        numbers(*s, dtype=dtype, seed=j).astype(dtype, order=data.draw(st.sampled_from("CF")))
        for j, s in enumerate(shapes)
    )
    op = MatMul(a.ndim, b.ndim)
    emitted = "dot(a, b)" if 1 not in (a.size, b.size) else "a @ b"
    assert op.emit(Names(a=a, b=b), ["a", "b"], None) == emitted
    assert np.asarray(np.dot(a, b)).tobytes() == np.asarray(op.evaluate(a, b)).tobytes()


def test_what_is_emitted_for_products() -> None:
    a, b, v = numbers(2, 3), numbers(3, 4), numbers(3)
    c = a.astype(complex)
    batch = numbers(5, 2, 3)
    op, emitter = MatMul(), Names(a=a, b=b, v=v, c=c, s=b[:, ::2], batch=batch)
    assert op.emit(emitter, ["a", "b"], "out") == "dot(a, b, out)"
    assert op.emit(emitter, ["a", "s"], "out") == "matmul(a, s, out)"
    assert op.emit(emitter, ["c", "c"], "out") == "matmul(c, c, out)"
    assert op.emit(emitter, ["batch", "b"], "out") == "matmul(batch, b, out)"
    assert op.emit(emitter, ["batch", "b"], None) == "batch @ b"
    assert op.emit(emitter, ["unknown", "b"], "out") == "matmul(unknown, b, out)"
    assert MatMul(2, 1).emit(emitter, ["a", "v"], "out") == "dot(a, v, out)"
    assert MatMul(2, 1).emit(emitter, ["batch", "v"], "out") == "copyto(out, matmul(batch, v))"
    assert Dot(2, 2).emit(emitter, ["c", "c"], None) == "dot(c, c)"
    assert Dot(2, 2).emit(emitter, ["batch", "b"], None) == "dot(batch, b)"


@pytest.mark.parametrize(
    ("op", "a", "b"),
    [
        (MatMul(1, 1), (5, 3), (5, 3)),
        (MatMul(2, 1), (5, 2, 3), (5, 3)),
        (MatMul(1, 2), (5, 3), (5, 3, 2)),
        (Dot(3, 3), (5, 2, 4, 3), (5, 2, 3, 4)),
        (Dot(2, 1), (5, 2, 3), (5, 3)),
        (Dot(1, 3), (5, 3), (5, 2, 3, 4)),
        (VecDot(), (5, 3), (5, 3)),
        (Solve(1), (5, 3, 3), (5, 3)),
    ],
)
def test_leading_axes_of_products_are_batches(
    op: Op, a: tuple[int, ...], b: tuple[int, ...]
) -> None:
    x, y = numbers(*a), numbers(*b, seed=1)
    whole = op.evaluate(x, y)
    assert op.infer(type_of(x), type_of(y)) == (type_of(whole),)
    np.testing.assert_allclose(
        whole, np.stack([op.evaluate(*p) for p in zip(x, y, strict=True)]), rtol=1e-10
    )


def test_flops_of_products_and_solves() -> None:
    def types(*shapes: Sequence[int], dtype: str = "f8") -> list[ArrayType]:
        return [ArrayType(np.dtype(dtype), s) for s in shapes]

    assert MatMul().flops(types((2, 3), (3, 4)), types((2, 4))) == 2 * 2 * 3 * 4
    assert Dot(2, 2).flops(types((2, 3), (3, 4), dtype="c16"), types((2, 4), dtype="c16")) == 192
    assert Inv().flops(types((5, 4, 4)), types((5, 4, 4))) == 5 * 2 * 4**3
    assert Cholesky().flops(types((6, 6)), types((6, 6))) == 6**3 // 3
    assert Solve().flops(types((6, 6), (6, 2)), types((6, 2))) == 2 * 6**3 // 3 + 2 * 6 * 6 * 2
    assert Einsum(("ij", "jk"), "ik").flops(types((2, 3), (3, 4)), types((2, 4))) == 2 * 24
    assert Einsum(("ij",), "ji").flops(types((2, 3)), types((3, 2))) == 0


def test_lapack_in_single_precision_costs_copies_in_double() -> None:
    def extra(dtype: str) -> int:
        t = ArrayType(np.dtype(dtype), (10, 10))
        return Inv().extra_bytes([t], [t])

    result, work = 800, 800
    assert extra("f8") == result + work
    assert extra("f4") == result // 2 + work + 800 + 800


# ---- LAPACK --------------------------------------------------------------------------------------


def test_errors_of_linear_algebra_are_numpys() -> None:
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        Inv().evaluate(np.zeros((2, 2)))
    with pytest.raises(np.linalg.LinAlgError, match="positive definite"):
        Cholesky().evaluate(-np.eye(2))
    for op in (Inv(), Cholesky(), Det(), SLogDet(), Cofactor()):
        with pytest.raises(MatrixShapeError, match="square"):
            op.infer(ArrayType(np.dtype(float), (2, 3)))
        with pytest.raises(np.linalg.LinAlgError):
            op.infer(ArrayType(np.dtype(float), (3,)))
        with pytest.raises(DTypeError, match="unsupported in linalg"):
            op.infer(ArrayType(np.dtype(np.float16), (3, 3)))
    with pytest.raises(ShapeError, match="of order 3"):
        Solve().infer(ArrayType(np.dtype(float), (3, 3)), ArrayType(np.dtype(float), (2, 3)))
    assert all(op.effect is Effect.MAY_RAISE for op in (Inv(), Cholesky(), Solve()))
    assert all(op.effect is Effect.PURE for op in (Det(), SLogDet(), Cofactor(), Band()))


def minors(a: np.ndarray) -> np.ndarray:
    """Return the cofactors by their definition."""
    n = len(a)
    found = np.empty_like(a)
    for i, j in np.ndindex(n, n):
        rest = np.delete(np.delete(a, i, 0), j, 1)
        found[i, j] = (-1) ** (i + j) * np.linalg.det(rest)
    return found


@pytest.mark.parametrize("rank", [4, 3, 2, 0])
@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_cofactors_at_every_rank(rank: int, dtype: str) -> None:
    a = numbers(4, 4, dtype=dtype)[:, :rank] @ numbers(4, 4, dtype=dtype, seed=3)[:rank]
    np.testing.assert_allclose(Cofactor().evaluate(a), minors(a), atol=1e-11)
    found = Det().vjp((True,), (np.float64(2.0),), (None,), a)[0]
    np.testing.assert_allclose(found, 2 * minors(a), atol=1e-11)


def test_cofactors_of_small_and_no_matrices() -> None:
    assert Cofactor().evaluate(np.zeros((1, 1))).tolist() == [[1.0]]
    assert Cofactor().evaluate(np.zeros((0, 0))).shape == (0, 0)
    assert Cofactor().evaluate(np.zeros((0, 2, 2))).shape == (0, 2, 2)
    single = np.ones((2, 2), np.float32)
    assert Cofactor().evaluate(single).dtype == np.float32
    np.testing.assert_allclose(Cofactor().evaluate(single), [[1, -1], [-1, 1]], atol=1e-6)


def test_band() -> None:
    x = numbers(2, 3, 4)
    assert np.array_equal(Band(None, -1).evaluate(x), np.tril(x, -1))
    assert np.array_equal(Band(1, None).evaluate(x), np.triu(x, -1))
    assert np.array_equal(Band(0, 0).evaluate(x[0, :, :3]), np.diag(np.diag(x[0, :, :3])))
    assert prod(Band().evaluate(x).shape) == 24
