"""Random draws: the numbers, the order and the generator's state are those of plain NumPy."""
# ruff: noqa: NPY002

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb

X = np.array([0.5, 1.5, 2.5])
P = np.array([0.2, 0.3, 0.5])
TABLE = np.arange(12.0).reshape(4, 3)

Draw = Callable[[Any, Any], Any]

BOTH: dict[str, Draw] = {
    "beta": lambda r, x: r.beta(x, 2.0),
    "binomial": lambda r, x: r.binomial(10, x / 5),
    "chisquare": lambda r, x: r.chisquare(x),
    "choice of an int": lambda r, x: r.choice(5, 3),
    "choice of one": lambda r, x: r.choice(x),
    "choice without replacement": lambda r, x: r.choice(x, size=2, replace=False),
    "choice with weights": lambda r, x: r.choice(x, (2, 2), p=P),
    "choice with traced weights": lambda r, x: r.choice(3, 4, p=x / x.sum()),
    "choice of a list": lambda r, x: r.choice([1.5, 2.5], 3) + x,
    "dirichlet": lambda r, x: r.dirichlet(x, 2),
    "exponential": lambda r, x: r.exponential(x),
    "f": lambda r, x: r.f(x, 3.0),
    "gamma": lambda r, x: r.gamma(x, x),
    "geometric": lambda r, x: r.geometric(x / 4),
    "gumbel": lambda r, x: r.gumbel(x, x),
    "hypergeometric": lambda r, x: r.hypergeometric(5, 4, 3, 4),
    "laplace": lambda r, x: r.laplace(x, 2.0),
    "logistic": lambda r, x: r.logistic(1.0, x),
    "logseries": lambda r, x: r.logseries(x / 4),
    "multinomial": lambda r, x: r.multinomial(5, x / x.sum()),
    "multivariate_normal": lambda r, x: r.multivariate_normal(x, np.eye(3), 2),
    "negative_binomial": lambda r, x: r.negative_binomial(x, 0.5),
    "noncentral_chisquare": lambda r, x: r.noncentral_chisquare(x, 1.0),
    "noncentral_f": lambda r, x: r.noncentral_f(x, 2.0, 1.0),
    "normal": lambda r, x: r.normal(x, x),
    "normal of a size": lambda r, x: r.normal(x, 1.0, (2, 3)),
    "normal of numbers": lambda r, x: r.normal(1.0, 2.0, 3),
    "normal of a traced number": lambda r, x: r.normal(x[0], x[1]),
    "normal without axes": lambda r, x: r.normal(),
    "pareto": lambda r, x: r.pareto(x),
    "permutation of an int": lambda r, x: r.permutation(5),
    "permutation": lambda r, x: r.permutation(x),
    "permutation of rows": lambda r, x: r.permutation(TABLE),
    "poisson": lambda r, x: r.poisson(x),
    "poisson of a number": lambda r, x: r.poisson(3.0),
    "power": lambda r, x: r.power(x),
    "random": lambda r, x: r.random(3),
    "random of one": lambda r, x: r.random(),
    "rayleigh": lambda r, x: r.rayleigh(x),
    "standard_cauchy": lambda r, x: r.standard_cauchy(2),
    "standard_exponential": lambda r, x: r.standard_exponential(2),
    "standard_gamma": lambda r, x: r.standard_gamma(x),
    "standard_normal": lambda r, x: r.standard_normal((2, 1)),
    "standard_t": lambda r, x: r.standard_t(x),
    "triangular": lambda r, x: r.triangular(0.0, x, 3.0),
    "uniform": lambda r, x: r.uniform(x, 2 * x),
    "uniform of numbers": lambda r, x: r.uniform(-1, 1),
    "vonmises": lambda r, x: r.vonmises(x, 1.0),
    "wald": lambda r, x: r.wald(x, 1.0),
    "weibull": lambda r, x: r.weibull(x),
    "zipf": lambda r, x: r.zipf(x + 1),
    "an empty size": lambda r, x: r.normal(x, 1.0, (0, 3)),
}

