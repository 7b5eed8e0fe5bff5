"""Hidden inputs: what a traced function reads besides its arguments, and the guards on it.

An array reached through a closure, a global, an attribute or an item becomes a trailing parameter
that is read again, by the same access path, at every call. Anything else read that way is guarded
by value: where a guard fails, the function is traced anew. The paths are compiled to one Python
function, `collect(objects)`, which returns the arrays or None.
"""

from __future__ import annotations

import copy
import functools
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..ir.builder import Builder
from ..ir.core import Atom, Value
from ..ir.errors import UnsupportedError
from ..ir.location import Location
from ..ir.ops.random import OBJECT
from ..ir.types import ArrayType, Kind, layout_of
from .array import TracedArray
from .checks import Checks
from .commits import Commits
from .foreign import is_nothing_but_array, read
from .guards import Decision, Guards
from .promotion import check_dtype
from .report import expression_here
from .state import current
from .storage import Storage
from .tree import KNOWN_BY_IDENTITY

Collect = Callable[[list[Any]], "list[Any] | None"]
GENERATORS = (np.random.Generator, np.random.RandomState)
NEVER_CHANGING = (bool, int, float, complex, str, bytes, type(None), np.generic)
WALK_LIMIT = 4096
"""Elements of the largest container that is looked into; larger ones are refused."""


_BINARY = ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")
_OTHER = ("neg", "abs", "bool", "eq", "lt", "gt", "contains", "float", "int")
_OPERATORS = (
    *(f"__{prefix}{name}__" for name in _BINARY for prefix in ("", "r", "i")),
    *(f"__{name}__" for name in _OTHER),
)


def _has_operators(cls: type) -> bool:
    """Whether Python runs functions of the user's for the operators of a class."""
    return any(isinstance(getattr(cls, name, None), types.FunctionType) for name in _OPERATORS)


def _slots(cls: type) -> list[str]:
    """Return the names of the attributes that the objects of a class hold in slots."""
    kinds = [vars(base) for base in cls.__mro__]
    return [n for held in kinds for n, v in held.items() if type(v) is types.MemberDescriptorType]


def _is_compound(value: Any) -> bool:
    return isinstance(value, np.ndarray | list | tuple | dict)


def _items(container: Any) -> Iterable[Any]:
    return container.values() if isinstance(container, dict) else container


