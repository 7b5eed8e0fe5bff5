"""The program of a sparse derivative: what is differentiated, in which products, and the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..arguments import Argnums, Wanted
from ..ir.builder import Builder
from ..ir.core import Atom, Function, Value, walk
from ..ir.op import Effect
from ..ir.ops.custom import Custom
from ..ir.types import Kind
from ..passes.custom_rules import holds
from ..passes.dce import Dce
from ..passes.memory import plan_memory
from ..passes.pipeline import EXACT, STABLE, run
from ..passes.rewrite import Class
from ..passes.simplify import Simplify
from ..passes.sparsity import sparsity
from ..runtime.program import Program
from ..tracer.trace import Traced
from .compression import Compression, Csr, given_pattern, symmetric_part
from .jacobians import gradient_of
from .linear import Leaves, Linear, check_real, outputs_of
from .recovery import Recovery


class SparseOptions(NamedTuple):
    """What is asked for: `of` is "jacobian" or "hessian"; `pattern` is the user's own, if any."""

    of: str
    argnums: Argnums = 0
    mode: str = "auto"
    has_aux: bool = False
    pattern: Any = None
    exact: bool = False

    @property
    def transformation(self) -> str:
        """What the user calls."""
        return f"sparse_{self.of}"


class Subject(NamedTuple):
    """A traced function to differentiate, and the arrays on both sides of its derivative.

    Of `function` the results `of` are differentiated, and `keep` are returned as they are; for a
    Hessian it is the gradient. `integers` are the parameters from which positions may be computed.
    The derivative of a gradient is symmetric; one that follows the user's rules need not be.
    """

    function: Function
    wrt: list[int]
    of: range
    keep: range
    out: Leaves
    inside: Leaves
    integers: list[int]
    is_gradient: bool
    is_symmetric: bool

    @classmethod
    def make(cls, transformation: str, traced: Traced, wanted: Wanted, of: str) -> Subject:
        """Return what is to be differentiated; `transformation` is what asks for it.

        Raises
        ------
        DifferentiationError
            Where the function has no such derivative, or a complex one.
        """
        wrt = wanted.positions
        if of == "hessian":
            function = gradient_of(transformation, traced, wanted)
            extra = len(function.results) - len(wrt)
            outputs, keep = range(extra, len(function.results)), range(extra)
        else:
            outputs_of(traced)
            function = run(traced.function, EXACT.before, [])
            outputs = range(traced.results)
            keep = range(traced.results, len(function.results))
        out = Leaves.of([function.results[k].type for k in outputs], function.name)
        inside = Leaves.of([function.params[p].type for p in wrt], function.name)
        check_real([function.params[p] for p in wrt], out.types, "reverse")
        integers = [k for k, p in enumerate(function.params) if p.type.dtype.kind in "biu"]
        is_gradient = of == "hessian"
        is_symmetric = is_gradient and not holds(traced.function, Custom)
        return cls(function, wrt, outputs, keep, out, inside, integers, is_gradient, is_symmetric)

    def pattern(self, known: dict[int, Any]) -> Csr:
        """Return the entries that can differ from zero; `known` are values of parameters."""
        if not self.is_gradient:
            return sparsity(self.function, self.wrt, self.of, known)
        simple = run(self.function, (Simplify(Class.STABLE), Dce()), [])
        found = sparsity(simple, self.wrt, self.of, known)
        return symmetric_part(found) if self.is_symmetric else found

    def linear(self, mode: str) -> Linear:
        """Return the derivative in a mode."""
        make = Linear.pushforward if mode == "forward" else Linear.pullback
        return make(self.function, self.wrt, self.of, self.keep)


