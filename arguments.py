"""The arguments of a transformed function: which are static, which differentiated, their types."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .ir.errors import ArgumentError, DifferentiationError, StructureError
from .ir.types import ArrayType, Kind, layout_of
from .tracer.native import native
from .tracer.opaque import check_no_object
from .tracer.spec import Spec
from .tracer.taking import Take, taker
from .tracer.trace import LeafSpec
from .tracer.tree import (
    Leaf,
    Node,
    Static,
    Structure,
    flatten,
    object_key,
    paths,
    scan,
    step,
)

Argnums = int | str | Sequence[int | str]


class Wanted(NamedTuple):
    """The leaves to differentiate: their positions, and for each argument its structure."""

    positions: list[int]
    structures: list[Structure]
    single: bool


class Chosen(NamedTuple):
    """Some of the parameters of a function, by name and by position."""

    names: set[str]
    positions: set[int]


class Arguments:
    """How the arguments of one function are taken."""

    def __init__(
        self,
        function: Callable[..., Any],
        static_argnums: int | Sequence[int],
        static_argnames: str | Sequence[str],
    ) -> None:
        try:
            self.parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):
            self.parameters = []
        self.names = [p.name for p in self.parameters]
        self.is_variadic = any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in self.parameters)
        self.takes_argnums = True
        static = self.chosen("static", static_argnums, static_argnames)
        self.static_names, self.static_positions = static.names, static.positions

    def chosen(
        self, option: str, argnums: int | Sequence[int], argnames: str | Sequence[str]
    ) -> Chosen:
        """Return the arguments that `<option>_argnums` and `<option>_argnames` mean.

        Raises
        ------
        ArgumentError
            For what is no parameter of the function.
        """
        nums = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        names = (argnames,) if isinstance(argnames, str) else tuple(argnames)
        count = len(self.names)
        if count and not self.is_variadic:
            for name in names:
                if name not in self.names:
                    raise ArgumentError(self._unknown(f"{option}_argnames", repr(name)))
            for number in nums:
                if not -count <= number < count:
                    raise ArgumentError(self._unknown(f"{option}_argnums", str(number)))
        found = set(names) | {self.names[n] for n in nums if -count <= n < count}
        positions = {n % count if count and n < 0 else n for n in nums}
        return Chosen(found, positions | {k for k, n in enumerate(self.names) if n in found})

    def _unknown(self, option: str, value: str) -> str:
        shown = ", ".join(f"`{n}`" for n in self.names) or "none"
        return f"{option}={value} names no parameter of the function; its parameters are {shown}."

    def name(self, position: int) -> str:
        """Return the name of a positional argument."""
        if position < len(self.names):
            parameter = self.parameters[position]
            if parameter.kind is not parameter.VAR_POSITIONAL:
                return parameter.name
        variadic = [p.name for p in self.parameters if p.kind is p.VAR_POSITIONAL]
        return f"{variadic[0]}_{position - len(self.names) + 1}" if variadic else f"arg{position}"

    def items(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Any, bool]]:
        """Return each argument's name, value, and whether it is static, in the order of leaves."""
        positional = [(self.name(k), a, k in self.static_positions) for k, a in enumerate(args)]
        return positional + [(n, v, n in self.static_names) for n, v in kwargs.items()]

    def scan(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[list[Any], list[Any], tuple[Any, ...]]:
        """Return the leaves, the opaque objects and the signature of a call."""
        leaves: list[Any] = []
        objects: list[Any] = []
        key: list[Any] = []
        if not self.static_positions and not kwargs:
            try:
                for value in args:
                    scan(value, leaves, objects, key)
            except StructureError as error:
                raise _named(error, self.items(args, kwargs)) from None
            key.append(len(args))
            return leaves, objects, tuple(key)
        for name, value, static in self.items(args, kwargs):
            if static:
                try:
                    hash(value)
                except TypeError:
                    raise StructureError(
                        f"the static argument `{name}` is a {type(value).__name__}, which cannot "
                        "be hashed, so programs cannot be kept by its value.\n"
                        "  Pass a tuple in place of a list, or make the argument traced."
                    ) from None
                key.append((type(value), value, object_key(value)))
            else:
                scan(value, leaves, objects, key)
        key.append((len(args), tuple(kwargs)))
        return leaves, objects, tuple(key)

    def native(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of a call with the arrays of other libraries as ndarrays."""
        made = [v if static else native(v, n) for n, v, static in self.items(args, kwargs)]
        return tuple(made[: len(args)]), dict(zip(kwargs, made[len(args) :], strict=True))

    def taker(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Take | None:
        """Return code that takes the leaves of calls with this signature, None if there is none."""
        return taker(args, kwargs, [static for _, _, static in self.items(args, kwargs)])

    def describe(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Node:
        """Return the structure of `(args, kwargs)`."""
        children = []
        for _, value, static in self.items(args, kwargs):
            children.append(Static(value) if static else flatten(value, []))
        positional = Node(tuple, len(args), tuple(children[: len(args)]))
        named = Node(dict, tuple(kwargs), tuple(children[len(args) :]))
        return Node(tuple, 2, (positional, named))

    def leaves(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Return the leaves alone."""
        found: list[Any] = []
        for _, value, static in self.items(args, kwargs):
            if not static:
                flatten(value, found)
        return found

    def leaf_specs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[LeafSpec]:
        """Return what is known of each leaf."""
        specs = []
        for name, value, static in self.items(args, kwargs):
            if not static:
                specs += [_leaf_spec(leaf, path, name) for path, leaf in paths(value, name)]
        return specs

    def shown(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, str]:
        """Return what a program is made for, by the path of each argument and its parts."""
        found: dict[str, str] = {}
        for name, value, static in self.items(args, kwargs):
            structure = Static(value) if static else flatten(value, [])
            if isinstance(structure, Static):
                found[name] = _short(structure.value)
                continue
            if isinstance(structure, Node):
                found[name] = str(structure)
            if not static:
                for path, leaf in paths(value, name):
                    spec = _leaf_spec(leaf, path, name)
                    order = "" if spec.layout is None else f", strides {list(spec.layout)}"
                    kind = "" if spec.kind is Kind.ARRAY else f" ({spec.kind.value})"
                    found[path] = f"{spec.type}{kind}{order}"
        return found

    def places(self, chosen: Chosen, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int]:
        """Return the positions of the leaves of some arguments, of those that this call gives."""
        found: list[int] = []
        items = self.items(args, kwargs)
        for k, ((name, _, _), places) in enumerate(zip(items, _places(items), strict=True)):
            if k in chosen.positions if k < len(args) else name in chosen.names:
                found += places
        return found

    def resolve(self, argnums: Argnums, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int]:
        """Return the indices into `items` that `argnums` mean.

        Raises
        ------
        ArgumentError
            For a number or name that is no argument of this call.
        """
        try:
            wanted = [argnums] if isinstance(argnums, int | str) else list(argnums)
        except TypeError:
            raise ArgumentError(
                f"argnums={argnums!r} is no position, name or list of them."
            ) from None
        items = self.items(args, kwargs)
        found = []
        for which in wanted:
            if isinstance(which, str):
                matches = [k for k, (n, _, _) in enumerate(items) if n == which]
            elif -len(items) <= which < len(items) and (which < len(args) or which < 0):
                matches = [which % len(args) if which < 0 and args else which]
            else:
                name = self.name(which) if which >= 0 else ""
                matches = [k for k, (n, _, _) in enumerate(items) if n == name]
            if not matches:
                given = ", ".join(f"`{n}`" for n, _, _ in items)
                raise ArgumentError(
                    f"argnums={which!r} is no argument of this call; it was given "
                    f"{given or 'none'}{self._misfit(args, kwargs)}."
                )
            if matches[0] in found:
                raise ArgumentError(
                    f"argnums={argnums!r} names `{items[matches[0]][0]}` twice.\n"
                    "  Name it once, and use its derivative where it is wanted."
                )
            found.append(matches[0])
        return found

    def _misfit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Return what is wrong with a call by itself, empty for nothing."""
        try:
            inspect.Signature(self.parameters).bind(*args, **kwargs)
        except TypeError as error:
            return f", and the function says: {error}" if self.parameters else ""
        return ""

    def wanted(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        argnums: Argnums,
        allow_int: bool,
        allow_objects: bool = False,
    ) -> Wanted:
        """Return the leaves to differentiate.

        With `allow_objects` there may be objects whose arrays are no leaves: where tangents are
        given, none can be given for these.

        Raises
        ------
        DifferentiationError
            For an integer leaf, unless `allow_int`, an argument without a leaf, or an object that
            is not allowed.
        """
        items = self.items(args, kwargs)
        places = _places(items)
        positions: list[int] = []
        structures: list[Structure] = []
        for k in self.resolve(argnums, args, kwargs):
            name, value, static = items[k]
            leaves = [] if static else list(paths(value, name))
            for path, leaf in leaves:
                if _dtype(leaf).kind not in "fc" and not allow_int:
                    raise self._integer(path, _dtype_name(_dtype(leaf)), items)
            positions += places[k]
            structure = Static(value) if static else flatten(value, [])
            if not static and not allow_objects:
                check_no_object(structure, name)
            if not allow_int:
                bad = _static_number(structure, value, name)
                if bad is not None or static or not leaves:
                    path, what = bad or (name, "static" if static else type(value).__name__)
                    raise self._integer(path, what, items)
            structures.append(structure)
        return Wanted(positions, structures, isinstance(argnums, int | str))

    def _integer(
        self, path: str, what: str, items: list[tuple[str, Any, bool]]
    ) -> DifferentiationError:
        good = [
            k
            for k, (name, value, static) in enumerate(items)
            if not static and _is_differentiable(value, name)
        ]
        names = ", ".join(f"`{items[k][0]}`" for k in good)
        numbers = str(good[0]) if len(good) == 1 else str(tuple(good))
        advice = "Pass floating-point arrays, for example x.astype(float)."
        if good:
            alone = ", ".join(items[k][0] for k in good)
            way = f"Write  argnums={numbers}."
            if not self.takes_argnums:
                way = f"Take a function of these alone:  lambda {alone}: f(..., {alone})."
            advice = f"Differentiable here: {names}. {way}"
        return DifferentiationError(
            f"cannot differentiate with respect to `{path}`: it is {what}, and only real and "
            f"complex floating-point arguments have gradients.\n  {advice}"
        )


def _places(items: Sequence[tuple[str, Any, bool]]) -> list[range]:
    """Return for each argument where its leaves stand among all."""
    found: list[range] = []
    total = 0
    for _, value, static in items:
        count = 0 if static else len(list(paths(value, "")))
        found.append(range(total, total + count))
        total += count
    return found


def _short(value: Any) -> str:
    """Return a static value for `explain`; of an object of the user's its class alone."""
    if isinstance(value, bool | int | str | bytes | tuple | np.dtype | type(None)):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    if isinstance(value, type | types.FunctionType | types.MethodType | types.BuiltinFunctionType):
        return value.__qualname__
    return f"a {type(value).__name__}"  # which may find anything under any name


def _named(error: StructureError, items: list[tuple[str, Any, bool]]) -> StructureError:
    """Return the error for a leaf that cannot be traced, with the leaf's name."""
    for name, value, _ in items:
        for path, leaf in paths(value, name):
            if isinstance(leaf, np.ndarray) and type(leaf) is not np.ndarray:
                return StructureError(f"`{path}`: {error}")
    return error


def _is_differentiable(value: Any, name: str) -> bool:
    leaves = list(paths(value, name))
    return (
        bool(leaves)
        and all(_dtype(leaf).kind in "fc" for _, leaf in leaves)
        and (_static_number(flatten(value, []), value, name) is None)
    )


def _static_number(structure: Structure, value: Any, path: str) -> tuple[str, str] | None:
    """Return the first integer or bool in a structure, with its path and type."""
    if isinstance(structure, Leaf):
        return None
    if isinstance(structure, Static):
        if isinstance(structure.value, int):
            return path, type(structure.value).__name__
        return None
    for number, child in enumerate(structure.children):
        way = step(structure.type, structure.static, number)
        found = _static_number(child, None, f"{path}{way}")
        if found is not None:
            return found
    return None


def _dtype(leaf: Any) -> np.dtype:
    if isinstance(leaf, float | complex) and not isinstance(leaf, np.generic):
        return np.dtype(type(leaf))
    dtype: np.dtype = leaf.dtype
    return dtype


def _dtype_name(dtype: np.dtype) -> str:
    return str(dtype)


def _leaf_spec(leaf: Any, path: str, name: str) -> LeafSpec:
    last = path.rpartition("[")[2].rstrip("]").strip("'\"") if path.endswith("]") else ""
    hint = path if path.isidentifier() else (last if last.isidentifier() else None)
    if hint is None and "." in path:
        tail = path.rpartition(".")[2]
        hint = tail if tail.isidentifier() else None
    if isinstance(leaf, Spec):
        return LeafSpec(ArrayType(leaf.dtype, leaf.shape), Kind.ARRAY, None, hint, path)
    if isinstance(leaf, np.ndarray):
        if leaf.dtype.kind not in "biufc":
            raise StructureError(
                f"`{path}` has dtype {leaf.dtype}, which is not traced; only booleans, integers, "
                "and real and complex floating point are.\n  Convert it, for example "
                "x.astype(float)."
            )
        return LeafSpec(ArrayType(leaf.dtype, leaf.shape), Kind.ARRAY, layout_of(leaf), hint, path)
    if isinstance(leaf, np.generic):
        if leaf.dtype.kind not in "biufc":
            raise StructureError(f"`{path}` has dtype {leaf.dtype}, which is not traced.")
        return LeafSpec(ArrayType(leaf.dtype, ()), Kind.SCALAR, None, hint, path)
    if isinstance(leaf, float | complex):
        return LeafSpec(ArrayType(np.dtype(type(leaf)), ()), Kind.PYTHON, None, hint, path)
    return LeafSpec(leaf.type, leaf._kind, leaf._atom.layout, hint, path)


__all__ = ["Argnums", "Arguments", "Spec", "Wanted"]
