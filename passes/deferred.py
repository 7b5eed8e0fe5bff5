"""Values that are known in a short form, and written out where something reads them."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..ir.builder import Builder, inherit
from ..ir.core import Atom, Eqn, Function


class Deferring(ABC):
    """A function under way, of which some equations are not written as they come.

    `scope` has what values have become.
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        self.builder = Builder()
        self.scope: dict[Atom, Atom] = {}

    def rewritten(self) -> Function:
        """Return the function with its equations written anew."""
        for param in self.function.params:
            self.builder.param(param)
        for eqn in self.function.eqns:
            self.builder.provenance = eqn.provenance
            if not self.defers(eqn):
                operands = [self.read(a) for a in eqn.operands]
                made = self.builder.emit(eqn.op, operands, eqn)
                self.scope.update(zip(eqn.results, made, strict=True))
        return self.function.replace(
            eqns=self.builder.eqns,
            results=[self.read(r) for r in self.function.results],
            result_kinds=self.function.result_kinds,
        )

    def read(self, atom: Atom) -> Atom:
        """Return what a value has become, written out where it was deferred."""
        if atom not in self.scope:
            made = self.written(atom)
            if made is None:
                return atom
            inherit(atom, made)
            self.scope[atom] = made
        return self.scope[atom]

    @abstractmethod
    def defers(self, eqn: Eqn) -> bool:
        """Take an equation in hand; False where it is to be written as it stands."""

    @abstractmethod
    def written(self, atom: Atom) -> Atom | None:
        """Return a value written out that is known in a short form, None for any other."""


__all__ = ["Deferring"]
