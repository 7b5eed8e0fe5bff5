"""Making an object of a user's class while his function is traced.

`Grid(8)` runs `__init__`, which may make arrays and keep them. Run by Python they would be arrays
that live on: each run of the program would find what the run before has written.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Callable
from typing import Any

from .loads import is_library

NATIVE: Any = object()
"""Says that Python itself makes the object."""


def construct(made: type, args: Any, kwargs: Any, call: Callable[..., Any]) -> Any:
    """Return `made(*args, **kwargs)` with its methods run by `call`, or `NATIVE`."""
    cls: Any = made
    if type(cls).__call__ is not type.__call__ or is_library(cls):
        return NATIVE
    new, init = cls.__new__, cls.__init__
    is_made = init is object.__init__
    if not (_is_users(new) if is_made else _is_users(init) or _is_dataclass(cls)):
        return NATIVE
    value = (call if _is_users(new) else _apply)(new, cls, *args, **kwargs)
    if is_made or not isinstance(value, cls):
        return value
    if _is_users(init):
        call(init, value, *args, **kwargs)
    else:
        _fill(value, args, kwargs, call)
    return value


def _apply(function: Any, *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


def _is_dataclass(cls: Any) -> bool:
    """Whether the `__init__` is the one that `dataclass` has made."""
    init: Any = vars(cls).get("__init__")
    is_made = isinstance(init, types.FunctionType) and _is_generated(init)
    return is_made and dataclasses.is_dataclass(cls) and not _is_users(cls.__setattr__)


def _is_users(function: Any) -> bool:
    is_function = isinstance(function, types.FunctionType)
    return is_function and not is_library(function) and not _is_generated(function)


def _is_generated(function: Any) -> bool:
    return str(function.__code__.co_filename).startswith("<string")


def _fill(value: Any, args: Any, kwargs: Any, call: Callable[..., Any]) -> None:
    """Do what the `__init__` of a dataclass does: its factories and `__post_init__` make arrays."""
    signature = inspect.signature(type(value).__init__)
    bound = signature.bind(value, *args, **kwargs).arguments
    fields = dataclasses.fields(value)
    for field in fields:
        if field.name in bound:
            content = bound[field.name]
        elif field.default_factory is not dataclasses.MISSING:
            content = call(field.default_factory)
        elif field.default is not dataclasses.MISSING:
            content = field.default
        else:
            continue
        object.__setattr__(value, field.name, content)
    post = getattr(type(value), "__post_init__", None)
    if post is not None:
        real = {field.name for field in fields}
        _, *parameters = signature.parameters.values()
        only = [bound.get(p.name, p.default) for p in parameters if p.name not in real]
        call(post, value, *only)
