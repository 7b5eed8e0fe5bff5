"""The ops that tests go through, each in a function of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback.ir import ops  # noqa: F401  (fills the registry)
from pullback.ir.builder import Builder
from pullback.ir.core import Function, Value
from pullback.ir.op import Op
from pullback.ir.types import type_of

TAPES = {"tape_new", "tape_push", "tape_pop", "pack", "unpack"}
"""Ops of tapes and records, which have tests of their own."""
STRUCTURAL = {"loop", "cond", "call", "custom", "fused", "recursion", "recur"}
"""Ops that hold regions or name another function: they compute nothing by themselves."""


def has_rule(name: str) -> bool:
    """Whether an op has a gradient rule, of a class whether some of its ops may have."""
    entry: Any = Op.REGISTRY[name]
    if isinstance(entry, Op):
        return entry.has_gradient
    return bool(entry.vjp is not Op.vjp)


def function_of(op: Op, operands: Sequence[Any]) -> Function:
    """Return the function that applies an op to arguments like these."""
    builder = Builder()
    params = [builder.param(Value(type_of(v), f"x{k}")) for k, v in enumerate(operands)]
    return builder.finish("f", builder.emit(op, params))
