"""scipy.special inside traced functions: values, kinds, gradients, text, errors."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special as sp

import pullback as pb
from pullback.ir.builder import Builder
from pullback.ir.core import Function, Value
from pullback.ir.evaluate import evaluate
from pullback.ir.op import ELEMENTWISE, Op
from pullback.ir.ops.special import declare, op_named
from pullback.ir.ops.special_rules import PARTIALS, SLOPES
from pullback.ir.parser import parse_function
from pullback.ir.printer import print_function
from pullback.ir.types import Kind, type_of
from pullback.ir.verify import verify
from pullback.passes.reverse import reverse
from pullback.tracer.array import TracedArray
from pullback.tracer.state import Trace

declare()

POSITIVE = (0.3, 2.5)
UNIT = (0.15, 0.85)
WIDE = (-1.8, 1.7)
LARGE = (1.5, 4.0)

DOMAINS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(SLOPES, (POSITIVE,)),
    **dict.fromkeys(
        [
            *("erf", "erfc", "erfi", "erfcx", "dawsn", "ndtr", "log_ndtr", "expit", "log_expit"),
            *("exprel", "cosm1", "expm1", "exp2", "exp10", "sindg", "cosdg", "tandg"),
            *("i0", "i1", "j0", "j1", "rgamma", "ber", "bei"),
        ],
        (WIDE,),
    ),
    **dict.fromkeys(
        ["erfinv", "ndtri", "logit", "entr", "ellipk", "ellipe", "ellipkm1", "_sinpi"], (UNIT,)
    ),
    "erfcinv": ((0.3, 1.7),),
    "ndtri_exp": ((-3.0, -0.2),),
    "wofz": (None,),
    "_cospi": (WIDE,),
    "_log1mexp": ((-2.0, -0.3),),
    "wrightomega": (WIDE,),
    "beta": (POSITIVE, POSITIVE),
    "betaln": (POSITIVE, POSITIVE),
    "binom": (LARGE, (0.2, 1.2)),
    "poch": (POSITIVE, POSITIVE),
    "betainc": (1.5, 2.5, UNIT),
    "betaincc": (1.5, 2.5, UNIT),
    "betaincinv": (1.5, 2.5, UNIT),
    "betainccinv": (1.5, 2.5, UNIT),
    "gammainc": (1.5, POSITIVE),
    "gammaincc": (1.5, POSITIVE),
    "gammaincinv": (1.5, UNIT),
    "gammainccinv": (1.5, UNIT),
    "chdtr": (3.0, POSITIVE),
    "chdtrc": (3.0, POSITIVE),
    "chdtri": (3.0, UNIT),
    "gdtr": (POSITIVE, 1.5, POSITIVE),
    "gdtrc": (POSITIVE, 1.5, POSITIVE),
    "stdtr": (3.0, WIDE),
    "stdtrit": (3.0, (0.55, 0.9)),
    "fdtr": (3.0, 5.0, POSITIVE),
    "fdtrc": (3.0, 5.0, POSITIVE),
    "pdtr": (2.0, POSITIVE),
    "pdtrc": (2.0, POSITIVE),
    "bdtr": (2.0, 5, UNIT),
    "bdtrc": (2.0, 5, UNIT),
    "_binom_cdf": (2.0, 5.0, UNIT),
    "_binom_sf": (2.0, 5.0, UNIT),
    "_binom_pmf": (2.0, 5.0, UNIT),
    "_beta_pdf": (UNIT, POSITIVE, POSITIVE),
    "_beta_ppf": (UNIT, 1.5, 2.5),
    "_cauchy_ppf": (UNIT, WIDE, POSITIVE),
    "_cauchy_isf": (UNIT, WIDE, POSITIVE),
    "xlogy": (WIDE, POSITIVE),
    "xlog1py": (WIDE, POSITIVE),
    "rel_entr": (POSITIVE, POSITIVE),
    "kl_div": (POSITIVE, POSITIVE),
    "huber": ((0.5, 0.9), WIDE),
    "pseudo_huber": (POSITIVE, WIDE),
    "boxcox": (POSITIVE, WIDE),
    "boxcox1p": (POSITIVE, WIDE),
    "inv_boxcox": (UNIT, UNIT),
    "inv_boxcox1p": (UNIT, UNIT),
    "powm1": (POSITIVE, WIDE),
    **dict.fromkeys(
        ["iv", "ive", "kv", "kve", "jv", "yv", "jve", "yve", "struve", "modstruve"],
        (1.5, POSITIVE),
    ),
    **dict.fromkeys(["hankel1", "hankel2", "hankel1e", "hankel2e"], (1.5, None)),
    "kn": (2, POSITIVE),
    "yn": (2, POSITIVE),
    "expn": (3, POSITIVE),
    "_zeta": (2.5, POSITIVE),
    "_lambertw": (None, 0, 1e-8),
    "hyp0f1": (1.5, WIDE),
    "hyp1f1": (1.5, 2.5, WIDE),
    "hyperu": (1.5, 2.5, POSITIVE),
    "hyp2f1": (1.5, 0.5, 2.5, (-0.8, 0.8)),
    "ellipkinc": (UNIT, 0.3),
    "ellipeinc": (UNIT, 0.3),
    "owens_t": (WIDE, POSITIVE),
    "eval_jacobi": (3, 0.5, 1.5, (-0.8, 0.8)),
    "eval_gegenbauer": (3, 0.5, (-0.8, 0.8)),
    "eval_genlaguerre": (3, 0.5, WIDE),
    **{n: (3, UNIT) for n in PARTIALS if n.startswith("eval_") and len(PARTIALS[n]) == 2},
    **{n: (2, POSITIVE) for n in PARTIALS if n.startswith("_spherical_")},
}
"""Operands of each ufunc: an interval (an array of it, differentiated), None (complex numbers), or
a number that is taken as it is."""


def numbers(domain: Any, dtype: Any = np.float64) -> Any:
    if domain is None:
        return np.array([0.4 + 0.3j, 1.2 - 0.5j, 0.7 + 0.9j])
    low, high = domain
    return np.array([0.13, 0.91, 0.48, 0.62, 0.3]).astype(dtype) * dtype(high - low) + dtype(low)


def special(name: str) -> np.ufunc:
    found: np.ufunc = op_named(op_name(name)).ufunc  # type: ignore[union-attr]
    return found


def op_name(name: str) -> str:
    return f"special_{name}" if name in ("cbrt", "exp2", "expm1", "log1p") else name


def with_constants(name: str) -> tuple[Callable[..., Any], list[Any]]:
    """Return the ufunc as a function of its differentiable operands, and these."""
    domains, ufunc = DOMAINS[name], special(name)
    places = [k for k, d in enumerate(domains) if d is None or isinstance(d, tuple)]

    def function(*args: Any) -> Any:
        operands = list(domains)
        for k, a in zip(places, args, strict=True):
            operands[k] = a
        return ufunc(*operands)

    return function, [numbers(domains[k]) for k in places]


def trace(function: Callable[..., Any], args: list[Any]) -> Function:
    builder = Builder()
    with Trace(builder, None) as state:
        params = [builder.param(Value(type_of(a), f"x{k}")) for k, a in enumerate(args)]
        result = function(*[TracedArray(p, Kind.ARRAY, state) for p in params])
    results = result if isinstance(result, tuple) else (result,)
    return builder.finish("f", [r._atom for r in results])


RULED = sorted({*SLOPES, *PARTIALS} & {n.removeprefix("special_") for n in Op.REGISTRY})


def test_every_rule_is_of_a_ufunc_and_has_operands() -> None:
    assert set(RULED) == {*SLOPES, *PARTIALS}
    assert set(DOMAINS) == {*SLOPES, *PARTIALS}
    for name in RULED:
        assert special(name).nin == len(DOMAINS[name]), name
        assert len(PARTIALS.get(name, [0])) == special(name).nin, name


@pytest.mark.parametrize("name", RULED)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    function, args = with_constants(name)
    pb.check_grads(function, args, order=2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", RULED)
def test_values_are_those_of_scipy(name: str) -> None:
    function, args = with_constants(name)
    with np.errstate(all="ignore"):
        for given in (args, [np.array(a[0]) for a in args], [a[::2] for a in args]):
            expected, found = function(*given), pb.compile(function, exact=True)(*given)
            assert type(found) is type(expected)
            np.testing.assert_array_equal(found, expected, strict=True)


def simplest(ufunc: np.ufunc) -> list[Any]:
    """Return operands of a ufunc: integers where it takes them, in double precision."""
    loops = [t.partition("-")[0] for t in ufunc.types]
    loop = next(t for kinds in ("ld", "lD", "ldD") for t in loops if set(t) <= {*kinds})
    return [np.array([0.25, 0.5, 2.0]).astype(c) for c in loop]


SCALAR = [n for n in sorted(Op.REGISTRY) if isinstance(Op.REGISTRY[n], type(op_named("gammaln")))]
SKIPPED = {"_sf_error_test_function"}  # raises and prints by design


@pytest.mark.parametrize("name", [n for n in SCALAR if n not in SKIPPED])
def test_every_ufunc_runs_prints_and_parses(name: str) -> None:
    op: Any = Op.REGISTRY[name]
    operands = simplest(op.ufunc)
    program = trace(op.ufunc, operands)
    verify(program)
    parsed = parse_function(print_function(program))
    assert parsed.eqns[-1].op is op
    with np.errstate(all="ignore"):
        expected = op.ufunc(*operands)
        (found,) = evaluate(parsed, *operands)
    np.testing.assert_array_equal(found, expected, strict=True)
    assert pickle.loads(pickle.dumps(op)) is op


@pytest.mark.parametrize("ufunc", declare(), ids=lambda u: u.__name__)
def test_ufuncs_with_several_results(ufunc: np.ufunc) -> None:
    operands = simplest(ufunc)
    with np.errstate(all="ignore"):
        expected = ufunc(*operands)
        found = pb.compile(ufunc, exact=True)(*operands)
        for f, e in zip(found, expected, strict=True):
            np.testing.assert_array_equal(f, e, strict=True)
    program = trace(ufunc, operands)
    assert parse_function(print_function(program)).eqns[-1].op == program.eqns[-1].op


@pytest.mark.parametrize("function", [sp.sici, sp.shichi, sp.fresnel, sp.airy, sp.itj0y0])
def test_gradients_of_several_results(function: Any) -> None:
    pb.check_grads(function, (numbers(POSITIVE),), order=2)
    pb.check_grads(lambda x: function(x)[1], (numbers(POSITIVE),), order=1)


def test_dtypes_are_those_of_scipy() -> None:
    for dtype, ufunc in itertools.product(
        ("f2", "f4", "i4", "i8", "?", "c8"), (sp.erf, sp.gammaln, sp.expit, sp.psi)
    ):
        x = np.array([[1, 0, 1], [1, 1, 0]]).astype(dtype).T
        try:
            with np.errstate(all="ignore"):
                expected = ufunc(x)
        except TypeError:
            with pytest.raises(TypeError):
                pb.compile(ufunc)(x)
            continue
        found = pb.compile(ufunc, exact=True)(x)
        np.testing.assert_array_equal(found, expected, strict=True)
        assert found.strides == expected.strides
    x = numbers(POSITIVE, np.float32)
    for function in (lambda x: sp.jv(1, x), lambda x: sp.xlogy(2.0, x), lambda x: sp.expn(2, x)):
        np.testing.assert_array_equal(pb.compile(function)(x), function(x), strict=True)


@pytest.mark.parametrize("name", RULED)
def test_rules_stay_in_single_precision(name: str) -> None:
    function, args = with_constants(name)
    constants = [d for d in DOMAINS[name] if d is not None and not isinstance(d, tuple)]
    if constants or any(a.dtype.kind == "c" for a in args):
        return
    narrow = [a.astype("f4") for a in args]
    program = trace(function, narrow)
    backward = reverse(program, range(len(args)), seeds=[0])
    assert np.dtype("f8") not in {r.type.dtype for e in backward.eqns for r in e.results}


AT_LIMITS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "exprel": (sp.exprel, (np.array([0.0, 0.09, -0.11]),)),
    "boxcox": (sp.boxcox, (np.array([0.5, 1.0, 2.0]), np.array([0.0, 0.0, 0.01]))),
    "inv_boxcox": (sp.inv_boxcox, (np.array([0.5, 1.0, 0.0]), np.array([0.0, 0.01, 0.5]))),
    "spence": (sp.spence, (np.array([1.0, 1.04, 0.93]),)),
    "ellipk": (sp.ellipk, (np.array([0.0, 0.04, -0.06]),)),
    "ellipe": (sp.ellipe, (np.array([0.0, 0.04, -0.06]),)),
    "ellipkm1": (sp.ellipkm1, (np.array([1.0, 0.97, 1.1]),)),
    "rgamma": (sp.rgamma, (np.array([0.0, -1.0, -2.5, 0.5]),)),
    "gamma": (sp.gamma, (np.array([-0.5, -1.3, 0.5]),)),
    "psi": (sp.psi, (np.array([-0.5, -1.3, 0.5]),)),
    "log_ndtr": (sp.log_ndtr, (np.array([-30.0, 0.0, 30.0]),)),
    "i1": (sp.i1, (np.array([0.0, -1.0]),)),
    "j1": (sp.j1, (np.array([0.0, -1.0]),)),
    "iv": (lambda x: sp.iv(0, x), (np.array([0.0, -1.0]),)),
    "legendre": (lambda x: sp.eval_legendre(4, x), (np.array([-1.0, 1.0, 0.0]),)),
    "legendre 0": (lambda x: sp.eval_legendre(0, x) * x, (np.array([-1.0, 1.0, 0.0]),)),
    "chebyt": (lambda x: sp.eval_chebyt(3, x), (np.array([-1.0, 1.0, 0.0]),)),
    "sinc": (sp.sinc, (np.array([0.5, -1.2]),)),
    "softplus": (sp.softplus, (np.array([0.0, 40.0, -40.0]),)),
    "binom pmf": (lambda p: sp._ufuncs._binom_pmf(np.arange(4.0), 3.0, p), (0.4,)),
    "complex erf": (sp.erf, (np.array([0.3 + 0.2j, -1j]),)),
    "complex exp1": (sp.exp1, (np.array([0.3 + 0.2j, 1 - 1j]),)),
    "complex bessel": (lambda z: sp.jv(1.5, z), (np.array([0.3 + 0.2j, 1 - 1j]),)),
    "lambertw": (lambda x: sp.lambertw(x).real, (np.array([0.0, 0.5, 2.0]),)),
    "polygamma": (lambda x: sp.polygamma(2, x), (np.array([0.5, 2.0]),)),
    "polygamma 0": (lambda x: sp.polygamma(0, x), (np.array([0.5, 2.0]),)),
    "polygammas": (lambda x: sp.polygamma(np.arange(3), x), (np.array([0.5, 2.0, 3.0]),)),
    "zeta": (lambda q: sp.zeta(3.0, q), (np.array([0.5, 2.0]),)),
    "comb": (lambda n: sp.comb(n, 2), (np.array([5.0, 6.5]),)),
    "comb k": (lambda k: sp.comb(5.0, k), (np.array([1.5, 2.5]),)),
    "combinations": (lambda n: sp.comb(n, 2, repetition=True), (np.array([5.0, 6.5]),)),
    "perm": (lambda n: sp.perm(n, 2), (np.array([5.0, 6.5]),)),
    "spherical": (lambda x: sp.spherical_jn(2, x), (np.array([0.5, 2.0]),)),
    "spherical slope": (
        lambda x: sp.spherical_kn(1, x, derivative=True),
        (np.array([0.5, 2.0]),),
    ),
    "spherical reflected": (lambda x: sp.spherical_yn(2, x), (np.array([-0.5, 2.0]),)),
    "spherical reflected slope": (
        lambda x: sp.spherical_in(1, x, derivative=True),
        (np.array([-0.5, 2.0]),),
    ),
    "spherical real part": (lambda x: sp.spherical_kn(2, x), (np.array([-0.5, 2.0]),)),
    "multigammaln": (lambda a: sp.multigammaln(a, 3), (np.array([1.5, 4.0]),)),
    "betaln": (sp.betaln, (np.float64(0.5), np.array([[1.5], [2.5]]))),
}


@pytest.mark.parametrize("name", AT_LIMITS)
def test_gradients_where_formulas_have_limits(name: str) -> None:
    function, args = AT_LIMITS[name]
    with np.errstate(all="ignore"):
        expected = function(*args)
        np.testing.assert_array_equal(pb.compile(function, exact=True)(*args), expected)
    pb.check_grads(function, args, order=2, rtol=1e-4, atol=1e-5)


ONE_SIDED: list[tuple[Callable[..., Any], tuple[float, ...], tuple[float, ...]]] = [
    (sp.entr, (-1.0,), (0.0,)),
    (sp.kl_div, (0.0, 2.0), (-np.inf, 1.0)),
    (sp.kl_div, (-1.0, 2.0), (0.0, 0.0)),
    (sp.rel_entr, (0.0, 2.0), (-np.inf, 0.0)),
    (sp.rel_entr, (1.0, -2.0), (0.0, 0.0)),
    (sp.xlogy, (0.0, 0.0), (-np.inf, 0.0)),
    (sp.xlog1py, (0.0, -1.0), (-np.inf, 0.0)),
    (sp.huber, (-1.0, 0.5), (0.0, 0.0)),
    (sp.huber, (0.5, 2.0), (1.5, 0.5)),
    (sp.pseudo_huber, (0.0, 2.0), (0.0, 0.0)),
    (sp.log_expit, (-1000.0,), (1.0,)),
    (sp.log_ndtr, (1e200,), (0.0,)),
    (sp.expit, (800.0,), (0.0,)),
]


@pytest.mark.parametrize(("function", "at", "slopes"), ONE_SIDED)
def test_gradients_at_the_edges(
    function: Callable[..., Any], at: tuple[float, ...], slopes: tuple[float, ...]
) -> None:
    args = tuple(map(np.float64, at))
    found = pb.grad(function, argnums=tuple(range(len(args))))(*args)
    np.testing.assert_array_equal(found, slopes)


REFUSED: list[tuple[Callable[..., Any], str]] = [
    (lambda x: sp.betainc(x, 2.0, 0.5), "the derivative of betainc by a is not known"),
    (lambda x: sp.gammainc(x, 0.5), "by a is not known"),
    (lambda x: sp.jv(x, 0.5), "by its order is not known"),
    (lambda x: sp.hyp2f1(1.0, 2.0, x, 0.5), "by c is not known"),
    (sp.kolmogorov, "the derivative of kolmogorov by any operand is not known"),
    (lambda x: sp.ellipj(x, 0.5)[0], "the derivative of ellipj is not known"),
    (lambda x: sp.pbdv(x, 0.5)[0], "by another than the last operand"),
    (lambda x: sp.zeta(x), "_riemann_zeta by any operand"),
    (lambda x: sp.psi(x + 1j).real, "psi of a complex number is not known"),
    (lambda x: sp.ive(1.0, x + 0j).real, "of a complex number is not known"),
]


@pytest.mark.parametrize(("function", "message"), REFUSED)
def test_unknown_derivatives_are_refused(function: Callable[..., Any], message: str) -> None:
    x = np.float64(1.25)
    np.testing.assert_array_equal(pb.compile(function, exact=True)(x), function(x))
    with pytest.raises(pb.DifferentiationError, match=message):
        pb.grad(function)(x)
    assert pb.grad(lambda x: x + function(pb.stop_gradient(x)))(x) == 1


def test_steps_have_the_derivative_zero() -> None:
    assert pb.grad(lambda x: x * sp.gammasgn(x))(np.float64(-0.5)) == -1.0


# ---- Python functions ----------------------------------------------------------------------------

A = np.array([[0.5, -1.0, 2.0], [2.0, 2.0, 0.25]])
B = np.array([[1.0, -0.5, 2.0], [0.0, 3.0, 0.5]])

SUMS: dict[str, Callable[..., Any]] = {
    "all": lambda a: sp.logsumexp(a),
    "axis": lambda a: sp.logsumexp(a, axis=1),
    "keepdims": lambda a: sp.logsumexp(a, axis=-1, keepdims=True),
    "axes": lambda a: sp.logsumexp(a, axis=(0, 1), keepdims=True),
    "b": lambda a: sp.logsumexp(a, axis=1, b=np.abs(B)),
    "b broadcast": lambda a: sp.logsumexp(a[:, None], axis=0, b=np.array([1.0, 0.5, 2.0])),
    "sign": lambda a: sp.logsumexp(a, axis=1, b=B, return_sign=True),
    "softmax": lambda a: sp.softmax(a),
    "softmax axis": lambda a: sp.softmax(a, axis=1),
    "log_softmax": lambda a: sp.log_softmax(a),
    "log_softmax axis": lambda a: sp.log_softmax(a, axis=(0, 1)),
}


@pytest.mark.parametrize("name", SUMS)
def test_sums_of_exponentials(name: str) -> None:
    function = SUMS[name]
    big = np.array([[1e3, 1e3, -np.inf], [0.0, -1e3, np.inf]])
    for a in (A, A.astype("f4"), np.array([[1, 2, 3], [0, 0, 0]]), A.T[::2].T, A * 0, big):
        try:
            with np.errstate(all="ignore"):
                expected = function(a)
        except ValueError:  # shapes that do not fit
            continue
        with np.errstate(all="ignore"):
            found = pb.compile(function, exact=True)(a)
        for f, e in zip(
            found if isinstance(found, tuple) else (found,),
            expected if isinstance(expected, tuple) else (expected,),
            strict=True,
        ):
            np.testing.assert_array_equal(f, e, strict=True)
            assert type(f) is type(e)
    for a in (A, A * 0):
        if name == "sign":
            pb.check_grads(lambda a: function(a)[0], (a,), order=2)
        else:
            pb.check_grads(function, (a,), order=2)


def test_logsumexp_of_weights_complex_numbers_and_nothing() -> None:
    pb.check_grads(lambda a, b: sp.logsumexp(a, axis=0, b=b), (A, np.abs(B) + 0.1), order=2)
    pb.check_grads(lambda a: sp.logsumexp(a, axis=0), (A + 0.3j * B,), order=2)
    empty = np.full(3, -np.inf)
    assert pb.compile(sp.logsumexp)(empty) == -np.inf
    np.testing.assert_array_equal(pb.grad(sp.logsumexp)(empty), np.zeros(3))
    np.testing.assert_array_equal(
        pb.grad(sp.logsumexp)(np.array([0.0, -np.inf])), np.array([1.0, 0.0])
    )


def test_choices_outside_of_their_range_are_none() -> None:
    n, k = np.array([3.0, 5.0, -1.0, 4.0]), np.array([5.0, -1.0, 0.0, 4.0])
    for function in (sp.comb, sp.perm):
        np.testing.assert_array_equal(pb.compile(function, exact=True)(n, k), function(n, k))
    whole = np.array([0, 3, -2])
    np.testing.assert_array_equal(
        pb.compile(sp.factorial, exact=True)(whole), sp.factorial(whole), strict=True
    )
    for function in (lambda n: sp.comb(n, 2, exact=True), lambda n: sp.perm(n, 2, exact=True)):
        with pytest.raises(pb.UnsupportedError, match="exact=True"):
            pb.compile(function)(np.float64(4))


def test_arguments_out_of_range_raise_when_the_program_runs() -> None:
    program = pb.compile(lambda a: sp.multigammaln(a, 3))
    assert program(np.float64(1.5)) == sp.multigammaln(1.5, 3)
    with pytest.raises(ValueError, match=r"condition a > 0.5 \* \(d-1\) \(1.0\) not met"):
        program(np.float64(0.5))


# ---- imports -------------------------------------------------------------------------------------


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


PATH = f"import sys; sys.path[:0] = {[p for p in sys.path if p]!r}\n"


def test_scipy_is_imported_only_where_it_is_used() -> None:
    code = """
