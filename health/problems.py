"""What is wrong with a gradient, and where the backward pass first comes to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..ir.core import UNKNOWN, Eqn, Function, Literal, Provenance, Value, walk
from ..ir.location import Location
from ..passes.observe import Site
from .chains import Chain
from .measures import Measure
from .recording import Recording


@dataclass(frozen=True)
class Thresholds:
    """By which factor cotangents may change along layers, time steps, or parameters.

    The norm of a cotangent over that of the one where the chain begins, as the backward pass sees
    it: below `vanishing` it vanishes, above `exploding` it explodes.
    """

    vanishing: float
    exploding: float


@dataclass(frozen=True)
class Problem:
    """Something wrong: the verdict, a sentence, and where it is.

    `name` is the value, `number` its layer or step, None outside of chains.
    """

    verdict: str
    text: str
    name: str
    location: Location | None
    number: int | None = None

    @property
    def file(self) -> str:
        """Path of the user's file, empty where it is not known."""
        return self.location.file if self.location else ""

    @property
    def line(self) -> int:
        """The user's line, 0 where it is not known."""
        return self.location.line if self.location else 0

    @property
    def place(self) -> str:
        """The user's line, as `model.py:12`."""
        return self.location.place if self.location else ""


def problems_of(
    function: Function,
    recording: Recording,
    chains: Sequence[Chain],
    wanted: Sequence[int],
    thresholds: Thresholds,
) -> list[Problem]:
    """Return what is wrong, what is not finite first."""
    found = _Finder(function, recording)
    problems = [p for p in (found.bad_value(), found.bad_cotangent()) if p is not None]
    along = [p for c in reversed(chains) if (p := _along(c, thresholds)) is not None]
    problems += sorted(along, key=lambda p: p.verdict)  # what explodes first
    problems += found.parameters(wanted, thresholds, relative=not chains)
    return problems


def _along(chain: Chain, thresholds: Thresholds) -> Problem | None:
    """Return where a chain's cotangents vanish or explode first."""
    low, high = thresholds.vanishing, thresholds.exploding
    link = chain.first(lambda ratio: math.isfinite(ratio) and not low <= ratio <= high)
    reference = chain.reference
    if link is None or reference is None:
        return None
    ratio = chain.ratio_at(link)
    verdict = "explodes" if ratio > high else "vanishes"
    location = chain.provenance.location
    end = f"{chain.kind} {reference.number}"
    rest = f" (×{chain.factor:.3g} for each {chain.kind})" if 0 < chain.factor < math.inf else ""
    how = "is zero" if ratio == 0 else f"is {ratio:.2g} times that of {end}"
    text = (
        f"the gradient {verdict} at {_place(location)}: at {chain.kind} {link.number} of "
        f"{chain.links[-1].number} the cotangent of `{chain.name}` {how}{rest}."
    )
    return Problem(verdict, text, chain.name, location, link.number)


