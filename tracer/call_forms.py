"""What a function that calls itself takes and returns: the leaves of its arguments and results.

A leaf has one form in every call. Where calls disagree, a form is looked for that stands for all,
as where NumPy promotes, and the function is traced once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..ir.core import Atom, Value
from ..ir.ops.shape import Copy
from ..ir.types import ArrayType, Kind
from .array import TracedArray, convert, lift
from .driving import LIMIT, Memo, Restage
from .promotion import PYTHON_TYPES
from .regions import Region
from .state import Trace
from .tree import LEAF, Node, Static, Structure, unflatten
from .variables import leaves_of
from .watching import Unstageable


class CallMemo(Memo):
    """What is known of a function that calls itself, from earlier traces."""

    def __init__(self) -> None:
        super().__init__()
        self.is_recursive = False
        self.varying: dict[str, dict[int, Form]] = {}
        """The arguments that are parameters, with the leaves of which the form has settled."""
        self.results: tuple[Structure, list[Form]] | None = None
        self.is_ordered = False
        """Whether it prints, draws or checks, so that its calls stay in order."""

    @property
    def is_refused(self) -> bool:
        """Whether it is not compiled as a recursion."""
        return self.failures >= LIMIT

    def refuse(self, why: str) -> Restage:
        """Return what traces anew without the recursion."""
        self.failures = LIMIT
        return Restage(self, why)


class Form(NamedTuple):
    """The type of a leaf, and what NumPy object it is."""

    type: ArrayType
    kind: Kind


class Again(BaseException):
    """A guess about arguments or results was wrong: the function is traced once more."""


class Argument:
    """An argument that differs between calls: its structure, and its leaves as parameters."""

    def __init__(self, name: str, value: Any, known: Mapping[int, Form], trace: Trace) -> None:
        self.name = name
        self.structure, leaves = leaves_of(value, True)
        check_static(self.structure, f"`{name}`")
        self.storages = [
            a._as_view().storage
            for a in leaves
            if isinstance(a, TracedArray) and a._kind is Kind.ARRAY
        ]
        self.atoms: list[Atom] = []
        self.forms: list[Form] = []
        for k, leaf in enumerate(leaves):
            atom, kind = lift(leaf, trace)
            if k in known:
                atom, kind = convert(atom, known[k].type.dtype, trace), known[k].kind
            self.atoms.append(contiguous(atom, trace, f"`{name}`"))
            self.forms.append(Form(atom.type, kind))
        self.params: list[Value] = []
        self.given: list[TracedArray] = []
        self.object: Any = None

    def give(self, region: Region) -> Any:
        """Return what stands for it in a trial."""
        label = self.name if self.structure is LEAF else None
        self.params = [Value(f.type, label) for f in self.forms]
        self.given = [
            TracedArray(p, f.kind, region) for p, f in zip(self.params, self.forms, strict=True)
        ]
        self.object = unflatten(self.structure, iter(self.given))
        return self.object

    def passed(self, value: Any, trace: Trace, memo: CallMemo) -> list[Atom]:
        """Return the atoms that a call within passes."""
        structure, leaves = leaves_of(value, True)
        if structure != self.structure:
            raise memo.refuse(f"`{self.name}` has another structure in the call within")
        found: list[Atom] = []
        for k, (leaf, form) in enumerate(zip(leaves, self.forms, strict=True)):
            atom, kind = lift(leaf, trace)
            settled = settled_form(form, Form(atom.type, kind))
            if settled is None:
                raise memo.refuse(
                    f"`{self.name}` is {form.type}, and {atom.type} in the call within"
                )
            if settled != form:
                memo.varying[self.name][k] = settled
                raise Again
            found.append(contiguous(convert(atom, form.type.dtype, trace), trace, self.name))
        return found


def settled_form(known: Form, found: Form) -> Form | None:
    """Return a form that stands for two, None where none does."""
    if known == found:
        return known
    if known.type.shape != found.type.shape or Kind.PYTHON not in (known.kind, found.kind):
        return None
    if Kind.ARRAY in (known.kind, found.kind):
        return None
    if known.kind is found.kind:
        dtype = np.result_type(known.type.dtype, found.type.dtype)
        return Form(ArrayType(dtype, ()), Kind.PYTHON)
    python, typed = (known, found) if known.kind is Kind.PYTHON else (found, known)
    number = PYTHON_TYPES[python.type.dtype.kind](0)
    return Form(ArrayType(np.result_type(typed.type.dtype, number), ()), typed.kind)


def contiguous(atom: Atom, trace: Trace, what: str) -> Atom:
    """Return an atom in C order, copied where it is not.

    Raises
    ------
    Unstageable
    """
    if atom.layout is not None:
        atom = trace.builder.one(Copy(), atom)
    if atom.layout is not None:
        raise Unstageable(f"{what} is not in C order")
    return atom


def check_static(structure: Structure, what: str) -> None:
    """Raise where a structure holds an object that says nothing by its value.

    Raises
    ------
    Unstageable
    """
    if isinstance(structure, Node):
        for child in structure.children:
            check_static(child, what)
    elif isinstance(structure, Static) and not isinstance(structure.value, str | type(None)):
        raise Unstageable(f"{what} holds a {type(structure.value).__name__}")


__all__ = [
    "Again",
    "Argument",
    "CallMemo",
    "Form",
    "check_static",
    "contiguous",
    "settled_form",
]
