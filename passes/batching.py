"""A function for many examples at once: chosen parameters get a leading axis.

Each equation on which a mapped parameter has an influence is done for all examples by its op's own
rule (`Op.batched`), which for most ops is the op itself: it takes leading axes. Equations that no
mapped parameter reaches stay as they are, once for all examples. Loops and branches are batched
with what is in them (`batching_loop`, `batching_cond`). What cannot be batched, such as a random
draw, becomes a loop over the examples (`batching_serial`).

Before::

    def f(x: f64[3], W: f64[3, 4]) -> f64[4]:
        y : f64[4] = matmul(x, W, left=1)
        m : f64    = max(y, axes=(-1,))
        z : f64[4] = y - m
        return z

After, for 5 examples of `x`::

    def f(x: f64[5, 3], W: f64[3, 4]) -> f64[5, 4]:
        y : f64[5, 4] = x @ W
        m : f64[5]    = max(y, axes=(-1,))
        n : f64[5, 1] = reshape(m, shape=(1,), rank=0)
        z : f64[5, 4] = y - n
        return z
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Function, Value
from ..ir.dims import Size, symbols
from ..ir.errors import UnsupportedError, VerificationError
from ..ir.location import excerpt
from ..ir.op import Effect
from ..ir.ops.cond import Cond
from ..ir.ops.control import Loop
from ..ir.ops.custom import Custom
from ..ir.ops.shape import BroadcastTo, Reshape
from ..ir.types import ArrayType, Kind, Layout
from ..tracer.array import computed, lift
from ..tracer.state import Trace
from .batching_cond import batch_cond
from .batching_custom import batch_custom
from .batching_loop import batch_loop
from .batching_reach import acts_for_each
from .batching_serial import Serial, can_be_stacked, serial_group


class Unbatchable(Exception):
    """A region returns what the examples cannot have side by side."""

    def __init__(self, value: Atom, eqn: Eqn | None) -> None:
        super().__init__(value.type)
        self.value = value
        self.eqn = eqn


def batched(
    function: Function,
    mapped: Sequence[bool],
    size: Size,
    layouts: Sequence[Layout] | None = None,
) -> tuple[Function, list[bool]]:
    """Return a function of many examples, and which of its results have an entry for each.

    The parameters that are `mapped` get a new leading axis of `size`, and so do results that depend
    on them, or on a random draw: the other results are those of every example. `layouts` are those
    of the operands that it is for, C-contiguous examples where they are left out.

    Raises
    ------
    UnsupportedError
        Where a result has a size that differs from one example to the next.
    """
    try:
        return batched_region(function, mapped, size, None, layouts)
    except Unbatchable as found:
        location = None if found.eqn is None else found.eqn.provenance.location
        where = "" if location is None else f"\n\n{excerpt(location)}\n"
        raise UnsupportedError(
            f"vmap: {function.name} returns {found.value.type}, of another size for each example, "
            f"and no array holds these side by side.{where}\n"
            "  Return a mask, or an array padded to one size."
        ) from None


def batched_region(
    function: Function,
    mapped: Sequence[bool],
    size: Size,
    results: Sequence[bool] | None = None,
    layouts: Sequence[Layout] | None = None,
) -> tuple[Function, list[bool]]:
    """Return a function of many examples, as `batched`.

    The `results` that must be mapped will be, and the `layouts` are those of its operands.

    Raises
    ------
    Unbatchable
        Where a result has no leading axis that could hold all examples.
    """
    builder = Builder()
    with Trace(builder, None) as trace:
        examples = Examples(trace, size)
        for k, (param, is_mapped) in enumerate(zip(function.params, mapped, strict=True)):
            new = examples.param(param, is_mapped)
            if layouts is not None:
                new.layout = layouts[k]
        examples.run(function.eqns, function.results)
        returned: list[Atom] = []
        found: list[bool] = []
        for k, result in enumerate(function.results):
            is_mapped = examples.is_mapped(result)
            if is_mapped and not (result in examples.scope and can_be_stacked(result.type)):
                eqn = next((e for e in function.eqns if result in e.results), None)
                raise Unbatchable(result, eqn)
            wanted = is_mapped or (results is not None and results[k])
            returned.append(examples.whole(result) if wanted else examples.atom(result))
            found.append(wanted)
    own = (*function.dims, *[s for s in symbols(size) if s not in function.dims])
    kinds = [Kind.ARRAY if m else k for m, k in zip(mapped, function.param_kinds, strict=True)]
    made = builder.finish(
        function.name,
        returned,
        dims=own,
        param_kinds=kinds,
        result_kinds=[
            Kind.ARRAY if m else k for m, k in zip(found, function.result_kinds, strict=True)
        ],
    )
    return made, found


_REGIONS = ((Cond, batch_cond), (Loop, batch_loop), (Custom, batch_custom))


class Examples:
    """The equations of a function under way for all examples.

    `scope` has what the function's values have become, `mapped` are those with an entry for each
    example. `made` are equations of which each example may need an object of its own.
    """

    def __init__(self, trace: Trace, size: Size) -> None:
        self.trace = trace
        self.builder = trace.builder
        self.size = size
        self.scope: dict[Atom, Atom] = {}
        self.mapped: set[Atom] = set()
        self.made: list[Eqn] = []

    def param(self, param: Value, is_mapped: bool) -> Value:
        """Add a parameter."""
        type, layout = param.type, param.layout
        if is_mapped:
            self.mapped.add(param)
            layout = _with_examples(layout, type)
            type = self.type(type)
        of = self.scope.get(param.cotangent_of) if param.cotangent_of else None
        new = Value(type, param.hint, of if isinstance(of, Value) else None, layout)
        self.scope[param] = self.builder.param(new)
        return new

    def type(self, type: ArrayType) -> ArrayType:
        """Return the type of all examples of a value."""
        return type.with_shape((self.size, *type.shape))

    def is_mapped(self, atom: Atom) -> bool:
        """Whether a value has an entry for each example."""
        return atom in self.mapped

    def atom(self, atom: Atom) -> Atom:
        """Return what a value of the function has become."""
        return self.scope.get(atom, atom)

    def whole(self, atom: Atom) -> Atom:
        """Return all examples of a value, which is repeated where it is not mapped."""
        new = self.atom(atom)
        return new if atom in self.mapped else self.repeated(new)

    def repeated(self, value: Atom) -> Atom:
        """Return a value once for each example."""
        return self.builder.one(BroadcastTo(self.type(value.type).shape, value.type.ndim), value)

    def with_axes(self, value: Atom, count: int) -> Atom:
        """Return a value that has so many axes of size 1 more."""
        if not count:
            return value
        return self.builder.one(Reshape((1,) * count, 0), value)

    def run(self, eqns: Sequence[Eqn], results: Sequence[Atom]) -> None:
        """Write equations for all examples; `results` are what is read after them."""
        acting = [e for e in eqns if acts_for_each(e.op)]
        rest, position = list(eqns), 0
        alone: set[Eqn] = set()
        while position < len(rest):
            eqn = rest[position]
            position += 1
            if eqn.op.makes_new and eqn not in self.made:
                self.made.append(eqn)
            if eqn in acting and len(acting) == 1 and self._in_turn(eqn):
                acting = []
            elif eqn in acting or not self.equation(eqn):
                first = acting if eqn in acting else [eqn]
                alone.add(eqn)
                group = serial_group(rest[position - 1 :], first, acting, self.made)
                # Two groups of which each has to come before the other are one.
                while others := [e for e in group.before if e in alone]:
                    first = [*first, *others]
                    group = serial_group(rest[position - 1 :], first, acting, self.made)
                if group.before:  # first what it reads, of which more may belong together
                    own = [e for e in group.eqns if e not in self.made or e is eqn]
                    rest, position = [*group.before, *own, *group.after], 0
                    continue
                self.one_by_one(group, results)
                rest, position = group.after, 0
                acting = [e for e in acting if e in rest]

    def equation(self, eqn: Eqn) -> bool:
        """Write one equation; return False where the examples have to be done one by one."""
        mapped = tuple([a in self.mapped for a in eqn.operands])
        operands = tuple([self.atom(a) for a in eqn.operands])
        self.trace.fixed = self.builder.provenance = eqn.provenance
        is_once = eqn.op.effect is not Effect.ORDERED or eqn.op.in_turn(1) is eqn.op
        if not any(mapped) and is_once:
            self.define(eqn.results, self.builder.emit(eqn.op, operands))
            return True
        if eqn.op.regions:
            return self._with_regions(eqn, mapped)
        made: Any = eqn.op.batched(mapped, *[computed(a, self.trace) for a in operands])
        if made is None:
            return False
        results = made if isinstance(made, tuple) else (made,)
        atoms = [lift(r, self.trace)[0] for r in results]
        self.mapped.update(eqn.results)
        for old, new in zip(eqn.results, atoms, strict=True):
            if new.type != self.type(old.type):
                raise VerificationError(
                    f"internal error: {eqn.op.name} for all examples gives {new.type}, "
                    f"not {self.type(old.type)}"
                )
        self.define(eqn.results, atoms)
        return True

    def _in_turn(self, eqn: Eqn) -> bool:
        """Write the only equation that acts for each example, if an op acts for all in order."""
        op = eqn.op.in_turn(self.size)
        if op is None or any(a in self.mapped for a in eqn.operands):
            return False
        self.builder.provenance = eqn.provenance
        self.define(eqn.results, self.builder.emit(op, [self.atom(a) for a in eqn.operands]))
        self.mapped.update(eqn.results)
        return True

    def _with_regions(self, eqn: Eqn, mapped: tuple[bool, ...]) -> bool:
        """Write a loop or branch; return False where a region of it returns no rows."""
        batch = next((b for cls, b in _REGIONS if isinstance(eqn.op, cls)), None)
        if batch is None:
            return False
        start, known = len(self.builder.eqns), set(self.mapped)
        try:
            results = batch(self, eqn, mapped)
        except Unbatchable:
            self.builder.take_back(start)
            self.mapped = known
            return False
        self.define(eqn.results, results)
        return True

    def define(self, values: Sequence[Value], made: Sequence[Atom]) -> None:
        """Say what values of the function have become."""
        for old, new in zip(values, made, strict=True):
            self.scope[old] = new
            if isinstance(new, Value) and new.hint is None:
                new.hint = old.hint
                of = self.scope.get(old.cotangent_of) if old.cotangent_of else None
                if isinstance(of, Value) and of is not new and new.cotangent_of is None:
                    new.cotangent_of = of

    def one_by_one(self, group: Serial, results: Sequence[Atom]) -> None:
        """Write the equations of a group as a loop over the examples."""
        self.trace.fixed = self.builder.provenance = group.eqns[0].provenance
        left = group.write(self.builder, self.size, self.scope, self.mapped, results)
        self.mapped.update(r for e in group.eqns for r in e.results)
        self.define(list(left), list(left.values()))


def _with_examples(layout: Layout, type: ArrayType) -> Layout:
    """Return the layout of examples that lie one after the other."""
    return None if layout is None else (type.nbytes, *layout)


__all__ = ["Examples", "Unbatchable", "batched", "batched_region"]