class _Finder:
    def __init__(self, function: Function, recording: Recording) -> None:
        self.function = function
        self.recording = recording
        self.eqns = list(walk(function))

    # -- what is not finite ------------------------------------------------------------------------

    def bad_value(self) -> Problem | None:
        """Return the first value that is not finite, and what it was made of.

        What starts at infinity and is replaced, as a least distance may, is no problem.
        """
        recording = self.recording
        result = self.function.results[0]
        loss = recording.site_of(result) if isinstance(result, Value) else None
        is_harmful = recording.bad_cotangent is not None or loss in recording.bad_values
        if not recording.bad_values or not is_harmful:
            return None
        made = (pair for pair in recording.bad_values.items() if self._is_origin(*pair))
        site, time = next(made, next(iter(recording.bad_values.items())))
        figures = recording.values(site)[time]
        if site.eqn is None:
            text = f"non-finite: `{_name(site.value, None)}` holds {_bad(figures)} from the start."
            return Problem("non-finite", text, _name(site.value, None), None)
        location = site.eqn.provenance.location
        operands = self._operands(site.eqn, site, time)
        text = (
            f"non-finite: {site.eqn.op.name} at {_place(location)}{_iteration(site, time)} gives "
            f"{_bad(figures)}; it got {operands}."
        )
        return Problem("non-finite", text, _name(site.value, site.eqn), location)

    def _is_origin(self, site: Site, time: int) -> bool:
        """Whether a value is not finite although all that it is made of is."""
        if site.eqn is None:
            return site.carry is None
        for operand in site.eqn.operands:
            if isinstance(operand, Literal):
                if not np.all(np.isfinite(operand.value)):
                    return False
            elif (figures := self._at(operand, site, time)) is not None and figures.bad:
                return False
        return True

    def bad_cotangent(self) -> Problem | None:
        """Return the equation whose adjoint gives the first cotangent that is not finite."""
        if self.recording.bad_cotangent is None:
            return None
        site, time = self.recording.bad_cotangent
        series = self.recording.cotangents(site)
        number = len(series) - 1 - time  # they come in the opposite order
        reader = self._reader(site)
        name = _name(site.value, None if site.is_use else site.eqn)
        what = f"the cotangent of `{name}` has {_bad(series[number])}"
        if reader is None:
            return Problem("non-finite", f"non-finite: {what}.", name, None)
        location = reader.provenance.location
        text = (
            f"non-finite: going backward through {reader.op.name} at {_place(location)}"
            f"{_iteration(site, number)}, {what}; {reader.op.name} got "
            f"{self._operands(reader, site, number)}, and {self._incoming(reader, site, number)}."
        )
        return Problem("non-finite", text, name, location)

    def _reader(self, site: Site) -> Eqn | None:
        """Return the equation that a cotangent comes from."""
        if site.is_use:
            return site.eqn
        readers = (e for e in self.eqns if site.value in e.operands)
        return next((e for e in readers if e.op.has_gradient or e.op.regions), None)

    def _operands(self, eqn: Eqn, site: Site, time: int) -> str:
        """Say what an equation got at an iteration."""
        texts: list[str] = []
        for operand in dict.fromkeys(eqn.operands):
            if isinstance(operand, Literal):
                if operand.is_scalar:
                    texts.append(f"{operand.value:.6g}")
                continue
            figures = self._at(operand, site, time)
            if figures is not None:
                texts.append(f"`{self._called(operand)}` {_range(figures)}")
        return " and ".join(texts) or "no floating-point operands"

    def _incoming(self, eqn: Eqn, site: Site, time: int) -> str:
        """Say what the cotangent of an equation's result was."""
        for result in eqn.results:
            own = self.recording.site_of(result)
            series = [] if own is None else self.recording.cotangents(own)
            if series and own is not None:
                figures = series[time] if own.loops == site.loops else series[0]
                return f"a cotangent {_range(figures)}"
        return "no cotangent that is known"

    def _at(self, value: Value, site: Site, time: int) -> Measure | None:
        own = self.recording.site_of(value)
        if own is None:
            outer = self._captured(value, site)
            return None if outer is None else self._at(outer, site, time)
        series = self.recording.values(own)
        if not series:
            return None
        return series[time] if own.loops == site.loops and time < len(series) else series[-1]

    def _captured(self, param: Value, site: Site) -> Value | None:
        """Return the value of outside that a parameter of a region stands for."""
        for eqn in self.eqns:
            for region in eqn.op.regions:
                if param in region.params:
                    shift = len(eqn.operands) - len(region.params)
                    position = region.params.index(param) + shift
                    outer = eqn.operands[position] if position >= 0 else None
                    return outer if isinstance(outer, Value) else None
        return None

    def _called(self, value: Value) -> str:
        made = next((e for e in self.eqns if value in e.results), None)
        return _name(value, made)

    # -- parameters --------------------------------------------------------------------------------

    def parameters(
        self, wanted: Sequence[int], thresholds: Thresholds, *, relative: bool
    ) -> list[Problem]:
        """Return which gradients are zero, or of another order than the others.

        Gradients are compared by ‖gradient‖·‖parameter‖, which no choice of units changes.
        """
        found: list[Problem] = []
        known: list[tuple[int, Value, float]] = []
        for k in wanted:
            param = self.function.params[k]
            ct = self.recording.cotangent(param)
            site = self.recording.site_of(param)
            if ct is not None and ct.bad:
                continue
            if ct is None or ct.norm == 0:
                text = f"the gradient vanishes: that of `{_name(param, None)}` is zero."
                found.append(Problem("vanishes", text, _name(param, None), None))
            elif site is not None and (size := self.recording.values(site)[0].norm) > 0:
                known.append((self._last_reader(param), param, ct.norm * size))
        if relative and known:
            found += self._compared(sorted(known, key=lambda item: -item[0]), thresholds)
        return found

    def _compared(
        self, known: Sequence[tuple[int, Value, float]], thresholds: Thresholds
    ) -> list[Problem]:
        _, first, most = known[0]
        for _, param, size in known[1:]:
            ratio = size / most
            if thresholds.vanishing <= ratio <= thresholds.exploding or not math.isfinite(ratio):
                continue
            verdict = "explodes" if ratio > 1 else "vanishes"
            location = self._read_at(param)
            name, other = _name(param, None), _name(first, None)
            text = (
                f"the gradient {verdict} at {_place(location)}: that of `{name}` is {ratio:.2g} "
                f"times that of `{other}`, relative to their norms."
            )
            return [Problem(verdict, text, name, location)]
        return []

    def _last_reader(self, param: Value) -> int:
        return max((k for k, e in enumerate(self.function.eqns) if param in e.operands), default=-1)

    def _read_at(self, param: Value) -> Location | None:
        eqns = self.function.eqns
        return next((e.provenance.location for e in eqns if param in e.operands), None)


def _name(value: Value, eqn: Eqn | None) -> str:
    return cut(called(value, UNKNOWN if eqn is None else eqn.provenance), 40)


def called(value: Value, made: Provenance) -> str:
    """Return what a value is called: the user's name, or the expression that makes it."""
    if value.hint or made.location is None:
        return value.hint or "a value"
    return " ".join((made.location.expression or made.location.text).split()) or "a value"


def cut(text: str, width: int) -> str:
    """Return text in so many columns."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _place(location: Location | None) -> str:
    return "a line that is not known" if location is None else location.place


def _iteration(site: Site, time: int) -> str:
    return f" (iteration {time})" if site.loops else ""


def _bad(figures: Measure) -> str:
    what = "nan" if math.isnan(figures.largest) else "inf"
    return f"{what} ({figures.bad:,} of {figures.size:,} entries)" if figures.size > 1 else what


def _range(figures: Measure) -> str:
    if figures.size == 1 or figures.low == figures.high:
        return f"{figures.low:.6g}"
    plural = "zero" if figures.zeros == 1 else "zeros"
    zeros = f" ({figures.zeros:,} {plural} of {figures.size:,})" if figures.zeros else ""
    return f"from {figures.low:.6g} to {figures.high:.6g}{zeros}"


__all__ = ["Problem", "Thresholds", "called", "cut", "problems_of"]
