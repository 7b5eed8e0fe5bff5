"""Where in the user's source something happened, and the excerpt that errors show of it."""

from __future__ import annotations

import functools
import linecache
import os
import types

_Positions = tuple[tuple[int | None, int | None, int | None, int | None], ...]
_Data = tuple[str, int, str, int | None, int | None, int | None]


@functools.lru_cache(maxsize=1024)
def _positions(code: types.CodeType) -> _Positions:
    """Return (line, end line, column, end column) of every instruction of `code`."""
    return tuple(code.co_positions())


def _scope_name(code: types.CodeType) -> str:
    """Return the qualified name of the function that `code` is, or is a comprehension of."""
    name = code.co_qualname
    while name.endswith(("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")):
        outer, separator, _ = name.rpartition(".<locals>.")
        if not separator:
            break
        name = outer
    return name


class Location:
    """A range of source text, immutable; columns count UTF-8 bytes from 0, lines from 1.

    A location that comes from a running frame (`Location.at`) keeps the code object and the
    offset only, since most locations are never shown; it is resolved when first asked.

    Parameters
    ----------
    file
        Path of the source file, as Python reports it.
    line, end_line
        First and last line of the range.
    function
        Qualified name of the function that holds the range.
    column, end_column
        First column on `line`, and the column after the last on `end_line`; None if unknown.
    """

    __slots__ = ("_code", "_data", "_offset")

    _code: types.CodeType | None
    _data: _Data | None
    _offset: int

    def __init__(
        self,
        file: str,
        line: int,
        function: str = "",
        column: int | None = None,
        end_line: int | None = None,
        end_column: int | None = None,
    ) -> None:
        self._code = None
        self._offset = 0
        self._data = (file, line, function, column, end_line, end_column)

    @classmethod
    def at(cls, code: types.CodeType, offset: int) -> Location:
        """Return the location of the instruction at byte `offset` of `code` (`frame.f_lasti`)."""
        self = cls.__new__(cls)
        self._code = code
        self._offset = offset
        self._data = None
        return self

    def _resolved(self) -> _Data:
        if self._data is None:
            code = self._code
            assert code is not None
            positions = _positions(code)
            index = self._offset // 2
            line, end_line, column, end_column = (
                positions[index] if 0 <= index < len(positions) else (None,) * 4
            )
            self._data = (
                code.co_filename,
                code.co_firstlineno if line is None else line,
                _scope_name(code),
                column,
                end_line,
                end_column,
            )
        return self._data

    @property
    def file(self) -> str:
        """Path of the source file."""
        return self._resolved()[0]

    @property
    def line(self) -> int:
        """First line, from 1."""
        return self._resolved()[1]

    @property
    def function(self) -> str:
        """Qualified name of the enclosing function; a comprehension counts as its function."""
        return self._resolved()[2]

    @property
    def column(self) -> int | None:
        """First column, in UTF-8 bytes from 0."""
        return self._resolved()[3]

    @property
    def end_line(self) -> int | None:
        """Last line."""
        return self._resolved()[4]

    @property
    def end_column(self) -> int | None:
        """Column after the last one, on `end_line`."""
        return self._resolved()[5]

    @property
    def text(self) -> str:
        """The first source line, without its newline; empty where there is no source."""
        return linecache.getline(self.file, self.line).rstrip("\n")

    @property
    def place(self) -> str:
        """The file's name and the line, as `model.py:12`."""
        return place_of(self.file, self.line)

    @property
    def expression(self) -> str:
        """The exact source text of the range, or its stripped line where columns are unknown."""
        _, line, _, column, end_line, end_column = self._resolved()
        if column is None or end_line is None or end_column is None:
            return self.text.strip()
        rows = [linecache.getline(self.file, row).encode() for row in range(line, end_line + 1)]
        # The end is cut first: on a single line both cuts are on the same row.
        rows[-1] = rows[-1][:end_column]
        rows[0] = rows[0][column:]
        return b"".join(rows).decode(errors="replace")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Location):
            return NotImplemented
        return self._resolved() == other._resolved()

    def __hash__(self) -> int:
        return hash(self._resolved())

    def __repr__(self) -> str:
        return f"Location{self._resolved()!r}"

    def __reduce__(self) -> tuple[type[Location], _Data]:
        return Location, self._resolved()


def place_of(file: str, line: int) -> str:
    """Return a line as sentences and tables show it, such as `model.py:12`; empty without file."""
    return f"{os.path.basename(file)}:{line}" if file else ""


def _shown_path(file: str, relative_to: str | None) -> str:
    base = os.getcwd() if relative_to is None else relative_to
    prefix = base.rstrip(os.sep) + os.sep
    return file.removeprefix(prefix)


def _columns(row: str, start: int | None, end: int | None) -> tuple[int, int]:
    """Return byte columns `start` and `end` of `row` as character columns; None is an edge."""
    raw = row.encode()
    text_start = len(row) - len(row.lstrip())
    first = text_start if start is None else len(raw[:start].decode(errors="replace"))
    last = len(row.rstrip()) if end is None else len(raw[:end].decode(errors="replace"))
    return first, max(last, first + 1)


def excerpt(location: Location, relative_to: str | None = None) -> str:
    """Return the lines of an error message that show `location`, with carets under its range.

    Parameters
    ----------
    location
        What to show. A range of several lines is shown by its first line, to its end.
    relative_to
        The folder that paths below it are shown relative to; the current one by default.

    Returns
    -------
    str
        Lines indented by two spaces, without a final newline; one line if there is no source.
    """
    path = _shown_path(location.file, relative_to)
    where = location.function.rpartition("<locals>.")[2]
    head = f"  {path}:{location.line}" + (f" in {where}" if where else "")
    row = location.text.expandtabs(1)
    if not row.strip():
        return head
    one_line = location.end_line in (None, location.line)
    start, end = _columns(row, location.column, location.end_column if one_line else None)
    shift = len(row) - len(row.lstrip())
    number = str(location.line)
    gutter = max(7, len(number) + 2)
    return "\n".join(
        (
            head,
            # The line keeps four columns of its own indentation: the shape of STYLE's examples.
            f"{number:>{gutter}} |     {row.strip()}",
            f"{'':>{gutter}} |     {'':{max(0, start - shift)}}{'^' * (end - start)}",
        )
    )
