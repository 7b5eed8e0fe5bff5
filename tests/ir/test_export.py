"""Exports: the networkx graph, Graphviz text, JSON."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from pullback.ir.core import Eqn, Function, Literal, Provenance, Value
from pullback.ir.equality import equal_up_to_renaming
from pullback.ir.export import from_json, to_dot, to_json, to_networkx
from pullback.ir.location import Location
from pullback.ir.ops import elementwise as ew
from pullback.ir.parser import parse_function
from pullback.ir.types import ArrayType

TEXT = """
def f(h: f64[n], xs: f64[4, n], *, dims=(n >= 1,)) -> (f64[n], f64[4, n]):
    def body(i: i64, h: f64[n], xs: f64[4, n], *, dims=(i, n >= 1)) -> (f64[n], f64[n]):
        row = xs[i]
        s = h * row
        return s, s
    last, all = loop(body, range(4), carry=(h,), captured=(xs,), dims=(n,))
    square = last * last
    return square, all
"""


def test_networkx() -> None:
    graph = to_networkx(parse_function(TEXT))
    assert graph.nodes["p0"] == {
        "kind": "param",
        "op": "",
        "type": "f64[n]",
        "name": "h",
        "line": None,
    }
    assert graph.nodes["e0"]["op"] == "loop"
    assert "e0.0.e1" in graph.nodes["e0"]["regions"][0]
    assert graph.nodes["e0.0.e1"]["op"] == "multiply"
    assert graph.edges["e0", "e1"]["operand"] == (0, 1)
    assert graph.edges["e0", "r1"]["name"] == "all"
    assert set(graph.successors("p1")) == {"e0"}


def test_networkx_has_lines() -> None:
    x, y = (Value(ArrayType(np.dtype("f8"), ()), h) for h in "xy")
    eqn = Eqn(ew.tanh, (x,), (y,), Provenance((Location("/nowhere/m.py", 7),)))
    graph = to_networkx(Function("f", [x], [eqn], [y]))
    assert graph.nodes["e0"]["line"] == 7


def test_networkx_is_imported_when_used() -> None:
    code = "import sys, pullback.ir.export; assert 'networkx' not in sys.modules"
    path = [p for p in sys.path if p.endswith(".src")]
    script = f"import sys; sys.path[:0] = {path!r}; {code}"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_dot() -> None:
    text = to_dot(parse_function(TEXT))
    assert '"p0" -> "e0" [label="h: f64[n]"];' in text
    assert 'subgraph "cluster_e0.0" {' in text
    assert '"e0.0.e0" -> "e0.0.e1"' in text
    assert text.count("{") == text.count("}")
    defined = set(re.findall(r'^\s*("[^"]+") \[label', text, re.MULTILINE))
    used = set(re.findall(r'("[^"]+") ->', text)) | set(re.findall(r'-> ("[^"]+")', text))
    assert used <= defined


def test_dot_escapes_labels(tmp_path: pytest.TempPathFactory) -> None:
    path = f"{tmp_path}/m.py"
    with open(path, "w") as file:
        file.write('y = f("a\\n", x)\n')
    x, y = (Value(ArrayType(np.dtype("f8"), ()), h) for h in "xy")
    eqn = Eqn(ew.add, (x, Literal(np.float64(2))), (y,), Provenance((Location(path, 1),), "vjp"))
    text = to_dot(Function("f", [x], [eqn], [y]))
    assert r'label="y = add 2.0\nline 1: y = f(\"a\\n\", x)", style=dashed' in text


def test_json_round_trip() -> None:
    f = parse_function(TEXT)
    text = to_json(f)
    assert equal_up_to_renaming(f, from_json(text))
    document = json.loads(text)
    loop, product = document["equations"]
    assert loop["attributes"]["trips"] == "4"
    assert loop["regions"][0]["name"] == "body"
    assert product["operands"] == [{"name": "last"}, {"name": "last"}]
    assert product["results"] == [{"name": "square", "type": "f64[n]"}]
    assert document["params"][0] == {"name": "h", "type": "f64[n]", "kind": "array"}


def test_json_holds_large_constants() -> None:
    x, y = (Value(ArrayType(np.dtype("f8"), (1000,)), h) for h in "xy")
    data = Literal(np.arange(1000.0))
    f = Function("f", [x], [Eqn(ew.add, (x, data), (y,))], [y, data])
    assert equal_up_to_renaming(f, from_json(to_json(f)))
