"""Functions that use every construct of the language, to be run plain and rewritten.

Each case is a function and a maker of its arguments. `LOG` records the order of side effects.
This is no test module, so that pytest leaves the `assert` statements alone.
"""

# The odd forms are the point here.
# ruff: noqa
# fmt: off

from __future__ import annotations

import contextlib
import functools
import math
import operator
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

Case = tuple[Callable[..., Any], Callable[[], tuple[Any, ...]]]
CASES: dict[str, Case] = {}
LOG: list[Any] = []
SCALE = 3
COUNTER = 0
TABLE = {"a": 1}


def note(value: Any, *rest: Any) -> Any:
    LOG.append((value, *rest))
    return value


def case(*arguments: Callable[[], tuple[Any, ...]]) -> Callable[[Any], Any]:
    """Register the function, once for each maker of arguments."""

    def register(function: Any) -> Any:
        for number, make in enumerate(arguments or (tuple,)):
            CASES[f"{function.__qualname__}-{number}"] = (function, make)
        return function

    return register


def register(name: str, function: Any, make: Callable[[], tuple[Any, ...]] = tuple) -> None:
    CASES[name] = (function, make)


class Traced(list[Any]):
    """A list that logs each access to it."""

    def __getitem__(self, index: Any) -> Any:
        LOG.append(("get", repr(index)))
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        LOG.append(("set", repr(index), value))
        super().__setitem__(index, value)

    def __delitem__(self, index: Any) -> None:
        LOG.append(("del", repr(index)))
        super().__delitem__(index)


class Keys:
    def __getitem__(self, index: Any) -> Any:
        return index


@case(lambda: (2,), lambda: (2, 5))
def defaults(a: int, b: int = 7, *rest: int, k: int = SCALE, **more: int) -> Any:
    return a, b, rest, k, sorted(more.items())


@case(lambda: ((1, 2), {"k": 4, "z": 1}))
def star_calls(args: Any, kwargs: Any) -> Any:
    return defaults(*args, 3, *args, **kwargs), defaults(0, **kwargs), note(*args)


def make_closure(start: int) -> Any:
    total = start

    def add(step: int) -> int:
        nonlocal total
        total += step
        total = total + SCALE
        return total

    return add


register("closure", make_closure(5), lambda: (2,))


@case(lambda: (4,))
def inner_closures(n: int) -> Any:
    total = 0

    def bump(by: int = n) -> int:
        nonlocal total
        total += by
        return total

    adders = [lambda x, i=i: x + i + total for i in range(n)]
    return bump(), bump(2), [adder(10) for adder in adders], total


@case()
def use_global() -> Any:
    global COUNTER
    COUNTER = 0
    COUNTER += SCALE
    a = COUNTER = COUNTER + 1
    for COUNTER in range(3):
        note(COUNTER)
    return a, COUNTER


@case(lambda: ([3, 1, 2],))
def comprehensions(xs: Any) -> Any:
    n = 2
    squares = [x * n * SCALE for x in xs if x > 1 if not x == 3]
    pairs = {x: y for x in xs for y in range(x) if y}
    total = sum(x for x in xs)
    return squares, pairs, {x % 2 for x in xs}, total, [[x + y for y in xs] for x in xs]


@case(lambda: ([1, 5, 2],))
def walrus(xs: Any) -> Any:
    found = [last := x for x in xs if (double := x * 2) > 3]
    while (n := len(xs)) > 1:
        xs.pop()
    later = [late for _ in range(1) if (late := 4)]
    return found, last, double, n, later, late


def in_loop_before_walrus(n: int) -> Any:
    for i in range(n):
        if i:
            return seen
        (seen := i)
    return None


register("in_loop_before_walrus", in_loop_before_walrus, lambda: (2,))


class Base:
    def __repr__(self) -> str:
        return f"{type(self).__name__}({sorted(vars(self).items())})"

    def __init__(self, value: int) -> None:
        self.value = value
        self.__secret = value * 10

    def __hidden(self) -> int:
        return self.__secret

    def reveal(self, extra: int = 1) -> Any:
        self.__secret += extra
        self.__count: int = 2
        __local = self.__hidden()
        return __local, [self.__secret for _ in range(2)], self.__count


class Derived(Base):
    def __init__(self, value: int) -> None:
        super().__init__(value + 1)
        self.items = Traced([1, 2, 3])

    def reveal(self, extra: int = 2) -> Any:
        plain = super().reveal(extra)
        return plain, super(Derived, self).reveal(), __class__.__name__

    def change(self) -> Any:
        self.items[note(0)] += note(5)
        self.value -= 1
        del self.items[1]
        del self.value
        return self.items, hasattr(self, "value")

    @staticmethod
    def static(x: int) -> int:
        return x + SCALE


register("method.private", Base.reveal, lambda: (Base(2),))
register("method.super", Derived.reveal, lambda: (Derived(2),))
register("method.init", Derived.__init__, lambda: (Derived(2), 8))
register("method.change", Derived.change, lambda: (Derived(2),))
register("method.static", Derived.static, lambda: (2,))


