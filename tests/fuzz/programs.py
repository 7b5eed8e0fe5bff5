"""Random NumPy programs as text: creation, views, writes through aliases, copies, arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from expressions import DTYPES, LAYOUTS, SHAPES, Argument, Writer, broadcasts
from hypothesis import strategies as st


class Program(NamedTuple):
    """A function's text and how to make its arguments."""

    text: str
    arguments: tuple[Argument, ...]

    def __repr__(self) -> str:
        made = [f"# {a.name}: {a.dtype}{list(a.shape)} {a.layout} {a.of}" for a in self.arguments]
        return "\n".join(["", *made, self.text])

    def make(self, seed: int) -> list[Any]:
        """Return arguments with the numbers of a seed."""
        made: dict[str, Any] = {}
        for argument in self.arguments:
            made[argument.name] = argument.make(seed, made)
        return list(made.values())


@st.composite
def programs(draw: Any, overlaps: bool = False, longest: int = 9) -> Program:
    """Draw a program; with `overlaps`, one array may be passed twice, or two that overlap."""
    arguments: list[Argument] = []
    layouts = ["C"] * 5 + list(LAYOUTS)
    for name in "abc"[: draw(st.integers(1, 3))]:
        first = arguments[0] if arguments and overlaps and draw(st.integers(0, 2)) == 2 else None
        if first is not None:
            layout = draw(st.sampled_from(["same", "overlap"]))
            arguments.append(Argument(name, first.dtype, first.shape, layout, first.name))
            continue
        dtype, shape = draw(st.sampled_from(DTYPES)), draw(st.sampled_from(SHAPES))
        arguments.append(Argument(name, dtype, shape, draw(st.sampled_from(layouts))))
    writer = Writer(draw, arguments)
    for _ in range(draw(st.integers(1, longest))):
        statement = writer.one(STATEMENTS)
        statement(writer)
    return Program(finished(writer), tuple(arguments))


def finished(writer: Writer) -> str:
    """Return the text of the function, which returns some of its values."""
    names = list(writer.names)
    made = [n for n in names if n.startswith("v")]
    returned = made[-4:]
    extra = writer.choose()
    if extra is not None and (not returned or writer.chance(3)):
        returned.append(extra)
    if writer.chance(12):  # an error, after everything else
        name = writer.array()
        if name is not None:
            wrong = ["{0}[9]", "{0} + np.ones(7)", "{0}.reshape(7)", "np.sum({0}, axis=5)"]
            writer.lines.append("w = " + writer.one(wrong).format(name))
    body = [*writer.lines, f"return ({', '.join(returned)},)"]
    lines = [part for line in body for part in line.splitlines()]
    parameters = ", ".join(a.name for a in writer.arguments)
    return "\n    ".join([f"def program({parameters}):", *lines]) + "\n"


# -- statements ------------------------------------------------------------------------------------


def create(w: Writer) -> None:
    shape, dtype = w.one(SHAPES), w.one(DTYPES)
    name = w.choose()
    kind = w.int(0, 8)
    size = w.int(1, 5)
    if kind == 0:
        w.bind(f"np.zeros({shape}, np.{dtype})" if w.chance(2) else f"np.zeros({shape})")
    elif kind == 1:
        made = f"v{next(w.numbers)}"
        filled = w.constant(np.dtype(dtype))
        w.add(f"{made} = np.empty({shape}, np.{dtype})\n{made}.fill({filled})")
    elif kind == 2:
        w.bind(f"np.ones({shape}, dtype=np.{dtype})")
    elif kind == 3 and name is not None:
        like = w.one(["np.zeros_like({})", "np.ones_like({})", "np.full_like({}, 2)"])
        w.bind(like.format(name))
    elif kind == 4:
        w.bind(f"np.full({shape}, {w.constant(np.dtype(dtype))})")
    elif kind == 5:
        w.bind(w.one([f"np.arange({size})", f"np.arange({size}.0)", f"np.arange(1, {size}, 0.5)"]))
    elif kind == 6:
        w.bind(w.one([f"np.eye({size})", f"np.eye({size}, 2, k=1)", f"np.identity({size})"]))
    elif kind == 7:
        w.bind("np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])")
    else:
        one = w.array(lambda v: v.size > 0)
        if one is not None:
            item = ", ".join("0" * w.names[one].ndim) or "()"
            w.bind(f"np.array([{one}[{item}], 1.5, {one}[{item}] * 2])")


