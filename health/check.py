"""`health`: how the gradient of a function fares on its way back through the program."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arguments import Argnums, Arguments
from ..compiled import Compiled, builder, check_callable, gradient_structure, name_of
from ..entries import Call, GuardedEntry, Programs
from ..ir.core import Function
from ..ir.errors import UnsupportedError
from ..ir.evaluate import evaluate
from ..losses import check_scalar
from ..passes.observe import observe
from ..passes.reverse import reverse
from ..tracer.state import current
from .problems import Thresholds
from .recording import Recording
from .report import Found, Health


class _Entry(GuardedEntry):
    """The joint function of a call, observed; each run leaves its recording in `last`."""

    __slots__ = ("build", "joint", "last", "sites", "wanted")

    def __init__(self, owner: HealthCheck, call: Call) -> None:
        arguments = owner.arguments
        wanted = arguments.wanted(call.args, call.kwargs, owner.argnums, owner.allow_int)
        super().__init__(
            owner.function,
            arguments,
            call,
            name=owner.name,
            has_aux=owner.has_aux,
            wanted=wanted,
        )
        check_scalar("health", self.traced)
        self.wanted = wanted.positions
        observed, self.sites = observe(self.traced.function)
        self.joint = reverse(observed, wanted.positions)
        self.last: Recording | None = None
        self.build = builder(self.traced, gradient_structure(wanted), "value_and_grad")

    def run(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        recording = Recording(self.sites)
        with np.errstate(all="ignore"):  # the report says what is not finite
            flat = evaluate(self.joint, *inputs, observer=recording)
        self.last = recording
        return tuple(flat)

    @property
    def function(self) -> Function:
        """The function as traced, which the sites are about."""
        return self.traced.function


class HealthCheck:
    """What `health` returns: takes the function's arguments and returns a `Health`."""

    def __init__(
        self,
        function: Callable[..., Any],
        argnums: Argnums,
        has_aux: bool,
        allow_int: bool,
        thresholds: Thresholds,
        jacobians: int,
    ) -> None:
        self.first: tuple[Any, ...] = ()
        self.named: dict[str, Any] = {}
        if isinstance(function, functools.partial) and isinstance(function.func, Compiled):
            self.first, self.named = function.args, function.keywords  # a method
            function = function.func
        static: tuple[Any, Any] = (), ()
        if isinstance(function, Compiled):
            given = function.options
            static = (), sorted(function.arguments.static_names)
            if given.mode != "compile":
                argnums, has_aux, allow_int = given.argnums, given.has_aux, given.allow_int
            function = function.function
        check_callable("health", function)
        self.function = function
        self.name = name_of(function)
        self.arguments = Arguments(function, *static)
        self.argnums = argnums
        self.has_aux = has_aux
        self.allow_int = allow_int
        self.thresholds = thresholds
        self.jacobians = jacobians
        self.programs = Programs(self.name, self.arguments, self._entry)
        self._lock = threading.RLock()

    def _entry(self, call: Call) -> _Entry:
        return _Entry(self, call)

    def __call__(self, *args: Any, **kwargs: Any) -> Health:
        if current() is not None:
            raise UnsupportedError(
                f"the health of {self.name} is asked for in a function that is being traced, where "
                "nothing runs.\n  Ask for that of the outer function."
            )
        with self._lock:
            entry, flat = self.programs.run((*self.first, *args), {**self.named, **kwargs})
            recording, entry.last = entry.last, None
        assert recording is not None  # it has just run
        value, gradient = entry.build(flat)
        found = Found(self.name, entry.function, recording, entry.wanted)
        return Health(found, value, gradient, self.thresholds, self.jacobians)

    def __repr__(self) -> str:
        return f"<pullback.health of {self.name}>"


__all__ = ["HealthCheck"]
