"""Products in a loop that do not depend on its carries, done at once for all iterations.

Four forms, each over a loop in steps of 1 whose number of iterations is known before it starts:

* a row of a captured stack times a captured matrix: one product of the whole stack before the loop;
* a carry that only sums up products `a.T @ b` (the gradient of a weight), or outer products of two
  vectors: the factors are stacked, and one product after the loop sums over all iterations; so for
  a sum over rows (the gradient of a bias). Of several terms in an iteration each is done so, and
  what is of another form stays in the loop;
* a carry of zeros to whose row i is added in iteration i: a stacked output;
* a stacked output that is a product of a stacked value and a captured matrix: one product after the
  loop.

The sums run in another order than in the loop, so this is a rewrite of the class REASSOCIATE.

Before::

    def f(xs: f64[9, 2, 3], W: f64[3, 3], h0: f64[2, 3]) -> f64[2, 3]:
        def body(
                i: i64, h: f64[2, 3], xs: f64[9, 2, 3], W: f64[3, 3], *, dims=(i,),
        ) -> f64[2, 3]:
            x : f64[2, 3] = xs[i]
            p : f64[2, 3] = x @ W
            a : f64[2, 3] = h + p
            b : f64[2, 3] = tanh(a)
            return b
        r = loop(body, range(9), carry=(h0,), captured=(xs, W))
        return r

After::

    def f(xs: f64[9, 2, 3], W: f64[3, 3], h0: f64[2, 3]) -> f64[2, 3]:
        rows : f64[18, 3]   = reshape(xs, shape=(18, 3), rank=3)
        all  : f64[18, 3]   = rows @ W
        ps   : f64[9, 2, 3] = reshape(all, shape=(9, 2, 3), rank=2)
        def body(
                i: i64, h: f64[2, 3], ps: f64[9, 2, 3], *, dims=(i,),
        ) -> f64[2, 3]:
            p : f64[2, 3] = ps[i]
            a : f64[2, 3] = h + p
            b : f64[2, 3] = tanh(a)
            return b
        r = loop(body, range(9), carry=(h0,), captured=(ps,))
        return r
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Function, Literal, Value, uses
from ..ir.dims import Dim, Size
from ..ir.ops.control import Loop
from ..ir.ops.dynamic import Extent
from ..ir.ops.elementwise import add, multiply, subtract
from ..ir.ops.index import AT, Index, Index_, IndexAdd, Item, Span
from ..ir.ops.matmul import MatMul
from ..ir.ops.reduce import Sum
from ..ir.ops.shape import Full, Reshape, Transpose
from .dce import Dce

_PRODUCT = MatMul()
_CACHED = 1 << 18
"""Bytes of a stack that stays in the cache until the product after the loop reads it."""
_CALLS = 1 << 13
"""Bytes that are written into a stack, and read again, while NumPy is called twice."""
_MATRIX_VECTOR = MatMul(2, 1)


@dataclass(frozen=True)
class Batch:
    """Take products out of loops."""

    name = "batch"

    def __call__(self, function: Function) -> Function:
        if not any(eqn.op.regions for eqn in function.eqns):
            return function
        producers: dict[Atom, Eqn] = {}
        scope: dict[Atom, Atom] = {}
        out: list[Eqn] = []
        for eqn in function.eqns:
            operands = tuple([scope.get(a, a) for a in eqn.operands])
            op = eqn.op
            if op.regions:
                op = op.with_regions([self(r) for r in op.regions])
            eqn = Eqn(op, operands, eqn.results, eqn.provenance)
            added = [eqn]
            if isinstance(op, Loop) and _is_counted(eqn, op):
                added = _Outliner(eqn, op, producers).run(scope)
            for made in added:
                producers.update((r, made) for r in made.results)
            out += added
        return Dce()(
            function.replace(
                eqns=out,
                results=[scope.get(r, r) for r in function.results],
                result_kinds=function.result_kinds,
            )
        )


def _is_counted(eqn: Eqn, op: Loop) -> bool:
    if not op.ranged or op.test is not None or (isinstance(op.trips, int) and op.trips < 2):
        return False
    lo, _, step = eqn.operands[:3]
    return isinstance(lo, Literal) and isinstance(step, Literal) and bool(step.value == 1)


def _numbers(op: Loop, lo: Literal) -> set[Atom]:
    """Return the values of the body that are the number of the iteration."""
    index, symbol = op.body.params[0], op.body.dims[0]
    if lo.value == 0:
        return {index}
    found: set[Atom] = set()
    for eqn in op.body.eqns:
        if isinstance(eqn.op, Extent) and eqn.op.dim == Dim.of(symbol) - int(lo.value):
            found.add(eqn.result)
        if eqn.op is subtract and eqn.operands == (index, lo):
            found.add(eqn.result)
    return found


def _row_index(ndim: int, shape: Sequence[Size]) -> Index_:
    rest: list[Item] = [Span(0, d, 1) for d in shape[1:ndim]]
    return (AT, *rest)


class _Outliner:
    """Rewrites one loop."""

    def __init__(self, eqn: Eqn, op: Loop, producers: dict[Atom, Eqn]) -> None:
        self.eqn = eqn
        self.op = op
        self.outer_producers = producers
        self.trips = op.length
        body = op.body
        self.index = body.params[0]
        self.is_from_zero = bool(eqn.operands[0].value == 0)  # type: ignore[union-attr]
        self.numbers = _numbers(op, eqn.operands[0])  # type: ignore[arg-type]
        first = 1 + op.carries
        self.captured = dict(
            zip(body.params[first:], eqn.operands[op.head + op.carries :], strict=True)
        )
        self.made: dict[Atom, Eqn] = {r: e for e in body.eqns for r in e.results}
        self.readers: dict[Atom, Eqn] = {a: e for e in body.eqns for a in e.operands}
        self.counts: dict[Atom, int] = dict[Atom, int](uses(body).items())
        self.before = Builder()
        self.after = Builder()
        self.before.provenance = self.after.provenance = eqn.provenance
        self.new_captured: list[tuple[Value, Atom]] = []
        self.outputs: dict[Value, Value] = {}
        """Values of the body that become outputs, with their stacks outside."""
        self.rows: dict[Value, Eqn] = {}
        self.gone: set[int] = set()
        """Carries that the loop needs no longer."""
        self.running: dict[Atom, Value] = {}
        """For each addition to a carry, by its result, what it adds to."""
        self.left_out: dict[Atom, Value] = {}
        """Additions that are done after the loop, and what to read in their place."""

    def run(self, scope: dict[Atom, Atom]) -> list[Eqn]:
        """Return the equations that replace the loop; `scope` gains the replaced results."""
        self._products_of_rows()
        replaced = self._carries()
        self._products_of_outputs(replaced)
        if not (self.rows or self.outputs or replaced):
            return [self.eqn]
        new = self._loop()
        for k, atom in replaced.items():
            scope[self.eqn.results[k]] = atom
            if isinstance(atom, Value) and atom.hint is None:
                atom.hint = self.eqn.results[k].hint
                atom.cotangent_of = self.eqn.results[k].cotangent_of
        return [*self.before.eqns, new, *self.after.eqns]

    # -- what the values of the body are -----------------------------------------------------------

    def stack_of(self, atom: Atom) -> Atom | None:
        """Return the captured stack whose row i a value is, as an outer atom; None otherwise."""
        eqn = self.made.get(atom) if isinstance(atom, Value) else None
        if eqn is None or not isinstance(eqn.op, Index) or eqn.op.gather:
            return None
        base, *positions = eqn.operands
        shape = base.type.shape
        if len(positions) != 1 or positions[0] not in self.numbers or base not in self.captured:
            return None
        if shape[0] != self.trips or not all(isinstance(d, int) for d in shape[1:]):
            return None
        if eqn.op.index != _row_index(len(shape), shape):
            return None
        return self.captured[base]  # type: ignore[index]

    def stacked(self, atom: Atom) -> Atom | None:
        """Return the stack of a value over the iterations, making it an output where need be."""
        found = self.stack_of(atom)
        if found is not None:
            return found
        if not isinstance(atom, Value) or atom not in self.made or not atom.type.is_static:
            return None
        for k in range(self.op.carries, len(self.op.body.results)):
            if self.op.body.results[k] is atom:
                return self.eqn.results[k]
        if atom not in self.outputs:
            self.outputs[atom] = Value(atom.type.with_shape((self.trips, *atom.type.shape)))
        return self.outputs[atom]

    def flat(self, builder: Builder, stack: Atom) -> Atom:
        """Return a stack of matrices as one matrix, its first two axes joined."""
        n, rows, columns = stack.type.shape
        return builder.one(Reshape((n * rows, columns), 3), stack)

    # -- the four forms ----------------------------------------------------------------------------

    def _products_of_rows(self) -> None:
        if not self.is_from_zero:
            return
        for eqn in self.op.body.eqns:
            self.before.provenance = eqn.provenance
            whole = self._product_of_rows(eqn)
            if whole is None:
                continue
            param = Value(whole.type, eqn.result.hint, eqn.result.cotangent_of)
            self.new_captured.append((param, whole))
            row = Index(_row_index(whole.type.ndim, whole.type.shape))
            self.rows[eqn.result] = Eqn(row, (param, self.index), eqn.results, eqn.provenance)

    def _product_of_rows(self, eqn: Eqn) -> Atom | None:
        """Multiply all rows of a stack with a matrix, before the loop: matrices, or vectors."""
        op = eqn.op
        if not isinstance(op, MatMul):
            return None
        ndim = eqn.result.type.ndim
        if not ndim or ndim != op.left + op.right - 2:
            return None
        rows, other = eqn.operands[:: -1 if op == _MATRIX_VECTOR else 1]
        stack = self.stack_of(rows)
        matrix = self.captured.get(other)  # type: ignore[arg-type]
        if stack is None or matrix is None:
            return None
        return self._product_of_stack(self.before, op, stack, matrix, eqn.result)

    def _product_of_stack(
        self, builder: Builder, op: MatMul, stack: Atom, matrix: Atom, one: Value
    ) -> Atom | None:
        """Multiply a stack of matrices or vectors with one matrix; `one` is a single product."""
        if matrix.type.ndim != 2 or stack.type.ndim != one.type.ndim + 1:
            return None
        if one.type.ndim == 1:
            if op == _MATRIX_VECTOR:
                matrix = builder.one(Transpose((-1, -2)), matrix)
            return builder.one(_PRODUCT, stack, matrix)
        product = builder.one(_PRODUCT, self.flat(builder, stack), matrix)
        return builder.one(Reshape((self.trips, *one.type.shape), 2), product)

    def _carries(self) -> dict[int, Atom]:
        """Return what replaces the results of carries that only sum up."""
        replaced: dict[int, Atom] = {}
        chains: list[tuple[int, list[Eqn]]] = []
        for k in range(self.op.carries):
            param, after = self.op.body.params[1 + k], self.op.body.results[k]
            eqn = self.made.get(after)
            if eqn is None or self.counts.get(param) != 1 or self.counts.get(after) != 1:
                continue
            init = self.eqn.operands[self.op.head + k]
            if isinstance(eqn.op, IndexAdd) and eqn.operands[0] is param:
                stack = self._scattered(eqn, param, init)
                if stack is not None:
                    self.gone.add(k)
                    replaced[k] = stack
            else:
                chains.append((k, self._additions(param, after)))
        totals: dict[Value, Atom] = {}
        for total_of in (self._of_products, self._of_outer, self._of_sums):
            for _, additions in chains:
                for addition in additions:
                    term = self._term(addition)
                    if addition.result not in totals and self.counts.get(term) == 1:
                        total = self._scaled(total_of, term)
                        if total is not None:
                            totals[addition.result] = total
        for k, additions in chains:
            taken = [e for e in additions if e.result in totals]
            if not taken:
                continue
            whole: Atom = self.eqn.results[k]
            if len(taken) == len(additions):
                self.gone.add(k)
                whole = self.eqn.operands[self.op.head + k]
            for addition in taken:
                self.left_out[addition.result] = self.running[addition.result]
                whole = self._plus(whole, totals[addition.result])
            replaced[k] = whole
        return replaced

    def _additions(self, param: Value, after: Atom) -> list[Eqn]:
        """Return the additions that lead from a carry to what it becomes, if nothing else does."""
        additions: list[Eqn] = []
        running: Value = param
        while running is not after:
            eqn = self.readers.get(running)
            if eqn is None or eqn.op is not add or self.counts.get(running) != 1:
                return []
            self.running[eqn.result] = running
            additions.append(eqn)
            running = eqn.result
            if running.type != param.type or self._term(eqn).type != param.type:
                return []
        return additions

    def _term(self, addition: Eqn) -> Atom:
        first, second = addition.operands
        return second if first is self.running[addition.result] else first

    def _scaled(self, total_of: Callable[[Eqn], Atom | None], term: Atom) -> Atom | None:
        """Return the sum of a term over all iterations, a constant factor applied to the sum."""
        eqn = self.made.get(term)
        if eqn is None:
            return None
        factor: Atom | None = None
        if eqn.op is multiply:
            for known, inner in (eqn.operands, eqn.operands[::-1]):
                made = self.made.get(inner)
                is_constant = isinstance(known, Literal) and not known.type.shape
                if is_constant and made is not None and self.counts.get(inner) == 1:
                    eqn, factor = made, known
                    break
        self.after.provenance = eqn.provenance
        total = total_of(eqn)
        if total is None or factor is None:
            return total
        return self.after.one(multiply, factor, total)

    def _scattered(self, eqn: Eqn, param: Value, init: Atom) -> Atom | None:
        shape = param.type.shape
        assert isinstance(eqn.op, IndexAdd)
        if len(eqn.operands) != 3 or eqn.operands[2] not in self.numbers:
            return None
        if shape[0] != self.trips or not self._is_zero(init):
            return None
        if eqn.op.index != _row_index(len(shape), shape):
            return None
        value = eqn.operands[1]
        return self.stacked(value) if value.type.shape == shape[1:] else None

    # Each returns the sum over all iterations of what an equation computes, after the loop.

    def _of_products(self, eqn: Eqn) -> Atom | None:
        if eqn.op != _PRODUCT or eqn.result.type.ndim != 2:
            return None
        left = self.made.get(eqn.operands[0])
        if left is None or left.op != Transpose((-1, -2)):
            return None
        factors = (left.operands[0], eqn.operands[1])
        if not all(self._stackable(a, 2) for a in factors) or not self._pays(factors, eqn.result):
            return None
        stacks = [self.stacked(a) for a in factors]
        a, b = (self.flat(self.after, s) for s in stacks if s is not None)
        return self.after.one(_PRODUCT, self.after.one(Transpose((-1, -2)), a), b)

    def _pays(self, factors: Sequence[Atom], product: Value) -> bool:
        """Whether stacking factors takes less time than a product and an addition in the loop."""
        outputs = self.op.body.results[self.op.carries :]
        added = sum(
            a.type.nbytes
            for a in factors
            if self.stack_of(a) is None and a not in self.outputs and a not in outputs
        )
        if isinstance(self.trips, int) and added * self.trips <= _CACHED:
            return True
        return added <= 3 * product.type.nbytes + _CALLS

    def _of_outer(self, eqn: Eqn) -> Atom | None:
        """Sum the outer products of two vectors, `x.reshape(n, 1) * y`."""
        if eqn.op is not multiply or eqn.result.type.ndim != 2:
            return None
        column, row = eqn.operands
        if column.type.ndim != 2:
            column, row = row, column
        made = self.made.get(column) if isinstance(column, Value) else None
        if made is None or not isinstance(made.op, Reshape) or column.type.shape[1:] != (1,):
            return None
        factors = (made.operands[0], row)
        if not all(self._stackable(a, 1) for a in factors):
            return None
        a, b = (self.stacked(f) for f in factors)
        assert a is not None
        assert b is not None
        return self.after.one(_PRODUCT, self.after.one(Transpose((-1, -2)), a), b)

    def _of_sums(self, eqn: Eqn) -> Atom | None:
        """Sum sums over rows, of what products have stacked and of what takes less memory."""
        if not isinstance(eqn.op, Sum) or eqn.op.keepdims:
            return None
        value = eqn.operands[0]
        if value not in self.outputs and self.stack_of(value) is None:
            stacked = sum(v.type.size for v in self.outputs)
            small = value.type.is_static and value.type.size <= stacked
            if not small or not self._pays((value,), eqn.result):
                return None
        stack = self.stacked(value)
        axes = tuple(sorted({*eqn.op.axes, -value.type.ndim - 1}))
        return None if stack is None else self.after.one(Sum(axes), stack)

    def _stackable(self, atom: Atom, ndim: int) -> bool:
        if atom.type.ndim != ndim or not atom.type.is_static:
            return False
        return self.stack_of(atom) is not None or (isinstance(atom, Value) and atom in self.made)

    def _products_of_outputs(self, replaced: dict[int, Atom]) -> None:
        """Turn outputs that are products with a captured matrix into one product after the loop."""
        for value, stack in list(self.outputs.items()):
            eqn = self.made[value]
            op, ndim = eqn.op, value.type.ndim
            if not isinstance(op, MatMul) or not ndim or ndim != op.left + op.right - 2:
                continue
            if self.counts.get(value) != 1:
                continue
            factor, other = eqn.operands[:: -1 if op == _MATRIX_VECTOR else 1]
            matrix = self.captured.get(other)  # type: ignore[arg-type]
            if matrix is None or not (factor in self.outputs or self.stack_of(factor) is not None):
                continue
            factors = self.stacked(factor)
            if factors is None or stack in self._read_after():
                continue
            self.after.provenance = eqn.provenance
            whole = self._product_of_stack(self.after, op, factors, matrix, value)
            if whole is None:
                continue
            del self.outputs[value]
            for k, atom in replaced.items():
                if atom is stack:
                    replaced[k] = whole

    def _read_after(self) -> set[Atom]:
        return {a for e in self.after.eqns for a in e.operands}

    def _is_zero(self, atom: Atom) -> bool:
        eqn = self.outer_producers.get(atom)
        if eqn is None or not isinstance(eqn.op, Full):
            return False
        value = eqn.operands[0]
        return isinstance(value, Literal) and bool(value.value == 0)

    def _plus(self, init: Atom, total: Atom) -> Atom:
        return total if self._is_zero(init) else self.after.one(add, init, total)

    # -- the new loop ------------------------------------------------------------------------------

    def _loop(self) -> Eqn:
        op, body = self.op, self.op.body
        keep = [k for k in range(op.carries) if k not in self.gone]
        plain = list(range(op.carries, len(body.results)))
        results = [*[self._kept(body.results[k]) for k in keep], *[body.results[k] for k in plain]]
        params = [self.index, *[body.params[1 + k] for k in keep], *body.params[1 + op.carries :]]
        # The sums that are gone leave equations that only they read.
        dead = [body.params[1 + k] for k in self.gone]
        eqns = [self.rows.get(e.results[0], e) for e in body.eqns if self._is_kept(e)]
        eqns = [
            Eqn(e.op, tuple([self._kept(a) for a in e.operands]), e.results, e.provenance)
            if any(a in self.left_out for a in e.operands)
            else e
            for e in eqns
            if not any(a in dead for a in e.operands)
        ]
        region = body.replace(
            params=[*params, *[p for p, _ in self.new_captured]],
            eqns=eqns,
            results=[*results, *self.outputs],
        )
        operands = [
            *self.eqn.operands[: op.head],
            *[self.eqn.operands[op.head + k] for k in keep],
            *self.eqn.operands[op.head + op.carries :],
            *[a for _, a in self.new_captured],
        ]
        old = self.eqn.results
        new_results = (
            *[old[k] for k in keep],
            *[old[k] for k in plain],
            *self.outputs.values(),
            *((old[-1],) if op.counts else ()),
        )
        new = replace(op, body=region, carries=len(keep))
        return Eqn(new, tuple(operands), new_results, self.eqn.provenance)

    def _is_kept(self, eqn: Eqn) -> bool:
        return not any(r in self.left_out for r in eqn.results)

    def _kept(self, atom: Atom) -> Atom:
        while atom in self.left_out:
            atom = self.left_out[atom]
        return atom