import numpy as np, pullback as pb
from pullback.ir.parser import parse_function
pb.grad(lambda x: np.sum(np.exp(x)))(np.ones(3))
assert "scipy" not in sys.modules
f = parse_function("def f(x: f64[3]) -> f64[3]:\\n    y = gammaln(x)\\n    return y\\n")
assert "scipy.special" in sys.modules
print(f.eqns[0].op)
"""
    assert run(PATH + code) == "gammaln"


def test_text_without_scipy_says_what_is_missing() -> None:
    code = """
sys.modules["scipy"] = None
from pullback.ir.errors import ParseError
from pullback.ir.parser import parse_function
for name in ("gammaln", "special_log1p", "gamaln"):
    try:
        parse_function(f"def f(x: f64[3]) -> f64[3]:\\n    y = {name}(x)\\n    return y\\n")
    except ParseError as error:
        print(str(error).splitlines()[0])
"""
    lines = run(PATH + code).splitlines()
    assert "gammaln is a function of scipy.special, and SciPy is not installed" in lines[0]
    assert "special_log1p is a function of scipy.special" in lines[1]
    assert "`gamaln` is no op" in lines[2]


def test_ops_of_scipy_travel_between_processes() -> None:
    sent = pickle.dumps(ELEMENTWISE[sp.gammaln])
    code = f"""
import pickle, pullback
print(pickle.loads({sent!r}))
"""
    assert run(PATH + code) == "gammaln"
