"""What derivatives ask of a loss: one real scalar, or a holomorphic function of complex ones."""

from __future__ import annotations

from collections.abc import Sequence

from .ir.errors import DifferentiationError
from .tracer.report import defined, located
from .tracer.trace import Traced
from .tracer.tree import LEAF


def check_scalar(
    transformation: str, traced: Traced, holomorphic: Sequence[int] | None = None
) -> None:
    """Raise unless a traced function returns one real floating-point scalar.

    Parameters
    ----------
    transformation
        What asks for it, as the user calls it.
    holomorphic
        The parameters to differentiate of a function that is holomorphic: they and the scalar have
        to be complex. None: it is not.

    Raises
    ------
    DifferentiationError
    """
    name = traced.function.name
    is_gradient = transformation in ("grad", "value_and_grad")
    results = traced.function.results[: traced.results]
    text = ""
    if traced.structure is not LEAF or len(results) != 1:
        text = (
            f"{transformation} needs a function that returns one scalar, and {name} returns "
            f"{traced.structure}.\n  Return the loss alone, or (loss, aux) with has_aux=True."
        )
    elif results[0].type.shape:
        text = (
            f"{transformation} needs a function that returns a scalar, and {name} returns "
            f"{results[0].type}.\n  Reduce it, for example with np.sum or np.mean"
        )
        if is_gradient:
            text += ", or use pb.vjp for a cotangent of its shape"
        text += "."
    elif holomorphic is not None:
        check_holomorphic(traced, holomorphic)
        if results[0].type.dtype.kind != "c":
            text = (
                f"{transformation} with holomorphic=True needs a function that returns a complex "
                f"scalar, and {name} returns {results[0].type}.\n  Leave holomorphic out: for "
                "complex arguments the gradient of a real function is df/da - i df/db."
            )
    elif results[0].type.dtype.kind != "f":
        text = (
            f"{transformation} needs a function that returns a real floating-point scalar, and "
            f"{name} returns {results[0].type}.\n  Return a real loss, for example np.abs(z) ** 2 "
            "or np.real(z)"
        )
        if is_gradient and results[0].type.dtype.kind == "c":
            text += ";\n  for the derivative of a holomorphic function write holomorphic=True"
        text += "."
    if text:
        made = [e.provenance.location for e in traced.function.eqns if e.results[0] in results]
        location = made[-1] if made and traced.structure is LEAF else None
        raise DifferentiationError(
            defined(text, traced.where) if location is None else located(text, location)
        )


def check_holomorphic(traced: Traced, positions: Sequence[int]) -> None:
    """Raise unless parameters of a traced function, those to differentiate, are complex.

    Integers are left aside: where they are allowed, their gradients are zero.

    Raises
    ------
    DifferentiationError
    """
    for k in positions:
        param = traced.function.params[k]
        if param.type.is_inexact and param.type.dtype.kind != "c":
            raise DifferentiationError(
                f"holomorphic=True is for complex arguments, and `{param.hint}` is {param.type}.\n"
                "  Convert it, for example x.astype(complex), or leave holomorphic out."
            )


__all__ = ["check_holomorphic", "check_scalar"]
