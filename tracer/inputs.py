"""Hidden inputs: what a traced function reads besides its arguments, and the guards on it.

An array reached through a closure, a global, an attribute or an item becomes a trailing parameter that
is read again, by the same access path, at every call. Anything else read that way is guarded by value:
where a guard fails, the function is traced anew. The paths are compiled to one Python function,
`collect(objects)`, which returns the arrays or None.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.builder import Builder
from ..ir.core import Atom, Value
from ..ir.types import ArrayType, Kind, layout_of
from .array import TracedArray, check_dtype
from .state import current

Collect = Callable[[list[Any]], "list[Any] | None"]
WALK_LIMIT = 4096
"""Elements of the largest container that is looked into; larger ones are refused."""


class Inputs:
    """The hidden inputs of one trace."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.values: list[Value] = []
        self._lines: list[str] = []
        self._constants: dict[str, Any] = {"ndarray": np.ndarray}
        self._constant_names: dict[int, str] = {}
        self._variables: dict[str, str] = {}
        self._loaded: dict[str, Any] = {}
        self._paths: dict[int, tuple[Any, str]] = {}
        self._arrays: dict[int, tuple[Any, Value]] = {}
        self._getters: list[str] = []

    # -- paths ----------------------------------------------------------------------------------------

    def constant(self, value: Any) -> str:
        """Return the name of a constant of the guard function."""
        name = self._constant_names.get(id(value))
        if name is None:
            name = self._constant_names[id(value)] = f"c{len(self._constants)}"
            self._constants[name] = value
        return name

    def path_of(self, value: Any) -> str | None:
        """Return the path by which an object was reached, None if by none."""
        found = self._paths.get(id(value))
        return found[1] if found is not None and found[0] is value else None

    def register(self, value: Any, path: str) -> None:
        """Record that an object stands at a path, so that what is read from it has one."""
        self._paths.setdefault(id(value), (value, path))

    def load(self, path: str, value: Any, hint: str | None = None) -> Any:
        """Record that the function read `value` at `path`; return it, traced if it is an array."""
        if path in self._loaded:
            return self._loaded[path]
        variable = self._variable(path)
        self._loaded[path] = value
        if type(value) is np.ndarray and value.dtype.kind in "biufc":
            self._guard_array(variable, value)
            result = self._array_at(value, variable, hint)
            self._loaded[path] = result
            return result
        if isinstance(value, list | tuple | dict) and type(value) in (list, tuple, dict):
            return self._container(path, variable, value)
        if isinstance(value, bool | int | float | complex | str | bytes | np.generic):
            name = self.constant(value)
            kind = self.constant(type(value))
            self._check(f"type({variable}) is not {kind} or ({variable} != {name} and "
                        f"not ({variable} != {variable} and {name} != {name}))")
        elif isinstance(value, types.MethodType):
            pass  # its object and class are guarded where they were read
        else:
            self._check(f"{variable} is not {self.constant(value)}")
            self.register(value, path)
        return value

    def _container(self, path: str, variable: str, value: Any) -> Any:
        if len(value) > WALK_LIMIT:
            self._check(f"{variable} is not {self.constant(value)}")
            return value
        self.register(value, path)
        kind = self.constant(type(value))
        if isinstance(value, dict):
            self._check(f"type({variable}) is not {kind} or "
                        f"list({variable}) != {self.constant(list(value))}")
            for key, item in value.items():
                self.load(f"{variable}[{self.constant(key)}]", item)
            return value
        self._check(f"type({variable}) is not {kind} or len({variable}) != {len(value)}")
        lifted = [self.load(f"{variable}[{k}]", item) for k, item in enumerate(value)]
        if isinstance(value, tuple) and any(isinstance(v, TracedArray) for v in lifted):
            self._loaded[path] = tuple(lifted)
            return self._loaded[path]
        return value

    def item(self, owner: Any, key: Any, value: Any) -> Any:
        """Record that `owner[key]` was read."""
        path = self.path_of(owner)
        if path is None or type(owner) not in (list, tuple, dict):
            return value
        if isinstance(owner, dict):
            return self.load(f"{self._variable(path)}[{self.constant(key)}]", value)
        if isinstance(key, int) and not isinstance(key, bool):
            return self.load(f"{self._variable(path)}[{key % len(owner)}]", value)
        return value

    def attribute(self, owner: Any, name: str, value: Any) -> Any:
        """Record that `owner.name` was read."""
        path = self.path_of(owner)
        if path is None:
            return self.lift(value)
        return self.load(f"{self._variable(path)}.{name}", value, name)

    def lift(self, value: Any) -> Any:
        """Return an array as a traced one that stands for this very object."""
        if type(value) is np.ndarray and value.dtype.kind in "biufc":
            trace = current()
            assert trace is not None
            return TracedArray(self.array(value), Kind.ARRAY, trace)
        return value

    def array(self, value: np.ndarray) -> Atom:
        """Return the parameter that stands for an array met without a known path."""
        known = self._arrays.get(id(value))
        if known is not None and known[0] is value:
            return known[1]
        check_dtype(value.dtype)
        name = self.constant(value)
        return self._array_at(value, name, None)._atom

    def _variable(self, path: str) -> str:
        name = self._variables.get(path)
        if name is None:
            if path.isidentifier():
                return path
            name = self._variables[path] = f"v{len(self._variables)}"
            self._lines.append(f"{name} = {path}")
        return name

    # -- guards ---------------------------------------------------------------------------------------

    def _check(self, condition: str) -> None:
        self._lines.append(f"if {condition}: return None")

    def _guard_array(self, variable: str, value: np.ndarray) -> None:
        shape, strides = value.shape, value.strides
        self._check(
            f"type({variable}) is not ndarray or {variable}.dtype != {self.constant(value.dtype)} or "
            f"{variable}.shape != {shape} or {variable}.strides != {strides}"
        )

    def _array_at(self, value: np.ndarray, source: str, hint: str | None) -> TracedArray:
        trace = current()
        assert trace is not None
        known = self._arrays.get(id(value))
        if known is not None and known[0] is value:
            # Two paths to one object now may lead to two later: the second must stay the same.
            position = self.values.index(known[1])
            if self._getters[position] != source:
                self._check(f"{source} is not {self._getters[position]}")
            return TracedArray(known[1], Kind.ARRAY, trace)
        param = Value(ArrayType(value.dtype, value.shape), hint, layout=layout_of(value))
        self.builder.param(param)
        self._arrays[id(value)] = (value, param)
        self.values.append(param)
        self._getters.append(source)
        return TracedArray(param, Kind.ARRAY, trace)

    def collector(self) -> Collect | None:
        """Return the compiled guards; None where the function reads nothing hidden."""
        if not self._lines and not self._getters:
            return None
        body = "\n".join(f"        {line}" for line in self._lines)
        text = (
            f"def collect(objects):\n    try:\n{body or '        pass'}\n"
            "    except (AttributeError, LookupError, NameError, TypeError, ValueError):\n"
            f"        return None\n    return [{', '.join(self._getters)}]\n"
        )
        namespace = dict(self._constants)
        exec(compile(text, "<pullback guards>", "exec"), namespace)  # our own text
        collect: Collect = namespace["collect"]
        return collect