def _copied(value: Any, keys: Sequence[Any], items: list[Any]) -> Any:
    """Return a container like `value` of other items."""
    if isinstance(value, tuple):
        return type(value)(*items) if hasattr(type(value), "_fields") else type(value)(items)
    made = copy.copy(value)
    for key, item in zip(keys, items, strict=True):
        made[key] = item
    return made


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
        self.arrays: list[TracedArray] = []
        self._arrays: dict[int, tuple[Any, TracedArray]] = {}
        self._getters: list[str] = []
        self._met: dict[str, np.ndarray] = {}
        """By the name of a constant, what an array without a path held when it was met."""
        self._walking: set[int] = set()
        self._opaque: dict[str, Value] = {}
        self.members: dict[int, TracedArray] = {}
        """By id the arrays that share memory with others."""
        self.buffers: set[Storage] = set()
        """The memory that such arrays share, arguments among them."""
        self.commits = Commits()
        self.is_differentiated = True
        """Whether a derivative of the whole program may be taken."""
        self.memos: dict[Any, Any] = {}
        """What is known of loops and branches by their place in the source."""
        self.calls: dict[types.CodeType, list[Any]] = {}
        """The calls of the user's functions that are under way, by their code."""
        self.recursions: list[Any] = []
        """Those of them that are traced as recursions, innermost last."""
        self.guards = Guards(builder)
        self.checks = Checks()
        self.catching: list[frozenset[str]] = []
        """What the `try` statements under way catch, by the names of the exceptions; empty: all."""
        self.decisions: list[Decision] = []
        """What became of loops and branches, in the order in which they were met."""
        self.print_options: dict[str, Any] = {}
        self.errors: dict[str, str] = {}

    @property
    def kinds(self) -> list[Kind]:
        """The kinds of the hidden inputs."""
        return [a._kind for a in self.arrays]

    def report(self, location: Location, what: str, why: str = "") -> None:
        """Note what became of a loop or branch, for `explain`: "staged", "unrolled 3 times"."""
        self.decisions.append(Decision(location, what, why))

    # -- paths -------------------------------------------------------------------------------------

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
        """Record that the function read `value` at `path`.

        Returns
        -------
        object
            The value; for an array a traced one, for a container with arrays a copy with traced
            ones.
        """
        if isinstance(value, TracedArray):
            return value
        if path in self._loaded:
            return self._loaded[path]
        variable = self._variable(path)
        self._loaded[path] = value
        self._loaded[path] = result = self._load(path, variable, value, hint)
        return result

    def _load(self, path: str, variable: str, value: Any, hint: str | None) -> Any:
        if isinstance(value, np.ndarray):
            return self._load_array(variable, value, hint)
        if isinstance(value, list | tuple | dict | deque | set):
            read = self._container(path, variable, value)
            self.commits.read(value, read)
            return read
        if isinstance(value, bool | int | float | complex | str | bytes | np.generic):
            name = self.constant(value)
            kind = self.constant(type(value))
            self.check(
                f"type({variable}) is not {kind} or ({variable} != {name} and "
                f"not ({variable} != {variable} and {name} != {name}))"
            )
            if not isinstance(value, str | bytes) and value == 0:
                self.check(f"str({variable}) != {str(value)!r}")  # -0.0 equals 0.0
            return value
        if isinstance(value, types.MethodType):
            self.method(variable, value)
            return value
        if is_nothing_but_array(value):
            return self._load_foreign(path, variable, value, hint)
        if isinstance(value, GENERATORS):
            # Another of its class serves as well: the program draws from the one it is given.
            known = self.path_of(value)
            self.check(f"type({variable}) is not {self.constant(type(value))}")
            if known is not None:
                self.check(f"{variable} is not {self._variable(known)}")
        else:
            self.check(f"{variable} is not {self.constant(value)}")
        self.hold(value, path)
        return value

    def hold(self, value: Any, path: str) -> None:
        """Record an object that stands at a path: what is read from it is read again.

        So is what a method is bound to, and what a partial function holds.
        """
        known = self.path_of(value)
        if known is not None and known != path:
            self.check(f"{self._variable(path)} is not {self._variable(known)}")
            return
        self.register(value, path)
        if isinstance(value, types.MethodType):
            self.hold(value.__self__, f"{path}.__self__")
        elif isinstance(value, functools.partial):
            self.hold(value.func, f"{path}.func")
            for k, part in enumerate(value.args):
                self._hold_part(part, f"{path}.args[{k}]")
            for name, part in value.keywords.items():
                self._hold_part(part, f"{path}.keywords[{name!r}]")
        if _has_operators(type(value)) and not isinstance(value, type):
            # Operators of the user's class run as they are: all that they may read is guarded.
            # A class whose metaclass has some, such as an enumeration, is known by identity.
            if hasattr(value, "__dict__"):
                self.load(f"{path}.__dict__", vars(value))
            for name in _slots(type(value)):
                if hasattr(value, name):
                    self.load(f"{path}.{name}", getattr(value, name))

    def _hold_part(self, value: Any, path: str) -> None:
        if _is_compound(value):
            self.load(path, value)
        elif not isinstance(value, (*NEVER_CHANGING, *KNOWN_BY_IDENTITY)):
            self.hold(value, path)

    def _load_array(self, variable: str, value: np.ndarray, hint: str | None) -> Any:
        if type(value) is np.ndarray and value.dtype.kind in "biufc":
            self._guard_array(variable, value)
            return self._array_at(value, variable, hint)
        if value.dtype.kind == "O":
            check_dtype(value.dtype)
        kept = self.constant(value.copy())
        same = self.constant(np.array_equal)
        self.check(
            f"type({variable}) is not type({kept}) or {variable}.dtype != {kept}.dtype or "
            f"not {same}({variable}, {kept})"
        )
        return value

    def _load_foreign(self, path: str, variable: str, value: Any, hint: str | None) -> Any:
        """Read an array of another library, as an ndarray, again at every call."""
        self.check(f"type({variable}) is not {self.constant(type(value))}")
        array = self._variable(f"{self.constant(read)}({variable}, {path!r})")
        return self._load_array(array, read(value, path), hint)

    def foreign(self, value: Any) -> Any:
        """Return an array of another library, met where an array is wanted, as a traced one."""
        path = self.path_of(value) or self.constant(value)
        known = f"{self.constant(read)}({path})"
        if known not in self._loaded:
            array = self._load_foreign(path, self._variable(path), value, None)
            self._loaded[known] = array
        return self._loaded[known]

    def method(self, variable: str, value: types.MethodType) -> None:
        """Guard a bound method that stands in `variable`: its function, and what it is bound to."""
        self.check(f"{variable}.__func__ is not {self.constant(value.__func__)}")
        if self.path_of(value.__self__) is None:
            self.check(f"{variable}.__self__ is not {self.constant(value.__self__)}")
            self.register(value.__self__, f"{variable}.__self__")

    def _container(self, path: str, variable: str, value: Any) -> Any:
        self.register(value, path)
        kind = self.constant(type(value))
        if isinstance(value, set) or len(value) > WALK_LIMIT:
            if not isinstance(value, set) and any(map(_is_compound, _items(value))):
                raise UnsupportedError(
                    f"{expression_here()} reads a {type(value).__name__} of {len(value)} elements, "
                    f"and only {WALK_LIMIT} are looked into.\n  Put the arrays into one array, or "
                    "pass the container as an argument."
                )
            kept = self.constant(copy.copy(value))
            self.check(f"type({variable}) is not {kind} or {variable} != {kept}")
            return value
        if id(value) in self._walking:  # a container that holds itself
            self.check(f"{variable} is not {self.constant(value)}")
            return value
        self._walking.add(id(value))
        keys: Sequence[Any] = range(len(value))
        if isinstance(value, dict):
            keys = list(value)
            self.check(
                f"type({variable}) is not {kind} or list({variable}) != {self.constant(keys)}"
            )
            lifted = [self.load(f"{variable}[{self.constant(k)}]", value[k]) for k in keys]
        else:
            self.check(f"type({variable}) is not {kind} or len({variable}) != {len(value)}")
            lifted = [self.load(f"{variable}[{k}]", item) for k, item in enumerate(value)]
        self._walking.discard(id(value))
        if all(a is b for a, b in zip(lifted, _items(value), strict=True)):
            return value
        result = _copied(value, keys, lifted)
        self.register(result, path)
        return result

    def item(self, owner: Any, key: Any, value: Any) -> Any:
        """Record that `owner[key]` was read."""
        path = self.path_of(owner)
        if path is None:
            return self.lift(value)
        if isinstance(key, int) and not isinstance(key, bool) and isinstance(owner, list | tuple):
            return self.load(f"{self._variable(path)}[{key % len(owner)}]", value)
        return self.load(f"{self._variable(path)}[{self.constant(key)}]", value)

    def attribute(self, owner: Any, name: str, value: Any) -> Any:
        """Record that `owner.name` was read."""
        path = self.path_of(owner)
        if path is None:
            return self.lift(value)
        return self.load(self.path_to(owner, name), value, name)

    def path_to(self, owner: Any, name: str) -> str:
        """Return the path to an attribute of an object that has one."""
        path = self.path_of(owner)
        assert path is not None
        return f"{self._variable(path)}.{name}"

    def has_loaded(self, path: str) -> bool:
        """Whether what stands at a path has been read."""
        return path in self._loaded

    def expect(self, path: str, kind: type) -> None:
        """Guard the type of what stands at a path."""
        self.check(f"type({self._variable(path)}) is not {self.constant(kind)}")

    def opaque(self, value: Any, path: str | None = None) -> Value:
        """Return the parameter for an object that the program is given as it is, at every call."""
        path = path or self.path_of(value) or self.constant(value)
        param = self._opaque.get(path)
        if param is None:
            param = self._opaque[path] = self.builder.param(Value(OBJECT, path.rpartition(".")[2]))
            trace = current()
            assert trace is not None
            self.arrays.append(TracedArray(param, Kind.SCALAR, trace.root))
            self.values.append(param)
            self._getters.append(self._variable(path))
        return param

    def lift(self, value: Any) -> Any:
        """Return an array as a traced one that stands for this very object."""
        if type(value) is np.ndarray and value.dtype.kind in "biufc":
            return self._of(value)
        return value

    def holds(self, value: Any) -> bool:
        """Whether an array has been met, so that a write into it is seen by all its readers."""
        known = self._arrays.get(id(value))
        return known is not None and known[0] is value

    def array(self, value: np.ndarray) -> Atom:
        """Return what an array met without a known path holds now."""
        return self._of(value)._atom

    def _of(self, value: np.ndarray) -> TracedArray:
        known = self._arrays.get(id(value))
        if known is not None and known[0] is value:
            return known[1]
        check_dtype(value.dtype)
        return self._array_at(value, self.constant(value), None)

    def _variable(self, path: str) -> str:
        name = self._variables.get(path)
        if name is None:
            if path.isidentifier():
                return path
            name = self._variables[path] = f"v{len(self._variables)}"
            self._lines.append(f"{name} = {path}")
        return name

    # -- guards ------------------------------------------------------------------------------------

    def check(self, condition: str) -> None:
        """Add a guard: where the condition holds, the program is not for this call."""
        self._lines.append(f"if {condition}: return None")

    def _guard_array(self, variable: str, value: np.ndarray) -> None:
        shape, strides = value.shape, value.strides
        self.check(
            f"type({variable}) is not ndarray or {variable}.dtype != {self.constant(value.dtype)} "
            f"or {variable}.shape != {shape} or {variable}.strides != {strides}"
        )

    def _array_at(self, value: np.ndarray, source: str, hint: str | None) -> TracedArray:
        trace = current()
        assert trace is not None
        known = self._arrays.get(id(value))
        if known is not None and known[0] is value:
            # Two paths to one object now may lead to two later: the second must stay the same.
            position = next(k for k, a in enumerate(self.arrays) if a is known[1])
            if self._getters[position] != source:
                self.check(f"{source} is not {self._getters[position]}")
            return known[1]
        param = Value(ArrayType(value.dtype, value.shape), hint, layout=layout_of(value))
        self.builder.param(param)
        array = self.members.get(id(value))
        if array is None:
            array = TracedArray(param, Kind.ARRAY, trace.root)
        self._arrays[id(value)] = (value, array)
        self.arrays.append(array)
        self.values.append(param)
        self._getters.append(source)
        if source in self._constants and value.base is None:
            self._met[source] = value.copy(order="K")
        self.guards.give(param, Kind.ARRAY, self._met.get(source, value))
        return array

    def _anew(self) -> dict[str, Any]:
        """Return by name what arrays held that Python's own code has made while tracing.

        Nobody else refers to them: each run starts from what they held when they were met.
        """
        sample = np.empty(0)
        constants, kept = {"sample": sample}, (sample, None)
        del sample
        alone = sys.getrefcount(kept[0])
        del constants
        known = {id(self._constants[name]): name for name in self._met}
        held = [(known[k], v) for k, v in self._arrays.items() if k in known]
        return {name: self._met[name] for name, v in held if sys.getrefcount(v[0]) <= alone}

    def collector(self) -> Collect | None:
        """Return the compiled guards; None where the function reads nothing hidden."""
        if not self._lines and not self._getters:
            return None
        anew = {f"{name}_anew": value for name, value in self._anew().items()}
        getters = [f"{g}_anew.copy('K')" if f"{g}_anew" in anew else g for g in self._getters]
        body = "\n".join(f"        {line}" for line in self._lines)
        text = (
            f"def collect(objects):\n    try:\n{body or '        pass'}\n"
            "    except (AttributeError, LookupError, NameError, TypeError, ValueError):\n"
            f"        return None\n    return [{', '.join(getters)}]\n"
        )
        namespace = {**self._constants, **anew}
        exec(compile(text, "<pullback guards>", "exec"), namespace)  # our own text
        collect: Collect = namespace["collect"]
        return collect
