"""Forgets arrays where nothing mentions them any more, so that their memory is free at once.

A local variable keeps its array until the program returns. So a variable that holds memory of its
own, or a view of such memory, is set to None after the statement that mentions it last, in the
block that has all its mentions. What a nested function reads is mentioned where that is called.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set

from .frames import Line

_WORD = re.compile(r"[^\W\d]\w*")
_FUNCTION = re.compile(r" *def (\w+)\(")
_GOES_ON = ("else:", "elif ", "except", "finally:")


def forgotten(body: Sequence[Line], names: Set[str]) -> list[Line]:
    """Return the lines of a program with those that forget the arrays of the variables `names`."""
    mentions = _mentions(body, names)
    indents = [len(text) - len(text.lstrip()) for text, _, _ in body]
    after: dict[int, list[tuple[int, str]]] = {}
    for name, lines in mentions.items():
        first, last = lines[0], max(lines)
        if body[last][0].lstrip().startswith("return ") or _FUNCTION.match(body[first][0]):
            continue
        indent = min(indents[first : last + 1])
        while last + 1 < len(body) and (
            indents[last + 1] > indent
            or (indents[last + 1] == indent and body[last + 1][0].lstrip().startswith(_GOES_ON))
        ):
            last += 1
        after.setdefault(last, []).append((indent, name))
    lines_out: list[Line] = []
    for number, line in enumerate(body):
        lines_out.append(line)
        found = after.get(number, [])
        for indent in sorted({indent for indent, _ in found}, reverse=True):
            targets = " = ".join([n for i, n in found if i == indent])
            lines_out.append((f"{' ' * indent}{targets} = None", None, ""))
    return lines_out


def _mentions(body: Sequence[Line], names: Set[str]) -> dict[str, list[int]]:
    """Return the lines on which each variable is mentioned, also by a function that reads it."""
    mentions: dict[str, list[int]] = {}
    readers: dict[str, set[str]] = {}
    """For each function the variables that it mentions."""
    around: list[tuple[int, str]] = []
    for number, (text, _, _) in enumerate(body):
        indent = len(text) - len(text.lstrip())
        while around and indent <= around[-1][0]:
            around.pop()
        words = set(_WORD.findall(text))
        for function, read in readers.items():
            if function in words:
                words |= read
        found = words & names
        for name in sorted(found):
            mentions.setdefault(name, []).append(number)
        for _, function in around:
            readers[function] |= found
        made = _FUNCTION.match(text)
        if made is not None:
            readers[made[1]] = set()
            around.append((indent, made[1]))
    return mentions


__all__ = ["forgotten"]