NEW: dict[str, Draw] = {
    "integers": lambda r, x: r.integers(5),
    "integers of a dtype": lambda r, x: r.integers(0, 9, 4, dtype=np.uint8, endpoint=True),
    "integers of Python": lambda r, x: r.integers(9, dtype=int),
    "integers up to a traced one": lambda r, x: r.integers(3, (x * 9).astype(int)),
    "uniform up to a traced one": lambda r, x: r.uniform(-7.0, x),
    "uniform from a traced one": lambda r, x: r.uniform(x, 100),
    "mode of a triangle": lambda r, x: r.triangular(-9.0, -x, 0.0),
    "integers below an array": lambda r, x: r.integers(np.array([1, 5, 9])),
    "float32": lambda r, x: r.random(3, dtype=np.float32),
    "normal of float32": lambda r, x: r.standard_normal(2, dtype="float32"),
    "ziggurat": lambda r, x: r.standard_exponential(2, method="inv"),
    "choice of columns": lambda r, x: r.choice(TABLE, 2, axis=1, shuffle=False),
    "choice of a row": lambda r, x: r.choice(TABLE * x),
    "permutation of columns": lambda r, x: r.permutation(TABLE * x, axis=1),
    "permuted": lambda r, x: r.permuted(TABLE * x),
    "permuted along an axis": lambda r, x: r.permuted(TABLE * x, axis=1),
    "multivariate_hypergeometric": lambda r, x: r.multivariate_hypergeometric([3, 4, 5], 4),
    "svd": lambda r, x: r.multivariate_normal(x, np.eye(3), method="cholesky"),
}

OLD: dict[str, Draw] = {
    "rand": lambda r, x: r.rand(2, 3),
    "rand of one": lambda r, x: r.rand(),
    "randn": lambda r, x: r.randn(3),
    "randint": lambda r, x: r.randint(3, 9, 4),
    "randint of one": lambda r, x: r.randint(5),
    "random_sample": lambda r, x: r.random_sample((2,)),
    "tomaxint": lambda r, x: r.tomaxint(2),
    "seed": lambda r, x: (r.seed(5), r.normal())[1],
}

CASES = [
    *[(np.random.default_rng, n, d) for n, d in {**BOTH, **NEW}.items()],
    *[(np.random.RandomState, n, d) for n, d in {**BOTH, **OLD}.items()],
]
every_case = pytest.mark.parametrize(
    ("make", "draw"), [c[::2] for c in CASES], ids=[f"{c[0].__name__} {c[1]}" for c in CASES]
)


def state(generator: Any) -> str:
    if isinstance(generator, np.random.RandomState):
        return repr(generator.get_state())
    return repr(generator.bit_generator.state)


def same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    assert np.asarray(a).dtype == np.asarray(b).dtype
    np.testing.assert_array_equal(a, b)


@every_case
def test_the_numbers_and_the_state_are_numpys(make: Any, draw: Draw) -> None:
    plain, traced = make(3), make(3)
    program = pb.compile(draw, exact=True)
    for _ in range(3):
        same(program(traced, X), draw(plain, X))
    assert state(traced) == state(plain)
    assert program.cache_info().misses == 1


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
def test_lognormal_is_within_a_rounding(make: Any) -> None:
    def draw(r: Any, x: Any) -> Any:
        return r.lognormal(x, x)

    plain, traced = make(3), make(3)
    np.testing.assert_allclose(pb.compile(draw)(traced, X), draw(plain, X), rtol=1e-15)
    assert state(traced) == state(plain)


SMOOTH: dict[str, Draw] = {
    "normal": lambda r, x: r.normal(x, x**2),
    "normal of a size": lambda r, x: r.normal(x, x, (4, 3)),
    "lognormal": lambda r, x: r.lognormal(x, x / 3),
    "uniform": lambda r, x: r.uniform(x, x**2 + 2),
    "exponential": lambda r, x: r.exponential(x),
    "rayleigh": lambda r, x: r.rayleigh(x),
    "gumbel": lambda r, x: r.gumbel(x, x),
    "laplace": lambda r, x: r.laplace(x, x),
    "logistic": lambda r, x: r.logistic(x, x),
    "gamma": lambda r, x: r.gamma(2.0, x),
    "multivariate_normal": lambda r, x: r.multivariate_normal(x, np.eye(3), 2),
    "permutation": lambda r, x: r.permutation(x) * X,
    "permutation of rows": lambda r, x: r.permutation(TABLE * x) * TABLE,
    "choice": lambda r, x: r.choice(x, 5) * np.arange(5),
    "loc and scale of numbers": lambda r, x: r.normal(x[0], x[1]) * x,
}


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
@pytest.mark.parametrize("draw", SMOOTH.values(), ids=SMOOTH)
def test_gradients_flow_to_the_parameters(make: Any, draw: Draw) -> None:
    pb.check_grads(lambda x: draw(make(3), x), (X,), order=2)


def test_permuted_and_shuffled_arrays_have_gradients() -> None:
    def f(x: Any) -> Any:
        r = np.random.default_rng(1)
        y = x * 1.0
        r.shuffle(y)
        return r.permuted(x) * X + y**2

    pb.check_grads(f, (X,), order=2)


