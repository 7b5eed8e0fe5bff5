"""Products, einsum, norms and linear algebra against NumPy: values, dtypes, errors, gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback.ir.builder import Builder
from pullback.ir.core import Function, Literal, Value
from pullback.ir.errors import DTypeError, ShapeError, UnsupportedError
from pullback.ir.ops.matmul import MatMul
from pullback.ir.samples import numbers
from pullback.ir.types import Kind, layout_of, type_of
from pullback.passes.reverse import reverse
from pullback.tracer import functions  # noqa: F401  (registers the functions)
from pullback.tracer.array import TracedArray, wrap
from pullback.tracer.functions.einsum import einsum, parse_subscripts
from pullback.tracer.state import Trace

pytestmark = pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")

Program = Callable[..., Any]


def staged(program: Program, arguments: Sequence[Any]) -> Function:
    """Return the program as a function; NumPy scalars count as arrays without axes."""
    builder = Builder()
    with Trace(builder, None) as trace:
        traced = [
            wrap(
                builder.param(Value(type_of(x), f"x{k}", None, layout_of(np.asarray(x)))),
                Kind.ARRAY,
                trace,
            )
            for k, x in enumerate(arguments)
        ]
        result = program(*traced)
        results = result if isinstance(result, tuple) else (result,)
        atoms = [r._atom if isinstance(r, TracedArray) else Literal(np.asarray(r)) for r in results]
        kinds = [r._kind if isinstance(r, TracedArray) else Kind.SCALAR for r in results]
    return builder.finish("f", atoms, result_kinds=kinds)


def run(function: Function, arguments: Sequence[Any]) -> list[Any]:
    scope: dict[Any, Any] = dict(zip(function.params, arguments, strict=True))
    for eqn in function.eqns:
        operands = [a.value if isinstance(a, Literal) else scope[a] for a in eqn.operands]
        value = eqn.op.evaluate(*operands)
        values = value if isinstance(value, tuple) else (value,)
        for atom, part in zip(eqn.results, values, strict=True):
            assert type_of(part) == atom.type, eqn
            scope[atom] = part
    return [r.value if isinstance(r, Literal) else scope[r] for r in function.results]


def check_values(program: Program, *arguments: Any, rtol: float = 0.0, kinds: bool = True) -> None:
    """Compare with plain NumPy: dtype, shape, kind, and bits unless a tolerance is given."""
    expected = program(*arguments)
    function = staged(program, arguments)
    expected = expected if isinstance(expected, tuple) else (expected,)
    found = run(function, arguments)
    for e, f, kind in zip(expected, found, function.result_kinds, strict=True):
        assert np.asarray(e).dtype == np.asarray(f).dtype
        assert np.shape(e) == np.shape(f)
        assert not kinds or (kind is Kind.SCALAR) == isinstance(e, np.generic)
        if rtol:
            np.testing.assert_allclose(f, e, rtol=rtol)
        else:
            assert np.array_equal(e, f, equal_nan=True)


def gradients(function: Function, arguments: Sequence[Any]) -> tuple[Function, list[Any]]:
    """Return the cotangents of a scalar result."""
    backward = reverse(function, range(len(arguments)), keep=())
    return backward, run(backward, arguments)


def check_gradients(program: Program, *arguments: Any, tolerance: float = 2e-6) -> None:
    """Compare first and second derivatives along a direction with central differences."""

    def loss(*values: Any) -> Any:
        result = program(*values)
        results = result if isinstance(result, tuple) else (result,)
        total: Any = 0.0
        for k, r in enumerate(results):
            weight = 0.7 + 0.2j if r.dtype.kind == "c" else 0.7
            total = total + np.sum(np.real(r * weight * (1 + 0.1 * k) + 0.3 * r * r))
        return total

    directions = [numbers(*np.shape(x), dtype=np.asarray(x).dtype, seed=9) for x in arguments]

    def slope(*values: Any) -> Any:
        _, cts = gradients(staged(loss, values), values)
        return sum(np.sum(np.real(ct * d)) for ct, d in zip(cts, directions, strict=True))

    def second(*values: Any) -> Any:
        inner = reverse(staged(loss, values), range(len(values)), keep=())
        builder = Builder()
        with Trace(builder, None) as trace:
            params = [builder.param(Value(p.type, p.hint, None, p.layout)) for p in inner.params]
            cts = [wrap(a, Kind.ARRAY, trace) for a in builder.inline(inner, params)]
            fixed = [wrap(Literal(d), Kind.ARRAY, trace) for d in directions]
            total: Any = 0.0
            for ct, d in zip(cts, fixed, strict=True):
                total = total + np.sum(np.real(ct * d))
        outer = builder.finish("g", [total._atom])
        _, cts = gradients(outer, values)
        return sum(np.sum(np.real(ct * d)) for ct, d in zip(cts, directions, strict=True))

    def moved(sign: float, step: float) -> list[Any]:
        return [x + sign * step * d for x, d in zip(arguments, directions, strict=True)]

    for derivative, of, step in ((slope, loss, 1e-5), (second, slope, 1e-5)):
        expected = (of(*moved(1, step)) - of(*moved(-1, step))) / (2 * step)
        found = derivative(*arguments)
        assert found == pytest.approx(expected, rel=tolerance, abs=tolerance)


def spd(n: int, *lead: int, dtype: Any = np.float64) -> np.ndarray:
    x = numbers(*lead, n, n, dtype=dtype)
    return (x @ np.swapaxes(x, -1, -2).conj() + n * np.eye(n)).astype(dtype)


# ---- products ------------------------------------------------------------------------------------

PRODUCTS: dict[str, tuple[Program, list[tuple[tuple[int, ...], ...]]]] = {
    "matmul": (
        np.matmul,
        [
            ((2, 3), (3, 4)),
            ((3,), (3, 4)),
            ((2, 3), (3,)),
            ((3,), (3,)),
            ((5, 2, 3), (3, 4)),
            ((2, 3), (5, 3, 4)),
            ((5, 1, 2, 3), (4, 3, 2)),
            ((5, 2, 3), (3,)),
            ((3,), (5, 3, 2)),
            ((1, 3), (3, 1)),
            ((0, 3), (3, 2)),
            ((2, 0), (0, 3)),
        ],
    ),
    "dot": (
        np.dot,
        [
            ((2, 3), (3, 4)),
            ((3,), (3,)),
            ((), (2, 3)),
            ((2, 3), ()),
            ((2, 3), (3,)),
            ((4, 2, 3), (3, 5)),
            ((4, 2, 3), (3,)),
            ((3,), (2, 3, 4)),
            ((2, 2, 3), (4, 3, 2)),
            ((2, 0), (0, 3)),
        ],
    ),
    "inner": (np.inner, [((3,), (3,)), ((2, 3), (4, 3)), ((2, 3), (3,)), ((2, 2, 3), (4, 3))]),
    "vdot": (np.vdot, [((3,), (3,)), ((2, 3), (3, 2)), ((), ()), ((0,), (0,))]),
    "outer": (np.outer, [((3,), (4,)), ((2, 3), (2,)), ((0,), (3,)), ((), (3,))]),
    "kron": (np.kron, [((2, 3), (3, 2)), ((3,), (2, 2)), ((2, 1, 2), (3,)), ((), (3,))]),
    "cross": (np.cross, [((3,), (3,)), ((4, 3), (3,)), ((2, 1, 3), (4, 3))]),
    "vecdot": (np.vecdot, [((3,), (3,)), ((4, 3), (3,)), ((2, 1, 3), (4, 3))]),
    "tensordot": (np.tensordot, [((2, 3, 4), (3, 4, 2)), ((3, 4), (3, 4))]),
    "tensordot1": (lambda a, b: np.tensordot(a, b, 1), [((2, 3), (3, 4)), ((2, 3), (3, 4, 5))]),
    "tensordot0": (lambda a, b: np.tensordot(a, b, 0), [((2, 3), (2,))]),
    "tensordot axes": (
        lambda a, b: np.tensordot(a, b, axes=([2, 0], [1, 2])),
        [((2, 3, 4), (5, 4, 2))],
    ),
    "tensordot axis": (lambda a, b: np.tensordot(a, b, axes=(0, -1)), [((2, 3), (4, 2))]),
    "method": (lambda a, b: a.dot(b), [((2, 3), (3, 4))]),
    "operator": (lambda a, b: a @ b.T, [((2, 3), (4, 3))]),
}
if hasattr(np, "matvec"):
    PRODUCTS["matvec"] = (np.matvec, [((2, 3), (3,)), ((5, 2, 3), (3,)), ((2, 3), (5, 3))])
    PRODUCTS["vecmat"] = (np.vecmat, [((3,), (3, 4)), ((5, 3), (3, 4)), ((3,), (5, 3, 2))])
CASES = [(name, shapes) for name, (_, all_shapes) in PRODUCTS.items() for shapes in all_shapes]
products = pytest.mark.parametrize(("name", "shapes"), CASES, ids=str)


@products
@pytest.mark.parametrize(
    "dtypes", ["f8 f8", "f4 f4", "f4 f8", "i8 f4", "i4 i8", "c16 c16", "f8 c8"]
)
def test_products_have_numpys_bits(
    name: str, shapes: tuple[tuple[int, ...], ...], dtypes: str
) -> None:
    arrays = [
        numbers(*shape, dtype=dtype, low=-9, high=9, seed=k)
        for k, (shape, dtype) in enumerate(zip(shapes, dtypes.split(), strict=True))
    ]
    # NumPy multiplies complex arrays by scalars, and conjugated vectors, with BLAS's own routines.
    other_routine = "c" in dtypes and (name == "vecmat" or (name == "dot" and () in shapes))
    tolerance = 1e-12 if dtypes == "c16 c16" else 1e-6
    check_values(PRODUCTS[name][0], *arrays, rtol=tolerance if other_routine else 0.0)


@products
@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_gradients_of_products(name: str, shapes: tuple[tuple[int, ...], ...], dtype: str) -> None:
    arrays = [numbers(*s, dtype=dtype, low=-1, high=1, seed=k) for k, s in enumerate(shapes)]
    check_gradients(PRODUCTS[name][0], *arrays)


@pytest.mark.parametrize("function", [np.matmul, np.dot, np.inner], ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", ["f8", "f4", "c16"])
def test_products_of_strided_operands_have_numpys_bits(function: Program, dtype: str) -> None:
    x = numbers(12, 12, dtype=dtype)
    forms: list[Program] = [
        lambda a: a.T,
        lambda a: a[::2, ::2],
        lambda a: a[:, ::-1],
        lambda a: a[:, 1:],
        lambda a: a[:, 3],
        lambda a: a[0, ::-1],
    ]
    for left in forms:
        for right in forms:
            a, b = left(x), right(x)
            if a.shape[-1] == (b.shape[-1] if function is np.inner else b.shape[0]):
                check_values(function, a, b)
                check_values(lambda y, lt=left, rt=right: function(lt(y), rt(y)), x)


def test_numbers_in_products_are_not_weak() -> None:
    x = numbers(3, dtype="f4")
    for program in (
        lambda a: np.dot(2.0, a),
        lambda a: np.inner(a, 2),
        lambda a: np.outer(a, 0.5),
        lambda a: np.einsum(",i", 2.0, a),
        lambda a: a @ [1.0, 2.0, 3.0],
        lambda a: [[1, 2, 3]] @ a,
        lambda a: np.kron(a, 2.0),
    ):
        check_values(program, x)


def test_products_that_numpy_refuses() -> None:
    a = numbers(2, 3)
    with pytest.raises(ShapeError, match="inner sizes differ"):
        staged(lambda x: x @ x, [a])
    with pytest.raises(ShapeError, match="no axes"):
        staged(lambda x: x @ 2.0, [a])
    with pytest.raises(ShapeError, match="shape-mismatch"):
        staged(lambda x: np.tensordot(x, x), [numbers(2, 3, 4)])
    with pytest.raises(ValueError, match="duplicate axes"):
        staged(lambda x: np.tensordot(x, x, axes=([0, 0], [0, 0])), [a])
    with pytest.raises(ValueError, match="dimension must be 2 or 3"):
        staged(lambda x: np.cross(x, x), [numbers(4)])


def test_a_gradient_of_a_batched_product_is_one_product_of_matrices() -> None:
    x, w = numbers(5, 2, 3), numbers(3, 4)
    function = staged(lambda a, b: np.sum((a @ b) ** 2), [x, w])
    backward, _ = gradients(function, [x, w])
    shapes = [
        tuple(a.type.shape for a in eqn.operands)
        for eqn in backward.eqns
        if isinstance(eqn.op, MatMul)
    ]
    assert ((3, 10), (10, 4)) in shapes
    assert max(r.type.size for e in backward.eqns for r in e.results) <= 5 * 2 * 4


# ---- einsum --------------------------------------------------------------------------------------

EINSUMS: list[tuple[str, tuple[tuple[int, ...], ...]]] = [
    ("ij,jk->ik", ((2, 3), (3, 4))),
    ("ij,jk", ((2, 3), (3, 4))),
    ("ba,cb", ((3, 2), (4, 3))),
    ("ii", ((3, 3),)),
    ("ii->i", ((3, 3),)),
    ("iij->ji", ((3, 3, 2),)),
    ("iii->i", ((3, 3, 3),)),
    ("iii->", ((2, 2, 2),)),
    ("ijij->", ((2, 3, 2, 3),)),
    ("ij->ji", ((2, 3),)),
    ("ij->", ((2, 3),)),
    ("ij->j", ((2, 3),)),
    ("i,j->ij", ((2,), (3,))),
    ("i,i->", ((3,), (3,))),
    ("i,j->", ((3,), (2,))),
    ("bij,bjk->bik", ((4, 2, 3), (4, 3, 2))),
    ("bij,jk->bik", ((4, 2, 3), (3, 2))),
    ("bhqd,bhkd->bhqk", ((2, 2, 3, 4), (2, 2, 5, 4))),
    ("...ij,...jk->...ik", ((4, 2, 3), (3, 2))),
    ("...ij,...jk", ((5, 1, 2, 3), (4, 3, 2))),
    ("i...,i...->...", ((3, 2), (3, 2))),
    ("...", ((2, 3),)),
    ("...i->...", ((2, 3),)),
    ("ij,ij->ij", ((1, 3), (2, 3))),
    ("ij,jk->ik", ((2, 1), (3, 4))),
    ("i,ij,j->", ((2,), (2, 3), (3,))),
    ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 2))),
    ("ii,ij,j->i", ((3, 3), (3, 2), (2,))),
    ("ab,bc,cd,de->ae", ((2, 3), (3, 2), (2, 3), (3, 2))),
    ("i,i,i,i->i", ((3,), (3,), (3,), (3,))),
    (" i j , j -> i ", ((2, 3), (3,))),
    ("A,a->aA", ((2,), (3,))),
    (",i->i", ((), (3,))),
    ("ij,j->i", ((0, 3), (3,))),
    ("ij,j->i", ((2, 0), (0,))),
]
einsums = pytest.mark.parametrize(("text", "shapes"), EINSUMS, ids=str)


@einsums
@pytest.mark.parametrize("dtypes", ["f8", "f4", "i8", "c16", "f4 f8", "i4 c8"])
@pytest.mark.parametrize("optimize", [False, True])
def test_einsum_has_numpys_bits(
    text: str, shapes: tuple[tuple[int, ...], ...], dtypes: str, optimize: bool
) -> None:
    names = dtypes.split()
    arrays = [
        numbers(*s, dtype=names[k % len(names)], low=-9, high=9, seed=k)
        for k, s in enumerate(shapes)
    ]
    # With `optimize`, NumPy returns a 0-d array or a scalar, by the routine that it came from.
    check_values(lambda *xs: np.einsum(text, *xs, optimize=optimize), *arrays, kinds=not optimize)


@einsums
@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_gradients_of_einsum(text: str, shapes: tuple[tuple[int, ...], ...], dtype: str) -> None:
    arrays = [numbers(*s, dtype=dtype, low=-1, high=1, seed=k) for k, s in enumerate(shapes)]
    check_gradients(lambda *xs: np.einsum(text, *xs), *arrays)


SIZES = {"a": 2, "b": 3, "c": 4, "d": 1}


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_einsum_of_any_subscripts(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 3))
    inputs = [data.draw(st.text("abcd", max_size=3)) for _ in range(count)]
    present = sorted(set("".join(inputs)))
    order = data.draw(st.permutations(present))
    output = "".join(order[: data.draw(st.integers(0, len(present)))])
    text = ",".join(inputs) + (f"->{output}" if data.draw(st.booleans()) else "")
    arrays = []
    for k, of in enumerate(inputs):
        single = data.draw(st.sampled_from([*present, ""])) if k else ""
        shape = [1 if c == single else SIZES[c] for c in of]
        arrays.append(numbers(*shape, low=-1, high=1, seed=k))
    check_values(lambda *xs: np.einsum(text, *xs), *arrays)
    function = staged(lambda *xs: np.sum(np.einsum(text, *xs)), arrays)
    backward, cts = gradients(function, arrays)
    # The sum of all results is linear in each operand: its slope is exact.
    for k, ct in enumerate(cts):
        way = numbers(*arrays[k].shape, seed=11)
        rest = [way if j == k else x for j, x in enumerate(arrays)]
        assert np.sum(ct * way) == pytest.approx(np.sum(np.einsum(text, *rest)), abs=1e-9)
    whole = [x.size for x in arrays] + [np.einsum(text, *arrays).size]
    assert all(r.type.size <= max(whole) for e in backward.eqns for r in e.results)


def test_einsum_in_list_form() -> None:
    a, b = numbers(2, 3), numbers(3, 4)
    check_values(lambda x, y: np.einsum(x, [0, 1], y, [1, 2]), a, b)
    check_values(lambda x, y: np.einsum(x, [0, 1], y, [1, 2], [2, 0]), a, b)
    check_values(lambda x: np.einsum(x, [Ellipsis, 0], [0, Ellipsis]), a)
    check_values(lambda x: np.einsum("ij->i", x, dtype="f8"), numbers(2, 3, dtype="f4"))
    path = ["einsum_path", (0, 1), (0, 1)]
    check_values(lambda x, y: np.einsum("ij,jk,kl->il", x, y, y.T, optimize=path), a, b)
    check_values(lambda x, y: np.einsum("ij,jk->ik", x, y, optimize="optimal"), a, b)


@pytest.mark.parametrize(
    ("text", "ndims"),
    [
        ("ij->k", [2]),
        ("ij->ii", [2]),
        ("ij", [3]),
        ("ijk", [2]),
        ("i,j", [1]),
        ("i->j->k", [1]),
        ("i-j", [1]),
        ("..i", [2]),
        ("i$", [2]),
        ("...i->i", [3]),
        ("...i...", [3]),
    ],
)
def test_subscripts_that_numpy_refuses(text: str, ndims: list[int]) -> None:
    with pytest.raises(ValueError, match=r"[a-z]"):
        np.einsum(text, *[np.ones((2,) * n) for n in ndims])
    with pytest.raises(ValueError, match=r"[a-z]"):
        parse_subscripts(text, ndims)


def test_einsum_refuses_what_it_does_not_know() -> None:
    a = numbers(2, 3)
    with pytest.raises(UnsupportedError, match="out="):
        staged(lambda x: np.einsum("ij->i", x, out=np.empty(2)), [a])
    with pytest.raises(TypeError, match="according to the rule 'safe'"):
        staged(lambda x: np.einsum("ij->i", x, dtype="f4"), [a])
    with pytest.raises(TypeError, match="int or Ellipsis"):
        staged(lambda x: np.einsum(x, ["i"]), [numbers(2)])
    with pytest.raises(ValueError, match="No input operands"):
        einsum(optimize=True)


# ---- norms ---------------------------------------------------------------------------------------

NORMS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((5,), {}),
    ((5,), {"ord": 1}),
    ((5,), {"ord": 2}),
    ((5,), {"ord": 3}),
    ((5,), {"ord": -1}),
    ((5,), {"ord": 2.5}),
    ((5,), {"ord": np.inf}),
    ((5,), {"ord": -np.inf}),
    ((5,), {"keepdims": True}),
    ((3, 4), {}),
    ((3, 4), {"ord": "fro"}),
    ((3, 4), {"ord": 1}),
    ((3, 4), {"ord": -1}),
    ((3, 4), {"ord": np.inf}),
    ((3, 4), {"ord": -np.inf}),
    ((3, 4), {"axis": 0}),
    ((3, 4), {"axis": -1, "keepdims": True}),
    ((3, 4), {"axis": 1, "ord": 1}),
    ((3, 4), {"axis": 0, "ord": np.inf}),
    ((3, 4), {"axis": 0, "ord": 3}),
    ((2, 3, 4), {}),
    ((2, 3, 4), {"axis": (0, 2)}),
    ((2, 3, 4), {"axis": (2, 0), "ord": 1}),
    ((2, 3, 4), {"axis": (0, 1), "ord": np.inf, "keepdims": True}),
    ((2, 3, 4), {"axis": (-1,), "ord": 2}),
]
norms = pytest.mark.parametrize(("shape", "options"), NORMS, ids=str)


@norms
@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "c16"])
def test_norms_have_numpys_values(
    shape: tuple[int, ...], options: dict[str, Any], dtype: str
) -> None:
    x = numbers(*shape, dtype=dtype, low=1 if options.get("ord") == -1 else -9, high=9)
    # A power of a scalar and the parts of a complex array take other loops in NumPy.
    is_inexact = dtype == "c16" or options.get("ord") in (3, 2.5, -1)
    tolerance = 1e-6 if dtype == "f4" else 1e-14
    check_values(lambda a: np.linalg.norm(a, **options), x, rtol=tolerance if is_inexact else 0.0)


@norms
@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_gradients_of_norms(shape: tuple[int, ...], options: dict[str, Any], dtype: str) -> None:
    x = numbers(*shape, dtype=dtype) + 0.05  # no two of the same absolute value
    check_gradients(lambda a: np.linalg.norm(a, **options), x, tolerance=1e-5)


def test_norms_of_other_layouts_and_no_elements() -> None:
    x = numbers(4, 6)
    for view in (x.T, x[:, ::2], x.T[1:], x[::-1]):
        check_values(np.linalg.norm, view)
        check_values(lambda a: np.linalg.norm(a, axis=0), view)
    check_values(lambda a: np.linalg.norm(a, ord=np.inf), np.zeros(0))
    check_values(np.linalg.norm, np.zeros(0))
    check_values(lambda a: np.linalg.norm(a, ord=0), np.array([0.0, 2.0, 3.0]))
    check_values(lambda a: np.linalg.vector_norm(a, axis=(0, 1), keepdims=True), x)
    check_values(np.linalg.vector_norm, x)
    check_values(np.linalg.matrix_norm, numbers(2, 3, 4))


def test_gradients_of_norms_at_zero_are_those_of_jax() -> None:
    zeros = np.zeros(3)

    def gradient(**options: Any) -> list[float]:
        function = staged(lambda x: np.linalg.norm(x, **options), [zeros])
        with np.errstate(all="ignore"):
            return gradients(function, [zeros])[1][0].tolist()

    assert np.isnan(gradient()).all()
    assert gradient(ord=0) == [0.0, 0.0, 0.0]


def test_norms_that_are_refused() -> None:
    x = numbers(3, 4)
    for options in ({"ord": "fro", "axis": 0}, {"ord": 3}, {"axis": (0, 0)}, {"axis": (0, 1, 0)}):
        with pytest.raises(ValueError, match=r"[a-z]"):
            np.linalg.norm(x, **options)
        with pytest.raises(ValueError, match=r"[a-z]"):
            staged(lambda a, o=options: np.linalg.norm(a, **o), [x])
    with pytest.raises(TypeError):
        staged(lambda a: np.linalg.norm(a, axis="x"), [x])


# ---- factorisations, solves, determinants --------------------------------------------------------

LINALG: dict[str, Program] = {
    "cholesky": np.linalg.cholesky,
    "cholesky upper": lambda a: np.linalg.cholesky(a, upper=True),
    "inv": np.linalg.inv,
    "det": np.linalg.det,
    "slogdet": np.linalg.slogdet,
    "power": lambda a: np.linalg.matrix_power(a, 5),
    "cube": lambda a: np.linalg.matrix_power(a, 3),
    "one": lambda a: np.linalg.matrix_power(a, 1),
    "zero": lambda a: np.linalg.matrix_power(a, 0),
    "inverse square": lambda a: np.linalg.matrix_power(a, -2),
    "transpose": np.linalg.matrix_transpose,
}
linalg = pytest.mark.parametrize("name", LINALG)


@linalg
@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "c16", "c8"])
@pytest.mark.parametrize("lead", [(), (2,), (2, 3), (0,)])
@pytest.mark.parametrize("n", [3, 1, 0])
def test_linear_algebra_has_numpys_bits(
    name: str, dtype: str, lead: tuple[int, ...], n: int
) -> None:
    check_values(LINALG[name], spd(n, *lead, dtype=dtype))


@linalg
@pytest.mark.parametrize("dtype", ["f8", "c16"])
@pytest.mark.parametrize("lead", [(), (2,)])
def test_gradients_of_linear_algebra(name: str, dtype: str, lead: tuple[int, ...]) -> None:
    # Dividing keeps the squares of determinants and powers in a range for finite differences.
    check_gradients(LINALG[name], spd(3, *lead, dtype=dtype) / 5, tolerance=1e-5)


SOLVES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((3, 3), (3,)),
    ((3, 3), (3, 2)),
    ((2, 3, 3), (3, 2)),
    ((2, 3, 3), (3,)),
    ((3, 3), (2, 3, 1)),
    ((2, 1, 3, 3), (4, 3, 2)),
    ((2, 3, 3), (2, 3, 3)),
    ((0, 0), (0, 2)),
    ((0, 3, 3), (3,)),
]


@pytest.mark.parametrize(("a", "b"), SOLVES)
@pytest.mark.parametrize("dtypes", ["f8 f8", "f4 f4", "i8 f4", "f4 f8", "c16 f4", "c8 c8", "i4 i4"])
def test_solve_has_numpys_bits(a: tuple[int, ...], b: tuple[int, ...], dtypes: str) -> None:
    left, right = dtypes.split()
    check_values(
        np.linalg.solve, spd(a[-1], *a[:-2], dtype=left), numbers(*b, dtype=right, low=-9, high=9)
    )


@pytest.mark.parametrize(("a", "b"), SOLVES)
@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_gradients_of_solve(a: tuple[int, ...], b: tuple[int, ...], dtype: str) -> None:
    lopsided = spd(a[-1], *a[:-2], dtype=dtype) + numbers(*a, dtype=dtype, seed=4)
    check_gradients(np.linalg.solve, lopsided, numbers(*b, dtype=dtype))


def test_a_stack_of_vectors_is_a_matrix_as_in_numpy_2() -> None:
    a, b = spd(3, 2), numbers(2, 3)
    with pytest.raises(ValueError, match=r"[a-z]"):
        np.linalg.solve(a, b)
    with pytest.raises(ShapeError):
        staged(np.linalg.solve, [a, b])


def test_errors_of_linear_algebra_are_numpys() -> None:
    singular = np.ones((2, 2))
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        run(staged(np.linalg.inv, [singular]), [singular])
    with pytest.raises(np.linalg.LinAlgError, match="positive definite"):
        run(staged(np.linalg.cholesky, [singular]), [-singular])
    for function in (np.linalg.inv, np.linalg.det, np.linalg.cholesky, np.linalg.slogdet):
        with pytest.raises(np.linalg.LinAlgError):
            staged(function, [numbers(2, 3)])
        with pytest.raises(DTypeError, match="float16 is unsupported"):
            staged(function, [numbers(2, 2, dtype="f2")])
    with pytest.raises(np.linalg.LinAlgError):
        staged(lambda a: np.linalg.matrix_power(a, 2), [numbers(2, 3)])


def test_slogdet_is_a_named_tuple() -> None:
    function = staged(lambda a: np.linalg.slogdet(a).logabsdet, [spd(2)])
    assert run(function, [spd(2)])[0] == np.linalg.slogdet(spd(2)).logabsdet


def test_the_gradient_of_a_determinant_at_a_singular_matrix() -> None:
    a = np.array([[1.0, 2.0, 0.5], [2.0, 4.0, 1.0], [-1.0, 0.3, 0.7]])
    _, (ct,) = gradients(staged(np.linalg.det, [a]), [a])
    for way in numbers(3, 3, 3):
        slope = (np.linalg.det(a + 1e-5 * way) - np.linalg.det(a - 1e-5 * way)) / 2e-5
        assert np.sum(ct * way) == pytest.approx(slope, abs=1e-9)


def test_cholesky_reads_one_triangle() -> None:
    a = spd(3)
    for upper, other in ((False, np.triu), (True, np.tril)):
        function = staged(lambda x, u=upper: np.sum(np.linalg.cholesky(x, upper=u)), [a])
        _, (ct,) = gradients(function, [a])
        assert np.all(other(ct, 1 if not upper else -1) == 0)
        assert np.any(ct != 0)


MULTI_DOTS: list[tuple[tuple[int, ...], ...]] = [
    ((2, 3), (3, 4)),
    ((2, 3), (3, 4), (4, 2)),
    ((3,), (3, 4), (4, 2)),
    ((3,), (3, 4), (4,)),
    ((10, 2), (2, 10), (10, 3), (3, 5)),
    ((2, 3), (3, 4), (4, 5), (5, 6), (6,)),
    ((2, 2), (2, 2), (2, 2), (2, 2)),
]


@pytest.mark.parametrize("shapes", MULTI_DOTS, ids=str)
def test_multi_dot(shapes: tuple[tuple[int, ...], ...]) -> None:
    arrays = [numbers(*s, low=-1, high=1, seed=k) for k, s in enumerate(shapes)]

    def program(*factors: Any) -> Any:
        return np.linalg.multi_dot(list(factors))

    check_values(program, *arrays)
    check_gradients(program, *arrays)


def test_multi_dot_refuses_what_numpy_refuses() -> None:
    with pytest.raises(ValueError, match="at least two"):
        staged(lambda a: np.linalg.multi_dot([a]), [numbers(2, 2)])
    with pytest.raises(np.linalg.LinAlgError):
        staged(lambda a: np.linalg.multi_dot([a, a, a]), [numbers(2, 2, 2)])


def test_array_api_names() -> None:
    a, b, v = numbers(2, 3), numbers(3, 4), numbers(3)
    check_values(np.linalg.matmul, a, b)
    check_values(np.linalg.outer, v, v)
    check_values(lambda x, y: np.linalg.tensordot(x, y, axes=1), a, b)
    check_values(lambda x, y: np.linalg.vecdot(x, y), a, v)
    check_values(np.linalg.cross, a, v)
    with pytest.raises(ShapeError, match="takes vectors"):
        staged(np.linalg.outer, [a, v])
