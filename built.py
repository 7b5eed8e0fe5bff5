"""`build`: an IR function as a callable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .ir.core import Function, Module
from .ir.errors import ShapeError, StructureError, with_article
from .ir.types import ArrayType, Kind
from .ir.verify import verify
from .passes.custom_rules import Inline
from .passes.inline import inline_calls
from .passes.memory import plan_memory
from .runtime.program import Program


class Built:
    """A compiled IR function: takes its arrays in order, returns its results in order."""

    def __init__(self, function: Function | Module) -> None:
        _check(function)
        verify(function)
        if not isinstance(function, Module):
            function = Module({function.name: function}, function.name)
        function = Inline()(inline_calls(function))
        self.function = function
        self.program = Program(
            plan_memory(function), frozenset(range(len(function.results))), exact=True
        )

    @property
    def source(self) -> str:
        """The generated NumPy."""
        return self.program.source.text

    def __call__(self, *arrays: Any) -> tuple[Any, ...]:
        return self.call(self.program, *arrays)

    def call(self, program: Program, *arrays: Any) -> tuple[Any, ...]:
        """Run a program of this function on arrays, which are checked."""
        params = self.function.params
        if len(arrays) != len(params):
            raise StructureError(
                f"{self.function.name} takes {len(params)} arrays and was given {len(arrays)}."
            )
        checked = [
            _checked(a, p.type, p.hint or f"argument {k}", kind)
            for k, (a, p, kind) in enumerate(
                zip(arrays, params, self.function.param_kinds, strict=True)
            )
        ]
        return program(*checked)


def _checked(value: Any, type: ArrayType, name: str, kind: Kind) -> Any:
    found = ArrayType(np.result_type(value), np.shape(value))
    if found.shape != type.shape:
        raise ShapeError(f"{name} is {found} and must be {type}.")
    if found.dtype != type.dtype and not np.can_cast(found.dtype, type.dtype, "same_kind"):
        raise StructureError(f"{name} is {found} and must be {type}.")
    if kind is Kind.ARRAY:
        return np.asarray(value, type.dtype)
    return type.dtype.type(value) if kind is Kind.SCALAR else value


def _check(function: Any) -> None:
    """Raise for what is no IR.

    Raises
    ------
    TypeError
    """
    if not isinstance(function, Function | Module):
        raise TypeError(
            "build takes an IR function or module, a stage of `inspect` or what `parse` returns, "
            f"not {with_article(type(function).__name__)}"
        )


def build(function: Function | Module) -> Built:
    """Compile an IR function or module, such as a stage of `inspect` or the result of `parse`.

    Returns
    -------
    Built
        Takes the traced arguments flattened, in order, and returns the results flattened.

    Raises
    ------
    VerificationError
        Where the function breaks the rules of the IR.
    UnsupportedError
        Where a function of the module calls itself.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> slope = pb.grad(lambda x: np.sum(np.sin(x)))
    >>> text = str(slope.inspect(pb.Spec(2)))
    >>> pb.build(pb.parse(text))(np.zeros(2))
    (array([1., 1.]),)
    """
    return Built(function)


__all__: Sequence[str] = ["Built", "build"]