@pytest.mark.parametrize(
    "draw",
    [
        lambda r, x: r.beta(x, 2.0).sum(),
        lambda r, x: r.standard_gamma(x).sum(),
        lambda r, x: r.gamma(x, 1.0).sum(),
        lambda r, x: r.standard_t(x).sum(),
        lambda r, x: r.dirichlet(x).sum(),
        lambda r, x: r.multivariate_normal(X, np.diag(x)).sum(),
    ],
)
def test_a_derivative_that_does_not_exist_is_refused(draw: Draw) -> None:
    with pytest.raises(pb.DifferentiationError, match="have no derivative with respect to"):
        pb.grad(draw, argnums=1)(np.random.default_rng(0), X)
    pb.compile(draw)(np.random.default_rng(0), X)


# ---- where the generator comes from --------------------------------------------------------------

GENERATOR = np.random.default_rng(7)


class Model:
    def __init__(self) -> None:
        self.rng = np.random.default_rng(7)
        self.legacy = np.random.RandomState(7)

    def noisy(self, x: Any) -> Any:
        return x + self.rng.normal(size=3) + self.legacy.normal(size=3)


def rewind() -> None:
    GENERATOR.bit_generator.state = np.random.default_rng(7).bit_generator.state
    np.random.seed(7)


def from_a_global(x: Any) -> Any:
    return x + GENERATOR.normal(size=3)


def legacy(x: Any) -> Any:
    return x + np.random.normal(size=3) + np.random.rand() + np.random.ranf() + np.random.sample(3)


def reseeded(x: Any) -> Any:
    np.random.seed(3)
    return x + np.random.normal(size=3)


def made_inside(x: Any) -> Any:
    r = np.random.default_rng(5)
    s = np.random.RandomState([1, 2])
    t = np.random.Generator(np.random.PCG64DXSM(4))
    assert isinstance(r, np.random.Generator)
    return x + r.normal(size=3) + s.rand(3) + t.random(3) + r.random()


def default_of_a_generator(x: Any) -> Any:
    return x + np.random.default_rng(GENERATOR).normal(size=3)


def by_a_method(x: Any) -> Any:
    draw = GENERATOR.uniform
    return x + draw(0.0, 1.0, 3)


def by_numpy_and_twice(x: Any) -> Any:
    return x + GENERATOR.random(3) - GENERATOR.random(3)


def closed_over() -> Any:
    generator = GENERATOR
    return lambda x: x + generator.normal(size=3)


def into_an_array(x: Any) -> Any:
    y = x * 2
    GENERATOR.random(out=y)
    return y


def shuffled(x: Any) -> Any:
    y = x * 2
    GENERATOR.shuffle(y)
    np.random.shuffle(y)
    return y


def unused(x: Any) -> Any:
    GENERATOR.random()
    return x * 2


SOURCES = [
    from_a_global,
    legacy,
    reseeded,
    made_inside,
    default_of_a_generator,
    by_a_method,
    by_numpy_and_twice,
    closed_over(),
    into_an_array,
    shuffled,
    unused,
]


@pytest.mark.parametrize("function", SOURCES)
@pytest.mark.parametrize("exact", [False, True])
def test_wherever_the_generator_comes_from(function: Any, exact: bool) -> None:
    rewind()
    expected = [function(X) for _ in range(3)] + [GENERATOR.random(), np.random.random()]
    rewind()
    program = pb.compile(function, exact=exact)
    found = [program(X) for _ in range(3)] + [GENERATOR.random(), np.random.random()]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert program.cache_info().misses == 1


def test_generators_of_an_object() -> None:
    plain, traced = Model(), Model()
    program = pb.compile(Model.noisy)
    for _ in range(2):
        np.testing.assert_array_equal(program(traced, X), plain.noisy(X))
    traced.rng, plain.rng = np.random.default_rng(1), np.random.default_rng(1)
    np.testing.assert_array_equal(program(traced, X), plain.noisy(X))
    assert program.cache_info().misses == 1


def test_an_array_shuffled_in_place_is_the_callers() -> None:
    def f(x: Any) -> None:
        GENERATOR.shuffle(x)

    rewind()
    expected = np.arange(9)
    f(expected)
    rewind()
    found = np.arange(9)
    pb.compile(f)(found)
    np.testing.assert_array_equal(found, expected)


def test_value_and_gradient_draw_once() -> None:
    def loss(w: Any) -> Any:
        return np.sum(w * GENERATOR.normal(size=3))

    rewind()
    value, gradient = pb.value_and_grad(loss)(X)
    after = GENERATOR.random()
    rewind()
    noise = GENERATOR.normal(size=3)
    np.testing.assert_array_equal(gradient, noise)
    np.testing.assert_allclose(value, X @ noise)
    assert after == GENERATOR.random()


