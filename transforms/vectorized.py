"""`vmap`: a function of one example as a function of many, without a loop over them.

The user's function is traced apart, on the types of one example, and the outcome is batched
(`passes.batching`): what a person would have written with a leading axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ..arguments import Arguments
from ..compiled import Compiled, check_callable, name_of
from ..ir.dims import Size
from ..ir.errors import ArgumentError, ShapeError, StructureError
from ..ir.types import ArrayType, Kind, Layout, c_strides
from ..passes.batching import batched
from ..tracer.functions.shape import broadcast_to, copy, moveaxis, traced
from ..tracer.nested import inline_function, trace_apart
from ..tracer.opaque import advice, described, opaque_object
from ..tracer.trace import LeafSpec
from ..tracer.tree import LEAF, Leaf, Node, Static, Structure, flatten, unflatten
from .apart import owned, transformed
from .axes import Axes, axes_of, counted, without_axis


def vmap(
    function: Callable[..., Any] | None = None,
    in_axes: Axes = 0,
    out_axes: Axes = 0,
    *,
    axis_size: int | None = None,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    exact: bool = False,
) -> Any:
    """Return the function that maps a function of one example over an axis of its arguments.

    The function is written for one example, and sees arrays of its shape (NumPy scalars where an
    example has no axes). The result is that of a Python loop over the examples, stacked; it is
    computed at once. Random draws, and what else cannot be done for all examples at once, become a
    loop over the examples within the program, in their order. Arguments are left as they were, also
    where the function writes into them: each example sees those of the call.

    Parameters
    ----------
    in_axes
        The axis of each positional argument that counts the examples: an int, None for an argument
        that is the same for all examples, or containers of these with the structure of the
        argument, cut off anywhere. A tuple has an entry for each positional argument. Arguments
        given by name are mapped along their first axis.
    out_axes
        Where that axis stands in each result; None for a result that does not depend on the
        example.
    axis_size
        The number of examples, where no argument is mapped.
    static_argnums, static_argnames, exact
        As for `compile`.

    Raises
    ------
    ShapeError
        At the call, where arguments disagree on the number of examples or lack the axis.
    StructureError
        Where `in_axes` or `out_axes` does not fit the structure.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> def loss(w, x):
    ...     return np.sum(np.tanh(x @ w))
    >>> each = pb.vmap(pb.grad(loss), in_axes=(None, 0))
    >>> each(np.ones(3), np.zeros((5, 3))).shape
    (5, 3)
    """

    def transform(f: Callable[..., Any]) -> Compiled:
        check_callable("vmap", f)
        axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes
        arguments = Arguments(f, static_argnums, static_argnames)
        mapping = _Mapping(f, axes, out_axes, axis_size, arguments)

        def vmapped(*args: Any, **kwargs: Any) -> Any:
            return mapping.run(args, kwargs)

        return transformed(f, vmapped, "vmap", static_argnums, static_argnames, exact)

    return transform if function is None else transform(function)


class _Input(NamedTuple):
    """One leaf of the arguments: its path, its value in the trace, and the mapped axis or None."""

    path: str
    value: Any
    axis: int | None

    @property
    def size(self) -> Size:
        """The number of examples."""
        assert self.axis is not None
        size: Size = self.value._atom.type.shape[self.axis]
        return size

    def whole(self) -> Any:
        """Return the value with the examples along the first axis."""
        return self.value if not self.axis else moveaxis(self.value, self.axis, 0)


class _Mapping(NamedTuple):
    """A function and how it is mapped."""

    function: Callable[..., Any]
    in_axes: Axes
    out_axes: Axes
    axis_size: int | None
    arguments: Arguments

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Write the function of all examples into the trace under way."""
        arguments = self.arguments
        name = name_of(self.function)
        inputs = self._inputs(args, kwargs)
        size = self._size(inputs, name, args, kwargs)
        specs = arguments.leaf_specs(args, kwargs)
        # A number that all examples share stays what it is outside, where it may decide a branch.
        shared = [i.axis is None and not i.value.shape for i in inputs]
        structure = _with_shared(
            arguments.describe(args, kwargs),
            iter([i.value if s else None for i, s in zip(inputs, shared, strict=True)]),
        )
        own = [(i, spec) for i, spec, s in zip(inputs, specs, shared, strict=True) if not s]
        wholes = [i.whole() for i, _ in own]
        function, operands = trace_apart(
            self.function,
            structure,
            [
                spec if i.axis is None else _example(spec, whole)
                for (i, spec), whole in zip(own, wholes, strict=True)
            ],
            wholes,
            name=name,
            has_aux=False,
        )
        mapped = [i.axis is not None for i, _ in own]
        mapped += [False] * (len(operands) - len(mapped))
        layouts = [o.layout for o in operands]
        many, found = batched(function.function, mapped, size, layouts)
        flat = inline_function(many, operands)
        return self._output(function.structure, flat, found, size, name)

    def _inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[_Input]:
        """Return the leaves of a call with their axes.

        Raises
        ------
        StructureError, ShapeError
        """
        if isinstance(self.in_axes, tuple) and len(self.in_axes) != len(args):
            raise StructureError(
                f"vmap: in_axes={self.in_axes!r} is of length {len(self.in_axes)}, and the call "
                f"has {len(args)} positional argument{'' if len(args) == 1 else 's'}.\n"
                "  Give an int, None or container for each of them."
            )
        found: list[_Input] = []
        for k, (name, value, is_static) in enumerate(self.arguments.items(args, kwargs)):
            if is_static:
                continue
            wanted = 0
            if k < len(args):
                wanted = self.in_axes[k] if isinstance(self.in_axes, tuple) else self.in_axes
            leaves: list[Any] = []
            structure = flatten(value, leaves)
            axes = axes_of("in_axes", wanted, structure, name)
            for (path, axis), leaf in zip(axes, leaves, strict=True):
                found.append(_input(path, traced(leaf), axis))
        return found

    def _size(
        self, inputs: Sequence[_Input], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Size:
        """Return the number of examples.

        Raises
        ------
        ShapeError
            Where the arguments disagree; ArgumentError where none is mapped.
        """
        mapped = [i for i in inputs if i.axis is not None]
        sizes = {i.size for i in mapped}
        if self.axis_size is not None:
            sizes.add(self.axis_size)
        if len(sizes) == 1:
            return sizes.pop()
        if not sizes:
            raise self._unmapped(name, args, kwargs)
        rows = [f"  {i.path} : {i.value.type} has {i.size} along axis {i.axis}" for i in mapped]
        if self.axis_size is not None:
            rows.append(f"  axis_size is {self.axis_size}")
        raise ShapeError(
            f"vmap: the arguments of {name} disagree on the number of examples.\n"
            + "\n".join(rows)
            + "\n  Pass None in in_axes for what is the same for every example."
        )

    def _unmapped(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ArgumentError:
        """Return the error for a call with no axis that counts the examples."""
        for path, value, is_static in self.arguments.items(args, kwargs):
            opaque = None if is_static else opaque_object(flatten(value, []), path)
            if opaque is not None:
                return ArgumentError(
                    f"vmap maps {name} over no axis of {described(*opaque)}.\n  {advice(*opaque)}"
                )
        return ArgumentError(
            f"vmap maps {name} over no axis: in_axes={self.in_axes!r} names none of an array.\n"
            "  Name one, or pass axis_size= for so many equal results."
        )

    def _output(
        self,
        structure: Structure,
        flat: Sequence[Any],
        mapped: Sequence[bool],
        size: Size,
        name: str,
    ) -> Any:
        """Build the result, with the axis of the examples where it belongs."""
        leaves = iter(zip(flat, mapped, strict=True))
        placed: list[Any] = []
        numbers: list[int | None] = []
        whole = _with_numbers(structure, numbers)
        axes = axes_of("out_axes", self.out_axes, whole, "the result")
        for (path, axis), number in zip(axes, numbers, strict=True):
            value, is_mapped = next(leaves) if number is None else (traced(number), False)
            if not is_mapped and axis is not None:
                value = copy(broadcast_to(value, (size, *value._atom.type.shape)))
            elif axis is None:
                if is_mapped:
                    raise ArgumentError(
                        f"vmap: out_axes is None for {path} of {name}, which is another one for "
                        "each example.\n  Give the axis that counts the examples."
                    )
                placed.append(value)
                continue
            ndim = value.ndim
            if not -ndim <= axis < ndim:
                raise ShapeError(
                    f"vmap: out_axes={axis} for {path} of {name}, which has {counted(ndim)}, that "
                    "of the examples included."
                )
            placed.append(owned(moveaxis(value, 0, axis) if axis % ndim else value))
        return unflatten(whole, iter(placed))


def _input(path: str, value: Any, axis: int | None) -> _Input:
    if axis is None:
        return _Input(path, value, None)
    ndim = value.ndim
    if not ndim:
        what = "a Python number" if value._kind is Kind.PYTHON else f"{value.type}"
        raise without_axis(path, what)
    if not -ndim <= axis < ndim:
        raise ShapeError(
            f"vmap: in_axes={axis} for `{path}`, which is {value.type} and has {counted(ndim)}."
        )
    return _Input(path, value, axis % ndim)


def _example(spec: LeafSpec, whole: Any) -> LeafSpec:
    """Return what is known of one example of an argument."""
    type = ArrayType(spec.type.dtype, whole._atom.type.shape[1:])
    layout: Layout = None
    if whole._layout is not None:
        strides = whole._layout[1:]
        layout = None if strides == c_strides(type.dtype.itemsize, type.shape) else strides
    kind = Kind.ARRAY if type.shape else Kind.SCALAR
    return LeafSpec(type, kind, layout, spec.hint, spec.path)


def _with_shared(structure: Structure, values: Iterator[Any]) -> Structure:
    """Return a structure with values in the place of leaves; a leaf stays where there is None."""
    if isinstance(structure, Leaf):
        value = next(values)
        return LEAF if value is None else Static(value)
    if isinstance(structure, Node):
        children = tuple([_with_shared(c, values) for c in structure.children])
        return Node(structure.type, structure.static, children)
    return structure


def _with_numbers(structure: Structure, numbers: list[int | None]) -> Structure:
    """Return the structure of a result with numbers that the function returns as leaves.

    `numbers` gains for each leaf the number that it is, None for a traced one.
    """
    if isinstance(structure, Leaf):
        numbers.append(None)
        return LEAF
    if isinstance(structure, Static) and isinstance(structure.value, int):
        numbers.append(structure.value)
        return LEAF
    if isinstance(structure, Node):
        children = tuple([_with_numbers(c, numbers) for c in structure.children])
        return Node(structure.type, structure.static, children)
    return structure


__all__ = ["vmap"]
