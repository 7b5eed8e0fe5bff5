"""Each program of the corpus against plain NumPy, differences, other libraries, and itself."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.core import Function
from pullback.ir.equality import equal_up_to_renaming
from pullback.ir.evaluate import evaluate
from pullback.tracer.tree import flatten

pytestmark = pytest.mark.usefixtures("checked")

_spec = importlib.util.spec_from_file_location(
    "corpus_inputs", Path(__file__).with_name("inputs.py")
)
assert _spec is not None
assert _spec.loader is not None
corpus = sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(corpus)
SMALL, LARGE = corpus.SMALL, corpus.LARGE

each_program = pytest.mark.parametrize("program", corpus.CORPUS, ids=lambda p: p.name)
each_precision = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])
TOLERANCE = {np.float64: 1e-11, np.float32: 2e-4}


def leaves_of(value: Any) -> list[Any]:
    leaves: list[Any] = []
    flatten(value, leaves)
    return leaves


def same_bits(left: Any, right: Any) -> bool:
    a, b = np.asarray(left), np.asarray(right)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def assert_close(left: Any, right: Any, tolerance: float) -> None:
    for a, b in zip(leaves_of(left), leaves_of(right), strict=True):
        scale = max(1.0, float(np.max(np.abs(b), initial=0.0)))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


@each_precision
@pytest.mark.parametrize("size", [SMALL, LARGE])
@each_program
def test_exact_mode_has_the_bits_of_numpy(program: Any, size: int, dtype: Any) -> None:
    arguments = program.arguments(size, dtype)
    plain = program.function(*arguments)
    exact = pb.compile(program.function, exact=True)
    for _ in range(2):  # the second call runs in a used workspace
        found = exact(*arguments)
        assert type(found) is type(plain)
        assert same_bits(found, plain)
    value, _ = pb.value_and_grad(program.function, argnums=program.argnums, exact=True)(*arguments)
    assert same_bits(value, plain)


@each_precision
@each_program
def test_the_default_mode_is_close_to_numpy(program: Any, dtype: Any) -> None:
    arguments = program.arguments(LARGE, dtype)
    plain = program.function(*arguments)
    found = pb.compile(program.function)(*arguments)
    assert np.result_type(found) == np.result_type(plain)
    assert_close(found, plain, TOLERANCE[dtype])
    value, gradient = program.gradient(*arguments)
    assert_close(value, plain, TOLERANCE[dtype])
    for k, slope in zip(program.argnums, gradient, strict=True):
        for a, g in zip(leaves_of(arguments[k]), leaves_of(slope), strict=True):
            assert np.result_type(g) == np.result_type(a)
            assert np.shape(g) == np.shape(a)


@each_program
def test_derivatives_of_both_orders_agree_with_differences(program: Any) -> None:
    arguments = list(program.arguments(SMALL))

    def f(*wanted: Any) -> Any:
        given = list(arguments)
        for k, value in zip(program.argnums, wanted, strict=True):
            given[k] = value
        return program.function(*given)

    pb.check_grads(f, [arguments[k] for k in program.argnums], order=2)


@each_program
def test_single_precision_gradients_are_those_of_double_precision(program: Any) -> None:
    _, single = program.gradient(*program.arguments(LARGE, np.float32))
    _, double = program.gradient(*program.arguments(LARGE, np.float64))
    assert_close(single, double, 2e-3)


# -- other libraries ------------------------------------------------------------------------------


def _loops(np_: Any) -> SimpleNamespace:
    """Return the loops of `pb` in plain Python over another library's arrays."""

    def split(xs: Any, k: int) -> Any:
        return None if xs is None else xs[k]

    def fori_loop(lower: int, upper: int, body: Any, value: Any) -> Any:
        for i in range(lower, upper):
            value = body(i, value)
        return value

    def scan(f: Any, carry: Any, xs: Any, length: Any = None, reverse: bool = False) -> Any:
        order = range(len(xs) if xs is not None else length)
        ys = []
        for k in reversed(order) if reverse else order:
            carry, y = f(carry, split(xs, k))
            ys.append(y)
        return carry, np_.stack(ys[::-1] if reverse else ys)

    return SimpleNamespace(fori_loop=fori_loop, scan=scan)


def _programs_of(np_: Any) -> dict[str, Any]:
    text = corpus.PROGRAMS.read_text(encoding="utf-8")
    text = text.replace("import numpy as np\n", "").replace("import pullback as pb\n", "")
    namespace = {"np": np_, "pb": _loops(np_), "__name__": "programs of another library"}
    exec(compile(text, str(corpus.PROGRAMS), "exec"), namespace)
    return namespace


def runs_on(library: str) -> pytest.MarkDecorator:
    chosen = [p for p in corpus.CORPUS if library not in p.without]
    return pytest.mark.parametrize("program", chosen, ids=lambda p: p.name)


@runs_on("autograd")
def test_gradients_agree_with_autograd(program: Any) -> None:
    np_ = pytest.importorskip("autograd.numpy")
    autograd = importlib.import_module("autograd")
    theirs = _programs_of(np_)[program.name]
    arguments = program.arguments(SMALL)
    value, gradient = program.gradient(*arguments)
    assert_close(value, theirs(*arguments), 1e-9)
    assert_close(gradient, autograd.grad(theirs, program.argnums)(*arguments), 1e-8)


@runs_on("jax")
def test_gradients_agree_with_jax(program: Any, jax_in_double: Any) -> None:
    jax = jax_in_double
    theirs = _programs_of(importlib.import_module("jax.numpy"))[program.name]
    arguments = program.arguments(SMALL)
    value, gradient = program.gradient(*arguments)
    expected = jax.jit(jax.value_and_grad(theirs, program.argnums))(*arguments)
    as_numpy = jax.tree_util.tree_map(np.asarray, expected)
    assert_close(value, as_numpy[0], 1e-9)
    assert_close(gradient, as_numpy[1], 1e-8)


# -- the pipeline against itself ------------------------------------------------------------------

PASSES = ("simplify", "dce", "hoist", "fuse", "simplify,dce,hoist,fuse")


@each_program
def test_each_pass_left_out_in_turn_changes_no_gradient(
    program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = program.arguments(SMALL)
    expected = program.gradient(*arguments)
    for left_out in PASSES:
        monkeypatch.setenv("PULLBACK_WITHOUT", left_out)
        assert_close(program.gradient(*arguments), expected, 1e-10)


@each_program
def test_every_stage_means_the_same_in_every_form(program: Any) -> None:
    arguments = program.arguments(SMALL)
    gradient = program.gradient
    stages = gradient.inspect(*arguments).stages
    inputs = gradient.arguments.scan(arguments, {})[0]
    known: list[Function] = []
    for stage in stages:
        function = stage.function
        if any(function is k for k in known):
            continue
        known.append(function)
        with np.errstate(all="ignore"):
            reference = evaluate(function, *inputs)
        parsed = pb.parse(str(function))
        assert equal_up_to_renaming(parsed, function), stage.name
        for made in (pb.build(function), pb.build(parsed)):
            for found, expected in zip(made(*inputs), reference, strict=True):
                assert same_bits(found, expected), stage.name
    value, slopes = gradient(*arguments)
    found = [value, *leaves_of(slopes)]
    assert_close(found, reference, 1e-12)
