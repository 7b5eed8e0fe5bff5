"""Frames: which one is the user's, and how much it costs to know."""

from __future__ import annotations

import dataclasses
import functools
import sys
import timeit
import types
from typing import Any

import numpy as np

from pullback.tracer import source
from pullback.tracer.source import current_location, current_stack, find_user_frame


def internal(function: Any, name: str = "pullback.somewhere") -> Any:
    """Return `function` as if a module of the library `name` had defined it."""
    code = function.__code__.replace(co_filename=f"/libraries/{name}.py")
    space = {**function.__globals__, "__name__": name}
    return types.FunctionType(code, space, function.__name__, None, function.__closure__)


def deep(count: int, function: Any) -> Any:
    """Wrap `function` in `count` library frames."""
    for _ in range(count):

        def wrapper(inner: Any = function) -> Any:
            return inner()

        code = wrapper.__code__.replace(co_filename="/libraries/pullback/deep.py")
        space = {"__name__": "pullback.deep"}
        function = types.FunctionType(code, space, "wrapper", wrapper.__defaults__)
    return function


locate = internal(lambda: current_location())


def test_location_is_the_call_in_the_user_code() -> None:
    location = 1 + 0 and locate()
    assert location is not None
    assert location.file == __file__
    assert location.function == "test_location_is_the_call_in_the_user_code"
    assert location.expression == "locate()"
    assert location.text == "    location = 1 + 0 and locate()"
    assert location.line == sys._getframe().f_code.co_firstlineno + 1


def test_libraries_are_passed_over() -> None:
    class Array(np.lib.mixins.NDArrayOperatorsMixin):
        def __array_ufunc__(self, ufunc: Any, *_: Any, **__: Any) -> Any:
            return locate()

        def __array_function__(self, *_: Any) -> Any:
            return locate()

    locate_method = internal(lambda: locate(), "scipy.linalg")
    x = Array()
    Array.__array_ufunc__ = internal(Array.__array_ufunc__)  # type: ignore[method-assign]
    Array.__array_function__ = internal(Array.__array_function__)  # type: ignore[method-assign]
    assert (x + 1).expression == "x + 1"  # type: ignore[attr-defined]
    assert np.tanh(x).expression == "np.tanh(x)"  # type: ignore[attr-defined]
    assert np.mean(x).expression == "np.mean(x)"  # type: ignore[attr-defined]
    assert locate_method().expression == "locate_method()"


def test_standard_library_is_passed_over() -> None:
    @functools.singledispatch
    def f(x: Any) -> Any:
        return None

    f.register(int, internal(lambda x: current_location()))
    assert f(1).expression == "f(1)"


def test_exec_is_decided_by_its_module() -> None:
    for name, expected in (("pullback.ir.types", "run()"), ("user", None)):
        space: dict[str, Any] = {"__name__": name, "locate": locate}
        exec("def run():\n    return locate()", space)
        run = space["run"]
        location = run()
        if expected is None:
            assert (location.file, location.line) == ("<string>", 2)
        else:
            assert location.expression == expected


def test_generated_programs_are_internal() -> None:
    space: dict[str, Any] = {"locate": locate}
    exec(compile("def run():\n    return locate()", "<pullback loss_grad>", "exec"), space)
    run = space["run"]
    assert run().expression == "run()"


def test_benchmarks_play_the_user() -> None:
    case = internal(lambda: locate(), "pullback.benchmarks.cases.mlp")
    assert case().file == "/libraries/pullback.benchmarks.cases.mlp.py"


def test_dataclass_init_of_the_package_is_passed_over() -> None:
    found: list[Any] = []

    @dataclasses.dataclass(frozen=True)
    class Record:
        x: int

        __post_init__ = internal(lambda self: found.append(current_location()))

    # What `dataclass` makes in a module of the package: `<string>`, with that module's globals.
    init = Record.__init__
    space = {**init.__globals__, "__name__": "pullback.ir.types"}
    Record.__init__ = types.FunctionType(  # type: ignore[method-assign]
        init.__code__, space, "__init__", None, init.__closure__
    )
    Record(1)
    assert found[0].expression == "Record(1)"


def test_stack_goes_up_to_the_entry() -> None:
    space: dict[str, Any] = {}

    def inner() -> Any:
        return list(stack() for _ in range(1))[0]  # noqa: C400, RUF015 - a frame more

    def outer() -> Any:
        return inner()

    def entry() -> Any:
        return outer()

    stack = internal(lambda: current_stack(space["entry"]))
    space["entry"] = entry.__code__
    found = entry()
    assert found[0].expression == "stack()"
    assert found[-1].expression == "inner()"
    names = {location.function.rpartition(".")[2] for location in found}
    assert names == {"inner", "outer"}


def test_stack_without_entry_ends_at_the_program() -> None:
    stack = internal(lambda: current_stack())
    found = stack()
    assert found[0].function == "test_stack_without_entry_ends_at_the_program"
    assert len(found) > 1


def test_user_frame() -> None:
    frame = sys._getframe()
    assert find_user_frame() is frame
    assert deep(3, internal(lambda: find_user_frame()))() is frame


def test_no_user_frame() -> None:
    """Every frame of this call is a library's, so there is no location."""
    found: list[Any] = []
    probe = internal(lambda: found.append(find_user_frame(None)))
    frame = deep(1, probe)
    known = dict(source._is_internal)
    try:
        current: types.FrameType | None = sys._getframe()
        while current is not None:
            source._is_internal[current.f_code.co_filename] = True
            current = current.f_back
        frame()
    finally:
        source._is_internal.clear()
        source._is_internal.update(known)
    assert found == [None]


def test_location_is_cheap() -> None:
    """A microsecond with the user four frames up; the bound leaves room for a busy machine."""
    locate_deep = deep(3, internal(lambda: [current_location() for _ in range(1000)]))
    assert min(timeit.repeat(locate_deep, number=1, repeat=20)) / 1000 < 10e-6