@case(lambda: (3,))
def local_class(n: int) -> Any:
    scale = n

    class Point(Base, metaclass=type):
        size = scale
        table = [size for _ in range(2)] if False else [size]
        own = __qualname__

        def __init__(self, value: int) -> None:
            super().__init__(value)
            self.__mine = scale

        def total(self) -> Any:
            return self.__mine + self.value + self.size, __class__ is Point

    return Point(2).total(), Point.table, Point.own, Point.total.__qualname__


def twice(function: Any) -> Any:
    @functools.wraps(function)
    def wrapped(*args: Any) -> Any:
        return function(*args) * 2

    return wrapped


@twice
@twice
def decorated(x: int) -> int:
    y = x + 1
    return y


register("decorated", decorated.__wrapped__.__wrapped__, lambda: (3,))


@case(lambda: (3,))
def nested_decorators(x: int) -> Any:
    @twice
    @functools.lru_cache(maxsize=note(4))
    def inner(y: int, z: Any = note("default")) -> int:
        "Inner docstring."
        return y + x

    return inner(1), inner.__doc__, inner.__name__


@case(lambda: (0,), lambda: (1,), lambda: ("x",), lambda: (None,))
def tries(x: Any) -> Any:
    try:
        note("body")
        y = 1 / x
    except ZeroDivisionError as error:
        y = str(error)
    except (TypeError, ValueError):
        y = "type"
        if x is None:
            raise
    else:
        y = -y
    finally:
        note("finally", [v for v in range(2)])
    return y


@contextlib.contextmanager
def managed(name: Any) -> Iterator[Any]:
    note("enter", name)
    try:
        yield name
    finally:
        note("exit", name)


@case(lambda: (Traced([0, 0]),), lambda: ([],))
def withs(target: Any) -> Any:
    with managed(1) as a, managed((2, 3)) as (b, target[note(0)]):
        note(a + b)
        with contextlib.suppress(KeyError):
            return target[1], TABLE["missing"]
    return a, target


@case(lambda: ([1, 2],), lambda: ({"k": 1, "z": 2},), lambda: ("s",), lambda: (5,), lambda: (-5,))
def matches(subject: Any) -> Any:
    match subject:
        case [first, *rest] if first:
            result = (first, rest)
        case {"k": value, **others}:
            result = value, others
        case str() as text:
            result = text
        case int(n) if n > 0 and operator.gt(n, SCALE):
            result = n
        case _:
            result = None
    return result


@case(lambda: (Traced([1, 2, 3, 4]),))
def item_stores(x: Any) -> Any:
    x[0] = note(5)
    x[note(1)] = x[note(2)] = note("chain")
    a = x[note(3)] = b = note("mixed")
    x[1:3] = [note(7), *x[:1], 8][::2]
    x[0], x[1] = x[1], x[0]
    (x[0], [y, *x[1:]]) = 1, (2, 3, 4)
    for x[0] in range(3):
        note(x[0])
    del x[0], x[note(0) :]
    return x, a, b, y, Keys()[1:2, ..., None, ::3], [0 for x[0:1] in ([1], [2])]


def bump(x: Any, by: Any) -> Any:
    x[0] = 10
    return by


@case(lambda: (Traced([1, 2, 3]),), lambda: (Traced(),))
def augmented_items(x: Any) -> Any:
    x[0] += bump(x, 1)
    note([x, x][note(0)])[note(1)] *= note(4)
    x[1:2] += [note(9)]
    x[-1] **= 2
    x[0] //= 2
    x[0] |= 8
    return x


@case(lambda: (SimpleNamespace(a=1, b=[1]),), lambda: (SimpleNamespace(b=3),))
def attributes(o: Any) -> Any:
    o.c = note(2)
    note(o).b += note([2])
    o.d, o.e = o.c, o.b
    o.a -= 1
    o.f: int = 4
    del o.d
    return sorted(vars(o).items()), o.a.real


@case(lambda: (2,), lambda: ("s",), lambda: ([1],))
def augmented_names(x: Any) -> Any:
    alias = x
    x += x
    x *= 2
    x -= 1
    return x, alias


@case()
def unbound() -> Any:
    if note(0):
        x = 1
    x += 1
    return x


@case()
def unbound_free() -> Any:
    def inner() -> Any:
        return late

    inner()
    late = 1
    return late


@case()
def missing_name() -> Any:
    y = 1
    return (
        y + not_defined_anywhere  # noqa: F821
    )


@case(lambda: (["b", "a"],), lambda: ([1, "a"],))
def method_chain(words: Any) -> Any:
    return (
        ",".join(words)
        .upper()
        .replace(
            "A",
            note("z"),
        )
        .split(",")[-1]
        .missing
    )


