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

from dataclasses import dataclass, replace

from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Function, Literal, Value
from ..ir.ops.control import Loop
from ..ir.ops.index import Index
from ..ir.ops.matmul import MatMul
from ..ir.ops.shape import Reshape
from .carried_sums import CarriedSums
from .chain import SWAPPED
from .dce import Dce
from .stacks import Stacks, flat, row_index

_PRODUCT = MatMul()
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


class _Outliner:
    """Rewrites one loop."""

    def __init__(self, eqn: Eqn, op: Loop, producers: dict[Atom, Eqn]) -> None:
        self.eqn = eqn
        self.op = op
        self.stacks = Stacks(eqn, op)
        self.before = Builder()
        self.after = Builder()
        self.before.provenance = self.after.provenance = eqn.provenance
        self.sums = CarriedSums(self.stacks, self.after, producers)
        self.new_captured: list[tuple[Value, Atom]] = []
        self.rows: dict[Value, Eqn] = {}

    def run(self, scope: dict[Atom, Atom]) -> list[Eqn]:
        """Return the equations that replace the loop; `scope` gains the replaced results."""
        self._products_of_rows()
        replaced = self.sums.run()
        self._products_of_outputs(replaced)
        if not (self.rows or self.stacks.outputs or replaced):
            return [self.eqn]
        new = self._loop()
        for k, atom in replaced.items():
            scope[self.eqn.results[k]] = atom
            if isinstance(atom, Value) and atom.hint is None:
                atom.hint = self.eqn.results[k].hint
                atom.cotangent_of = self.eqn.results[k].cotangent_of
        return [*self.before.eqns, new, *self.after.eqns]

    def _products_of_rows(self) -> None:
        """Multiply all rows of stacks with a matrix before the loop: matrices, or vectors."""
        index = self.op.body.params[0]
        if index not in self.stacks.numbers:
            return
        for eqn in self.op.body.eqns:
            factors = self._factors(eqn)
            if factors is None:
                continue
            rows, matrix = factors
            stack = self.stacks.captured_stack(rows)
            if stack is None:
                continue
            self.before.provenance = eqn.provenance
            whole = self._product_of_stack(self.before, eqn, stack, matrix)
            if whole is None:
                continue
            param = Value(whole.type, eqn.result.hint, eqn.result.cotangent_of)
            self.new_captured.append((param, whole))
            row = Index(row_index(whole.type.shape))
            self.rows[eqn.result] = Eqn(row, (param, index), eqn.results, eqn.provenance)

    def _products_of_outputs(self, replaced: dict[int, Atom]) -> None:
        """Turn outputs that are products with a captured matrix into one product after the loop."""
        outputs = self.stacks.outputs
        for value, stack in list(outputs.items()):
            eqn = self.stacks.made[value]
            factors = self._factors(eqn) if self.stacks.counts.get(value) == 1 else None
            if factors is None:
                continue
            factor, matrix = factors
            if factor not in outputs and self.stacks.captured_stack(factor) is None:
                continue
            stacked = self.stacks.stack(factor)
            if stacked is None or stack in self._read_after():
                continue
            self.after.provenance = eqn.provenance
            whole = self._product_of_stack(self.after, eqn, stacked, matrix)
            if whole is None:
                continue
            del outputs[value]
            for k, atom in replaced.items():
                if atom is stack:
                    replaced[k] = whole

    def _factors(self, eqn: Eqn) -> tuple[Atom, Atom] | None:
        """Return the factors of a product with a captured value, this as the outer atom."""
        op = eqn.op
        if not isinstance(op, MatMul):
            return None
        ndim = eqn.result.type.ndim
        if not ndim or ndim != op.left + op.right - 2:
            return None
        factor, other = eqn.operands[:: -1 if op == _MATRIX_VECTOR else 1]
        matrix = self.stacks.captured.get(other)
        return None if matrix is None else (factor, matrix)

    def _product_of_stack(
        self, builder: Builder, eqn: Eqn, stack: Atom, matrix: Atom
    ) -> Atom | None:
        """Multiply a stack of matrices or vectors with one matrix; `eqn` does it for one of it."""
        one = eqn.result.type
        if matrix.type.ndim != 2 or stack.type.ndim != one.ndim + 1:
            return None
        if one.ndim == 1:
            if eqn.op == _MATRIX_VECTOR:
                matrix = builder.one(SWAPPED, matrix)
            return builder.one(_PRODUCT, stack, matrix)
        product = builder.one(_PRODUCT, flat(builder, stack), matrix)
        return builder.one(Reshape((self.stacks.trips, *one.shape), 2), product)

    def _read_after(self) -> set[Atom]:
        return {a for e in self.after.eqns for a in e.operands}

    def _loop(self) -> Eqn:
        op, body = self.op, self.op.body
        keep = [k for k in range(op.carries) if k not in self.sums.gone]
        left_out, kept = self.sums.left_out, self.sums.kept
        eqns = [
            Eqn(e.op, tuple([kept(a) for a in e.operands]), e.results, e.provenance)
            if any(a in left_out for a in e.operands)
            else e
            for e in [self.rows.get(e.results[0], e) for e in body.eqns]
            if not any(r in left_out for r in e.results)
        ]
        region = body.replace(
            params=[
                body.params[0],
                *[body.params[1 + k] for k in keep],
                *body.params[1 + op.carries :],
                *[p for p, _ in self.new_captured],
            ],
            eqns=eqns,
            results=[
                *[kept(body.results[k]) for k in keep],
                *body.results[op.carries :],
                *self.stacks.outputs,
            ],
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
            *old[op.carries : len(body.results)],
            *self.stacks.outputs.values(),
            *((old[-1],) if op.counts else ()),
        )
        new = replace(op, body=region, carries=len(keep))
        return Eqn(new, tuple(operands), new_results, self.eqn.provenance)
