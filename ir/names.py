"""Chooses the names of values in printed text."""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Iterable, MutableMapping

from .core import Value
from .signature import RESERVED, identifier, unique


class Names:
    """Unique names for the values of one function.

    A value is called by the user's hint; a cotangent by `d` and the name of the value it belongs
    to, where of several (they are added up) the last gets the plain name; the rest `t1`, `t2`, ...
    """

    def __init__(self, values: Iterable[Value], taken: Iterable[str] = ()) -> None:
        values = list(values)
        self._names: MutableMapping[Value, str] = {}
        self._numbers: Counter[str] = Counter()
        self._taken = set(taken)
        self._hints = {b for b in map(self._base, values) if b}
        self._pending = Counter(v.cotangent_of for v in values if v.cotangent_of is not None)

    def inner(self, known: dict[Value, str]) -> Names:
        """Return the names of a block that is printed inside this function's text."""
        child = Names(())
        child._names = ChainMap(known, self._names)
        child._taken, child._hints = self._taken, self._hints
        child._pending, child._numbers = self._pending, self._numbers
        return child

    def take(self, base: str) -> str:
        """Return a name from `base` for something that is no value, such as a region."""
        name = unique(base, self._taken)
        self._taken.add(name)
        return name

    def __call__(self, value: Value) -> str:
        """Return the value's name, choosing it at the first call."""
        if value not in self._names:
            self._names[value] = name = self._choose(value)
            self._taken.add(name)
        return self._names[value]

    def _choose(self, value: Value) -> str:
        base = self._base(value)
        if not base:
            return self._numbered("t")
        if value.cotangent_of is not None:
            self._pending[value.cotangent_of] -= 1
            if self._pending[value.cotangent_of] > 0:
                return self._numbered(f"{base}_")
        if base not in self._taken and base not in RESERVED:
            return base
        return self._numbered(f"{base}_")

    def _numbered(self, base: str) -> str:
        while True:
            self._numbers[base] += 1
            name = f"{base}{self._numbers[base]}"
            if name not in self._taken and name not in self._hints and name not in RESERVED:
                return name

    def _base(self, value: Value) -> str:
        primal = value.cotangent_of
        if primal is not None:
            inner = self._names.get(primal) or self._base(primal)
            if inner:
                return f"d{inner}"
        return identifier(value.hint) if value.hint else ""
