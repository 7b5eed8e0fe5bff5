"""Jacobians and Hessians: against finite differences, their structure, nesting, and errors."""

import warnings

import numpy as np
import pytest
from differences import jacobian_by_differences

import pullback as pb
from pullback.ir.errors import ArgumentError, DifferentiationError, UnsupportedError

MODES = ["reverse", "forward", "auto"]

W = np.random.default_rng(0).normal(size=(3, 4))
X = np.random.default_rng(1).normal(size=4)


def layered(x):
    return np.tanh(W @ x) * np.sum(x**2)


def looped(x):
    h = np.zeros(3)
    for k in range(4):
        h = np.tanh(h * x[k] + x[:3])
    return h


def searched(x):
    def unfinished(state):
        return np.sum(state * state) < 50

    return pb.while_loop(unfinished, lambda state: state * (1 + x[:2] ** 2), x[:2])


def branched(x):
    return np.sin(x) if x[0] > 0 else np.cos(x) * x[::-1]


FUNCTIONS = {
    "layered": layered,
    "looped": looped,
    "searched": searched,
    "branched": branched,
    "matrix": lambda x: np.outer(x, np.exp(x[:2])),
    "gathered": lambda x: x[np.array([0, 2, 2])] * x[1],
    "solved": lambda x: np.linalg.solve(np.outer(x, x) + 3 * np.eye(4), x),
    "sorted": lambda x: np.sort(x) * x,
    "scalar": lambda x: np.sum(x**3),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_jacobians_are_those_of_finite_differences(name, mode):
    f = FUNCTIONS[name]
    found = pb.jacobian(f, mode=mode)(X)
    expected = jacobian_by_differences(f, X)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["layered", "looped", "branched", "gathered", "solved", "scalar"])
def test_hessians_are_those_of_finite_differences(name):
    def loss(x):
        return np.sum(FUNCTIONS[name](x) ** 2)

    found = pb.hessian(loss)(X)
    np.testing.assert_allclose(found, found.T, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        found, jacobian_by_differences(pb.grad(loss), X), rtol=1e-5, atol=1e-6
    )


def test_a_number_of_each_direction_meets_as_many_entries():
    c, x = np.array([0.1, -0.4, 0.7]), np.array([0.3, 0.5, -0.2])

    def f(x):
        return np.sum(np.sin(x + (np.sum(x * x) + c)))

    angle, ones = x + np.sum(x * x) + c, np.ones((3, 3))
    slope = np.eye(3) + 2 * x * ones
    expected = slope.T @ (-np.sin(angle)[:, None] * slope) + 2 * np.sum(np.cos(angle)) * np.eye(3)
    for found in (pb.hessian(f), pb.jacfwd(pb.grad(f)), pb.jacrev(pb.grad(f), exact=True)):
        np.testing.assert_allclose(found(x), expected, rtol=1e-12)
    tiled = pb.vmap(lambda s: np.sum(np.broadcast_to(s, (3, 3)), axis=0))
    np.testing.assert_array_equal(tiled(x), np.tile(x[:, None] + x[:, None] + x[:, None], 3))