@case(lambda: ((1, 2, 3),), lambda: ((1,),), lambda: (5,))
def unpack(values: Any) -> Any:
    first, *middle, last = values
    a, (b, c) = 1, (note(2), 3)
    [d, e] = note((4, 5))
    f = g = d + e
    return first, middle, last, a, b, c, d, e, f, g


@case(lambda: (3,), lambda: (0,))
def loops(n: int) -> Any:
    out = []
    for i in range(n):
        if i == 1:
            continue
        if i > 1:
            break
        out.append(i)
    else:
        out.append("no break")
    while n:
        n -= 1
        if n == 1:
            break
    else:
        out.append("ran out")
    for i, (j, k) in enumerate(zip(range(2), "ab", strict=True)):
        out.append((i, j, k))
    return out, n


@case(lambda: (1,), lambda: (0,))
def asserts(x: Any) -> Any:
    assert True
    assert x, f"message {note(x)!r:>{SCALE}}"
    assert not x == 2
    return f"{x + 1:.2f} {x!s} {math.pi:{x}.{SCALE}}"


@case(lambda: (3,), lambda: (-3,))
def conditions(x: Any) -> Any:
    y = "big" if x > 2 else "small" if not x < 0 else note("negative")
    return y, x and note(x), x or note("or"), 0 < x < note(5), not x, -x, ~x, x is not None


@case(lambda: (3,))
def frames(x: Any) -> Any:
    y = eval("x + 1")
    names = dict(locals())
    exec("z = 1")
    return (
        y,
        names,
        sorted(vars()),
        dir(),
        "SCALE" in globals(),
        dir(x)[:1],
        vars(SimpleNamespace(q=1)),
    )


@case(lambda: (3,))
def shadowed(abs: Any) -> Any:
    sum = max  # noqa: A001
    slice = list  # noqa: A001
    return abs, sum(abs, 1), "abc"[1:], slice("ab"), min(abs, 2), len([1, 2, 3][1:][::-1])


@case(lambda: (3,))
def generators_inside(n: int) -> Any:
    def count(stop: int) -> Iterator[int]:
        for i in range(stop):
            got = yield i * SCALE
            note(got)
        yield from range(2)

    async def later() -> int:
        async def value() -> int:
            return n

        return await value() + 1

    coroutine = later()
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result = stop.value
    return list(count(n)), result, list(x + y for x in range(2) for y in count(1))


PAIR = (lambda x, y=2: x + y + SCALE, lambda x, y=2: x - y - SCALE)
TWINS = (lambda x: [x, SCALE], lambda x: [x, SCALE])
LONG = functools.partial(
    lambda *args, k=3, **kw: (
        args[0],
        k + len(kw),
    ),
    1,
)
register("lambda.first", PAIR[0], lambda: (1,))
register("lambda.second", PAIR[1], lambda: (1,))
register("lambda.twin", TWINS[1], lambda: (1,))
register("lambda.long", LONG.func, lambda: (1, 2))
register("lambda.nested", (lambda x: lambda y: (x, y, SCALE))(1), lambda: (2,))
register("lambda.raises", lambda x: x[note(1)].real, lambda: ([],))


def make_in_class() -> Any:
    hidden = 4

    class _Holder:
        __private = 5
        function = staticmethod(lambda self: (self.__private, hidden))

        def method(self) -> Any:
            return [lambda: (self.__private, hidden), __class__]

    return _Holder


HOLDER = make_in_class()
register("private.lambda", HOLDER.function, lambda: (HOLDER,))
register("private.closure", HOLDER().method()[0])


@case(lambda: (2,))
def imports(n: int) -> Any:
    import os.path as path
    from math import sqrt

    class Empty: ...

    pass
    return sqrt(n), path.join("a", "b"), Empty.__name__, Ellipsis, {**TABLE, "n": n}, [*range(n)]


@case(lambda: (2,))
def documented(n: int) -> Any:
    """Have a docstring
that is not indented,
  and a string with a "quote"."""
    text = """
def not_a_function():
"""
# a comment that is not indented
    value = (n,
1)
    return text, value, "é" + str(n), len("日本" + note("ü"))


@case(lambda: (5,))
def recursive(n: int) -> Any:
    def factorial(k: int) -> int:
        return 1 if k < 2 else k * factorial(k - 1)

    return factorial(n)


@case(lambda: (5,))
def recursive_global(n: int) -> Any:
    return 1 if n < 2 else n * recursive_global(n - 1)


@case(lambda: (1,))
def raises_inside(x: Any) -> Any:
    def inner(y: Any) -> Any:
        values = [
            y,
            y / 0,
        ]
        return values

    return inner(
        x,
    )


@case(lambda: (1,), lambda: ([],))
def raises_in_test(x: Any) -> Any:
    class Bad:
        def __bool__(self) -> bool:
            raise ValueError("no truth")

    if x and Bad():
        return 1
    for _ in x:
        pass
    raise KeyError(note("end")) from None
