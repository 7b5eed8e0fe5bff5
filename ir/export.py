"""Exports functions to other tools: networkx, Graphviz, JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .attributes import format_attribute
from .core import Atom, Eqn, Function, Literal, Value
from .literals import Constants
from .names import Names
from .op import Op
from .parser import parse_function
from .printer import constants_of, print_function
from .signature import DimNames, dtype_name

if TYPE_CHECKING:
    import networkx


def to_networkx(function: Function) -> networkx.DiGraph[str]:
    """Return the dataflow as a directed graph.

    Nodes are `p0` (parameters), `e3` (equations), `r1` (results), and `e3.0.e1` inside region 0 of
    equation 3. Attributes: `kind` (`param`, `equation`, `result`), `op`, `type`, `name`, `line`,
    and of an equation with regions their nodes as `regions`. An edge says which `operand` it is.
    """
    import networkx

    graph = networkx.DiGraph(name=function.name)
    _add_function(graph, function, "")
    return graph


def _add_function(graph: Any, function: Function, prefix: str) -> list[str]:
    """Add a function's nodes under a prefix and return them."""
    names = _names(function)
    producers: dict[Value, str] = {}
    nodes: list[str] = []

    def add(node: str, kind: str, **attributes: Any) -> None:
        graph.add_node(node, kind=kind, **attributes)
        nodes.append(node)

    def connect(atoms: tuple[Atom, ...], node: str) -> None:
        for number, atom in enumerate(atoms):
            if isinstance(atom, Value) and graph.has_edge(producers[atom], node):
                edge = graph.edges[producers[atom], node]
                edge["operand"] = (*edge["operand"], number)
            elif isinstance(atom, Value):
                graph.add_edge(producers[atom], node, operand=(number,), name=names(atom))

    for number, param in enumerate(function.params):
        node = f"{prefix}p{number}"
        producers[param] = node
        add(node, "param", op="", type=str(param.type), name=names(param), line=None)
    for number, eqn in enumerate(function.eqns):
        node = f"{prefix}e{number}"
        add(node, "equation", op=str(eqn.op.name), **_facts(eqn, names))
        connect(eqn.operands, node)
        producers.update(dict.fromkeys(eqn.results, node))
        regions = [
            _add_function(graph, region, f"{node}.{index}.")
            for index, region in enumerate(eqn.op.regions)
        ]
        if regions:
            graph.nodes[node]["regions"] = regions
    for number, result in enumerate(function.results):
        node = f"{prefix}r{number}"
        name = names(result) if isinstance(result, Value) else str(result.value)
        add(node, "result", op="", type=str(result.type), name=name, line=None)
        connect((result,), node)
    return nodes


def _names(function: Function) -> Names:
    values = [*function.params, *(r for eqn in function.eqns for r in eqn.results)]
    names = Names(values)
    for value in values:
        names(value)
    return names


def _facts(eqn: Eqn, names: Names) -> dict[str, Any]:
    location = eqn.provenance.location
    return {
        "type": ", ".join(str(r.type) for r in eqn.results),
        "name": ", ".join(map(names, eqn.results)),
        "line": None if location is None else location.line,
    }


# ---- Graphviz ----------------------------------------------------------------------------------


def to_dot(function: Function) -> str:
    """Return the dataflow in Graphviz's language, regions as boxes."""
    lines = ["digraph {", "  rankdir=TB; node [shape=box, fontname=monospace];"]
    lines += _dot_function(function, "", "  ")
    return "\n".join([*lines, "}"]) + "\n"