def test_a_hessian_adds_into_a_part_of_zeros_for_all_directions():
    found = pb.hessian(lambda x: np.sum(x**3) * x[0])(np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(found, [[12, 12, 27], [12, 12, 0], [27, 0, 18]])


@pytest.mark.parametrize("mode", MODES)
def test_containers_and_several_arguments(mode):
    def f(p, scale):
        y = p["w"] * scale
        return {"a": y, "b": (np.sum(y), p["c"][0] * y[0])}

    p = {"w": np.array([1.0, 2.0]), "c": [np.ones(3)]}
    found = pb.jacobian(f, argnums=(0, 1), mode=mode)(p, 3.0)
    assert set(found) == {"a", "b"}
    by_p, by_scale = found["a"]
    np.testing.assert_array_equal(by_p["w"], 3 * np.eye(2))
    np.testing.assert_array_equal(by_p["c"][0], np.zeros((2, 3)))
    np.testing.assert_array_equal(by_scale, p["w"])
    by_p, by_scale = found["b"][0]
    np.testing.assert_array_equal(by_p["w"], [3, 3])
    assert by_scale == 3.0
    by_p, by_scale = found["b"][1]
    np.testing.assert_array_equal(by_p["w"], np.outer(np.ones(3), [3, 0]))
    np.testing.assert_array_equal(by_p["c"][0], 3 * np.eye(3))
    np.testing.assert_array_equal(by_scale, np.ones(3))


def test_a_hessian_of_containers_is_a_container_of_containers():
    def loss(p, z):
        return np.sum(p["w"] ** 2) * p["b"] + z * np.sum(p["w"])

    p = {"w": np.array([1.0, 2.0]), "b": 3.0}
    found = pb.hessian(loss, argnums=(0, 1))(p, 4.0)
    np.testing.assert_allclose(found[0]["w"][0]["w"], 6 * np.eye(2))
    np.testing.assert_allclose(found[0]["w"][0]["b"], [2, 4])
    np.testing.assert_allclose(found[0]["b"][0]["w"], [2, 4])
    assert found[0]["b"][0]["b"] == 0.0
    np.testing.assert_allclose(found[0]["w"][1], [1, 1])
    np.testing.assert_allclose(found[1][0]["w"], [1, 1])
    assert found[1][1] == 0.0


@pytest.mark.parametrize("mode", MODES)
def test_what_has_no_axes_is_the_number_that_the_argument_is(mode):
    def slope(x):
        return pb.jacobian(lambda t: t**2, mode=mode)(x)

    assert type(slope(3.0)) is float
    assert type(slope(np.float32(3.0))) is np.float32
    assert slope(3.0) == 6.0
    whole = slope(np.array(3.0))
    assert isinstance(whole, np.ndarray)
    assert whole.shape == ()
    assert type(pb.hessian(lambda t: t**3)(2.0)) is float


@pytest.mark.parametrize("mode", MODES)
def test_single_precision_stays(mode):
    f = pb.jacobian(lambda x: np.tanh(x) * x[0], mode=mode)
    assert f(X.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("mode", MODES)
def test_aux_comes_along(mode):
    found, aux = pb.jacobian(lambda x: (x**2, {"sum": np.sum(x)}), has_aux=True, mode=mode)(X)
    np.testing.assert_allclose(found, np.diag(2 * X))
    assert aux["sum"] == np.sum(X)
    found, aux = pb.hessian(lambda x: (np.sum(x**2), x[0]), has_aux=True)(X)
    np.testing.assert_allclose(found, 2 * np.eye(4))
    assert aux == X[0]


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_a_holomorphic_function_has_a_complex_jacobian(mode):
    z = np.array([1 + 2j, 0.5 - 1j])
    found = pb.jacobian(lambda z: z**2 * z[0], holomorphic=True, mode=mode)(z)
    step = 1e-6
    expected = jacobian_by_differences(lambda z: z**2 * z[0], z, step)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_real_arguments_may_have_complex_outputs_in_forward_mode():
    t = np.array([0.3, 0.4])
    for mode in ("forward", "auto"):
        found = pb.jacobian(lambda t: np.exp(1j * t), mode=mode)(t)
        np.testing.assert_allclose(found, np.diag(1j * np.exp(1j * t)))


def test_integer_leaves_are_zeros_on_demand():
    def f(x, k):
        return x * k

    found = pb.jacobian(f, argnums=(0, 1), allow_int=True)(X, np.arange(4))
    np.testing.assert_array_equal(found[0], np.diag(np.arange(4)))
    np.testing.assert_array_equal(found[1], np.zeros((4, 4)))


def test_decorators_methods_and_options():
    @pb.jacobian
    def f(x):
        return x**2

    @pb.jacobian(argnums="y", mode="forward", static_argnames="power")
    def g(x, y, power=2):
        return x * y**power

    class Model:
        @pb.jacobian(argnums=1)
        def predict(self, x):
            return 3 * x

        @pb.hessian(argnums=1)
        def loss(self, x):
            return np.sum(x**2)

    np.testing.assert_allclose(f(X), np.diag(2 * X))
    np.testing.assert_allclose(g(2.0, X, power=3), np.diag(6 * X**2))
    np.testing.assert_allclose(Model().predict(X), 3 * np.eye(4))
    np.testing.assert_allclose(Model().loss(X), 2 * np.eye(4))
    assert f.__name__ == "f"
    assert f.cache_info().misses == 1


def test_they_nest_in_each_other():
    def f(x):
        return np.sum(np.sin(x) * x[::-1])

    expected = pb.hessian(f)(X)
    np.testing.assert_allclose(pb.jacobian(pb.grad(f))(X), expected, atol=1e-12)
    np.testing.assert_allclose(pb.jacfwd(pb.jacrev(f))(X), expected, atol=1e-12)
    np.testing.assert_allclose(pb.jacrev(pb.jacfwd(f))(X), expected, atol=1e-12)
    np.testing.assert_allclose(pb.jacrev(pb.jacrev(f))(X), expected, atol=1e-12)
    third = pb.jacobian(pb.hessian(lambda x: np.sum(x**4)))(X)
    cube = np.zeros((4, 4, 4))
    cube[range(4), range(4), range(4)] = 24 * X
    np.testing.assert_allclose(third, cube)


def test_each_row_takes_from_the_tapes_of_a_loop_anew():
    def loss(x):
        return np.sum(searched(x) ** 2)

    found = pb.jacrev(pb.grad(loss))(X)
    np.testing.assert_allclose(found, pb.hessian(loss)(X), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(
        found, jacobian_by_differences(pb.grad(loss), X), rtol=1e-4, atol=1e-4
    )


def test_inside_a_compiled_loop():
    @pb.compile
    def newton(x):
        for _ in range(20):
            value = x**2 - np.array([2.0, 3.0]) + 0.1 * x[::-1]
            slope = pb.jacobian(lambda x: x**2 + 0.1 * x[::-1])(x)
            x = x - np.linalg.solve(slope, value)
        return x

    root = newton(np.array([1.0, 1.0]))
    np.testing.assert_allclose(root**2 + 0.1 * root[::-1], [2, 3], rtol=1e-12)

    @pb.compile
    def minimise(x):
        def loss(x):
            return np.sum((x - 1) ** 4 + x**2)

        for _ in range(30):
            x = x - np.linalg.solve(pb.hessian(loss)(x), pb.grad(loss)(x))
        return x

    found = minimise(np.zeros(2))
    np.testing.assert_allclose(4 * (found - 1) ** 3 + 2 * found, 0, atol=1e-10)


def test_gradients_of_functions_of_jacobians():
    def area(x):
        return np.linalg.det(pb.jacobian(lambda x: np.array([x[0] ** 2, x[0] * x[1]]))(x))

    np.testing.assert_allclose(pb.grad(area)(np.array([3.0, 2.0])), [12, 0])


@pytest.mark.parametrize("mode", MODES)
def test_random_numbers_are_drawn_once(mode):
    def noisy(x, seed):
        rng = np.random.default_rng(seed)
        return x * rng.normal(size=3)

    expected = np.diag(np.random.default_rng(5).normal(size=3))
    np.testing.assert_allclose(pb.jacobian(noisy, mode=mode)(X[:3], 5), expected)

    def walk(x, rng):
        for _ in range(3):
            x = x * rng.normal(size=3) + x**2
        return x

    rng, again = np.random.default_rng(5), np.random.default_rng(5)
    found = pb.jacobian(walk, mode=mode)(X[:3], rng)
    np.testing.assert_allclose(
        found,
        jacobian_by_differences(lambda x: walk(x, np.random.default_rng(5)), X[:3]),
        rtol=1e-5,
    )
    again.normal(size=9)
    assert rng.normal() == again.normal()


def test_the_function_runs_once(capsys):
    def shown(x):
        print("called")
        return x**2

    np.testing.assert_allclose(pb.jacobian(shown)(X), np.diag(2 * X))
    assert capsys.readouterr().out == "called\n"


def test_a_warning_comes_once():
    with pytest.warns(RuntimeWarning) as caught:
        pb.jacobian(lambda x: np.log(x) * x)(np.array([0.0, 1.0]))
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pb.jacobian(lambda x: np.log(x) * x)(np.array([0.5, 1.0]))


def test_arguments_are_left_as_they_are():
    def f(x):
        x[0] = x[1] * x[2]
        return x * 2

    x = X.copy()
    found = pb.jacobian(f)(x)
    np.testing.assert_array_equal(x, X)
    expected = 2 * np.eye(4)
    expected[0] = [0, 2 * X[2], 2 * X[1], 0]
    np.testing.assert_allclose(found, expected)


def test_results_belong_to_the_caller():
    f = pb.jacobian(lambda x: x * 2.0)
    first = f(X)
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(f(X), kept)
    a, b = pb.jacobian(lambda x, y: x + y, argnums=(0, 1))(X, X)
    a[0, 0] = 5
    assert b[0, 0] == 1


@pytest.mark.parametrize("mode", MODES)
def test_the_matrix_of_a_linear_function_is_copied(mode):
    x = np.ones(4)
    for found in (
        pb.jacobian(lambda x: W @ x, mode=mode)(x),
        pb.jacobian(lambda x, V: V @ x, mode=mode)(x, W),
        pb.jacobian(lambda x, V: V @ x, argnums=(0, 1), mode=mode)(x, W)[0],
        pb.jacobian(lambda t, V: V * t, mode=mode)(1.0, W),
    ):
        np.testing.assert_array_equal(found, W)
        assert not np.shares_memory(found, W)
        found[0, 0] = 7  # it is the caller's to write
    A = np.eye(4)
    hessian = pb.hessian(lambda x, A: 0.5 * x @ A @ x)(x, A)
    assert not np.shares_memory(hessian, A)


def test_an_output_without_entries():
    assert pb.jacobian(lambda x: x[:0] * 2)(X).shape == (0, 4)
    assert pb.jacobian(lambda x: np.sum(x) * np.ones(2))(np.zeros(0)).shape == (2, 0)
    assert pb.hessian(lambda x: np.sum(x**2))(np.zeros((0, 3))).shape == (0, 3, 0, 3)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("grad", lambda f: pb.grad(f)(X)),
        ("value_and_grad", lambda f: pb.value_and_grad(f)(X)),
        ("hvp", lambda f: pb.hvp(f, (X,), (X,))),
        ("hessian", lambda f: pb.hessian(f)(X)),
        ("sparse_hessian", lambda f: pb.sparse_hessian(f)(X)),
        ("sparsity", lambda f: pb.sparsity(f, X, of="hessian")),
        ("health", lambda f: pb.health(f)(X)),
    ],
)
def test_what_needs_a_loss_is_called_by_its_name(name, call):
    with pytest.raises(DifferentiationError) as found:
        call(lambda x: (x[0], x[1]))
    assert f"{name} needs a function that returns one scalar, and lambda" in str(found.value)
    is_gradient = name in ("grad", "value_and_grad")
    with pytest.raises(DifferentiationError) as found:
        call(lambda x: x**2)
    assert f"{name} needs a function that returns a scalar, and lambda" in str(found.value)
    assert ("pb.vjp" in str(found.value)) == is_gradient
    with pytest.raises(DifferentiationError) as found:
        call(lambda x: 1j * x[0])
    assert f"{name} needs a function that returns a real floating-point scalar" in str(found.value)
    assert ("holomorphic=True" in str(found.value)) == is_gradient


def test_errors():
    with pytest.raises(DifferentiationError, match=r"floating-point outputs.* i64"):
        pb.jacobian(lambda x: np.argsort(x))(X)
    with pytest.raises(DifferentiationError, match=r"floating-point outputs.*None"):
        pb.jacobian(lambda x: None)(X)
    with pytest.raises(DifferentiationError, match="returns a scalar"):
        pb.hessian(lambda x: x**2)(X)
    with pytest.raises(DifferentiationError, match="only where it is holomorphic"):
        pb.jacobian(lambda z: z**2)(X.astype(complex))
    with pytest.raises(DifferentiationError, match="only where it is holomorphic"):
        pb.jacobian(lambda x: x * 1j, mode="reverse")(X)
    with pytest.raises(DifferentiationError, match="holomorphic=True is for complex"):
        pb.jacobian(lambda x: x * 2, holomorphic=True)(X)
    with pytest.raises(DifferentiationError, match=r"Hessian of .* is of real arguments"):
        pb.hessian(lambda z: np.sum(np.abs(z) ** 2))(X.astype(complex))
    with pytest.raises(DifferentiationError, match="`k`: it is int64"):
        pb.jacobian(lambda k: k * 2.0)(np.arange(3))
    with pytest.raises(UnsupportedError, match="only the run knows"):
        pb.jacobian(lambda x: x[x > 0])(X)
    with pytest.raises(ArgumentError, match="mode='backward'"):
        pb.jacobian(lambda x: x, mode="backward")
    with pytest.raises(TypeError, match="takes a function"):
        pb.jacobian(3)
