"""Programs with a mistake, one for each error message.

Each is called with `bad` arguments, which must raise; then with `good` ones, which must work.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import pullback as pb


@dataclass(frozen=True)
class Case:
    """A function, its transformation, and arguments that raise `error` or work."""

    function: Callable[..., Any]
    error: type[Exception]
    bad: tuple[Any, ...]
    good: tuple[Any, ...] | None
    transform: Callable[..., Any]
    as_numpy: bool

    @property
    def name(self) -> str:
        return self.function.__name__


CASES: list[Case] = []
EXP = np.exp(np.arange(12.0).reshape(3, 4) / 9)
VECTOR = np.array([1.0, 2.0, 3.0])
GLOBAL_LIST: list[Any] = []
MASKED = np.ma.masked_array([1.0, 2.0, 3.0], [0, 1, 0])
GENERATOR = np.random.default_rng(0)


class Model:
    def __init__(self) -> None:
        self.weight = np.ones((5, 2))
        self.last: Any = None


MODEL = Model()


def inspected(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile for arguments without running."""
    return pb.compile(function).inspect  # type: ignore[no-any-return]


def case(
    error: type[Exception],
    *bad: Any,
    good: tuple[Any, ...] | None = None,
    transform: Callable[..., Any] = pb.compile,
    as_numpy: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add a case; `as_numpy` where plain NumPy raises for the bad arguments too."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        CASES.append(Case(function, error, bad, good, transform, as_numpy))
        return function

    return add


# ---- shapes, axes, indices ---------------------------------------------------------------------


@case(pb.ShapeError, EXP, np.ones((5, 2)), good=(EXP, np.ones((4, 2))), as_numpy=True)
def inner_sizes_differ(x, W):
    return np.tanh(x @ W + 1.0)


@case(pb.ShapeError, EXP, good=(np.ones((3, 5)),), as_numpy=True)
def inner_sizes_with_an_attribute(x):
    return np.tanh(x @ MODEL.weight)


@case(pb.ShapeError, EXP, VECTOR, good=(EXP, np.ones(4)), as_numpy=True)
def shapes_do_not_broadcast(x, y):
    return np.sum(x + y)


@case(pb.ShapeError, EXP, np.ones(4), good=(EXP, np.ones((1, 4))), as_numpy=True)
def concatenate_other_axes(x, y):
    return np.concatenate([x, np.atleast_1d(y)])


@case(pb.ShapeError, EXP, good=(np.ones((5, 5)),), as_numpy=True)
def reshape_to_another_size(x):
    return np.reshape(x, (5, 5))


@case(pb.ShapeError, EXP, good=(np.ones((2, 5)),), as_numpy=True)
def reshape_method(x):
    return x.reshape(5, -1)


@case(np.exceptions.AxisError, EXP, good=(np.ones((2, 2, 2)),), as_numpy=True)
def axis_out_of_bounds(x):
    return np.sum(x, axis=2)


@case(IndexError, EXP, good=(np.ones((8, 2)),), as_numpy=True)
def index_out_of_bounds(x):
    return x[7] * 2.0


@case(IndexError, EXP, good=(np.ones((1, 1, 1)),), as_numpy=True)
def too_many_indices(x):
    return x[0, 0, 0]


@case(ValueError, EXP, good=(np.ones((2, 2)),), as_numpy=True)
def einsum_sizes_differ(x):
    return np.einsum("ij,jk->ik", x, x)


@case(np.linalg.LinAlgError, EXP, good=(np.eye(3),), as_numpy=True)
def inverse_of_no_square(x):
    return np.linalg.inv(x)


@case(
    pb.ShapeError,
    {"first layer": [EXP]},
    np.ones(3),
    good=({"first layer": [EXP]}, np.ones(4)),
    as_numpy=True,
)
def path_of_an_argument(params, b):
    W = params["first layer"][0]
    return W + b


@case(AttributeError, VECTOR, as_numpy=True)
def no_such_attribute(x):
    return x.summ()


# ---- values that are not known yet -------------------------------------------------------------


@case(pb.ConcretizationError, VECTOR)
def branch_on_a_value(x):
    def body(_, h):
        return h if bool(h[0] > 0) else -h

    return pb.fori_loop(0, 3, body, x)


@case(pb.ConcretizationError, VECTOR)
def loop_on_a_value(x):
    def body(_, h):
        while bool(np.sum(h) > 1):
            h = h / 2
        return h

    return pb.fori_loop(0, 3, body, x)


@case(pb.ConcretizationError, VECTOR)
def int_of_a_value(x):
    return pb.fori_loop(0, 3, lambda _, h: h + np.zeros(int(h[0])), x)


@case(pb.ConcretizationError, pb.Spec(3), good=(VECTOR,), transform=inspected)
def bool_of_an_argument_without_values(x):
    return x if bool(x[0]) else -x


@case(pb.ConcretizationError, np.random.default_rng(0), VECTOR)
def branch_on_a_draw(rng, x):
    return x if bool(rng.normal() > 0) else -x


@case(pb.ConcretizationError, VECTOR)
def f_string_of_a_value(x):
    return {f"{x[0]}": x}


@case(pb.ConcretizationError, VECTOR)
def width_of_text(x):
    return str(x[0]).rjust(12)


@case(pb.UnsupportedError, VECTOR)
def print_to_a_file_made_inside(x):
    buffer = io.StringIO()
    print(x, file=buffer)
    return x


@case(pb.ConcretizationError, VECTOR)
def item_of_a_value(x):
    return pb.fori_loop(0, 3, lambda _, h: h * [2.0, 3.0][h.astype(int)[0].item()], x)


@case(pb.ConcretizationError, VECTOR)
def list_of_a_value(x):
    return x[x > 1].tolist()


@case(pb.ConcretizationError, np.int64(1))
def list_index(k):
    return pb.fori_loop(0, 3, lambda _, h: h * [2, 3][h], k)


# ---- what is not traced ------------------------------------------------------------------------


@case(pb.UnsupportedError, VECTOR)
def function_not_traced(x):
    return x * np.shares_memory(x, x[1:])


@case(pb.UnsupportedError, VECTOR)
def function_of_scipy(x):
    from scipy.integrate import solve_ivp

    return solve_ivp(lambda t, y: -y, (0, 1), x)


@case(pb.UnsupportedError, VECTOR)
def function_of_scipy_special(x):
    from scipy.interpolate import interp1d

    return interp1d(x, x)(1.5)


@case(ValueError, VECTOR)
def write_into_a_read_only_view(x):
    np.broadcast_to(x, (2, 3))[0] = 0.0
    return x


@case(pb.UnsupportedError, VECTOR)
def where_without_out(x):
    return np.sqrt(x, where=x > 0)


@case(pb.UnsupportedError, VECTOR)
def out_of_another_dtype(x):
    return np.var(x, out=np.zeros((), np.float32))


@case(pb.UnsupportedError, VECTOR)
def random_numbers_of_python(x):
    return x + random.random()


@case(pb.UnsupportedError, VECTOR)
def state_of_a_generator(x):
    return x, len(GENERATOR.bytes(3))


@case(pb.DifferentiationError, np.float64(2.0), transform=pb.grad)
def gradient_of_a_beta_draw(a):
    return GENERATOR.beta(a, 2.0)


@case(pb.UnsupportedError, VECTOR)
def append_an_object(x):
    GLOBAL_LIST.append(Model())
    return x


@case(pb.UnsupportedError, VECTOR)
def store_in_a_loop(x):
    def step(total, row):
        MODEL.last = row
        return total + row, None

    return pb.scan(step, 0.0, x)[0]


@case(pb.UnsupportedError, VECTOR)
def masked_array_from_outside(x):
    return x * MASKED


@case(pb.DTypeError, VECTOR)
def object_dtype_inside(x):
    return np.zeros(3, dtype=object) + x


@case(pb.DTypeError, VECTOR, good=(np.array([1, 2]),), as_numpy=True)
def bits_of_floats(x):
    return x & 1


@case(pb.UnsupportedError, VECTOR)
def no_container(x):
    return x, object()


# ---- arguments ---------------------------------------------------------------------------------


@case(pb.StructureError, MASKED, good=(VECTOR,))
def masked_array(x):
    return x * 2.0


class Subclass(np.ndarray):
    pass


@case(pb.StructureError, {"w": [EXP.view(Subclass)]}, good=({"w": [EXP]},))
def subclass_in_a_container(params):
    return params["w"][0] * 2.0


@case(pb.StructureError, np.array([None]), good=(VECTOR,))
def object_array(x):
    return x is not None


@case(pb.StructureError, np.array(["a"]), good=(VECTOR,))
def string_array(x):
    return x is not None


@case(pb.StructureError, VECTOR, [2], good=(VECTOR, (2,)), transform=pb.compile(static_argnums=1))
def unhashable_static(x, shape):
    return np.zeros(shape) + np.sum(x)


# ---- gradients ---------------------------------------------------------------------------------


@case(pb.DifferentiationError, VECTOR, good=(2.0,), transform=pb.grad)
def no_scalar(x):
    return np.sin(x) * 2.0


@case(pb.DifferentiationError, VECTOR, transform=pb.grad)
def complex_loss(x):
    return np.sum(x * 1j)


@case(pb.DifferentiationError, VECTOR, transform=pb.grad)
def integer_loss(x):
    return np.sum(x > 1)


@case(pb.DifferentiationError, VECTOR, transform=pb.grad)
def pair_without_has_aux(x):
    return np.sum(x), x


@case(pb.DifferentiationError, VECTOR, transform=pb.grad)
def returns_none(x):
    np.sum(x)


@case(pb.DifferentiationError, np.arange(3), VECTOR, good=(VECTOR, VECTOR), transform=pb.grad)
def integer_argument(labels, x):
    return np.sum(x * labels)


@case(pb.DifferentiationError, 3, good=(3.0,), transform=pb.grad)
def python_int_argument(x):
    return x * 2.0


@case(
    pb.DifferentiationError,
    {"w": VECTOR, "steps": 3},
    good=({"w": VECTOR, "steps": 3.0},),
    transform=pb.grad,
)
def integer_in_a_container(params):
    return np.sum(params["w"]) * params["steps"]


@case(pb.ArgumentError, VECTOR, good=(VECTOR, 1.0, 1.0), transform=pb.grad(argnums=2))
def unknown_position(x, a=1.0, b=1.0):
    return np.sum(x) * a * b


@case(pb.ArgumentError, VECTOR, transform=pb.grad(argnums="weights"))
def unknown_name(x):
    return np.sum(x)


@case(pb.StructureError, VECTOR, transform=pb.grad(has_aux=True))
def has_aux_without_a_pair(x):
    return np.sum(x)


@case(pb.StructureError, VECTOR, transform=pb.value_and_grad(has_aux=True))
def has_aux_with_three(x):
    return np.sum(x), x, x


# ---- loops and pullbacks -----------------------------------------------------------------------


@case(pb.ShapeError, VECTOR)
def carry_changes_shape(x):
    return pb.scan(lambda c, r: (np.stack([c, c]), r), 0.0, x)


@case(pb.StructureError, VECTOR)
def carry_changes_structure(x):
    return pb.scan(lambda c, r: ((c, c), r), 0.0, x)


@case(pb.StructureError, VECTOR)
def scan_returns_no_pair(x):
    return pb.scan(lambda c, r: c + r, 0.0, x)


@case(KeyError, VECTOR)
def print_without_a_name(x):
    pb.debug_print("{y:.3f}", x=x)
    return x


@case(pb.ShapeError, VECTOR)
def scan_over_other_sizes(x):
    return pb.scan(lambda c, r: (c, r), 0.0, (x, x[1:]))


@case(pb.StructureError, VECTOR)
def loop_changes_structure(x):
    return pb.fori_loop(0, 3, lambda i, v: (v, v), x)


def whole_pullback(function: Callable[..., Any]) -> Callable[..., Any]:
    """Differentiate by all arguments."""
    return lambda *args: pb.vjp(function, *args)[0]


@case(pb.DifferentiationError, 3, VECTOR, good=(3.0, VECTOR), transform=whole_pullback)
def integer_argument_of_vjp(n, x):
    return n * x


@case(pb.ArgumentError, VECTOR, good=(VECTOR, 2.0), transform=pb.grad(argnums=1))
def missing_argument(x, scale):
    return np.sum(x * scale)


def pulled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Call the pullback of a function at VECTOR with the argument as cotangent."""
    return lambda cotangent: pb.vjp(function, VECTOR)[1](cotangent)


@case(pb.StructureError, VECTOR, good=((VECTOR, VECTOR),), transform=pulled)
def cotangent_of_another_structure(x):
    return np.sin(x), np.cos(x)


@case(pb.ShapeError, np.ones(4), good=(VECTOR,), transform=pulled)
def cotangent_of_another_shape(x):
    return np.sin(x)


@case(pb.StructureError, VECTOR * 1j, good=(VECTOR,), transform=pulled)
def complex_cotangent(x):
    return np.sin(x)
