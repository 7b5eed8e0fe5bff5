"""Generators: those of outside, which the program is given, and those that the function makes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ...ir.core import Atom
from ...ir.errors import UnsupportedError
from ...ir.ops.random import MAKERS, MakeGenerator
from ..array import TracedArray, lift
from ..report import expression_here
from ..state import Trace, locate, require
from .lazy import implements_lazily

GENERATORS = (np.random.Generator, np.random.RandomState)

RAND: Any = vars(np.random.mtrand)["_rand"]


class TracedGenerator:
    """Stands for a generator that the traced function makes itself."""

    __slots__ = ("_atom", "cls")

    def __init__(self, atom: Atom, cls: type) -> None:
        self._atom = atom
        self.cls = cls

    def __getattr__(self, name: str) -> Any:
        if not hasattr(self.cls, name):
            raise AttributeError(f"'{self.cls.__name__}' object has no attribute '{name}'")
        if not callable(getattr(self.cls, name)):
            raise refused(f"the attribute `{name}` of a generator")

        def method(*args: Any, **kwargs: Any) -> Any:
            from .random import draw

            return draw(self, name, args, kwargs)

        return method


def refused(what: str) -> UnsupportedError:
    """Return the error for what a generator tells only when the program runs."""
    return UnsupportedError(
        f"{expression_here()}: {what} cannot be traced, since it is known only when the program "
        "runs.\n  Read it outside of the function, or draw arrays with the generator's samplers."
    )


# ---- generators ----------------------------------------------------------------------------------


def generator_class(owner: Any) -> type | None:
    """Return the class of a generator, traced or not; None for anything else."""
    if isinstance(owner, TracedGenerator):
        return owner.cls
    return type(owner) if isinstance(owner, GENERATORS) else None


def atom_of(owner: Any, trace: Trace) -> Atom:
    """Return what stands for a generator in the program.

    Raises
    ------
    UnsupportedError
        For one made in the run by code that is not traced: a later run would go on with it.
    """
    if isinstance(owner, TracedGenerator):
        return owner._atom
    inputs = trace.root.inputs
    if owner is RAND:
        return trace.builder.one(MakeGenerator("global"))
    if type(owner) not in GENERATORS:
        raise UnsupportedError(
            f"{expression_here()}: generators of the class {type(owner).__name__} are not traced.\n"
            "  Use np.random.Generator or np.random.RandomState themselves."
        )
    if inputs.path_of(owner) is None:
        raise UnsupportedError(
            f"{expression_here()} draws from a generator that code which pullback does not see "
            "into has made or hidden.\n  Pass the generator as an argument, or call "
            "np.random.default_rng(seed) in the function itself."
        )
    atom: Atom = inputs.opaque(owner)
    return atom


def _make(maker: str, seed: Any, cls: type) -> TracedGenerator:
    trace = require("a generator")
    trace.builder.provenance = locate(trace)
    if isinstance(seed, TracedArray):
        atom = trace.builder.one(MakeGenerator(maker), lift(seed, trace)[0])
    else:
        atom = trace.builder.one(MakeGenerator(maker, static_seed(seed)))
    return TracedGenerator(atom, cls)


def static_seed(seed: Any) -> Any:
    """Return a seed that is known while tracing, as an attribute of an op."""
    if seed is None:
        return None
    try:
        if isinstance(seed, list | tuple):
            return tuple([operator.index(s) for s in seed])
        return operator.index(seed)
    except TypeError:
        raise UnsupportedError(
            f"{expression_here()}: a generator made from a {type(seed).__name__} is not traced.\n"
            "  Give an int, a list of ints or an array of them as the seed."
        ) from None


class _Bits:
    """Stands for a bit generator that the traced function makes, until a generator is of it."""

    def __init__(self, name: str, seed: Any) -> None:
        self.name = name
        self.seed = seed


@implements_lazily("numpy.random.default_rng", always=True)
def _default_rng(seed: Any = None) -> Any:
    if generator_class(seed) is np.random.Generator:
        return seed
    if isinstance(seed, _Bits):
        return _make(seed.name, seed.seed, np.random.Generator)
    return _make("default_rng", seed, np.random.Generator)


@implements_lazily("numpy.random.RandomState", always=True)
def _random_state(seed: Any = None) -> Any:
    return _make("RandomState", seed, np.random.RandomState)


@implements_lazily("numpy.random.Generator", always=True)
def _generator(bit_generator: Any) -> Any:
    if isinstance(bit_generator, _Bits):
        return _make(bit_generator.name, bit_generator.seed, np.random.Generator)
    raise UnsupportedError(
        f"{expression_here()}: a generator of a bit generator from outside is not traced.\n"
        "  Make the generator outside of the function too, and pass it as an argument."
    )


def _bits(name: str) -> Callable[..., Any]:
    return lambda seed=None: _Bits(name, seed)


for _name in MAKERS:
    if _name not in ("default_rng", "RandomState", "global"):
        implements_lazily(f"numpy.random.{_name}", always=True)(_bits(_name))

__all__ = [
    "GENERATORS",
    "RAND",
    "TracedGenerator",
    "atom_of",
    "generator_class",
    "refused",
    "static_seed",
]
