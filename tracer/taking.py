"""Straight-line code that knows a signature again and takes the leaves of such a call.

`scan` walks the arguments of a call and builds a key, 0.2 µs for each array and as much again to
look it up. The arguments of a call like one before need only be compared with what is known, part
by part, in code generated for them::

    def take(args, kwargs, objects):
        if kwargs or len(args) != 2:
            return None
        v, v2 = args
        if type(v) is not dict or tuple(v) != c:
            return None
        ...
        (v3,) = v.values()
        if type(v3) is not ndarray or v3.dtype is not c2 or v3.shape != (3,) or v3.strides != (8,):
            return None
        return (v3, v2)

It may miss a call that `scan` would find equal, for example where a dtype is an equal object and
not the same. It takes no call that `scan` would find different, but for arrays that may not be
written to: programs are the same for them, and those that write check it themselves.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .tree import KNOWN_BY_IDENTITY, children_of, flattener, object_key

Take = Callable[[tuple[Any, ...], dict[str, Any], "list[Any] | None"], "tuple[Any, ...] | None"]
"""`take(args, kwargs, objects)`: the leaves, None for another signature.

The opaque objects are appended to `objects` where that is a list.
"""

_LARGEST = 200
"""Leaves and containers of the largest signature that gets code of its own."""
_VALUES = (int, bool, str, bytes)


class _Unknown(Exception):
    """A part of the arguments has no quick test."""


class _Taker:
    def __init__(self) -> None:
        self.constants: dict[str, Any] = {"ndarray": np.ndarray}
        self.lines: list[str] = []
        self.leaves: list[str] = []
        self.objects: list[str] = []
        self.count = 0

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def unless(self, *tests: str) -> None:
        """Leave where one of the tests holds."""
        self.lines += [f"    if {' or '.join(tests)}:", "        return None"]

    def parts(self, values: Sequence[Any], source: str, static: Sequence[bool] = ()) -> None:
        """Take a sequence of known length apart, and each of its items; static ones are tested."""
        names = []
        for _ in values:
            self.count += 1
            names.append(f"v{self.count}")
        if self.count > _LARGEST:
            raise _Unknown
        if names:
            self.lines.append(f"    {', '.join(names)}{',' if len(names) == 1 else ''} = {source}")
        for k, (value, name) in enumerate(zip(values, names, strict=True)):
            if static and static[k]:
                if value is not None and type(value) not in _VALUES:
                    raise _Unknown
                self.value(value, name)
            else:
                self.part(value, name)

    def value(self, value: Any, name: str) -> None:
        """Test a static value."""
        if value is None:
            self.unless(f"{name} is not None")
        else:
            kind = type(value).__name__
            self.unless(f"type({name}) is not {kind}", f"{name} != {self.constant(value)}")

    def part(self, value: Any, name: str) -> None:
        cls: Any = type(value)
        if cls is np.ndarray:
            self.unless(
                f"type({name}) is not ndarray",
                f"{name}.dtype is not {self.constant(value.dtype)}",
                f"{name}.shape != {value.shape}",
                f"{name}.strides != {value.strides}",
            )
            self.leaves.append(name)
        elif cls is float or cls is complex:
            self.unless(f"type({name}) is not {cls.__name__}")
            self.leaves.append(name)
        elif isinstance(value, np.generic):
            if value.dtype.kind not in "biufc":
                raise _Unknown
            self.unless(f"type({name}) is not {self.constant(cls)}")
            self.leaves.append(name)
        elif value is None or cls in _VALUES:
            self.value(value, name)
            if cls is bytes:
                self.objects.append(name)
        elif hasattr(cls, "__pullback_leaf__") or isinstance(value, np.ndarray):
            raise _Unknown
        else:
            self.inside(value, cls, name)

    def inside(self, value: Any, cls: Any, name: str) -> None:
        """Take a container apart; test an opaque object."""
        found = children_of(value)
        if found is None:
            self.opaque(value, cls, name)
            return
        static, children = found
        test = f"type({name}) is not {self.constant(cls)}"
        if cls is dict:
            if not children:
                self.unless(test, name)
                return
            self.unless(test, f"tuple({name}) != {self.constant(static)}")
            self.parts(children, f"{name}.values()")
        elif (flatten := flattener(cls)) is not None:
            self.unless(test)
            self.lines.append(f"    {name}_, {name}s = {self.constant(flatten)}({name})")
            self.unless(f"{name}s != {self.constant(static)}", f"len({name}_) != {len(children)}")
            self.parts(children, f"{name}_")
        elif not isinstance(value, tuple) and cls is not list:
            count = len(getattr(value, "__dict__", ()))
            self.unless(test, *[f"len({name}.__dict__) != {count}"] if count else ())
            fields = "".join([f"{name}.{field}, " for field in static])
            self.parts(children, f"({fields})")
        else:
            self.unless(test, f"len({name}) != {len(children)}")
            self.parts(children, name)

    def opaque(self, value: Any, cls: Any, name: str) -> None:
        """Test an object that is known by its class, or is the same where it cannot change."""
        if isinstance(value, KNOWN_BY_IDENTITY):
            self.unless(f"{name} is not {self.constant(value)}")
        elif object_key(value) is cls:
            self.unless(f"type({name}) is not {self.constant(cls)}")
        elif (
            isinstance(value, types.FunctionType)
            and value.__closure__ is None
            and value.__defaults__ is None
            and value.__kwdefaults__ is None
        ):
            # Its code and defaults could be assigned.
            self.unless(
                f"{name} is not {self.constant(value)}",
                f"{name}.__code__ is not {self.constant(value.__code__)}",
                f"{name}.__defaults__ is not None",
                f"{name}.__kwdefaults__ is not None",
            )
        else:
            raise _Unknown
        self.objects.append(name)


def taker(args: tuple[Any, ...], kwargs: dict[str, Any], static: Sequence[bool]) -> Take | None:
    """Return code that takes the leaves of calls with the signature of this one.

    None if there is none: a part has no quick test. `static` says of each argument, those with
    keywords last, whether it is.
    """
    made = _Taker()
    test = "kwargs" if not kwargs else f"tuple(kwargs) != {made.constant(tuple(kwargs))}"
    made.unless(test, f"len(args) != {len(args)}")
    try:
        made.parts(args, "args", static[: len(args)])
        made.parts(list(kwargs.values()), "kwargs.values()", static[len(args) :])
    except _Unknown:
        return None
    if made.objects:
        made.lines.append("    if objects is not None:")
        made.lines.append(f"        objects += [{', '.join(made.objects)}]")
    leaves = "".join([f"{n}, " for n in made.leaves])
    text = "\n".join(["def take(args, kwargs, objects):", *made.lines, f"    return ({leaves})"])
    exec(compile(text, "<pullback take>", "exec"), made.constants)
    found: Take = made.constants["take"]
    return found


__all__ = ["Take", "taker"]
