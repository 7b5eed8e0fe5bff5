"""`sparsity`, `sparse_jacobian`, `sparse_hessian`: derivatives of which most entries are zero.

The pattern is read off the program (`passes.sparsity`), its columns or rows are coloured
(`passes.coloring`), and the derivative is multiplied with the sum of all columns of one colour, for
all colours at once (`linear`): for a band of any length as many products as it is wide. The entries
are then read from these (`compression`, `sparse_plan`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arguments import Argnums, Arguments
from ..compiled import builder, check_callable, name_of
from ..entries import Call, GuardedEntry, Programs, scanned, uncollected
from ..ir.errors import ArgumentError, UnsupportedError
from ..tracer.state import current
from ..tracer.tree import LEAF
from .compression import Compression, Csr
from .jacobians import check_mode
from .sparse_plan import Plan, SparseOptions, Subject

KEPT = 8
"""Patterns kept for one signature, which differ where integer arguments do."""


class _Entry(GuardedEntry):
    """The programs of one signature, one for each pattern."""

    __slots__ = ("build", "exactly", "options", "plans", "subject")

    def __init__(self, owner: SparseFunction, call: Call) -> None:
        options = owner.options
        wanted = owner.arguments.wanted(call.args, call.kwargs, options.argnums, False)
        super().__init__(
            owner.function,
            owner.arguments,
            call,
            name=owner.name,
            has_aux=options.has_aux,
            wanted=wanted,
        )
        self.options = options
        self.exactly = options.exact or call.exact
        self.subject = Subject.make(options.transformation, self.traced, wanted, options.of)
        self.plans: tuple[Plan, ...] = ()
        self.build = builder(self.traced, LEAF, "grad")

    def plan(self, inputs: Sequence[Any]) -> Plan:
        """Return the plan for the arguments, made where there is none."""
        values = [inputs[k] for k in self.subject.integers]
        for plan in self.plans:
            if plan.serves(values):
                return plan
        with uncollected():
            made = Plan(self.subject, self.options, values, self.exactly)
        self.plans = (made, *self.plans[: KEPT - 1])
        return made

    def run(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        return self.plan(inputs)(inputs)


class SparseFunction:
    """What `sparse_jacobian` and `sparse_hessian` return."""

    def __init__(
        self,
        function: Callable[..., Any],
        options: SparseOptions,
        static_argnums: int | Sequence[int],
        static_argnames: str | Sequence[str],
    ) -> None:
        check_callable(options.transformation, function)
        functools.update_wrapper(self, function)
        self.function = function
        self.options = options
        self.name = name_of(function)
        self.arguments = Arguments(function, static_argnums, static_argnames)
        self.programs = Programs(self.name, self.arguments, lambda call: _Entry(self, call))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if current() is not None:
            raise UnsupportedError(
                f"{self.options.transformation} of {self.name}: its result is a matrix of "
                "scipy.sparse, which traced code cannot hold.\n"
                f"  Write pb.{self.options.of} there, or products: pb.vjp, pb.jvp, pb.hvp."
            )
        entry, flat = self.programs.again(args, kwargs)
        if entry is None:
            entry, flat = self.programs.run(args, kwargs, flat)
        return entry.build(flat)

    def compression(self, *args: Any, **kwargs: Any) -> Compression:
        """Return the pattern for these arguments, and from which products it is computed."""
        _, call = scanned(self.arguments, args, kwargs)
        with uncollected():
            entry = _Entry(self, call)
        inputs = entry.inputs(call.leaves, call.objects)
        assert inputs is not None
        return entry.plan(inputs).compression

    def __repr__(self) -> str:
        return f"<pullback.{self.options.transformation} of {self.name}>"


def sparsity(
    function: Callable[..., Any], *args: Any, argnums: Argnums = 0, of: str = "jacobian"
) -> Csr:
    """Return which entries of a derivative can differ from zero, without computing it.

    The pattern follows from the program: from its shapes, and from the values of integer arguments
    where these are positions. It does not depend on floating-point values, and holds every entry
    that is not zero for some of them. Where a position is computed from floating-point values, any
    position counts; so does, for an operation that mixes entries in ways not known here, every
    entry of its operands.

    Parameters
    ----------
    args
        The arguments of the function; arrays to differentiate may be `Spec`s.
    argnums
        What to differentiate, as for `grad`.
    of
        "jacobian", or "hessian" for a scalar function.

    Returns
    -------
    pattern : bool[entries of the output, entries of the arguments]
        A `scipy.sparse.csr_array`, both sides flattened in C order, several arrays one behind the
        other.

    Raises
    ------
    UnsupportedError
        Where the pattern is nearly dense and too large to be written out, or a size is only known
        when the program runs.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> pattern = pb.sparsity(lambda x: x[1:] * x[:-1], np.ones(4))
    >>> pattern.toarray().astype(int)
    array([[1, 1, 0, 0],
           [0, 1, 1, 0],
           [0, 0, 1, 1]])
    """
    if of not in ("jacobian", "hessian"):
        raise ArgumentError(f"of={of!r} is neither 'jacobian' nor 'hessian'.")
    check_callable("sparsity", function)
    arguments = Arguments(function, (), ())
    _, call = scanned(arguments, args, {})
    wanted = arguments.wanted(call.args, call.kwargs, argnums, False)
    with uncollected():
        entry = GuardedEntry(
            function, arguments, call, name=name_of(function), has_aux=False, wanted=wanted
        )
        subject = Subject.make("sparsity", entry.traced, wanted, of)
        hidden = entry.collect(call.objects) if entry.collect is not None else []
        values = [*call.leaves, *(hidden or [])]
        known = {k: np.asarray(values[k]) for k in subject.integers if _is_known(values, k)}
        return subject.pattern(known)


def _is_known(values: Sequence[Any], k: int) -> bool:
    return k < len(values) and isinstance(values[k], np.ndarray | np.generic)


def sparse_jacobian(
    function: Callable[..., Any] | None = None,
    argnums: Argnums = 0,
    *,
    sparsity: Any = None,
    mode: str = "auto",
    has_aux: bool = False,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    exact: bool = False,
) -> Any:
    """Return the function that computes a Jacobian as a sparse matrix.

    The result is a `scipy.sparse.csr_array` with a row for each entry of the output and a column
    for each entry of the arguments, both flattened. The first call finds the pattern and colours
    it; every call computes as many products with the derivative as there are colours, all at once.

    Parameters
    ----------
    argnums
        What to differentiate, as for `grad`.
    sparsity
        The pattern, a sparse or dense matrix that is not zero where the Jacobian may be; found by
        `pb.sparsity` where it is left out. A given one is checked in a random direction, at the
        price of one more product.
    mode
        "forward" computes sums of columns, "reverse" sums of rows; "auto" the fewer, or dense rows
        in reverse mode and all others in forward mode, or the same of columns.
    has_aux
        The function returns `(output, aux)`; the result is then `(matrix, aux)`.
    static_argnums, static_argnames, exact
        As for `compile`.

    Raises
    ------
    DifferentiationError
        At a call, where an output or argument is not real floating point, or the given pattern
        lacks an entry.

    Notes
    -----
    Columns that share no row are computed as one, as proposed by Curtis, Powell and Reid [1]_.

    .. [1] A. R. Curtis, M. J. D. Powell, J. K. Reid, "On the estimation of sparse Jacobian
       matrices", J. Inst. Math. Appl. 13 (1974) 117-119.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> @pb.sparse_jacobian
    ... def differences(x):
    ...     return x[1:] ** 2 - x[:-1]
    >>> x = np.linspace(0.0, 1.0, 100_001)
    >>> differences(x)[:2, :3].toarray()
    array([[-1.e+00,  2.e-05,  0.e+00],
           [ 0.e+00, -1.e+00,  4.e-05]])
    >>> print(differences.compression(x))
    200,000 entries of 100,000 x 100,001 from 2 products, in forward mode
    """
    check_mode(mode)
    options = SparseOptions("jacobian", argnums, mode, has_aux, sparsity, exact)

    def transform(f: Callable[..., Any]) -> SparseFunction:
        return SparseFunction(f, options, static_argnums, static_argnames)

    return transform if function is None else transform(function)


def sparse_hessian(
    function: Callable[..., Any] | None = None,
    argnums: Argnums = 0,
    *,
    sparsity: Any = None,
    has_aux: bool = False,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    exact: bool = False,
) -> Any:
    """Return the function that computes the Hessian of a scalar function as a sparse matrix.

    As `sparse_jacobian`; the matrix is symmetric, and each of its entries is read from the side
    where fewer products give it.

    Notes
    -----
    The colouring is a star colouring [1]_, found vertex by vertex [2]_.

    .. [1] T. F. Coleman, J. J. Moré, "Estimation of sparse Hessian matrices and graph coloring
       problems", Math. Programming 28 (1984) 243-270.
    .. [2] A. H. Gebremedhin, F. Manne, A. Pothen, "What color is your Jacobian? Graph coloring for
       computing derivatives", SIAM Review 47 (2005) 629-705.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> @pb.sparse_hessian
    ... def energy(x):
    ...     return np.sum(x[0] * x[1:] ** 2)
    >>> energy(np.array([1.0, 2.0, 3.0, 4.0])).toarray()
    array([[0., 4., 6., 8.],
           [4., 2., 0., 0.],
           [6., 0., 2., 0.],
           [8., 0., 0., 2.]])
    >>> energy.compression(np.ones(1000)).products
    2
    """
    options = SparseOptions("hessian", argnums, "auto", has_aux, sparsity, exact)

    def transform(f: Callable[..., Any]) -> SparseFunction:
        return SparseFunction(f, options, static_argnums, static_argnames)

    return transform if function is None else transform(function)


__all__ = ["SparseFunction", "sparse_hessian", "sparse_jacobian", "sparsity"]
