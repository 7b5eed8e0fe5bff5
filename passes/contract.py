"""`einsum` as matrix products, pair by pair in the order that takes the fewest operations.

NumPy's own `einsum` multiplies and adds element by element, ten to a hundred times slower than
BLAS. Of more than two operands the cheapest order is found by a dynamic programme over subsets, as
long as no intermediate is much larger than what goes in and comes out. Diagonals are views, sums
over labels that only one operand has are taken first, and where nothing is summed the product is
elementwise. Results of the function keep their memory order. Integers, half precision and sizes
that only the run knows are left alone.

Before::

    def f(a: f64[20, 30], b: f64[30, 40], c: f64[40, 5]) -> f64[20, 5]:
        y : f64[20, 5] = einsum(a, b, c, inputs=('ij', 'jk', 'kl'), output='il')
        return y

After::

    def f(a: f64[20, 30], b: f64[30, 40], c: f64[40, 5]) -> f64[20, 5]:
        t : f64[30, 5] = b @ c
        y : f64[20, 5] = a @ t
        return y
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Function, Value, walk
from ..ir.ops.contract import adjoint
from ..ir.ops.einsum import Einsum, diagonal
from ..tracer.array import TracedArray, computed
from ..tracer.functions.shape import cast
from ..tracer.state import Trace
from .order import laid_out, leaving, rebuilt


@dataclass(frozen=True)
class Contract:
    """Write contractions as products."""

    name = "contract"

    def __call__(self, function: Function) -> Function:
        if not any(isinstance(eqn.op, Einsum) for eqn in walk(function)):
            return function
        kept = leaving(function)

        def replace(builder: Builder, eqn: Eqn, scope: dict[Atom, Atom]) -> tuple[Atom, ...] | None:
            if not isinstance(eqn.op, Einsum):
                return None
            operands = tuple([scope.get(a, a) for a in eqn.operands])
            return _product(builder, eqn.op, operands, eqn.result, eqn.result in kept)

        return rebuilt(function, self, replace)


def _product(
    builder: Builder, op: Einsum, operands: tuple[Atom, ...], result: Value, keep: bool
) -> tuple[Atom, ...] | None:
    """Emit products for an `einsum`; None to keep it. With `keep` in its own memory order."""
    types = [a.type for a in operands]
    if op.is_view or result.type.dtype.char not in "fdFD":
        return None
    if not all(t.is_static and t.size for t in types) or not result.type.size:
        return None
    inputs, output = op.labels(types)
    trace = Trace(builder, None)
    trace.fixed = builder.provenance
    with trace:
        arrays = [cast(computed(a, trace), result.type.dtype) for a in operands]
        terms = [diagonal(x, of) for x, of in zip(arrays, inputs, strict=True)]
        made = adjoint(terms[0], terms[1:], result.type.shape, output)
    assert isinstance(made, TracedArray)
    return (laid_out(builder, made._atom, result.layout) if keep else made._atom,)


__all__ = ["Contract"]
