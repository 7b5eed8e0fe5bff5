"""The one branch: `if`, and a choice among several by number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core import Function
from ..dims import Size
from ..errors import VerificationError
from ..op import Effect, Op
from ..types import ArrayType
from .control import INDEX, check_parameters, function_effect, function_flops, substitute_type

BOOL = np.dtype(np.bool_)
_STRENGTH = (Effect.PURE, Effect.MAY_RAISE, Effect.ORDERED)


@dataclass(frozen=True)
class Cond(Op):
    """Run one of several branches.

    Operand 0 chooses: a bool picks the first branch where it is true and the second where it is
    false; an int64 picks the branch of that number, the first below 0 and the last past the end.
    The other operands are passed to every branch; the results have the types that all branches
    return. `dims` are passed to each branch's own dims.
    """

    name = "cond"
    branches: tuple[Function, ...]
    dims: tuple[Size, ...] = ()

    @property
    def effect(self) -> Effect:  # type: ignore[override]
        """The strongest of the branches'."""
        return max(map(function_effect, self.branches), key=_STRENGTH.index)

    @property
    def regions(self) -> tuple[Function, ...]:  # type: ignore[override]
        return self.branches

    def with_regions(self, regions: Sequence[Function]) -> Op:
        return replace(self, branches=tuple(regions))

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        if not self.branches or not types:
            raise VerificationError("cond needs a predicate and branches")
        predicate, *captured = types
        if predicate not in (ArrayType(BOOL, ()), ArrayType(INDEX, ())):
            raise VerificationError(f"cond: the predicate is {predicate}, not bool or i64")
        if predicate.dtype == BOOL and len(self.branches) != 2:
            raise VerificationError(f"cond on a bool has {len(self.branches)} branches, not 2")
        found: list[tuple[ArrayType, ...]] = []
        for branch in self.branches:
            check_parameters(self.name, branch, captured, self.dims)
            binding = dict(zip(branch.dims, self.dims, strict=True))
            found.append(tuple(substitute_type(r.type, binding) for r in branch.results))
        for branch, returned in zip(self.branches[1:], found[1:], strict=True):
            if returned != found[0]:
                raise VerificationError(
                    f"cond: {self.branches[0].name} returns {_texts(found[0])}, "
                    f"{branch.name} returns {_texts(returned)}"
                )
        return found[0]

    def flops(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        """Return the operations of the dearest branch."""
        return max(map(function_flops, self.branches))

    def chosen(self, predicate: Any) -> int:
        """Return the number of the branch that a predicate's value picks."""
        if isinstance(predicate, bool | np.bool_):
            return 0 if predicate else 1
        return min(max(int(predicate), 0), len(self.branches) - 1)

    def labels(self, predicate: ArrayType) -> tuple[str, ...]:
        """Return what text calls the branches."""
        if predicate.dtype == BOOL:
            return ("then", "otherwise")
        return tuple(f"case{k}" for k in range(len(self.branches)))


def _texts(types: Sequence[ArrayType]) -> str:
    return ", ".join(map(str, types)) or "nothing"


__all__ = ["Cond"]
