"""From a Python function and the types of its arguments to an IR function."""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.builder import Builder
from ..ir.core import Atom, Function, Literal, Provenance, Value
from ..ir.errors import StructureError, UnsupportedError, with_article
from ..ir.location import Location
from ..ir.ops.effects import WriteBack
from ..ir.ops.shape import BroadcastTo
from ..ir.plan import Fresh
from ..ir.types import ArrayType, Kind, Layout
from .array import TracedArray, lift
from .closed import guard_argument
from .commits import Commit
from .driving import LIMIT, Restage
from .functions.lazy import register_loaded
from .guards import Decision
from .inputs import Collect, Inputs
from .overlap import Group, buffer, check_group, member
from .report import defined, definition, explain
from .state import ENTRY, Trace
from .storage import Storage
from .tree import Node, Static, Structure, flatten, unflatten

RESTAGED = 20
"""How often a function is traced anew because of loops that may not be staged."""


@dataclass(frozen=True)
class LeafSpec:
    """What is known of one traced argument: its type, kind, layout, name, and the path to it."""

    type: ArrayType
    kind: Kind
    layout: Layout
    hint: str | None
    path: str


@dataclass(frozen=True)
class Traced:
    """A traced function with what a call needs besides it.

    `inputs` is the number of leading parameters that are arguments; hidden inputs follow, which
    `collect(objects)` reads. `structure` is that of the result. The last `stored` results are what
    `commit` stores outside. `decisions` say what became of loops and branches. `where` is the line
    that defines the function, for messages that have no expression of the user's to show.
    """

    function: Function
    inputs: int
    collect: Collect | None
    structure: Structure
    aux: Structure | None = None
    results: int = 0
    fresh: Sequence[Fresh | None] = ()
    written: Sequence[tuple[int, Location | None]] = ()
    commit: Commit | None = None
    stored: int = 0
    decisions: Sequence[Decision] = ()
    where: Location | None = None


def trace(*args: Any, **kwargs: Any) -> Traced:
    """Trace a function as `trace_once` does; anew where a loop was staged and may not be."""
    memos: dict[Any, Any] = {}
    for _ in range(RESTAGED):
        try:
            return trace_once(*args, memos=memos, **kwargs)
        except Restage as error:
            error.memo.failures = LIMIT
            error.memo.why = error.why
    raise UnsupportedError(
        "the loops and branches of the function share memory in ways that cannot be told apart.\n"
        "  Copy arrays before they are bound to other names and written into."
    )


def trace_once(
    function: Callable[..., Any],
    structure: Structure,
    leaves: Sequence[LeafSpec],
    objects: Sequence[Any],
    *,
    name: str,
    has_aux: bool = False,
    writes_back: bool = False,
    values: Sequence[Any] = (),
    arrays: Sequence[Any] = (),
    shared: Sequence[Group] = (),
    memos: dict[Any, Any] | None = None,
) -> Traced:
    """Trace `function(*args, **kwargs)`, where `structure` is that of `(args, kwargs)`.

    With `writes_back` the program changes the arrays that the function writes into. `values` are
    the leaves themselves, for branches that they decide; without them such a branch is an error.
    `shared` are the groups of the call's `arrays` (arguments, then hidden inputs) that are views of
    one buffer; the buffers are parameters after the arguments.

    Raises
    ------
    UnsupportedError
        Where a result is no container of arrays.
    """
    register_loaded()
    builder = Builder()
    inputs = Inputs(builder)
    inputs.memos = {} if memos is None else memos
    inputs.is_differentiated = not writes_back
    with Trace(builder, None, inputs) as state:
        params: list[TracedArray] = []
        for leaf in leaves:
            value = builder.param(Value(leaf.type, leaf.hint, layout=leaf.layout))
            params.append(TracedArray(value, leaf.kind, state))
        for leaf, param, value in zip(leaves, builder.params, values, strict=False):
            inputs.guards.give(param, leaf.kind, value)
        members = _members(arrays, shared, state)
        params = [members.get(k, p) for k, p in enumerate(params)]
        inputs.buffers = {m._as_view().storage for m in members.values()}
        inputs.members = {id(arrays[k]): m for k, m in members.items() if k >= len(params)}
        for k, value in enumerate(objects):
            guard_argument(inputs, value, f"objects[{k}]")
        _register_callable(function, inputs)
        _guard_defaults(function, inputs)
        args, kwargs = unflatten(structure, iter(params))
        inputs.commits.register_arguments(args, "objects[-2]")
        inputs.commits.register_arguments(kwargs, "objects[-1]")
        try:
            output = call_traced(function, args, kwargs)
            written = _written([*params, *inputs.arrays], state, writes_back)
            results, count, out_structure, aux_structure = collect_output(
                output, state, name, has_aux, definition(function)
            )
            stored, commit = inputs.commits.finish(state, writes_back)
            owners = [*_owners(output), *[memory for _, _, memory in stored]]
        except Exception as error:
            inputs.checks.verify(inputs.guards)
            explain(error, _describer(builder, leaves, inputs))
            raise
        finally:
            inputs.commits.undo()
        results += [(atom, kind) for atom, kind, _ in stored]
    for value, leaf in zip(builder.params, leaves, strict=False):
        if value.hint is None:  # the user's code gave it no name of its own
            value.hint = "_".join(re.findall(r"\w+", leaf.path))
    traced = builder.finish(
        name,
        [a for a, _ in results],
        param_kinds=[*[leaf.kind for leaf in leaves], *[Kind.ARRAY] * len(shared), *inputs.kinds],
        result_kinds=[k for _, k in results],
    )
    return Traced(
        traced,
        len(leaves),
        inputs.collector(),
        out_structure,
        aux_structure,
        count,
        _fresh(traced, owners),
        written,
        commit,
        len(stored),
        inputs.decisions,
        definition(function),
    )