class Plan:
    """The program for one pattern."""

    def __init__(
        self, subject: Subject, options: SparseOptions, values: list[Any], exact: bool
    ) -> None:
        self.values = [np.array(v) for v in values]
        self.is_given = options.pattern is not None
        shape = (subject.out.total, subject.inside.total)
        if self.is_given:
            pattern = given_pattern(options.pattern, shape, subject.is_symmetric)
        else:
            pattern = subject.pattern(dict(zip(subject.integers, self.values, strict=True)))
        self.compression, linears = _compressed(subject, pattern, options.mode)
        sides = {"forward": subject.inside, "reverse": subject.out}
        self.sums = [p.sums(sides[p.mode], self.is_given) for p in self.compression.parts]
        self.given = [s for sums in self.sums for s in sums]
        self.kept = linears[0].results
        counts = [p.products + self.is_given for p in self.compression.parts]
        function, self.mapped = _joined(subject.function, linears, counts)
        function = run(function, (EXACT if exact else STABLE).after, [])
        owned = frozenset(range(self.kept, len(function.results)))
        self.program = Program(plan_memory(function), owned, {}, exact)
        dtypes = [r.type.dtype for r in function.results[self.kept :]]
        self.recovery = Recovery(self.compression, np.result_type(*dtypes))

    def serves(self, values: list[Any]) -> bool:
        """Whether integer arguments are those that the pattern is for."""
        return all(np.array_equal(a, b) for a, b in zip(self.values, values, strict=True))

    def __call__(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """Return what else the function returns, and then the matrix."""
        flat = self.program(*inputs, *self.given)
        kept, rest = flat[: self.kept], iter(flat[self.kept :])
        made = [
            _side_by_side(rest, mapped, part.products + self.is_given)
            for part, mapped in zip(self.compression.parts, self.mapped, strict=True)
        ]
        matrix = self.recovery(made)
        if self.is_given:
            self.compression.parts[0].check(matrix, self.sums[0], made[0][-1])
        return (*kept, matrix)


def _side_by_side(values: Iterator[Any], mapped: Sequence[bool], count: int) -> np.ndarray:
    """Return `count` products as rows; what is not mapped is the same in all of them."""
    parts = []
    for is_mapped in mapped:
        value = next(values)
        whole = value if is_mapped else np.broadcast_to(value, (count, *np.shape(value)))
        parts.append(np.reshape(whole, (count, -1)))
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _compressed(subject: Subject, pattern: Csr, mode: str) -> tuple[Compression, list[Linear]]:
    """Return how a pattern is compressed, and the derivative for each of its parts."""
    if subject.is_symmetric:
        found = Compression.of_hessian(pattern)
    else:
        # What happens once is to be in one primal.
        acts = any(e.op.effect is Effect.ORDERED for e in walk(subject.function))
        found = Compression.of_jacobian(pattern, "either" if acts and mode == "auto" else mode)
    linears = [subject.linear(p.mode) for p in found.parts]
    if any(
        n.has_effects and p.mode == "forward" for n, p in zip(linears, found.parts, strict=True)
    ):
        # The tangents of a loop that draws random numbers would draw them again.
        is_symmetric = subject.is_symmetric
        found = found.in_reverse() if is_symmetric else Compression.of_jacobian(pattern, "reverse")
        linears = [subject.linear("reverse")]
    return found, linears


def _joined(
    function: Function, linears: Sequence[Linear], counts: Sequence[int]
) -> tuple[Function, list[list[bool]]]:
    """Return the function from the arguments and vectors to the products with them.

    Also, for each of the derivatives, which of its results there are as many of as vectors.
    """
    builder = Builder()
    params: list[Atom] = [
        builder.param(Value(p.type, p.hint, layout=p.layout)) for p in function.params
    ]
    results: list[Atom] = []
    kinds, result_kinds = list(function.param_kinds), list[Kind]()
    found: list[list[bool]] = []
    for linear, count in zip(linears, counts, strict=True):
        products, mapped = linear.batched(count)
        flat = builder.inline(linear.primal, params)
        first = len(products.params) - linear.vectors
        vectors = [builder.param(Value(p.type)) for p in products.params[first:]]
        if not found:
            results += flat[: linear.results]
            result_kinds += linear.primal.result_kinds[: linear.results]
        results += builder.inline(products, [*flat[linear.results :], *vectors])
        kinds += products.param_kinds[first:]
        result_kinds += products.result_kinds
        found.append(mapped)
    joined = builder.finish(
        function.name, results, dims=function.dims, param_kinds=kinds, result_kinds=result_kinds
    )
    return joined, found


__all__ = ["Plan", "SparseOptions", "Subject"]
