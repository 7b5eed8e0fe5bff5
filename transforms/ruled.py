"""What `custom_vjp` and `custom_jvp` share: how a function with a rule is called."""

from __future__ import annotations

import functools
import inspect
import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..arguments import Arguments
from ..compiled import check_callable, name_of
from ..ir.errors import ArgumentError
from ..tracer.inputs import Inputs
from ..tracer.nested import inline_call, is_differentiated
from ..tracer.report import expression_here
from ..tracer.state import current, require
from ..tracer.tree import Node, Same, Structure, flatten, unflatten
from .rule_memory import Sharing, shared_memory
from .rule_regions import Given, Open, Returned, RuleParts, call_with_rule
from .rule_results import taken


class Ruled(ABC):
    """A function with a derivative rule; see the subclasses."""

    KIND = ""
    IS_PLAIN = True

    def __init__(
        self,
        function: Callable[..., Any],
        nondiff_argnums: int | Sequence[int] = (),
        nondiff_argnames: str | Sequence[str] = (),
    ) -> None:
        check_callable(self.KIND, function)
        functools.update_wrapper(self, function)
        self.function = function
        self.label = name_of(function)
        self.arguments = Arguments(function, nondiff_argnums, nondiff_argnames)
        self.nondiff = tuple(sorted(self.arguments.static_positions))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        trace = current()
        if trace is None:
            return self.function(*args, **kwargs)
        if not is_differentiated(trace):
            return inline_call(self.function, args, kwargs)
        args = self._positional(args, kwargs)
        self._check(trace.root.inputs)
        given = Given.of(self.arguments, args, trace)
        statics = tuple(map(Same, self.statics(args)))
        return call_with_rule(
            self,
            statics,
            self.label,
            given,
            lambda arrays: self._run(given, args, arrays),
            lambda body: self._rule(given, args, body),
            self.IS_PLAIN,
        )

    def __repr__(self) -> str:
        return f"<pullback.{self.KIND} of {self.label}>"

    @abstractmethod
    def _check(self, inputs: Inputs) -> None:
        """Raise where there is no rule; guard against another one."""

    @abstractmethod
    def _rule(self, given: Given, args: tuple[Any, ...], body: Open) -> RuleParts:
        """Return the rule of a call, whose function is `body` at these arguments."""

    def _positional(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Return the arguments by position, defaults filled in."""
        try:
            bound = inspect.signature(self.function).bind(*args, **kwargs)
        except ValueError:  # a callable without a signature
            return args
        if bound.kwargs:
            names = ", ".join(f"`{n}`" for n in bound.kwargs)
            raise ArgumentError(
                f"{expression_here()}: {self.label} has a derivative rule and takes {names} by "
                "keyword alone; rules are given arguments by position.\n"
                "  Let it be positional, or bind it with functools.partial."
            )
        bound.apply_defaults()
        return bound.args

    def _run(self, given: Given, args: tuple[Any, ...], arrays: Sequence[Any]) -> Returned:
        """Run the function on leaves."""
        output = inline_call(self.function, self.filled(given, args, arrays), {})
        structure, leaves = taken(output, require(self.label))
        found: list[Any] = []
        flatten(output, found)
        return leaves, Sharing(structure, shared_memory(arrays, found))

    def filled(self, given: Given, args: tuple[Any, ...], arrays: Sequence[Any]) -> tuple[Any, ...]:
        """Return the arguments with other leaves."""
        found = unflatten(given.structure, iter(arrays))
        require(self.label).root.inputs.commits.register_arguments(found, None)
        return tuple([args[k] if k in self.nondiff else part for k, part in enumerate(found)])

    def static(self, args: tuple[Any, ...]) -> list[int]:
        """Return the positions of the arguments that the rules are given as they are."""
        return [k for k in self.nondiff if k < len(args)]

    def statics(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments that the rules are given as they are."""
        return tuple([args[k] for k in self.static(args)])

    def names(self, positions: Iterable[int]) -> list[str]:
        """Return what messages call arguments."""
        return [f"`{self.arguments.name(k)}`" for k in positions]

    def about(self, given: Given, count: int) -> list[tuple[str, Structure]]:
        """Return the name and structure of each argument that the rule is about."""
        assert isinstance(given.structure, Node)
        return [
            (self.arguments.name(k), given.structure.children[k])
            for k in range(count)
            if k not in self.nondiff
        ]


__all__ = ["Ruled"]