def _members(
    arrays: Sequence[Any], shared: Sequence[Group], state: Trace
) -> dict[int, TracedArray]:
    """Return by position the arrays that are views of a buffer, which becomes a parameter."""
    found: dict[int, TracedArray] = {}
    for group in shared:
        check_group(arrays, group)
        dtype = arrays[group.positions[0]].dtype
        size = group.nbytes // dtype.itemsize
        param = state.builder.param(Value(ArrayType(dtype, (size,)), "shared"))
        state.inputs.guards.give(param, Kind.ARRAY, buffer(arrays, group))
        memory = TracedArray(param, Kind.ARRAY, state)
        for position, offset in zip(group.positions, group.offsets, strict=True):
            found[position] = member(memory, arrays[position], offset)
    return found


def _written(
    arrays: Sequence[TracedArray], state: Trace, writes_back: bool
) -> list[tuple[int, Location | None]]:
    """Return the positions of the parameters that were written into, and where first.

    With `writes_back` their memory gets its last content, at the end of the program.
    """
    found: list[tuple[int, Location | None]] = []
    done: set[int] = set()
    for position, array in enumerate(arrays):
        storage = array._view.storage if array._view is not None else None
        if storage is None or (storage.written is None and storage.apart is None):
            continue
        found.append((position, storage.written or storage.apart))
        if writes_back and storage.written is not None and id(storage) not in done:
            done.add(id(storage))
            state.builder.provenance = Provenance((storage.written,))
            content = storage.value
            storage.unsettled = None  # this is no write of the user's
            storage.put(state.builder.one(WriteBack(), storage.param, content))
    return found


def _owners(output: Any) -> list[Any]:
    """Return for each leaf of an output what stands for its memory."""
    leaves: list[Any] = []
    flatten(_plain(output), leaves)
    views = [getattr(leaf, "_view", None) for leaf in leaves]
    return [
        leaf if view is None else view.storage for leaf, view in zip(leaves, views, strict=True)
    ]


def _fresh(function: Function, memories: Sequence[Any]) -> list[Fresh | None]:
    """Return for each result what is known where NumPy makes it anew, else None."""
    views = {e.results[0]: e for e in function.eqns if e.op.is_view}
    found: list[Fresh | None] = []
    owners: dict[int, int] = {}
    for result, memory in zip(function.results, memories, strict=True):
        atom, spread = result, False
        while isinstance(atom, Value) and atom in views:
            spread = spread or isinstance(views[atom].op, BroadcastTo)
            atom = views[atom].operands[0]
        owner = owners.setdefault(id(memory), len(owners))
        # An array that was filled with an argument holds the argument, and is not it.
        is_own = isinstance(memory, Storage) and memory.param not in function.params
        callers = atom in function.params and not is_own
        found.append(None if callers else Fresh(owner, spread))
    return found


