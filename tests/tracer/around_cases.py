"""Python around arrays: functions that must do under `compile` what they do without it."""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

CASES: list[Callable[[Any], Any]] = []


def case(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    CASES.append(function)
    return function


@case
def comprehensions(x: Any) -> Any:
    squares = [v**2 for v in x]
    pairs = {i: v for i, v in enumerate(x) if i}
    nested = [a * b for a in x for b in squares if a is not b]
    return sum(squares) + sum(pairs.values()) + sum(nested)


@case
def generator_expressions(x: Any) -> Any:
    zipped = sum(a * b for a, b in zip(x, x * 2, strict=True))
    return (
        zipped + sum(v * i for i, v in enumerate(x)) + sum(a * b for a, b in itertools.pairwise(x))
    )


@case
def unpacking(x: Any) -> Any:
    a, *rest = x
    (b, c), d = (x[0], x[1]), x[2]
    first, *_, last = [a, b, c, d]
    return a + sum(rest) + first * last


@case
def star_arguments(x: Any) -> Any:
    def f(a: Any, *args: Any, k: Any = 2.0, **kwargs: Any) -> Any:
        return a * k + sum(args) + kwargs["m"]

    values = [x[1], x[2]]
    return f(x[0], *values, m=x[0], k=3.0) + f(*x, m=1)


@case
def nested_functions(x: Any) -> Any:
    scale = x[0]

    def outer(y: Any) -> Any:
        def inner(z: Any) -> Any:
            return z * scale

        return inner(y) + inner(y * 2)

    return outer(x)


@case
def a_nonlocal_of_its_own(x: Any) -> Any:
    total = 0.0

    def add(v: Any) -> None:
        nonlocal total
        total = total + v

    for v in x:
        add(v)
    return total


class Affine:
    bias = 1.0

    def __init__(self, w: Any) -> None:
        self.w = w

    def __call__(self, x: Any) -> Any:
        return x * self.w + self.bias

    def __add__(self, other: Affine) -> Affine:
        return Affine(self.w + other.w)

    @property
    def double(self) -> Any:
        return self.w * 2

    @classmethod
    def of(cls, w: Any) -> Affine:
        return cls(w)

    @staticmethod
    def shift(x: Any) -> Any:
        return x + 1


class Child(Affine):
    def __call__(self, x: Any) -> Any:
        return super().__call__(x) * 2


@case
def classes_with_arrays(x: Any) -> Any:
    layer = Affine(x) + Affine.of(x * 2)
    return layer(x) + layer.double + Child(x)(x) + Affine.shift(x)


@dataclass
class Pair:
    a: Any
    b: Any

    def total(self) -> Any:
        return self.a + self.b


@case
def dataclasses_and_named_tuples(x: Any) -> Any:
    point = collections.namedtuple("point", "u v")(x[0], x[1])
    pair = Pair(point.u, b=point.v)
    return pair.total() + point._replace(u=x[2]).u


@case
def containers(x: Any) -> Any:
    d = collections.defaultdict(list)
    for i, v in enumerate(x):
        d[i % 2].append(v)
    q = collections.deque(x, maxlen=2)
    q.append(x[0])
    s = dict(zip("abc", x, strict=True))
    s.update(a=x[2])
    return sum(d[0]) + sum(q) + s["a"] + s.get("z", 1.0) + len(d)


@case
def functools_and_itertools(x: Any) -> Any:
    powered = functools.partial(np.power, x)
    total = functools.reduce(operator.mul, x)
    chained = list(itertools.chain([x[0]], x[1:]))
    sums = list(itertools.accumulate(x))
    pairs = sum(a * b for a, b in itertools.combinations(x, 2))
    return powered(2.0) + total + chained[1] + sums[-1] + pairs


@case
def builtins(x: Any) -> Any:
    m = list(map(np.sin, x))
    r = list(reversed(x))
    f = [v for v in filter(lambda i: i > 0, range(3))]  # noqa: C416
    return sum(m) + r[0] + len(f) + abs(x[0]) + pow(x[1], 2) + divmod(x[2], 0.7)[1] + sum(x, 1.0)


@case
def maxima(x: Any) -> Any:
    a = max(x[0], x[1]) + min(x[0], x[1], x[2])
    b = max(float(x[0]), 0.0) + max(0, x[1]) + min(x[2], 1)
    return a + b + max(x) * min(list(x)) + max([x[0], x[2]])


@case
def maxima_of_ties(x: Any) -> Any:
    return max(x[0], x[0] * 1.0) * min(x[1], x[1] * 1.0) + max(x[2], np.float64(2.5))


@case
def static_questions(x: Any) -> Any:
    found = []
    found.append(isinstance(x, np.ndarray) and not isinstance(x, list))
    found.append(isinstance(x[0], float) and isinstance(x[0], np.float64))
    found.append(isinstance(float(x[0]), float) and not isinstance(float(x[0]), np.generic))
    found.append(type(x) is np.ndarray and type(x[0]) is np.float64)
    found += [np.ndim(x) == 1, len(x) == 3, x.ndim == 1, np.shape(x) == (3,), x.size == 3]
    found += [np.isscalar(x[0]), callable(np.sin), hasattr(x, "shape"), x.dtype == np.float64]
    found += [getattr(x, "shape", None) == (3,), x.shape[0] == 3, bool(x.shape)]
    found += [np.size(x) == 3, x.dtype.kind == "f", x.T.shape == x.shape, x.nbytes == 24]
    if not all(found):
        raise AssertionError(found)
    return x * len(found)


@case
def flags(x: Any) -> Any:
    if not (x.flags.c_contiguous and x.flags["F_CONTIGUOUS"] and x.flags.writeable):
        raise AssertionError("flags")
    return x * 2


@case
def python_numbers(x: Any) -> Any:
    a = float(x[0]) * 2
    b = x[1].item() + x[2:].item() * np.outer(x, x).item(1, 2) + np.outer(x, x).item(4)
    c = x.tolist()
    c[1] += np.outer(x, x).tolist()[2][0]
    b += x.astype(np.int32)[2].item() + x.astype("f4").item(0) + (x > 0)[0].item()
    return a + b + c[2] + math.sqrt(abs(x[0])) + x.item(1)


@case
def a_static_assertion(x: Any) -> Any:
    assert x.ndim == 1, f"{x} has {x.ndim} axes"
    assert len(x) == 3
    return x + 1


@case
def a_try_that_falls_back(x: Any) -> Any:
    try:
        y = x @ np.ones(7)
    except ValueError as error:
        y = x * 2 + len(str(type(error).__name__)) * 0
    else:
        y = x * 3
    finally:
        y = y + 1
    return y


@case
def a_try_that_holds(x: Any) -> Any:
    try:
        return x * 2
    except ValueError:
        return x


@case
def a_try_around_a_key(x: Any) -> Any:
    cache = {"a": x}
    for key in ("a", "b"):
        try:
            y = cache[key] * np.linalg.det(np.diag(x))
        except KeyError:
            y = x * 3
        cache[key] = y
    return cache["a"] + cache["b"]


@case
def a_try_in_a_loop(x: Any) -> Any:
    total = 0.0
    for k in range(5):
        try:
            total = total + x[k]
        except IndexError:
            continue
        finally:
            total = total * 2
    return total


@case
def a_try_with_a_reraise(x: Any) -> Any:
    try:
        try:
            return x.reshape(2, 2)
        except ValueError as error:
            raise KeyError("inner") from error
    except KeyError:
        return x * 5


@case
def suppressed(x: Any) -> Any:
    y = x
    with contextlib.suppress(ValueError):
        y = x + 1
        y = x.reshape(7)
    return y


@contextlib.contextmanager
def doubled(x: Any) -> Iterator[Any]:
    yield x * 2


@case
def a_context_manager(x: Any) -> Any:
    with doubled(x) as y, contextlib.nullcontext(x) as z:
        return y + z


@case
def loops(x: Any) -> Any:
    total = x * 0
    for i in range(3):
        for j in range(3):
            if j == i:
                continue
            if i + j > 3:
                break
            total = total + x[i] * x[j]
    total = total + 1
    k = 0
    while k < 3:
        total = total * 0.5
        k += 1
    return total


@case
def a_walrus(x: Any) -> Any:
    return (y := x * 2) + [z := y.sum(), z * 2][1]


@case
def a_match(x: Any) -> Any:
    match x.shape:
        case (3,):
            return x * 2
        case _:
            return x


@case
def a_lambda_with_defaults(x: Any) -> Any:
    functions = [lambda v, k=k: v * k for k in range(3)]
    return sum(f(x) for f in functions)


@case
def recursion(x: Any) -> Any:
    def power(v: Any, n: int) -> Any:
        return v if n == 1 else v * power(v, n - 1)

    return power(x, 4)


@case
def a_sorted_list_of_keys(x: Any) -> Any:
    params = {"b": x, "a": x * 2}
    return functools.reduce(np.add, [params[k] * i for i, k in enumerate(sorted(params), 1)])


@case
def chained_and_conditional(x: Any) -> Any:
    n = len(x)
    return x * (2 if 1 < n <= 3 else 5) + (x if n and x is not None else 0)


@case
def rounding(x: Any) -> Any:
    return x + round(x[0], 1) + round(float(x[1]), 2)
