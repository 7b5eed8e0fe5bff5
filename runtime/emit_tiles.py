"""Writes tiled regions: a function that computes one part, and the call that runs all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.core import Eqn, Value
from ..ir.dims import Dim
from ..ir.ops.control import Fused
from ..ir.ops.reduce import Reduction
from ..ir.plan import Home, TilePlan
from ..ir.types import ArrayType
from .emit_equation import exists
from .tiles import Arena, Register, Tiles

if TYPE_CHECKING:
    from .emit import Writer


def emit_tiles(writer: Writer, eqn: Eqn, op: Fused) -> None:
    """Write a tiled region."""
    plan = writer.plan.tiles[eqn]
    partial = _partial(writer, eqn, plan)
    whole = _operands(writer, eqn)
    for k, result in enumerate(eqn.results):
        if result.type.shape and k not in partial:
            _memory(writer, eqn, result)
    tiles = _tiles(writer, plan)
    for k, name in partial.items():
        type = eqn.results[k].type
        dtype = writer.bind(type.dtype, str(type.dtype))
        writer.setup.append(f"{name} = empty({(plan.count, *type.shape)}, {dtype})")
        writer.static[name] = None
    function = writer.fresh("part")
    lo, hi, at, scratch = [writer.fresh(n) for n in ("lo", "hi", "at", "scratch")]
    writer.line(f"def {function}({lo}, {hi}, {at}, {scratch}):", eqn.provenance, op.name)
    with writer.nested():
        names = [writer.fresh("t") for _ in plan.registers]
        if names:
            writer.line(f"({', '.join(names)},) = {scratch}")
        for (cell, _), name in zip(plan.registers, names, strict=True):
            writer.cells[cell] = name
        _enter(writer, op, plan, whole, lo, hi)
        late = _results(writer, eqn, plan, partial, lo, hi, at)
        writer.block(plan.body.eqns)
        for k, part in late:
            writer.line(f"copyto({part}, {writer.operand(plan.body.results[k])})", eqn.provenance)
        for k, name in partial.items():
            inner = plan.body.results[k]
            if not inner.type.shape:
                writer.line(f"{name}[{at}] = {writer.operand(inner)}")
    writer.line(f"{tiles}({function})", eqn.provenance, op.name)
    for k, name in partial.items():
        _combine(writer, eqn, eqn.results[k], plan.results[k].reduction, name)


def _partial(writer: Writer, eqn: Eqn, plan: TilePlan) -> dict[int, str]:
    """Name the arrays of what the parts reduce to, by the result."""
    return {
        k: writer.fresh(f"{writer.hint(eqn.results[k])}_parts")
        for k, part in enumerate(plan.results)
        if part.reduction is not None
    }


def _register(type: ArrayType, plan: TilePlan) -> Register:
    size = Dim.of(plan.size)
    axis = next((k for k, n in enumerate(type.shape) if n == size), None)
    shape: list[Any] = [plan.tile if n == size else n for n in type.shape]
    return Register(tuple(shape), type.dtype, axis)


def _tiles(writer: Writer, plan: TilePlan) -> str:
    """Make the object that runs the parts, with the workspace."""
    if "arena" not in writer.static:
        writer.taken.add("arena")
        writer.setup.insert(
            0, f"arena = {writer.bind(Arena, 'Arena')}({writer.plan.scratch_bytes})"
        )
        writer.static["arena"] = None
    name = writer.fresh("tiles")
    make = writer.bind(Tiles, "Tiles")
    arrays = writer.bind(tuple([_register(type, plan) for _, type in plan.registers]), "registers")
    sizes = f"{plan.extent}, {plan.tile}, {plan.threads}"
    writer.setup.append(f"{name} = {make}(arena, {sizes}, {arrays})")
    writer.static[name] = None
    return name


def _operands(writer: Writer, eqn: Eqn) -> list[str]:
    """Return variables of outside for what a region reads."""
    texts: list[str] = []
    for operand in eqn.operands:
        text = writer.operand(operand, in_array_op=not operand.type.shape)
        if not operand.type.shape and not writer.frames.depth:
            # A 0-d array skips the conversion that a scalar costs in every call.
            array = writer.bind(np.asarray, "asarray")
            name = writer.fresh("c")
            writer.line(f"{name} = {array}({text})")
            text = name
        texts.append(text)
    return texts


def _enter(writer: Writer, op: Fused, plan: TilePlan, whole: list[str], lo: str, hi: str) -> None:
    """Name the parts of the operands, and the size of a part where something asks for it."""
    writer.dims[plan.size] = f"({hi} - {lo})"
    for param, axis, text in zip(plan.body.params, op.cuts, whole, strict=True):
        if axis is None:
            writer.names[param] = text
            continue
        name = writer.names[param] = writer.fresh(param.hint or "v")
        writer.cells[writer.plan.cells[param]] = name
        writer.line(f"{name} = {text}[{_slice(param.type, axis, lo, hi)}]")


def _results(
    writer: Writer, eqn: Eqn, plan: TilePlan, partial: dict[int, str], lo: str, hi: str, at: str
) -> list[tuple[int, str]]:
    """Name the parts of the results' memory, and return those that are written at the end.

    The ops that compute these have no `out`.
    """
    makers = {r: e for e in plan.body.eqns for r in e.results}
    late: list[tuple[int, str]] = []
    for k, (result, inner) in enumerate(zip(eqn.results, plan.body.results, strict=True)):
        assert isinstance(inner, Value)
        if not result.type.shape:
            continue
        axis = plan.results[k].axis
        if axis is None:
            part = f"{partial[k]}[{at}]"
        else:
            part = f"{writer.name(result)}[{_slice(result.type, axis, lo, hi)}]"
        if not makers[inner].op.has_out:
            late.append((k, part))
            continue
        name = writer.names[inner] = writer.fresh(writer.hint(result))
        writer.cells[writer.plan.cells[inner]] = name
        writer.line(f"{name} = {part}")
    return late


def _slice(type: ArrayType, axis: int, lo: str, hi: str) -> str:
    return ", ".join([*[":"] * (type.ndim + axis), f"{lo}:{hi}"])


def _memory(writer: Writer, eqn: Eqn, result: Value) -> None:
    """Write what gives a result its memory, where it is not there yet."""
    cell = writer.plan.cells[result]
    name = writer.name(result)
    if cell.home is Home.STACK:
        writer.row(cell.stack, name)
    elif cell.home is not Home.SLOT and not exists(writer, eqn, cell):
        writer.allocate(name, result)


def _combine(
    writer: Writer, eqn: Eqn, result: Value, reduction: Reduction | None, parts: str
) -> None:
    """Reduce what the parts have made."""
    assert reduction is not None
    reduce = writer.bind(reduction.ufunc.reduce, f"{reduction.ufunc.__name__}_reduce")
    dtype = "None" if result.type.dtype.kind in "fc" else f"{parts}.dtype"
    name = writer.name(result)
    if not result.type.shape:
        writer.line(f"{name} = {reduce}({parts}, 0, {dtype})", eqn.provenance, reduction.name)
        return
    _memory(writer, eqn, result)
    line = f"{reduce}({parts}, 0, {dtype}, {name})"
    writer.line(line, eqn.provenance, reduction.name)


__all__ = ["emit_tiles"]
