"""`einsum`: sums of products of any number of operands, written with a label for each axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..dims import Size
from ..errors import ShapeError
from ..op import Array, Op, Scatter, broadcast
from ..samples import numbers
from ..types import ArrayType, Layout, c_strides
from .arrange import Term
from .contract import adjoint, batch_labels
from .index import apply
from .linalg import Band


@dataclass(frozen=True)
class Einsum(Op):
    """`np.einsum` with explicit labels, one for each core axis: no ellipsis, the output given.

    A label repeated in an operand means its diagonal. Axes of size 1 broadcast, as in NumPy. A
    single operand of which nothing is summed gives a view. Operands may differ in dtype: NumPy then
    casts them in small buffers, which decides the order of its sums. `optimize` is as in NumPy.
    """

    name = "einsum"
    inputs: tuple[str, ...]
    output: str
    optimize: bool | str | tuple[Any, ...] = False

    @property
    def is_view(self) -> bool:  # type: ignore[override]
        """Whether the result shares the operand's memory."""
        return len(self.inputs) == 1 and set(self.inputs[0]) == set(self.output)

    @property
    def reorders(self) -> bool:  # type: ignore[override]
        """Whether the result may be in another than C order."""
        return len(self.output) > 1

    def _lead(self, types: Sequence[Any]) -> list[int]:
        """Return how many leading axes each operand has."""
        return [len(t.shape) - len(of) for t, of in zip(types, self.inputs, strict=True)]

    def labels(self, operands: Sequence[Any]) -> tuple[tuple[str, ...], str]:
        """Return the labels of all axes, leading ones included, of the operands and the result."""
        lead = self._lead(operands)
        if not any(lead):
            return self.inputs, self.output
        used = set("".join(self.inputs))
        fresh = [c for c in batch_labels(26) + batch_labels(26).lower() if c not in used]
        names = "".join(fresh[: max(lead)])
        inputs = tuple(
            names[len(names) - n :] + of for n, of in zip(lead, self.inputs, strict=True)
        )
        return inputs, names + self.output

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        dtype = np.result_type(*[t.dtype for t in types])
        lead = self._lead(types)
        if len(types) != len(self.inputs) or min(lead) < 0:
            raise ShapeError("einsum: an operand has fewer axes than labels")
        sizes: dict[str, Size] = {}
        for t, of, n in zip(types, self.inputs, lead, strict=True):
            own: dict[str, Size] = {}
            for label, size in zip(of, t.shape[n:], strict=True):
                if own.setdefault(label, size) != size:
                    raise ShapeError(
                        f"einsum: the axes of {t} with the repeated label {label!r} differ in size"
                    )
            for label, size in own.items():
                if sizes.setdefault(label, size) == 1:
                    sizes[label] = size
                elif size not in (1, sizes[label]):
                    raise ShapeError(
                        f"einsum: the label {label!r} has the sizes {sizes[label]} and {size}"
                    )
        outer = broadcast([t.shape[:n] for t, n in zip(types, lead, strict=True)])
        return (ArrayType(dtype, (*outer, *[sizes[c] for c in self.output])),)

    def evaluate(self, *operands: Array) -> Any:
        arrays = [np.asarray(x) for x in operands]
        inputs, output = self.labels(arrays)
        text = f"{','.join(inputs)}->{output}"
        optimize: Any = self.optimize
        if isinstance(optimize, tuple) and optimize and optimize[0] == "einsum_path":
            optimize = list(optimize)
        return np.einsum(text, *arrays, optimize=optimize)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """Contract the cotangent with all other operands, then put diagonals back in place."""
        inputs, output = self.labels(operands)
        dtype = results[0].dtype
        terms = [diagonal(x, of) for x, of in zip(operands, inputs, strict=True)]
        terms = [(x if x.dtype == dtype else x.astype(dtype), of) for x, of in terms]
        found: list[Array | Scatter | None] = []
        for k, (need, of) in enumerate(zip(needs, inputs, strict=True)):
            if not need:
                found.append(None)
                continue
            sizes = dict(zip(of, operands[k].shape, strict=True))
            others = [*terms[:k], *terms[k + 1 :]]
            ct = adjoint((cts[0], output), others, tuple(sizes.values()), "".join(sizes))
            found.append(_on_diagonal(ct, of))
        return found

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        if self.is_view:
            from .shape import view_layouts

            return view_layouts(self, types, layouts)
        if self.optimize or not all(t.is_static for t in types):
            return None
        return (_result_layout(self, types, layouts),)

    def flops(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        """Count a product of all operands at each point of the whole index space."""
        inputs, _ = self.labels(operands)
        sizes: dict[str, int] = {}
        for t, of in zip(operands, inputs, strict=True):
            for label, size in zip(of, t.shape, strict=True):
                sizes[label] = max(sizes.get(label, 1), size if isinstance(size, int) else 1)
        if self.is_view or any(t.size == 0 for t in operands):
            return 0
        factor = 4 if results[0].dtype.kind == "c" else 1
        return factor * len(operands) * prod(sizes.values())

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        a, b, square = numbers(2, 3), numbers(3, 4, seed=1), numbers(3, 3, seed=2)
        return [
            (Einsum(("ij", "jk"), "ki"), (a, b)),
            (Einsum(("ij", "jk"), "k"), (numbers(5, 2, 3), b)),
            (Einsum(("ii",), "i"), (square,)),
            (Einsum(("iji",), "j"), (numbers(2, 3, 2),)),
            (Einsum(("ij",), "ji"), (a,)),
            (Einsum(("ij", "kk"), "i"), (a, square)),
            (Einsum(("ij", "jk", "kk", "j"), "ik"), (a, square, numbers(3, 3), numbers(3))),
            (Einsum(("ij", "ij"), "i"), (numbers(2, 1), a)),
            (Einsum(("ij", "jk"), "ik", True), (a, b)),
            (Einsum(("ij", "jk"), "ik"), (a, numbers(3, 4, dtype=np.complex128))),
            (Einsum(("ij", "j"), "i"), (a, np.arange(3))),
        ]


def diagonal(array: Array, labels: str) -> Term:
    """Return the array with each repeated label once, reading its diagonals."""
    unique = "".join(dict.fromkeys(labels))
    if unique == labels:
        return array, labels
    return apply(Einsum((labels,), unique), array), unique


def _on_diagonal(ct: Array, labels: str) -> Array:
    """Return an array labelled `labels` that has `ct` on its diagonals and zeros elsewhere."""
    names = [(c, labels[:k].count(c)) for k, c in enumerate(labels)]
    have = [name for name in names if name[1] == 0]
    for name in names:
        if name[1] == 0:
            continue
        first = (name[0], 0)
        order = [*[n for n in have if n != first], first]
        moved = np.transpose(ct, [have.index(n) for n in order])
        ct = np.broadcast_to(moved[..., None], (*moved.shape, moved.shape[-1]))
        ct = apply(Band(0, 0), ct)
        have = [*order, name]
    return ct if have == names else np.transpose(ct, [have.index(n) for n in names])


def _result_layout(op: Einsum, types: Sequence[ArrayType], layouts: Sequence[Layout]) -> Layout:
    """Return the strides of the result, which NumPy's iterator chooses (order "K")."""
    inputs, output = op.labels(types)
    axes = output + "".join(dict.fromkeys(c for c in "".join(inputs) if c not in output))
    itemsize = op.infer(*types)[0].dtype.itemsize
    dummies: list[Any] = []
    places: list[list[int]] = []
    for t, of, layout in zip(types, inputs, layouts, strict=True):
        shape: Any = t.shape
        strides: Any = layout or c_strides(t.dtype.itemsize, shape)
        own: dict[str, tuple[int, int]] = {}
        for label, size, stride in zip(of, shape, strides, strict=True):
            own[label] = (size, stride + own.get(label, (size, 0))[1])
        sizes = [size for size, _ in own.values()]
        if 0 in sizes:
            return None
        steps = [stride for _, stride in own.values()]
        dummies.append(np.lib.stride_tricks.as_strided(np.empty(1, np.int8), sizes, steps))
        where = {label: k for k, label in enumerate(own)}
        places.append([where.get(c, -1) for c in axes])
    places.append([k if k < len(output) else -1 for k in range(len(axes))])
    flags: Any = [["readonly"]] * len(dummies) + [["readwrite", "allocate"]]
    iterator: Any = np.nditer(
        [*dummies, None],
        ["reduce_ok", "external_loop"],
        flags,
        op_axes=places,
        order="K",
    )
    result: np.ndarray = iterator.operands[-1]
    if result.flags.c_contiguous:
        return None
    return tuple(s * itemsize for s in result.strides)
