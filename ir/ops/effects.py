"""Effects on what is outside of the program."""

from __future__ import annotations

import io
import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ..errors import ShapeError
from ..op import Array, Effect, Emitter, Op
from ..samples import numbers
from ..types import ArrayType, Layout


@dataclass(frozen=True)
class WriteBack(Op):
    """`x` itself, after its memory has got a new content: the writes into an argument.

    It comes last in a program, when nothing more can raise.
    """

    name = "write_back"
    effect = Effect.ORDERED
    is_view = True

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x, content = types
        if x != content:
            raise ShapeError(f"{self.name} writes {content} into {x}")
        return (x,)

    def evaluate(self, *operands: Array) -> Any:
        x, content = operands
        if content is not x:
            np.copyto(x, content)
        return x

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        x, content = operands
        return x if x == content else super().emit(emitter, operands, out)

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        return (layouts[0],)

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [(cls(), (numbers(2, 3), numbers(2, 3, seed=1)))]


FORM = re.compile(r"(array|scalar|python|object)(.*)", re.DOTALL)
"""How a value is shown: what NumPy object it is, then `!r`, `:.3f`, `!s:>9` or `%.3f`."""

STREAMS = ("stdout", "stderr", "file", "log", "warn")


def show(form: str, value: Any) -> str:
    """Return the text of one value."""
    found = FORM.fullmatch(form)
    assert found is not None
    kind, how = found.groups()
    value = typed(kind, value)
    if how.startswith("%"):
        return str(how % (value,))
    return f"{{0{how}}}".format(value)


def typed(kind: str, value: Any) -> Any:
    """Return a value as the NumPy object that it is for the user."""
    if kind == "array":
        return np.asarray(value)
    if kind == "scalar":
        return np.asarray(value)[()]
    return np.asarray(value).item() if kind == "python" else value


def text(
    pieces: Sequence[str],
    forms: Sequence[str],
    options: Sequence[tuple[tuple[str, Any], ...]],
    values: Sequence[Any],
) -> str:
    """Return pieces of text with values between them, each shown as its form says.

    `options` are print options of NumPy for each value, or () for none at all.
    """
    parts = [pieces[0]]
    for form, given, value, piece in zip(
        forms, options or ((),) * len(forms), values, pieces[1:], strict=True
    ):
        if given:
            named: dict[str, Any] = dict(given)
            with np.printoptions(**named):
                parts += (show(form, value), piece)
        else:
            parts += (show(form, value), piece)
    return "".join(parts)


@dataclass(frozen=True)
class Print(Op):
    """Text with values in it, written when the program runs.

    The text is `pieces[0] + value 0 + pieces[1] + ... + pieces[-1]`, each value shown as its entry
    of `forms` says. It goes to the stream `to`; of "file", "log" and "warn" the first operand is
    the file, the logger, or the category of the warning. `options` are for each value the print
    options of NumPy that the function itself has set there, or () for none at all.
    """

    name = "print"
    effect = Effect.ORDERED
    pieces: tuple[str, ...]
    forms: tuple[str, ...] = ()
    to: str = "stdout"
    flush: bool = False
    level: int = 0
    place: tuple[str, int] = ("", 0)
    options: tuple[tuple[tuple[str, Any], ...], ...] = ()

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        given = len(types) - (self.to in STREAMS[2:])
        if given != len(self.forms) or given != len(self.pieces) - 1:
            raise ShapeError(
                f"{self.name} shows {len(self.forms)} values between {len(self.pieces)} texts, and "
                f"has {given}"
            )
        return ()

    def evaluate(self, *operands: Array) -> Any:
        target = None
        if self.to in STREAMS[2:]:
            target, *operands = operands  # type: ignore[assignment]
        shown = self.text(*operands)
        if self.to == "log":
            self._log(target, shown)
        elif self.to == "warn":
            file, line = self.place
            warnings.warn_explicit(shown, cast(Any, target), file, line)
        else:
            stream: Any = target if self.to == "file" else getattr(sys, self.to)
            print(shown, end="", file=stream, flush=self.flush)
        return ()

    def text(self, *operands: Array) -> str:
        """Return the text that is written."""
        return text(self.pieces, self.forms, self.options, operands)

    def _log(self, logger: Any, text: str) -> None:
        if logger.isEnabledFor(self.level):
            file, line = self.place
            record = logger.makeRecord(logger.name, self.level, file, line, text, (), None)
            logger.handle(record)

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        sink = io.StringIO()
        return [
            (cls(("x is ", "\n"), ("array",)), (numbers(2, 3),)),
            (cls(("", " ", ""), ("scalar!r", "python:.3f"), "stderr"), (numbers(), numbers())),
            (cls(("", ""), ("scalar%.3f",), "file", True), (sink, numbers())),
            (cls(("", ""), ("array",), options=((("precision", 3),),)), (numbers(2),)),
        ]


__all__ = ["FORM", "Print", "WriteBack", "show", "text", "typed"]