def test_a_second_derivative_draws_once() -> None:
    def loss(w: Any) -> Any:
        return np.sum(w**3 * GENERATOR.normal(size=3))

    rewind()
    second = pb.grad(lambda w: np.sum(pb.grad(loss)(w)))(X)
    after = GENERATOR.random()
    rewind()
    np.testing.assert_allclose(second, 6 * X * GENERATOR.normal(size=3))
    assert after == GENERATOR.random()


def test_a_pullback_keeps_its_numbers() -> None:
    rewind()
    y, pull = pb.vjp(lambda w: w * GENERATOR.normal(size=3), X)
    after = GENERATOR.random()
    for _ in range(2):
        np.testing.assert_allclose(pull(np.ones(3))[0], y / X)
    rewind()
    GENERATOR.normal(size=3)
    assert after == GENERATOR.random()


def in_a_loop(x: Any) -> Any:
    def step(c: Any, row: Any) -> Any:
        c = np.tanh(c + row * GENERATOR.normal(size=3)) + np.random.uniform(0.0, c)
        return c, c.sum()

    c, ys = pb.scan(step, np.zeros(3), np.outer(np.arange(1.0, 5.0), x))
    return c.sum() + (ys**2).sum()


@pytest.mark.parametrize("exact", [False, True])
def test_one_draw_for_each_iteration(exact: bool) -> None:
    rewind()
    expected = [in_a_loop(X), GENERATOR.random(), np.random.random()]
    rewind()
    found = [pb.compile(in_a_loop, exact=exact)(X), GENERATOR.random(), np.random.random()]
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    rewind()
    value, gradient = pb.value_and_grad(in_a_loop)(X)
    np.testing.assert_allclose(
        [value, GENERATOR.random(), np.random.random()], expected, rtol=1e-14
    )

    def seeded(x: Any) -> Any:
        rewind()
        return in_a_loop(x)

    h = 1e-6
    numeric = [(seeded(X + h * e) - seeded(X - h * e)) / (2 * h) for e in np.eye(3)]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6)


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda r, x: r.normal(x, -x), ValueError, "scale < 0"),
        (lambda r, x: r.exponential(-x), ValueError, "scale < 0"),
        (lambda r, x: r.lognormal(x, -x), ValueError, "sigma < 0"),
        (lambda r, x: r.normal(0.0, -1.0), ValueError, "scale < 0"),
        (lambda r, x: r.uniform(x, x * np.inf), OverflowError, "range exceeds"),
        (lambda r, x: r.normal(x, 1.0, 2), ValueError, "not compatible|mismatch|broadcast"),
        (lambda r, x: r.beta(-x, 1.0), ValueError, "a <= 0"),
        (lambda r, x: r.choice(3, 2, p=x), ValueError, "sum to 1"),
        (lambda r, x: r.choice(x, 9, replace=False), ValueError, "larger sample"),
        (lambda r, x: r.normal(x, unknown=1), TypeError, "unknown|unexpected"),
        (lambda r, x: r.integers(0), ValueError, "high <= 0|low >= high"),
        (lambda r, x: r.permutation(x, axis=2), IndexError, "range|bounds"),
    ],
)
def test_the_errors_are_numpys(draw: Draw, error: type[Exception], message: str) -> None:
    plain, traced = np.random.default_rng(3), np.random.default_rng(3)
    with pytest.raises(error):
        draw(plain, X)
    with pytest.raises(error, match=message):
        pb.compile(draw)(traced, X)
    assert state(traced) == state(plain)


@pytest.mark.parametrize(
    "draw",
    [
        lambda r, x: r.bytes(3),
        lambda r, x: r.spawn(1),
        lambda r, x: x + len(r.bit_generator.state),
        lambda r, x: r.choice(["a", "b"]),
        lambda r, x: r.shuffle([1, 2, 3]),
        lambda r, x: np.random.get_state(),
        lambda r, x: ["a", "b"][r.integers(2)] * 2,
    ],
)
def test_what_only_the_run_knows_is_refused(draw: Draw) -> None:
    with pytest.raises((pb.UnsupportedError, pb.DTypeError)):
        pb.compile(draw)(np.random.default_rng(0), X)


def test_fresh_entropy_at_every_run() -> None:
    program = pb.compile(lambda x: x + np.random.default_rng().random(3))
    assert not np.array_equal(program(X), program(X))


def test_the_seed_may_be_traced() -> None:
    def f(seed: Any) -> Any:
        return np.random.default_rng(seed).random(3)

    seed = np.array([3, 4])
    program = pb.compile(f)
    np.testing.assert_array_equal(program(seed), f(seed))
    np.testing.assert_array_equal(program(seed + 1), f(seed + 1))
    assert program.cache_info().misses == 1