def view(w: Writer) -> None:
    name = w.array()
    if name is None:
        return
    shape = w.names[name].shape
    if w.chance(2):
        w.bind(f"{name}[{w.index(shape, arrays=False)}]")
        return
    n, size = len(shape), w.names[name].size
    one, two = (w.int(-n, n - 1), w.int(-n, n - 1)) if n else (0, 0)
    order = w.drawn(st.permutations(range(n)))
    reshapes = [(size,), (1, size), (size, 1), (2, size // 2), (size // 2, 2), (-1, 1)]
    forms = [
        "{x}.T", f"{{x}}.transpose({', '.join(map(str, order))})",
        f"np.swapaxes({{x}}, {one}, {two})", f"{{x}}.reshape({w.one(reshapes)})",
        f"np.reshape({{x}}, {w.one(reshapes)}, order='F')",
        "{x}.ravel()", "np.ravel({x}, order='K')", "np.squeeze({x})", "np.diagonal({x})",
        "{x}.real", "{x}.imag", f"np.expand_dims({{x}}, {one})",
        f"np.broadcast_to({{x}}, {(2, *shape)})", f"sliding_window_view({{x}}, 2, axis={one})",
        "np.flip({x})", f"np.flip({{x}}, {one})", f"np.moveaxis({{x}}, {one}, {two})",
        "np.atleast_2d({x})", "np.asarray({x})", "{x}", "np.rot90({x})",
        "np.split({x}, 1)[0]", f"np.array_split({{x}}, 2, axis={one})[1]", "{x}.diagonal(1)",
        "np.ascontiguousarray({x})", "np.fliplr({x})",
    ]  # fmt: skip
    w.bind(w.one(forms).format(x=name))


UNARY = [
    "np.sin({x})", "np.tanh({x})", "np.abs({x})", "-{x}", "{x} * {x}", "{x} ** 2", "np.square({x})",
    "np.sqrt(np.abs({x}) + 0.5)", "np.exp(np.tanh({x}))", "1 / (2 + {x} * {x})", "np.sign({x})",
    "np.conj({x})", "+{x}", "{x} * 1.0", "{x} + 0", "~({x} > 0)", "np.logical_not({x})",
    "{x} > 0.25", "np.maximum({x}, 0.1)", "0.5 * {x}", "{x} ** 3", "np.clip({x}, -1, 1)",
    "{x} - 2j", "np.log1p(np.abs({x}))", "np.cos({x})", "np.floor({x})",
]  # fmt: skip
BINARY = [
    "{x} + {y}", "{x} - {y}", "{x} * {y}", "{x} / (np.abs({y}) + 1)", "np.maximum({x}, {y})",
    "np.minimum({x}, {y})", "np.hypot({x}, np.abs({y}) + 1)", "{x} * np.tanh({y})", "{x} > {y}",
    "{x} == {y}", "{x} // 2 + {y}", "{x} % 3 - {y}", "np.where({x} > {y}, {x}, {y})",
    "np.where({x} > 0, {y}, 1.5)", "np.add({x}, {y})", "np.arctan2({x}, np.abs({y}) + 1)",
    "np.logical_and({x}, {y})",
]  # fmt: skip


def unary(w: Writer) -> None:
    name = w.choose()
    if name is not None:
        w.bind(w.one(UNARY).format(x=name))


def binary(w: Writer) -> None:
    name = w.choose()
    other = None if name is None else w.partner(np.shape(w.names[name]))
    if other is not None:
        w.bind(w.one(BINARY).format(x=name, y=other))


def reduction(w: Writer) -> None:
    name = w.array()
    if name is None:
        return
    n = w.names[name].ndim
    axis = w.int(-n, n - 1) if n and not w.chance(3) else None
    keep = ", keepdims=True" if w.chance(3) else ""
    forms = [
        f"np.sum({{}}, axis={axis}{keep})", f"{{}}.sum({axis}{keep})",
        f"np.mean({{}}, axis={axis}{keep})", f"np.max({{}}, axis={axis}{keep})",
        f"{{}}.min(axis={axis}{keep})", f"np.cumsum({{}}, axis={axis})", f"{{}}.cumsum({axis})",
        f"np.any({{}} > 0, axis={axis}{keep})", f"np.prod({{}}, axis={axis}{keep})",
        f"np.sort({{}}, axis={-1 if axis is None else axis})",
    ]  # fmt: skip
    w.bind(w.one(forms).format(name))


def product(w: Writer) -> None:
    name = w.array(lambda v: v.ndim > 0)
    if name is None:
        return
    shape = w.names[name].shape
    other = w.array(lambda v: v.ndim > 0 and shape[-1] == v.shape[-2 if v.ndim > 1 else -1])
    if other is not None and not w.chance(3):
        w.bind(f"{name} @ {other}")
    else:
        w.bind(w.one(["{0} @ {0}.T", "{0}.T @ {0}", "np.dot({0}, {0}.T)"]).format(name))


def join(w: Writer) -> None:
    name = w.array()
    if name is None:
        return
    shape = w.names[name].shape
    other = w.array(lambda v: v.shape == shape)
    axis = w.int(-len(shape), len(shape) - 1) if shape else 0
    kind = w.one(["np.concatenate([{}, {}], axis={})", "np.stack(({}, {}), axis={})"])
    w.bind(kind.format(name, other, axis))


def copy(w: Writer) -> None:
    name = w.array()
    if name is None:
        return
    forms = [
        "{}.copy()", "np.copy({})", "{}.flatten()", "np.array({})", "{}.astype(np.complex128)",
        "{}.astype(np.float64)", "{}.astype(np.float32)", "{}.astype(np.int64)", "{}.astype(bool)",
        f"{{}}[{w.index(w.names[name].shape)}]", f"{{}}[{w.index(w.names[name].shape)}]",
        "{}.astype(np.float64, copy=False)", "{}.copy(order='F')", "np.array({}, copy=None)",
    ]  # fmt: skip
    w.bind(w.one(forms).format(name))


AUGMENTED = ["+=", "-=", "*=", "+=", "/=", "**=", "//=", "%=", "&=", "|=", "@="]


def assign(w: Writer) -> None:
    name = w.target()
    if name is None:
        return
    index = w.index(w.names[name].shape)
    selected = w.evaluate(f"{name}[{index}]")
    if selected is None:
        return
    value = w.value(np.shape(selected), w.names[name].dtype, name)
    w.add(f"{name}[{index}] = {apart(w, selected, value)}")


def apart(w: Writer, selected: Any, value: str) -> str:
    """Return a value that NumPy assigns well to a selection.

    It does not look after the overlap of one axis read and written in different steps of the same
    direction, `x[::2] = x[:3]`.
    """
    read = w.evaluate(value)
    if np.ndim(selected) != 1 or np.ndim(read) != 1 or not np.shares_memory(selected, read):
        return value
    if selected.strides == read.strides or selected.strides[0] * read.strides[0] < 0:
        return value
    return f"({value}).copy()"


def augment_part(w: Writer) -> None:
    name = w.target()
    if name is None:
        return
    index = w.index(w.names[name].shape)
    selected = w.evaluate(f"{name}[{index}]")
    if selected is None:
        return
    operator = w.one(AUGMENTED)
    value = w.value(np.shape(selected), w.names[name].dtype, name)
    w.add(f"{name}[{index}] {operator} {exponent(operator, value)}")


def exponent(operator: str, value: str) -> str:
    """Return an operand that keeps the result within bounds."""
    if operator == "**=":
        return "2"
    return f"np.abs({value}) + 1" if operator in ("/=", "//=", "%=") else value


def augment_whole(w: Writer) -> None:
    name = w.target() if not w.chance(5) else w.choose()
    if name is None:
        return
    operator = w.one(AUGMENTED)
    value = w.value(np.shape(w.names[name]), np.asarray(w.names[name]).dtype, w.target() or name)
    w.add(f"{name} {operator} {exponent(operator, value)}")


def write_all(w: Writer) -> None:
    name = w.target()
    if name is None:
        return
    array = w.names[name]
    value = apart(w, array, w.value(array.shape, array.dtype, name))
    constant = w.constant(array.dtype)
    forms = [f"{{}}[...] = {value}", f"np.copyto({{}}, {value})", f"{{}}.fill({constant})"]
    if array.ndim == 2 and array.shape[0] == array.shape[1]:
        forms += ["{0}[:] = {0}.T", "{0}[::-1] = {0}"]
    if array.ndim:
        forms += ["{0}[1:] = {0}[:-1]", "{0}[:-1] += {0}[1:]", "{0}[...] = {0}[::-1]"]
        forms += ["{0}[...] = np.sort({0})"]
    w.add(w.one(forms).format(name))


def add_at(w: Writer) -> None:
    # NumPy's own `add.at` writes into read-only arrays too.
    name = w.array(lambda v: v.ndim > 0 and v.dtype.kind in "fci" and v.flags.writeable)
    if name is None:
        return
    index = w.positions(w.names[name].shape[0])
    selected = w.evaluate(f"{name}[{index}]")
    if selected is None:
        return
    value = w.value(np.shape(selected), w.names[name].dtype, name)
    w.add(f"np.add.at({name}, {index}, {value})")


def masked(w: Writer) -> None:
    name = w.target(lambda v: v.dtype.kind in "fi")
    if name is None:
        return
    array = w.names[name]
    other = w.array(lambda v: v.shape == array.shape) or name
    mask = w.one([f"{other} > 0", f"{name} < 0.5", f"{other} != 0"])
    constant = w.constant(array.dtype)
    forms = [
        f"{{0}}[{mask}] = {constant}", f"{{0}}[{mask}] += 1", f"{{0}}[{mask}] *= {constant}",
        f"{{0}}[{mask}] = np.sin({other}[{mask}])", f"{{0}}[{mask}] -= {other}[{mask}]",
        f"m = {mask}\n{{0}}[m] = {other}[m] * 2", f"np.copyto({{0}}, {constant}, where={mask})",
    ]  # fmt: skip
    w.add(w.one(forms).format(name))


def write_by_function(w: Writer) -> None:
    name = w.target(lambda v: v.size > 0)
    if name is None:
        return
    array = w.names[name]
    other = w.array(lambda v: v.shape == array.shape) or name
    third = w.partner(array.shape) or name
    value = w.value((), array.dtype, name)
    places = [w.int(-array.size, array.size - 1) for _ in range(w.int(1, 3))]
    forms = [
        f"np.add({other}, {third}, out={{0}})", f"np.multiply({{0}}, {third}, {{0}})",
        f"np.sin({other}, out={{0}}, where={other} > 0)", f"np.put({{0}}, {places}, {value})",
        f"np.put({{0}}, {places}, {other})", f"np.putmask({{0}}, {other} > 0, {value})",
        f"np.place({{0}}, {{0}} > 0, {other}.copy())", "{0}.sort()",
        f"np.copyto({{0}}, {third}, where={other} > 0)", "np.clip({0}, -1, 1, out={0})",
        f"np.cumsum({other}, axis=0, out={{0}})", f"np.fill_diagonal({{0}}, {value})",
        f"{{0}}.flat[{places[0]}] = {value}", f"np.matmul({other}, {other}, out={{0}})",
    ]  # fmt: skip
    w.add(w.one(forms).format(name))


def helper(w: Writer) -> None:
    """Write through a function of the user's own, and through a name that is bound again."""
    name = w.target(lambda v: v.dtype.kind in "fc")
    if name is None:
        return
    made = f"v{next(w.numbers)}"
    bodies = [
        f"def change(x):\n    x += 1\n    return x[..., None]\n{made} = change({name})",
        f"{made} = {name}\n{made} *= 2\n{made} = {made} + 1",
        f"{made}, w = {name}, {name}.copy()\n{made} -= w * 0.5",
        f"{made} = [{name}, {name} + 1][0]\n{made}[...] = 0.5",
    ]
    w.add(w.one(bodies))


def loop(w: Writer) -> None:
    name = w.target(lambda v: v.ndim > 0 and v.shape[0] > 1 and v.dtype.kind in "fc")
    if name is None:
        return
    other = w.array(lambda v: v.ndim > 0 and broadcasts(v.shape[1:], w.names[name].shape[1:]))
    bodies = [
        "for i in range(1, len({x})):\n    {x}[i] += {x}[i - 1]",
        "for i in range(len({x})):\n    {x}[i] = {x}[i] * i + {y}[i % len({y})]",
        "for row in {x}:\n    row *= 2",
        "for row in {x}:\n    row += 1",
        "for i in range(2):\n    {x}[i:] -= {x}[i]",
    ]
    w.add(w.one(bodies).format(x=name, y=other or name))


STATEMENTS: list[Callable[[Writer], None]] = [
    assign, assign, assign, view, view, view, view, augment_whole, augment_part, augment_part,
    write_all, write_all, unary, unary, binary, binary, create, create, copy, copy, reduction,
    masked, add_at, join, product, loop, write_by_function, write_by_function, helper,
]  # fmt: skip
