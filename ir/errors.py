"""The errors that users meet; each also is the builtin exception that NumPy would raise."""

from __future__ import annotations


class PullbackError(Exception):
    """Base of every error that pullback raises by itself."""

    is_explained = False
    """Whether the message shows the user's line already."""


class ShapeError(PullbackError, ValueError):
    """Shapes that do not fit."""


class DTypeError(PullbackError, TypeError):
    """A dtype that an operation does not take."""


class DifferentiationError(PullbackError, TypeError):
    """A derivative was asked for that does not exist or is not supported."""


class UnsupportedError(PullbackError, TypeError):
    """Code that pullback cannot trace."""


class ConcretizationError(UnsupportedError):
    """A traced value was used where Python needs its number now (`if x > 0`, `int(x)`)."""


class BudgetError(PullbackError, MemoryError):
    """A `memory=` budget that cannot be met."""


class ConvergenceError(PullbackError, RuntimeError):
    """An iteration that has not met its tolerance."""


class EscapedError(PullbackError, RuntimeError):
    """A traced value outlived the call that made it and was used again."""


class StructureError(PullbackError, TypeError):
    """Containers whose structure does not fit."""


class ArgumentError(PullbackError, ValueError):
    """Arguments of a transformation that make no sense (`argnums`, unknown names)."""


class VerificationError(PullbackError, AssertionError):
    """A function that breaks the rules of the IR: an internal error, or hand-edited text."""


class ParseError(PullbackError, SyntaxError):
    """Text that is not IR."""


class GradientMismatch(PullbackError, AssertionError):
    """`check_grads` found a gradient that differs from finite differences."""


def with_article(noun: str) -> str:
    """Return a noun as messages put it: `a dict`, `an int`, `an ndarray`."""
    return f"{'an' if noun.startswith((*'aeiouAEIO', 'ndarray')) else 'a'} {noun}"