def _guard_defaults(function: Callable[..., Any], inputs: Inputs) -> None:
    """Trace anew when the function is given other defaults than it has now."""
    if isinstance(function, types.FunctionType):
        holder = inputs.constant(function)
        for name in ("__defaults__", "__kwdefaults__"):
            value = getattr(function, name)
            if value:
                inputs.load(f"{holder}.{name}", value)


def _register_callable(function: Any, inputs: Inputs) -> None:
    """Let what a callable that is no plain function holds be read again at every call."""
    if isinstance(function, functools.partial):
        inputs.register(function, inputs.constant(function))
        inputs.load(f"{inputs.constant(function)}.args", function.args)
        inputs.load(f"{inputs.constant(function)}.keywords", function.keywords)
        _register_callable(function.func, inputs)
    elif isinstance(function, types.MethodType):
        inputs.hold(function.__self__, inputs.constant(function.__self__))
    elif not isinstance(function, types.FunctionType):
        inputs.hold(function, inputs.constant(function))


def _describer(
    builder: Builder, leaves: Sequence[LeafSpec], inputs: Inputs
) -> Callable[[Atom], str]:
    """Return what says of an atom which argument of the user's it is, if it is one."""

    def describe(atom: Atom) -> str:
        for value, leaf in zip(builder.params, leaves, strict=False):
            if value is atom:
                return "argument" if leaf.path.isidentifier() else f"argument {leaf.path}"
        return "read from outside of the function" if atom in inputs.values else ""

    return describe


def collect_output(
    output: Any, state: Trace, name: str, has_aux: bool, where: Location | None
) -> tuple[list[tuple[Atom, Kind]], int, Structure, Structure | None]:
    """Return the leaves of a function's output, how many are no aux, and the two structures.

    Raises
    ------
    UnsupportedError
        Where the output is no container of arrays, or with `has_aux` no pair.
    """
    results: list[tuple[Atom, Kind]] = []
    if not has_aux:
        structure = _results(output, state, results, name, where)
        return results, len(results), structure, None
    if not isinstance(output, tuple) or len(output) != 2:
        text = (
            f"has_aux=True needs a function that returns a pair (output, aux), and {name} returns "
            f"{_shown(output)}.\n  Write  return output, aux  there, or leave has_aux out."
        )
        raise StructureError(defined(text, where))
    structure = _results(output[0], state, results, name, where)
    count = len(results)
    return results, count, structure, _results(output[1], state, results, name, where)


def call_traced(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call a user's function with traced arguments: its rewritten form where there is one."""
    from .hooks import HOOKS

    return HOOKS["__pb_call__"](function, *args, **kwargs)


def _results(
    output: Any,
    state: Trace,
    results: list[tuple[Atom, Kind]],
    name: str,
    where: Location | None,
) -> Structure:
    """Append the result's leaves as atoms and return its structure; static values stay inside."""
    leaves: list[Any] = []
    structure = flatten(_plain(output), leaves)
    _check_static(structure, name, where)
    for leaf in leaves:
        if isinstance(leaf, float | complex) and not isinstance(leaf, np.generic):
            results.append((Literal(np.asarray(leaf)[()]), Kind.PYTHON))
        else:
            results.append(lift(leaf, state))
    return structure


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, map | zip | filter) else value


def _shown(output: Any) -> str:
    """Return what messages call what a function returned."""
    if isinstance(output, tuple):
        return f"a tuple of {len(output)}"
    if isinstance(output, TracedArray):
        return str(output._atom.type)
    return "None" if output is None else with_article(type(output).__name__)


def _check_static(structure: Structure, name: str, where: Location | None) -> None:
    if isinstance(structure, Node):
        for child in structure.children:
            _check_static(child, name, where)
    elif isinstance(structure, Static) and not isinstance(
        structure.value, bool | int | str | type(None)
    ):
        text = (
            f"{name} returns {with_article(type(structure.value).__name__)}, which is no container "
            "of arrays.\n"
            "  Return arrays, numbers, or tuples, lists, dicts, namedtuples and dataclasses of "
            "them; make your own class a container with pb.register_container."
        )
        raise UnsupportedError(defined(text, where))


ENTRY[:] = [call_traced.__code__]

__all__ = ["LeafSpec", "Traced", "call_traced", "trace"]