def _dot_function(function: Function, prefix: str, indent: str) -> Iterator[str]:
    names = _names(function)
    producers: dict[Value, str] = {}
    edges: list[str] = []

    def node(name: str, label: str, **style: str) -> str:
        options = "".join(f", {k}={v}" for k, v in style.items())
        return f"{indent}{_quoted(name)} [label={_quoted(label)}{options}];"

    def connect(atoms: tuple[Atom, ...], target: str) -> None:
        for atom in atoms:
            if isinstance(atom, Value):
                label = _quoted(f"{names(atom)}: {atom.type}")
                edges.append(
                    f"{indent}{_quoted(producers[atom])} -> {_quoted(target)} [label={label}];"
                )

    for number, param in enumerate(function.params):
        producers[param] = f"{prefix}p{number}"
        yield node(producers[param], f"{names(param)}: {param.type}", shape="ellipse")
    for number, eqn in enumerate(function.eqns):
        name = f"{prefix}e{number}"
        yield node(name, _label(eqn, names), **_adjoint_style(eqn))
        connect(eqn.operands, name)
        producers.update(dict.fromkeys(eqn.results, name))
        for index, region in enumerate(eqn.op.regions):
            yield f"{indent}subgraph {_quoted(f'cluster_{name}.{index}')} {{"
            yield f"{indent}  label={_quoted(f'{eqn.op.name}: {region.name}')};"
            yield from _dot_function(region, f"{name}.{index}.", f"{indent}  ")
            yield f"{indent}}}"
    for number, result in enumerate(function.results):
        text = names(result) if isinstance(result, Value) else str(result.value)
        yield node(f"{prefix}r{number}", f"return {text}: {result.type}", shape="ellipse")
        connect((result,), f"{prefix}r{number}")
    yield from edges


def _label(eqn: Eqn, names: Names) -> str:
    text = f"{', '.join(map(names, eqn.results))} = {eqn.op.name}"
    for atom in eqn.operands:
        if isinstance(atom, Literal):
            text += f" {atom.value}" if atom.is_scalar else f" {atom.type}"
    location = eqn.provenance.location
    return text if location is None else f"{text}\nline {location.line}: {location.text.strip()}"


def _adjoint_style(eqn: Eqn) -> dict[str, str]:
    return {"style": "dashed"} if eqn.provenance.is_adjoint else {}


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


# ---- JSON --------------------------------------------------------------------------------------


def to_json(function: Function) -> str:
    """Return the function as JSON: its structure for tools, its text and constants to read back.

    Raises
    ------
    TypeError
        Where an attribute is an object that only this process knows.
    """
    constants: dict[str, Any] = {}
    for name, value in constants_of(function).items():
        if not isinstance(value, np.ndarray):
            raise TypeError(f"an attribute of {function.name} has no text: {value!r}")
        constants[name] = {
            "dtype": dtype_name(value.dtype),
            "shape": list(value.shape),
            "data": base64.b64encode(value.tobytes()).decode(),
        }
    document = {
        "format": 1,
        **_json_function(function, DimNames()),
        "text": print_function(function, margin=False),
        "constants": constants,
    }
    return json.dumps(document, indent=1)


def from_json(text: str) -> Function:
    """Return the function that `to_json` wrote."""
    from .types import DTYPES_BY_NAME

    document = json.loads(text)
    constants = {
        name: np.frombuffer(
            base64.b64decode(entry["data"]), DTYPES_BY_NAME[entry["dtype"]]
        ).reshape(entry["shape"])
        for name, entry in document["constants"].items()
    }
    return parse_function(document["text"], constants)


def _json_function(function: Function, dims: DimNames) -> dict[str, Any]:
    names = _names(function)

    def value(atom: Value) -> dict[str, str]:
        return {"name": names(atom), "type": dims.type(atom.type)}

    def operand(atom: Atom) -> dict[str, str]:
        if isinstance(atom, Value):
            return {"name": names(atom)}
        text = str(atom.value) if atom.is_scalar else "array"
        return {"literal": text, "type": dims.type(atom.type)}

    return {
        "name": function.name,
        "dims": [dims.binder(symbol) for symbol in function.dims],
        "params": [
            {**value(p), "kind": kind.value}
            for p, kind in zip(function.params, function.param_kinds, strict=True)
        ],
        "equations": [
            {
                "op": str(eqn.op.name),
                "attributes": _json_attributes(eqn.op, dims),
                "operands": [operand(a) for a in eqn.operands],
                "results": [value(r) for r in eqn.results],
                "line": _facts(eqn, names)["line"],
                "regions": [_json_function(region, dims) for region in eqn.op.regions],
            }
            for eqn in function.eqns
        ],
        "results": [
            {**operand(r), "kind": kind.value}
            for r, kind in zip(function.results, function.result_kinds, strict=True)
        ],
    }


def _json_attributes(op: Op, dims: DimNames) -> dict[str, str]:
    return {
        key: format_attribute(value, dims, Constants())
        for key, value in op.attributes().items()
        if not (isinstance(value, Function) or (key == "branches" and op.regions))
    }
