"""How much of NumPy is covered: counts, lists, the document, and how peers compare."""

from __future__ import annotations

import contextlib
import importlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .tracer.surface import MEANING, SCIPY, Class, Entry, entries

if TYPE_CHECKING:
    from rich.table import Table

PEERS = ("autograd", "jax")
COMPARED = ("numpy", "numpy.linalg", "numpy.fft")


def surface() -> list[Entry]:
    """Return all entries, with those of SciPy's modules where SciPy is installed."""
    for module in SCIPY:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    return entries()


def counts(found: Iterable[Entry]) -> dict[str, Counter[Class]]:
    """Return how many names of each module are in each class."""
    result: dict[str, Counter[Class]] = {}
    for entry in found:
        result.setdefault(entry.module, Counter())[entry.kind] += 1
    return result


def reasons(found: Iterable[Entry]) -> dict[str, list[str]]:
    """Return the notes of entries, each with the names that it holds for."""
    result: dict[str, list[str]] = {}
    for entry in found:
        result.setdefault(entry.note, []).append(entry.name)
    return result


def chosen(found: Iterable[Entry], module: str | None, kind: Class | None) -> list[Entry]:
    """Return the entries of a module and of a class, where these are given."""
    return [
        e
        for e in found
        if (module is None or e.module == module) and (kind is None or e.kind is kind)
    ]


# ---- for the terminal ----------------------------------------------------------------------------


def counts_table(found: Sequence[Entry]) -> Table:
    """Return the counts as a table to print, narrow enough for 80 columns."""
    from rich.table import Table

    table = Table("", *[k.value for k in Class], "all", box=None, pad_edge=False)
    table.columns[0].width = max(len(e.module) for e in found)
    for column in table.columns[1:]:
        column.justify = "right"
        column.width = max(4, *map(len, str(column.header).split()))
    for module, counted in counts(found).items():
        table.add_row(module, *[str(counted[k] or "") for k in Class], str(counted.total()))
    return table


def names_table(found: Sequence[Entry]) -> Table:
    """Return names with their classes and notes as a table to print."""
    from rich.table import Table

    table = Table("name", "class", "why, and what to write instead")
    for entry in found:
        table.add_row(f"{entry.module}.{entry.name}", entry.kind.value, entry.note)
    return table


# ---- the document --------------------------------------------------------------------------------

_INTRODUCTION = """# What is covered

Written by `pullback coverage --markdown docs/coverage.md`; do not edit.

Every public function, ufunc and type of NumPy is in one of four classes. A test runs a case of
each name, and holds its class against what the value and the gradient turn out to be.
"""

_LEFT_OUT = """
Not looked through: `numpy.ma` (masked arrays are refused: pass the data and the mask),
`numpy.char`, `numpy.strings` and `numpy.rec` (only numbers are traced), `numpy.testing`,
`numpy.ctypeslib`.
"""

_SCIPY = (
    "Of SciPy, the names that have a traced form, or a reason why not. `rv_continuous.pdf` stands "
    "for the\nmethod of every continuous distribution, and of a frozen one."
)


def markdown(found: Sequence[Entry]) -> str:
    """Return the document `docs/coverage.md`."""
    lines = [_INTRODUCTION]
    lines += [f"* **{k.value}**: {MEANING[k]}" for k in Class]
    lines += ["", "| | " + " | ".join(k.value for k in Class) + " |", "|---" * 5 + "|"]
    counted = counts(found)
    for module, numbers in counted.items():
        cells = " | ".join(str(numbers[k] or "") for k in Class)
        lines.append(f"| [{module}](#{module.replace('.', '').lower()}) | {cells} |")
    lines += ["", f"NumPy {np.__version__.rpartition('.')[0]}. {_SCIPY}"]
    lines.append(_LEFT_OUT.rstrip())
    for module in counted:
        lines += ["", f"## {module}"]
        for kind in Class:
            part = chosen(found, module, kind)
            lines += _section(kind, part) if part else []
    return "\n".join(lines) + "\n"


def _section(kind: Class, part: Sequence[Entry]) -> list[str]:
    lines = ["", f"### {kind.value}", ""]
    if kind is not Class.REFUSED:
        plain = [e.name for e in part if not e.note]
        noted = [f"* `{e.name}`: {e.note}" for e in part if e.note]
        return [*lines, _listed(plain), *([""] if noted and plain else []), *noted]
    return lines + [f"* {_listed(names)}: {why}" for why, names in reasons(part).items()]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


# ---- peers ---------------------------------------------------------------------------------------


def peer(name: str) -> Callable[[str, str], bool] | None:
    """Return what tells whether a peer has a name of a module; None where it is not installed.

    Of autograd it tells whether there is a gradient: a primitive with a rule, or a composition of
    such. Of JAX, whether there is such a function at all.
    """
    try:
        modules = {
            module: importlib.import_module(module.replace("numpy", f"{name}.numpy", 1))
            for module in COMPARED
        }
    except ImportError:
        return None
    if name == "jax":
        return lambda module, attribute: callable(getattr(modules[module], attribute, None))
    rules: Any = importlib.import_module("autograd.core").primitive_vjps

    def has_gradient(module: str, attribute: str) -> bool:
        function = getattr(modules[module], attribute, None)
        if not callable(function) or isinstance(function, type):
            return False
        is_own = str(getattr(function, "__module__", "")).startswith("autograd")
        return function in rules or (is_own and not hasattr(function, "_is_autograd_primitive"))

    return has_gradient


def comparison(found: Sequence[Entry], name: str) -> tuple[list[str], list[str], int] | None:
    """Return the names with a gradient here that a peer lacks, the reverse, and what it has in all.

    None where the peer is not installed. The reverse of JAX, which is asked for its functions and
    not for their gradients, is what is refused here.
    """
    has = peer(name)
    if has is None:
        return None
    ours: list[str] = []
    theirs: list[str] = []
    total = 0
    for entry in found:
        if entry.module not in COMPARED:
            continue
        is_there = has(entry.module, entry.name)
        total += is_there
        full = f"{entry.module}.{entry.name}".replace("numpy", "np", 1)
        if entry.kind is Class.DIFFERENTIABLE and not is_there:
            ours.append(full)
        lacks = (
            entry.kind is Class.REFUSED
            if name == "jax"
            else entry.kind is not (Class.DIFFERENTIABLE)
        )
        if is_there and lacks:
            theirs.append(full)
    return ours, theirs, total


def comparisons(found: Sequence[Entry]) -> str:
    """Return how the peers that are installed compare, as text."""
    here = sum(e.kind is Class.DIFFERENTIABLE for e in found if e.module in COMPARED)
    parts = [f"{', '.join(COMPARED)}: {here} names have a gradient here."]
    for name in PEERS:
        compared = comparison(found, name)
        if compared is None:
            parts.append(f"{name} is not installed.")
            continue
        ours, theirs, total = compared
        what = "functions of these names" if name == "jax" else "names with a gradient"
        lack = "refused here" if name == "jax" else "without a gradient here"
        parts += [
            f"{name} has {total} {what}.",
            f"With a gradient here and not in {name} ({len(ours)}): {' '.join(ours)}",
            f"In {name} and {lack} ({len(theirs)}): {' '.join(theirs) or 'none'}",
        ]
    return "\n\n".join(parts)


__all__ = [
    "Class",
    "chosen",
    "comparison",
    "comparisons",
    "counts",
    "counts_table",
    "markdown",
    "names_table",
    "surface",
]
