"""Text that holds traced values: f-strings, `str(x)`, `print`, and where such text may go.

While text is made, a traced value stands in it as a mark, so that Python's own formatting, and the
`__repr__` of containers and of the user's classes, work as they are. What comes out is cut at its
marks into a `TracedText`: pieces of text, and the values between them as they are then. It is
written when the program runs; anything that needs its characters earlier is an error.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ir.core import Atom, Value
from ..ir.errors import ConcretizationError, UnsupportedError
from ..ir.types import Kind
from .array import TracedArray, lift, method
from .report import expression_here
from .state import current

_OPEN, _CLOSE = "\ue000", "\ue001"
_MARK = re.compile(f"{_OPEN}(\\d+){_CLOSE}")


class Shown(NamedTuple):
    """A value in a text, and how it is shown: entries of `Print.forms` and `Print.options`."""

    atom: Atom
    form: str
    options: tuple[tuple[str, Any], ...]


class _Marks(threading.local):
    """The values met while text is made; None while none is."""

    found: list[Shown] | None = None


_marks = _Marks()


class TracedText:
    """Text whose values are known when the program runs: `pieces` with `values` between them."""

    __slots__ = ("pieces", "values")

    def __init__(self, pieces: Sequence[str], values: Sequence[Shown]) -> None:
        self.pieces = tuple(pieces)
        self.values = tuple(values)

    def __str__(self) -> str:
        found = _marks.found
        if found is None:
            return self.outline()
        parts = [self.pieces[0]]
        for value, piece in zip(self.values, self.pieces[1:], strict=True):
            parts += (mark(value), piece)
        return "".join(parts)

    def __repr__(self) -> str:
        if _marks.found is not None:
            raise needed("its repr, or a container's that holds it")
        return repr(self.outline())

    def __format__(self, spec: str) -> str:
        if spec:
            raise needed("its length")
        return str(self)

    def outline(self) -> str:
        """Return the text with the names and types of its values in their places."""
        parts = [self.pieces[0]]
        for value, piece in zip(self.values, self.pieces[1:], strict=True):
            hint = value.atom.hint if isinstance(value.atom, Value) else None
            parts += (f"<traced {hint or 'value'}: {value.atom.type}>", piece)
        return "".join(parts)

    def __add__(self, other: Any) -> Any:
        return _joined(self, other) if isinstance(other, str | TracedText) else NotImplemented

    def __radd__(self, other: Any) -> Any:
        return _joined(other, self) if isinstance(other, str) else NotImplemented

    def __bool__(self) -> bool:
        if any(self.pieces):
            return True
        raise needed("whether it is empty")

    def __getattr__(self, name: str) -> Any:
        if hasattr(str, name):
            raise needed(f"its `{name}`")
        raise AttributeError(f"'str' object has no attribute '{name}'")

    def __len__(self) -> int:
        raise needed("its length")

    def __iter__(self) -> Any:
        raise needed("its characters")

    def __getitem__(self, index: Any) -> Any:
        raise needed("its characters")

    def __contains__(self, item: Any) -> bool:
        raise needed("its characters")

    def __eq__(self, other: object) -> bool:
        raise needed("its characters")

    def __hash__(self) -> int:
        raise needed("its characters")


def needed(what: str) -> ConcretizationError:
    """Return the error for what needs the characters of a text now."""
    return ConcretizationError(
        f"{expression_here()} needs text of a traced value, {what}, but the value is known only "
        "when the program runs.\n  Such text can be printed, logged, warned with or raised; return "
        "the value to use its text otherwise."
    )


# ---- marks ---------------------------------------------------------------------------------------


def mark(value: Shown) -> str:
    """Return what stands for a value in a text that is being made."""
    assert _marks.found is not None
    _marks.found.append(value)
    return f"{_OPEN}{len(_marks.found) - 1}{_CLOSE}"


def _shown(value: TracedArray, how: str) -> Shown:
    trace = current()
    assert trace is not None
    return Shown(lift(value, trace)[0], f"{value._kind.value}{how}", options_here())


def _str(self: TracedArray) -> str:
    if _marks.found is not None:
        return mark(_shown(self, ""))
    if self._trace.active:
        self._concrete(
            "the value as text",
            "Format the value outside of the function, or show its .shape here.",
        )
    return _outline(self)


def _repr(self: TracedArray) -> str:
    return _outline(self) if _marks.found is None else mark(_shown(self, "!r"))


def _outline(self: TracedArray) -> str:
    name = self._atom.hint if isinstance(self._atom, Value) else None
    return f"<traced {name or 'value'}: {self.type}>"


def _format(self: TracedArray, spec: str) -> str:
    if _marks.found is None or not spec:
        return _str(self)
    if self._kind is Kind.ARRAY and self.shape:
        raise TypeError("unsupported format string passed to numpy.ndarray.__format__")
    _check_format(self, spec)
    return mark(_shown(self, f":{spec}"))


def _check_format(value: TracedArray, spec: str) -> None:
    """Raise now what Python would raise for a format that does not fit a number."""
    sample: Any = value.dtype.type(0)
    format(sample if value._kind is not Kind.PYTHON else sample.item(), spec)


method("__str__", _str)
method("__repr__", _repr)
method("__format__", _format)


def make(build: Callable[[], str]) -> Any:
    """Return the text that `build` makes: a str, or a TracedText where traced values are in it."""
    outer, _marks.found = _marks.found, []
    try:
        text = build()
        found = _marks.found
    finally:
        _marks.found = outer
    if not found:
        return text
    parts = _MARK.split(text)
    values = [found[int(number)] for number in parts[1::2]]
    made = TracedText(parts[::2], values)
    return made if outer is None else str(made)


def options_here() -> tuple[tuple[str, Any], ...]:
    """Return the print options that the function itself has set."""
    trace = current()
    set_here = {} if trace is None else trace.root.inputs.print_options
    return tuple(sorted(set_here.items()))


def _joined(first: Any, second: Any) -> Any:
    return make(lambda: f"{first}{second}")


# ---- what makes text -----------------------------------------------------------------------------


def f_string(*parts: Any) -> Any:
    """Return an f-string: its parts are texts, and tuples of value, conversion and format."""

    def build() -> str:
        made = []
        for part in parts:
            if isinstance(part, str):
                made.append(part)
                continue
            value, conversion, spec = part
            if isinstance(spec, TracedText):
                raise needed("a format")
            if conversion == "r":
                value = _repr_of(value)
            elif conversion == "s":
                value = _str_of(value)
            elif conversion == "a":
                value = ascii(value)
            if _MARK.search(value) if isinstance(value, str) else False:
                value = _with_spec(value, spec)
                spec = ""
            made.append(format(value, spec))
        return "".join(made)

    return build() if current() is None else make(build)


def _repr_of(value: Any) -> str:
    return repr(value)


def _str_of(value: Any) -> str:
    return str(value)


def _with_spec(text: str, spec: str) -> str:
    """Return a text with one mark and nothing else, formatted further: `f"{x!s:>9}"`."""
    if not spec:
        return text
    found = _MARK.fullmatch(text)
    assert _marks.found is not None
    shown = _marks.found[int(found[1])] if found is not None else None
    if shown is None or ":" in shown.form or "%" in shown.form:
        raise needed("its length")
    conversion = "" if "!" in shown.form else "!s"
    return mark(shown._replace(form=f"{shown.form}{conversion}:{spec}"))


_PERCENT = re.compile(
    r"%(?:\((?P<key>[^)]*)\))?(?P<how>[#0\- +]*(?:\*|\d+)?(?:\.(?:\*|\d+))?)"
    r"[hlL]?(?P<type>[a-zA-Z%])"
)


def percent(template: Any, values: Any) -> Any:
    """Return `template % values`, each traced value being formatted when the program runs."""
    if current() is None or isinstance(template, TracedText):
        return template % values
    items = list(values) if isinstance(values, tuple) else None
    if not any(map(_holds, items if items is not None else [values])):
        return template % values
    return make(lambda: _percent(template, values, items))


def _percent(template: str, values: Any, items: list[Any] | None) -> str:
    remaining = [values] if items is None else items
    position = 0
    parts, end = [], 0
    for found in _PERCENT.finditer(template):
        parts.append(template[end : found.start()])
        end = found.end()
        if found["type"] == "%":
            parts.append("%")
            continue
        if "*" in found["how"]:
            raise UnsupportedError(
                f"{expression_here()}: a width `*` beside traced values is not traced.\n"
                "  Write the width into the format."
            )
        if found["key"] is not None:
            value = values[found["key"]]
        elif position < len(remaining):
            value, position = remaining[position], position + 1
        else:
            raise TypeError("not enough arguments for format string")
        how = f"%{found['how']}{found['type']}"
        if isinstance(value, TracedArray) and found["type"] not in "sra":
            if value.shape:
                raise TypeError(
                    "must be real number, not numpy.ndarray"
                    if value.shape != (1,)
                    else "only 0-dimensional arrays can be converted to Python scalars"
                )
            parts.append(mark(_shown(value, how)))
        elif _holds(value):
            text = repr(value) if found["type"] == "r" else str(value)
            parts.append(text if not found["how"] else _with_spec(text, _as_spec(found["how"])))
        else:
            parts.append(how % (value,))
    if items is not None and position < len(remaining):
        raise TypeError("not all arguments converted during string formatting")
    return "".join([*parts, template[end:]])


def _as_spec(how: str) -> str:
    """Return the format that does to a text what `%-9s` or `%9s` does."""
    return f"<{how[1:]}" if how.startswith("-") else f">{how}"


def _holds(value: Any) -> bool:
    """Whether the text of a value would hold a traced one."""
    if isinstance(value, TracedArray | TracedText):
        return True
    if isinstance(value, str | bytes | int | float | complex | np.ndarray | np.generic):
        return False
    if isinstance(value, dict):
        return any(map(_holds, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_holds, value))
    return hasattr(value, "__dict__") and not callable(value)


def text_of(convert: Callable[..., str]) -> Callable[..., Any]:
    """Return the traced form of `str`, `repr`, `ascii` or `format`."""

    def function(*args: Any, **kwargs: Any) -> Any:
        if not args or kwargs or not _holds(args[0]):
            return convert(*args, **kwargs)
        if isinstance(args[0], TracedText) and convert is str:
            return args[0]
        return make(lambda: convert(*args))

    return function


def str_method(name: str, template: str, args: Any, kwargs: Any) -> Any:
    """Call a method of a str whose arguments are traced or hold text of traced values."""
    if name == "join" and args and not isinstance(args[0], str):
        parts = list(args[0])
        return make(
            lambda: template.join([str(p) if isinstance(p, TracedText) else p for p in parts])
        )
    if name == "format":
        return make(lambda: template.format(*args, **kwargs))
    if name == "format_map":
        return make(lambda: template.format_map(*args))
    return getattr(template, name)(*args, **kwargs)


STR_METHODS = frozenset({"join", "format", "format_map"})

__all__ = [
    "STR_METHODS",
    "Shown",
    "TracedText",
    "f_string",
    "make",
    "mark",
    "options_here",
    "percent",
]
