"""`explain`: what became of each loop and branch, and why each program was made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.location import Location
from pullback.tracer.state import current

TABLE = [2.0, 3.0, 5.0]


def branches(x: Any, k: Any) -> Any:
    total = np.sum(x) * TABLE[k]
    for _ in TABLE:
        if bool(total > 1):
            total = total / 2
    return {True: np.sin, False: np.cos}[total > 0.75](total)


def test_a_row_for_each_place_with_its_line_and_what_happened() -> None:
    compiled = pb.compile(branches)
    found = compiled.explain(np.ones(2), np.int64(1))
    first = branches.__code__.co_firstlineno
    rows = {r.code: r for r in found.rows}
    assert rows["TABLE[k]"].what == "specialised: 1"
    assert rows["bool(total > 1)"].what == "specialised: True (3 times)"
    chosen = rows["{True: np.sin, False: np.cos}[total > 0.75]"]
    assert (chosen.line, chosen.what) == (first + 5, "specialised: False")
    assert all(r.file == __file__ for r in found.rows)
    assert found.retraces == ()
    assert compiled.cache_info().misses == 0


def test_the_table() -> None:
    compiled = pb.compile(branches)
    compiled(np.ones(2), np.int64(1))
    compiled(np.ones(2), np.int64(0))
    lines = str(compiled.explain(np.ones(2), np.int64(1))).splitlines()
    assert lines[0].startswith("branches: ")
    assert lines[0].endswith("loops and branches")
    line = branches.__code__.co_firstlineno + 1
    (row,) = [text for text in lines if "TABLE[k]" in text and text.endswith(": 1")]
    assert row.split() == [f"test_explain.py:{line}", "TABLE[k]", "specialised:", "1"]
    assert lines[-3:] == [
        "2 programs",
        "  1  the first call",
        f"  2  `TABLE[k]` at test_explain.py:{line} is 0, not 1",
    ]


@pytest.mark.parametrize("transform", [pb.compile, pb.grad, pb.value_and_grad])
def test_each_transformation_has_it(transform: Any) -> None:
    transformed = transform(branches)
    transformed(np.ones(2), np.int64(2))
    found = transformed.explain(np.ones(2), np.int64(2))
    assert "TABLE[k]" in [r.code for r in found.rows]
    assert [r.reasons for r in found.retraces] == [("the first call",)]


def test_a_function_without_branches() -> None:
    found = pb.compile(np.tanh).explain(1.0)
    assert str(found) == "tanh: no loops and branches\nno programs"


def test_what_differed_from_the_nearest_program() -> None:
    def f(x: Any, scale: Any, mode: str = "plain") -> Any:
        return x * scale if mode == "plain" else x

    compiled = pb.compile(f)
    for args in (
        (np.ones(3), 2.0),
        (np.ones(4), 2.0),
        (np.ones(4, np.float32), 2.0),
        (np.ones((3, 3)).T[:, 0].reshape(3, 1)[::-1], 2.0),
        (np.ones(4), 2),
        (np.ones(4), 2, "other"),
        ({"a": np.ones(3)}["a"], np.float64(2.0)),
    ):
        compiled(*args)
    reasons = [r.reasons for r in compiled.explain(np.ones(3), 2.0).retraces]
    assert reasons == [
        ("the first call",),
        ("`x` is f64[4], not f64[3]",),
        ("`x` is f32[4], not f64[4]",),
        ("`x` is f64[3, 1], strides [-8, 8], not f32[4]",),
        ("`scale` is 2, not f64 (python)",),
        ("`mode` is 'other', not absent",),
        ("`scale` is f64 (scalar), not f64 (python)",),
    ]


def test_structures_and_what_is_read_from_outside() -> None:
    offsets = {"shift": 1}

    def f(params: Any) -> Any:
        return sum(params.values()) + offsets["shift"]

    compiled = pb.compile(f)
    compiled({"a": 1.0})
    compiled({"a": 1.0, "b": 2.0})
    offsets["shift"] = 2
    compiled({"a": 1.0})
    reasons = [r.reasons for r in compiled.explain({"a": 1.0}).retraces]
    assert reasons[1][0].startswith("`params` is ")
    assert "`params['b']` is f64 (python), not absent" in reasons[1]
    assert reasons[2] == ("something that the function reads from outside has changed",)


def test_drivers_report_through_the_inputs() -> None:
    here = Location("model.py", 3, "step")

    def f(x: Any) -> Any:
        trace = current()
        if trace is not None:
            trace.root.inputs.report(here, "unrolled 3 times", "it appends to a set")
        return x

    rows = pb.compile(f).explain(np.ones(2)).rows
    assert ("model.py", 3, "unrolled 3 times", "it appends to a set") in [
        (r.file, r.line, r.what, r.why) for r in rows
    ]
