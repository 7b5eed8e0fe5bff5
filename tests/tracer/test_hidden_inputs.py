"""What a function reads besides its arguments is read at every call: never a stale result."""

from __future__ import annotations

import collections
import copy
import enum
import functools
import math
import operator
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import pullback as pb

X = np.array([1.0, 2.0, 3.0])
Change = Callable[[Any], Any]


def full(value: float) -> Any:
    return np.full(3, float(value))


@dataclass(frozen=True)
class Case:
    """`function(state, x)`, how to make a state, and what changes it between two calls."""

    function: Callable[[Any, Any], Any]
    state: Callable[[], Any]
    changes: Sequence[Change]

    @property
    def name(self) -> str:
        return self.function.__name__


CASES: list[Case] = []


def reads(
    state: Callable[[], Any], *changes: Change
) -> Callable[[Callable[[Any, Any], Any]], Callable[[Any, Any], Any]]:
    """Add a case."""

    def add(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        CASES.append(Case(function, state, changes))
        return function

    return add


def holder(**values: Any) -> Callable[[], Any]:
    """Return what makes an object with copies of these attributes."""

    def make() -> Any:
        made = Plain()
        for name, value in values.items():
            setattr(made, name, copy.deepcopy(value))
        return made

    return make


def rebind(**values: Any) -> Change:
    def change(state: Any) -> None:
        for name, value in values.items():
            setattr(state, name, value)

    return change


def write(path: str, value: float) -> Change:
    """Change the first element of an array in place."""
    return lambda state: operator.attrgetter(path)(state).__setitem__(0, value)


class Plain:
    """An object of the user's."""


# ---- attributes --------------------------------------------------------------------------------


@reads(
    holder(W=full(1)),
    rebind(W=full(2)),
    write("W", 5),
    rebind(W=np.ones((2, 3))),
    rebind(W=np.ones(3, np.float32)),
    rebind(W=3.0),
    rebind(W=3),
    rebind(W=np.float32(3)),
    rebind(W=np.array(3.0)),
    rebind(W=full(1)),
)
def attribute(s: Any, x: Any) -> Any:
    return x * s.W


@reads(holder(W=full(1)), rebind(W=full(2)), write("W", 5))
def function_of_hidden_arrays_alone(s: Any, x: Any) -> Any:
    return x * np.sum(s.W) + s.W.sum() + s.W.T + s.W * s.W


@reads(holder(W=full(1)), rebind(W=full(2)), write("W", 5))
def slices(s: Any, x: Any) -> Any:
    return x + s.W[[0, 1, 2]] * s.W[::-1] * s.W[None][0]


@reads(holder(W=full(1)), rebind(W=full(2)), write("W", 5))
def rows_of_a_hidden_array(s: Any, x: Any) -> Any:
    return x + sum(w * w for w in s.W)


@reads(holder(W=full(1)), rebind(W=None), rebind(W=full(2)))
def attribute_or_none(s: Any, x: Any) -> Any:
    return x if s.W is None else x * s.W


@reads(holder(W=full(1)), rebind(W=np.ones(5)), rebind(W=np.ones((2, 3))))
def shape_alone(s: Any, x: Any) -> Any:
    return x * s.W.shape[0] + s.W.size


@reads(holder(mode="a"), rebind(mode="b"), rebind(mode=None), rebind(mode="a"))
def string(s: Any, x: Any) -> Any:
    return x * 2 if s.mode == "a" else x


@reads(holder(k=1.0), rebind(k=math.nan), rebind(k=math.nan), rebind(k=0.0), rebind(k=-0.0))
def floats_and_nan(s: Any, x: Any) -> Any:
    return np.copysign(x, s.k) * (1.0 if math.isnan(s.k) else 2.0)


@reads(holder(flag=True), rebind(flag=1), rebind(flag=1.0), rebind(flag=False))
def equal_values_of_other_types(s: Any, x: Any) -> Any:
    return x * 2 if isinstance(s.flag, bool) else x + s.flag


@reads(
    lambda: (lambda a: types.SimpleNamespace(W=a, b=a))(full(1)),
    rebind(b=full(5)),
    rebind(W=full(5)),
    lambda s: setattr(s, "b", s.W),
    write("b", 9),
)
def one_array_by_two_paths(s: Any, x: Any) -> Any:
    return x * s.W + s.b * s.b


@reads(holder(W=full(1)), rebind(W=full(2)), write("W", 5))
def by_getattr_and_vars(s: Any, x: Any) -> Any:
    held = getattr(s, "W")  # noqa: B009
    return x + held * vars(s)["W"] + s.__dict__["W"] + operator.attrgetter("W")(s)


@reads(holder(W=full(1)), rebind(q=1))
def by_hasattr(s: Any, x: Any) -> Any:
    return x * 2 if hasattr(s, "q") else x


@reads(
    holder(layers=[types.SimpleNamespace(W=full(1)), types.SimpleNamespace(W=full(2))]),
    lambda s: setattr(s.layers[0], "W", full(4)),
    lambda s: s.layers.reverse(),
    lambda s: s.layers.__setitem__(0, types.SimpleNamespace(W=full(9))),
    lambda s: s.layers[0].W.__setitem__(0, 3),
    lambda s: s.layers.append(types.SimpleNamespace(W=full(2))),
)
def objects_in_a_list(s: Any, x: Any) -> Any:
    for layer in s.layers:
        x = x * layer.W + layer.W * layer.W
    return x + s.layers[0].W


@reads(holder(k=np.array([0, 2, 1])), write("k", 1), rebind(k=np.array([2, 2, 2])))
def integer_index(s: Any, x: Any) -> Any:
    return x[s.k]


@reads(holder(names=np.array(["a", "b"])), lambda s: s.names.__setitem__(0, "z"))
def array_of_strings(s: Any, x: Any) -> Any:
    return x * 2 if s.names[0] == "a" else x


# ---- lists and tuples --------------------------------------------------------------------------

LISTS: Sequence[Change] = (
    lambda s: s.W.reverse(),
    lambda s: s.W.__setitem__(0, full(9)),
    lambda s: s.b[1].__setitem__(0, 50),
    lambda s: s.W[1].__setitem__(1, 70),
    lambda s: (s.W.append(full(3)), s.b.append(full(3))),
    lambda s: (s.W.pop(0), s.b.pop()),
)
two_lists = holder(W=[full(1), full(2)], b=[full(3), full(4)])


@reads(two_lists, *LISTS)
def items_of_a_list(s: Any, x: Any) -> Any:
    return x * s.W[0] * s.W[-1] + s.W[1:][0] + operator.itemgetter(0)(s.W)


@reads(two_lists, *LISTS)
def loop_over_zip(s: Any, x: Any) -> Any:
    for w, b in zip(s.W, s.b, strict=True):
        x = x * w + b
    return x


@reads(two_lists, *LISTS)
def loop_over_enumerate(s: Any, x: Any) -> Any:
    for k, w in enumerate(reversed(s.W)):
        x = x + w * w * k
    return x


@reads(two_lists, *LISTS)
def comprehension(s: Any, x: Any) -> Any:
    return x + sum([w * w for w in s.W]) + sum(b * b for b in s.b) + sum(s.W)


@reads(two_lists, *LISTS)
def map_and_reduce(s: Any, x: Any) -> Any:
    return x + sum(map(np.square, s.W)) + functools.reduce(operator.mul, s.b)


@reads(two_lists, *LISTS)
def stacked(s: Any, x: Any) -> Any:
    return x * np.stack(s.W).sum(0) + np.concatenate(s.b).sum()


@reads(two_lists, *LISTS)
def joined_lists(s: Any, x: Any) -> Any:
    return x + sum(w * w for w in s.W + s.b) + next(iter(s.W)) * 2


@reads(two_lists, *LISTS)
def starred(s: Any, x: Any) -> Any:
    first, *rest = s.W
    return x + (lambda *w: w[0] * w[1])(*s.b) + first * first + sum(r * r for r in rest)


@reads(holder(W=[1]), lambda s: s.W.append(1), lambda s: s.W.clear())
def length_and_truth(s: Any, x: Any) -> Any:
    return x * len(s.W) if s.W else x


@reads(holder(k=[2.0, 3.0]), lambda s: s.k.append(9.0), lambda s: s.k.__setitem__(0, 80.0))
def list_of_floats(s: Any, x: Any) -> Any:
    return x + max(s.k) + sum(s.k)


Pair = collections.namedtuple("Pair", "W b")


@reads(
    holder(p=Pair(full(1), full(2))),
    rebind(p=Pair(full(4), full(5))),
    lambda s: s.p.W.__setitem__(0, 8),
    rebind(p=(full(4), full(5))),
)
def unpacked_tuple(s: Any, x: Any) -> Any:
    W, b = s.p
    return x * W + b * s.p[0]


@reads(
    holder(p=Pair(full(1), full(2))),
    rebind(p=Pair(full(4), full(5))),
    lambda s: s.p.W.__setitem__(0, 8),
)
def namedtuple_fields(s: Any, x: Any) -> Any:
    return x * s.p.W + s.p.b * s.p.b


@reads(
    holder(k=collections.deque([full(1), full(2)])),
    lambda s: s.k.append(full(3)),
    lambda s: s.k[0].__setitem__(0, 3),
    lambda s: s.k.rotate(),
)
def deque(s: Any, x: Any) -> Any:
    return x + sum(w * w for w in s.k) + s.k[0]


class Listed(list):  # type: ignore[type-arg]
    """A list of the user's."""


@reads(
    lambda: types.SimpleNamespace(k=Listed([full(1), full(2)])),
    lambda s: s.k.append(full(3)),
    lambda s: s.k[0].__setitem__(0, 3),
    lambda s: s.k.__setitem__(0, full(8)),
)
def subclass_of_list(s: Any, x: Any) -> Any:
    return x + s.k[0] * s.k[0] + sum(w * w for w in s.k)


@reads(holder(k={1, 2}), lambda s: s.k.add(3), lambda s: s.k.discard(1))
def set_of_ints(s: Any, x: Any) -> Any:
    return x * (3 if 3 in s.k else len(s.k))


# ---- dicts -------------------------------------------------------------------------------------

DICTS: Sequence[Change] = (
    lambda s: s.p.__setitem__("W", full(9)),
    lambda s: s.p["b"].__setitem__(1, 8),
    lambda s: s.p.update(c=full(3)),
    lambda s: setattr(s, "p", {"b": full(1), "W": full(2)}),
)
a_dict = holder(p={"W": full(1), "b": full(2)})


@reads(a_dict, *DICTS)
def dict_items(s: Any, x: Any) -> Any:
    return x + sum(v * v * (2 if k == "W" else 3) for k, v in s.p.items())


@reads(a_dict, *DICTS)
def dict_values(s: Any, x: Any) -> Any:
    return x + sum([np.sum(v) for v in s.p.values()]) + sum([v * v for v in list(s.p.values())])


@reads(a_dict, *DICTS)
def dict_get(s: Any, x: Any) -> Any:
    return x + s.p.get("W") * s.p.get("b") + s.p.get("c", 1.0)


@reads(a_dict, *DICTS)
def dict_copies(s: Any, x: Any) -> Any:
    parts = [*{**s.p}.values(), *dict(s.p).values(), *s.p.copy().values()]
    return x + sum(v * v for v in parts)


@reads(a_dict, *DICTS)
def dict_as_keywords(s: Any, x: Any) -> Any:
    return x + (lambda W, b, **_: W * b)(**s.p)


@reads(a_dict, *DICTS)
def dict_keys(s: Any, x: Any) -> Any:
    return x + sum([s.p[k] * s.p[k] for k in sorted(s.p)]) + (2 if "c" in s.p else 1)


@reads(a_dict, *DICTS)
def dict_matched(s: Any, x: Any) -> Any:
    match s.p:
        case {"W": W, "b": b}:
            return x * W + W * b
    return x


@reads(
    holder(k=collections.OrderedDict(a=full(1))),
    lambda s: s.k.update(a=full(2)),
    lambda s: s.k.update(b=full(2)),
)
def ordered_dict(s: Any, x: Any) -> Any:
    return x * s.k["a"] + sum(v * v for v in s.k.values())


@reads(
    holder(k=collections.defaultdict(list, a=full(1))),
    lambda s: s.k.update(a=full(2)),
    lambda s: s.k["a"].__setitem__(0, 7),
)
def default_dict(s: Any, x: Any) -> Any:
    return x * s.k["a"] + s.k["a"] * s.k["a"]


# ---- classes -----------------------------------------------------------------------------------


class Layer:
    """Methods, a property, class attributes, and calls."""

    scale = 2.0
    offset = full(3)

    def __init__(self) -> None:
        self.inner = full(1)
        self.k = 2.0

    @property
    def W(self) -> Any:
        return self.inner * self.k

    def forward(self, x: Any) -> Any:
        return x * self.W + self.inner * self.inner

    def __call__(self, x: Any) -> Any:
        return x * self.inner * self.k

    @classmethod
    def scaled(cls, x: Any) -> Any:
        return x * cls.scale + cls.offset * cls.offset

    @staticmethod
    def tripled(x: Any) -> Any:
        return x * 3


LAYER: Sequence[Change] = (rebind(inner=full(4)), rebind(k=5.0), write("inner", 9))


@reads(Layer, *LAYER)
def property_of_the_users(s: Any, x: Any) -> Any:
    return x + s.W * s.W


@reads(Layer, *LAYER)
def method(s: Any, x: Any) -> Any:
    return s.forward(x)


@reads(Layer, *LAYER)
def called_object(s: Any, x: Any) -> Any:
    return s(x)


def on_class(name: str, value: Any) -> Change:
    return lambda state: setattr(Layer, name, value)


@reads(
    Layer,
    on_class("scale", 4.0),
    on_class("offset", full(8)),
    lambda s: Layer.offset.__setitem__(0, 1.0),
    rebind(scale=9.0),
    on_class("scale", 2.0),
)
def class_attributes(s: Any, x: Any) -> Any:
    return s.scaled(x) * s.offset + s.tripled(x) * s.scale


@reads(
    Layer,
    on_class("forward", lambda s, x: x * 100),
    on_class("forward", Layer.forward),
    rebind(forward=lambda x: x * 7),
)
def patched_method(s: Any, x: Any) -> Any:
    return s.forward(x)


@reads(Layer, on_class("__call__", lambda s, x: x * 100), on_class("__call__", Layer.__call__))
def patched_call(s: Any, x: Any) -> Any:
    return s(x)


class Special:
    """A class with special methods, over a dict of arrays."""

    def __init__(self) -> None:
        self.held = {"W": full(1)}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.__dict__["held"][name]

    def __getitem__(self, name: str) -> Any:
        return self.held[name]

    def __len__(self) -> int:
        return len(self.held)

    def __iter__(self) -> Any:
        return iter(self.held.values())

    def __mul__(self, x: Any) -> Any:
        return self.held["W"] * x

    def __contains__(self, name: str) -> bool:
        return name in self.held


SPECIAL: Sequence[Change] = (
    lambda s: s.held.__setitem__("W", full(3)),
    lambda s: s.held["W"].__setitem__(0, 4),
    lambda s: s.held.__setitem__("b", full(4)),
)


@reads(Special, *SPECIAL)
def special_getattr(s: Any, x: Any) -> Any:
    return x * s.W + s.W * s.W


@reads(Special, *SPECIAL)
def special_getitem(s: Any, x: Any) -> Any:
    return x * s["W"] + s["W"] * s["W"]


@reads(Special, *SPECIAL)
def special_len_and_contains(s: Any, x: Any) -> Any:
    return x * len(s) if "b" in s else x + len(s)


@reads(Special, *SPECIAL)
def special_iter(s: Any, x: Any) -> Any:
    return x + sum(v * v for v in s)


@reads(Special, *SPECIAL)
def special_operator(s: Any, x: Any) -> Any:
    return s * x


class Slots:
    """An object without a dict."""

    __slots__ = ("W",)

    def __init__(self) -> None:
        self.W = full(1)


@reads(Slots, rebind(W=full(3)), write("W", 4))
def slots(s: Any, x: Any) -> Any:
    return x * s.W + s.W * s.W


# ---- globals, modules, functions ---------------------------------------------------------------

HELPERS = types.ModuleType("hidden_input_helpers")
sys.modules[HELPERS.__name__] = HELPERS
exec("import numpy as np\nK = np.ones(3)\nc = 2.0\ndef helper(x): return x * K * c", vars(HELPERS))

ARRAY, NUMBER, TUPLE = full(1), 2.0, (full(1), full(2))
TABLE = {"a": full(1)}


def scaled(x: Any) -> Any:
    return x * NUMBER


def set_global(**values: Any) -> Change:
    return lambda state: globals().update(values)


@reads(
    Plain,
    set_global(ARRAY=full(4)),
    lambda s: ARRAY.__setitem__(0, 9),
    set_global(NUMBER=7.0),
    set_global(NUMBER=7),
    set_global(TUPLE=(full(5), full(6))),
    lambda s: TUPLE[0].__setitem__(0, 2),
    lambda s: TABLE.update(a=full(8)),
    set_global(scaled=lambda x: x * 50),
)
def global_variables(s: Any, x: Any) -> Any:
    W, b = TUPLE
    return scaled(x) * ARRAY + W * b + TABLE["a"] * TABLE["a"] + globals()["ARRAY"] * 2


@reads(
    Plain,
    lambda s: setattr(HELPERS, "K", full(6)),
    lambda s: HELPERS.K.__setitem__(0, 3),
    lambda s: setattr(HELPERS, "c", -1.0),
    lambda s: setattr(HELPERS, "helper", lambda x: x * 9),
)
def function_of_another_module(s: Any, x: Any) -> Any:
    return HELPERS.helper(x) + HELPERS.K * HELPERS.K


DEFAULT = full(3)


def with_default(x: Any, d: Any = DEFAULT, *, e: Any = DEFAULT) -> Any:
    return x * d + d * e


@reads(
    Plain,
    lambda s: DEFAULT.__setitem__(0, 19),
    lambda s: setattr(with_default, "__defaults__", (full(1),)),
)
def array_as_default(s: Any, x: Any) -> Any:
    return with_default(x)


def times(W: Any) -> Any:
    return lambda x: x * W * W


@reads(
    lambda: types.SimpleNamespace(f=times(full(2))),
    rebind(f=times(full(3))),
    lambda s: s.f.__closure__[0].cell_contents.__setitem__(0, 5),
)
def closure_in_an_attribute(s: Any, x: Any) -> Any:
    return s.f(x)


@reads(
    lambda: types.SimpleNamespace(f=functools.partial(lambda a, x: a * a * x, full(2))),
    lambda s: s.f.args[0].__setitem__(0, 4),
    rebind(f=functools.partial(lambda a, x: a * x, full(7))),
)
def partial_in_an_attribute(s: Any, x: Any) -> Any:
    return s.f(x)


@functools.lru_cache
def cached() -> Any:
    return full(1)


@reads(Plain, lambda s: cached().__setitem__(0, 4))
def array_of_a_cached_function(s: Any, x: Any) -> Any:
    return x + cached() * cached()


# ---- the tests ---------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def restored() -> Any:
    """Undo what the changes do to globals and classes."""
    names = ("ARRAY", "NUMBER", "TUPLE", "TABLE", "scaled", "DEFAULT")
    kept = {name: copy.deepcopy(globals()[name]) for name in names}
    layer, helpers = copy.deepcopy(Layer.offset), dict(vars(HELPERS))
    methods = {name: vars(Layer)[name] for name in ("forward", "__call__", "scale")}
    defaults = with_default.__defaults__
    yield
    globals().update(kept)
    vars(HELPERS).update(helpers)
    Layer.offset = layer
    for name, value in methods.items():
        setattr(Layer, name, value)
    with_default.__defaults__ = defaults
    cached.cache_clear()


def same(found: Any, wanted: Any) -> None:
    assert type(found) is type(wanted)
    np.testing.assert_array_equal(found, wanted, strict=isinstance(wanted, np.ndarray))


def check(compiled: Any, plain: Any, case: Case, state: Any) -> None:
    same(compiled(), plain())
    hits = compiled.cache_info().hits
    same(compiled(), plain())
    assert compiled.cache_info().hits == hits + 1, "a second call is a hit"
    for change in case.changes:
        change(state)
        same(compiled(), plain())
        hits = compiled.cache_info().hits
        same(compiled(), plain())
        assert compiled.cache_info().hits == hits + 1


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_from_a_closure(case: Case) -> None:
    state = case.state()
    function = case.function

    def closed() -> Any:
        return function(state, X)

    check(pb.compile(closed), closed, case, state)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_from_an_argument(case: Case) -> None:
    state = case.state()
    compiled = pb.compile(case.function)

    def call() -> Any:
        return compiled(state, X)

    call.cache_info = compiled.cache_info  # type: ignore[attr-defined]
    check(call, lambda: case.function(state, X), case, state)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_gradient(case: Case) -> None:
    """The gradient of sum(f(x)) is that of a new trace, before and after every change."""
    state = case.state()
    function = case.function

    def loss(x: Any) -> Any:
        return np.sum(function(state, x) ** 2)

    kept = pb.grad(loss)
    for change in (lambda s: None, *case.changes):
        change(state)
        np.testing.assert_array_equal(kept(X), pb.grad(loss)(X))


def test_what_a_callable_holds() -> None:
    layer = Layer()
    for transform in (pb.compile, pb.value_and_grad):
        for function in (layer, layer.forward):
            loss = functools.partial(lambda f, x: np.sum(f(x)), function)
            compiled = transform(loss)
            for change in LAYER:
                change(layer)
                found = compiled(X)
                value = found if transform is pb.compile else found[0]
                assert float(value) == pytest.approx(float(loss(X)))
        compiled = pb.compile(layer)
        for change in LAYER:
            change(layer)
            same(compiled(X), layer(X))


def test_a_container_that_is_too_large_is_refused() -> None:
    many = [full(1)] * 5000
    with pytest.raises(pb.UnsupportedError, match="reads a list of 5000 elements"):
        pb.compile(lambda x: x * many[0])(X)
    numbers = list(range(5000))
    compiled = pb.compile(lambda x: x * numbers[-1])
    same(compiled(X), X * 4999)
    numbers[-1] = 2
    same(compiled(X), X * 2)


def test_a_container_that_holds_itself() -> None:
    loop: list[Any] = [full(2)]
    loop.append(loop)
    compiled = pb.compile(lambda x: x * loop[0] + loop[1][0])
    same(compiled(X), X * 2 + 2)
    loop[0] = full(5)
    same(compiled(X), X * 5 + 5)


def test_guards_keep_a_bounded_number_of_programs() -> None:
    state = types.SimpleNamespace(k=0)
    compiled = pb.compile(lambda x: x * state.k)
    for k in range(20):
        state.k = k
        same(compiled(X), X * k)
    assert compiled.cache_info()[1] == 20
    state.k = 19
    same(compiled(X), X * 19)
    assert compiled.cache_info()[:2] == (1, 20)
    state.k = 0  # forgotten long ago
    same(compiled(X), X * 0)
    assert compiled.cache_info()[:2] == (1, 21)


class Scheme(enum.Enum):
    EXPLICIT = 1
    IMPLICIT = 2


scheme = Scheme.EXPLICIT


def test_members_of_an_enumeration_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    @pb.grad
    def step(x: Any) -> Any:
        factor = 2.0 if scheme is Scheme.EXPLICIT else 3.0
        return np.sum(factor * x) if scheme in Scheme else 0.0

    np.testing.assert_array_equal(step(np.ones(2)), [2.0, 2.0])
    monkeypatch.setitem(globals(), "scheme", Scheme.IMPLICIT)
    np.testing.assert_array_equal(step(np.ones(2)), [3.0, 3.0])
    assert step.cache_info().misses == 2
