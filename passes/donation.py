"""What may be written in place in the memory of an argument, or over what it reads itself."""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.core import Eqn, Function, Value
from ..ir.op import Effect
from ..ir.ops.effects import WriteBack
from ..ir.ops.index import AT, Index, IndexAdd, IndexUpdate, Item, Span
from ..ir.types import c_strides


def donated(function: Function, ends: Mapping[Value, int]) -> dict[Value, Value]:
    """Return the values that may be computed in the memory of an argument, with the argument.

    They lie between an argument and the content that is written back into it, are not read after
    that, and from the first of them on nothing can raise: a call that fails leaves its arguments as
    they were. `ends` says by number where each value is read for the last time.
    """
    backs = {e.operands[1]: e.operands[0] for e in function.eqns if isinstance(e.op, WriteBack)}
    if not backs:
        return {}
    contents = frozenset(backs)
    first = next(k for k, e in enumerate(function.eqns) if isinstance(e.op, WriteBack))
    found: dict[Value, Value] = {}
    for eqn in reversed(function.eqns):
        if _may_raise(eqn):
            break
        for result in eqn.results:
            param = backs.get(result)
            if not isinstance(param, Value) or eqn.op.is_view:
                continue
            if result not in contents and ends.get(result, -1) >= first:
                continue
            for position, operand in enumerate(eqn.operands):
                within = eqn.op.is_elementwise or eqn.op.updates == position
                if within and isinstance(operand, Value) and operand.type == result.type:
                    found[result] = param
                    backs[operand] = param
    return found


def _may_raise(eqn: Eqn) -> bool:
    if isinstance(eqn.op, WriteBack):
        return False
    if isinstance(eqn.op, Index | IndexUpdate | IndexAdd) and AT in eqn.op.index:
        return True
    return eqn.op.effect is not Effect.PURE


def assigns_safely(eqn: Eqn) -> bool:
    """Whether NumPy's assignment looks after a value that overlaps with what it is assigned to.

    It does not where one axis is read and written in different steps of the same direction:
    `x[::2] = x[:3]` reads what it has written before.
    """
    if not isinstance(eqn.op, IndexUpdate):
        return False
    target, value = eqn.operands[:2]
    lead = target.type.ndim - eqn.op.axes
    items: list[Item] = [Span(0, d, 1) for d in target.type.shape[:lead]]
    items += [i for i in eqn.op.index if i is not None]
    kept = [(k, i) for k, i in enumerate(items) if isinstance(i, Span)]
    is_gather = AT in items and any(a.type.shape for a in eqn.operands[2:])
    if len(kept) != 1 or is_gather or not value.type.shape:
        return True
    ((axis, span),) = kept
    strides, read = [
        a.layout or c_strides(a.type.dtype.itemsize, a.type.typical.shape) for a in (target, value)
    ]
    written = strides[axis] * span.step
    return written == read[-1] or written * read[-1] < 0
