"""What a case cannot do without, and how near to that a time comes: a roofline of two bounds.

A call moves its inputs and its results through memory at least once, at no more than the machine's
bandwidth; and it computes its products of matrices, at no more than the machine's BLAS rate.
"""

from dataclasses import dataclass
from typing import Any

from ..inspection import Inspection
from ..ir.op import Op
from ..ir.ops.control import function_flops


@dataclass(frozen=True)
class Rates:
    """Bytes a second through memory, and operations a second in a product, by dtype."""

    bandwidth: float
    blas: dict[str, float]


@dataclass(frozen=True)
class Work:
    """Bytes of the inputs and results, and floating-point operations in products."""

    moved_bytes: int
    products: int

    def bound(self, rates: Rates, dtype: str) -> tuple[float, str]:
        """Give the seconds that it takes at least, and which rate says so."""
        moving = self.moved_bytes / rates.bandwidth
        computing = self.products / rates.blas[dtype]
        return (computing, "BLAS") if computing > moving else (moving, "bandwidth")


def products_of(inspection: Inspection) -> int:
    """Count the floating-point operations of a program's products, transforms and solves.

    Elementwise work and reductions are left out: memory bounds them, and the cost model's price of
    a transcendental function is no count of operations at the rate of a BLAS.
    """
    return _products(inspection.joint)


def _products(function: Any) -> int:
    total = 0
    for eqn in function.eqns:
        operands, results = [a.type for a in eqn.operands], [r.type for r in eqn.results]
        flops = eqn.op.flops(operands, results)
        if eqn.op.regions:
            # A loop counts its regions as often as it runs them; so do we, but for products alone.
            whole = sum(function_flops(region) for region in eqn.op.regions)
            share = sum(_products(region) for region in eqn.op.regions) / max(whole, 1)
            total += round(flops * share)
        elif type(eqn.op).flops is not Op.flops:
            # Not the default count, a price for each element.
            total += flops
    return total
