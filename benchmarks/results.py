"""What was measured, in one form for all suites, and the JSON documents that keep it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = "pullback benchmark"
VERSION = 2

KEPT = ", pages kept"
"""What the name of a contestant ends in that runs where malloc keeps its pages."""

RATIOS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "models": {
        "by hand": ("by hand", "pullback"),
        "by hand, pages kept": ("by hand" + KEPT, "pullback"),
        "jax": ("jax", "pullback"),
        "torch": ("torch", "pullback"),
        "autograd": ("autograd", "pullback"),
        "gradient to plain forward": ("pullback", "plain forward"),
        "gradient to compiled forward": ("pullback", "compiled forward"),
    },
    "transforms": {
        name: (name, "pullback")
        for name in ("by hand", "by hand, looped", "jax", "jax, dense", "torch", "autograd")
    },
    "loops": {
        "compiled against plain": ("plain", "forward"),
        "compiled against plain, pages kept": ("plain" + KEPT, "forward"),
        "gradient to compiled forward": ("gradient", "forward"),
        "gradient to plain forward": ("gradient", "plain"),
        "forward against JAX": ("jax forward", "forward"),
        "gradient against JAX": ("jax gradient", "gradient"),
    },
}
"""What is compared in each suite: how many times as long as the second the first takes."""

COSTS = frozenset({"gradient to plain forward", "gradient to compiled forward"})
"""The ratios that are better when they are smaller: ours stands above."""


class DocumentError(ValueError):
    """A file does not hold what a benchmark wrote."""


@dataclass
class Measurement:
    """What one contestant did on one case at one size; times in seconds, memory in bytes.

    Attributes
    ----------
    note
        The way that it chose.
    failure
        What went wrong, if it did; the figures are absent then.
    first_call
        Making it ready and calling it once, where its package is imported and warm.
    first_with_import
        The same in a new process, with the import.
    error
        Largest difference from the gradient by hand, relative to the largest entry of an array.
    peak_bytes
        What a call needs at once beyond its arguments and results.
    """

    contestant: str
    note: str = ""
    failure: str = ""
    first_call: float | None = None
    first_with_import: float | None = None
    error: float | None = None
    peak_bytes: int | None = None
    samples: list[float] = field(default_factory=list[float])

    @property
    def median(self) -> float:
        """Median time per call over the rounds."""
        return float(np.median(self.samples))

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third quartile of the time per call."""
        low, high = np.quantile(self.samples, (0.25, 0.75))
        return float(low), float(high)


@dataclass
class Result:
    """One case at one size, and what every contestant did on it.

    `facts` holds what is known of the case: dtype, counts of parameters and of entries, and the
    bound of the machine's rates. `failure` says why no contestant could run.
    """

    case: str
    size: str
    family: str
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    measurements: list[Measurement] = field(default_factory=list[Measurement])
    failure: str = ""

    @property
    def label(self) -> str:
        """Case and size in one name."""
        return f"{self.case}: {self.size}" if self.size else self.case

    def of(self, contestant: str) -> Measurement | None:
        """Give what a contestant did, if its calls were timed."""
        for found in self.measurements:
            if found.contestant == contestant and found.samples:
                return found
        return None

    def ratio(self, over: str, under: str) -> float | None:
        """How many times as long as `under` the contestant `over` takes, if both ran."""
        above, below = self.of(over), self.of(under)
        return None if above is None or below is None else above.median / below.median

    def spread(self, over: str, under: str) -> tuple[float, float] | None:
        """Give the least and the greatest that the ratio is between quartiles of both."""
        above, below = self.of(over), self.of(under)
        if above is None or below is None:
            return None
        return (
            above.quartiles[0] / below.quartiles[1],
            above.quartiles[1] / below.quartiles[0],
        )

    def first_call(self, contestant: str) -> float | None:
        """Give the seconds of a contestant's first call, if they are known."""
        found = self.of(contestant)
        return None if found is None else found.first_call

    def peak_bytes(self, contestant: str) -> int | None:
        """Give the bytes that a contestant's call needs at once, if they are known."""
        found = self.of(contestant)
        return None if found is None else found.peak_bytes

    @property
    def failures(self) -> dict[str, str]:
        """What went wrong, by contestant."""
        found = {m.contestant: m.failure for m in self.measurements if m.failure}
        return {"case": self.failure, **found} if self.failure else found


@dataclass
class Document:
    """The results of one run, with the environment that they were measured in."""

    suite: str
    environment: dict[str, Any]
    results: list[Result]

    @property
    def ratios(self) -> Mapping[str, tuple[str, str]]:
        """What is compared."""
        return RATIOS[self.suite]

    def to_json(self) -> str:
        """Write everything."""
        return (
            json.dumps(
                {
                    "format": FORMAT,
                    "version": VERSION,
                    "suite": self.suite,
                    "environment": self.environment,
                    "results": [_result_to_json(r, self.ratios) for r in self.results],
                },
                indent=1,
            )
            + "\n"
        )


def geometric_mean(values: Sequence[float]) -> float:
    """Mean of ratios: that of the inverse ratios is its inverse."""
    return float(np.exp(np.mean(np.log(values))))


def known(values: Iterable[float | None]) -> list[float]:
    """Give the values that are there."""
    return [value for value in values if value is not None]


def present(
    results: Sequence[Result], ratios: Mapping[str, tuple[str, str]]
) -> dict[str, tuple[str, str]]:
    """Give the ratios that at least one result has."""
    return {what: pair for what, pair in ratios.items() if known(r.ratio(*pair) for r in results)}


def _result_to_json(result: Result, ratios: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    return {
        "case": result.case,
        "size": result.size,
        "family": result.family,
        "facts": result.facts,
        "failure": result.failure,
        "ratios": {what: result.ratio(*of) for what, of in ratios.items()},
        "contestants": [_measurement_to_json(m) for m in result.measurements],
    }


def _measurement_to_json(m: Measurement) -> dict[str, Any]:
    return {
        "name": m.contestant,
        "note": m.note,
        "failure": m.failure,
        "median_s": m.median if m.samples else None,
        "quartiles_s": m.quartiles if m.samples else None,
        "first_call_s": m.first_call,
        "first_with_import_s": m.first_with_import,
        "peak_bytes": m.peak_bytes,
        "gradient_error": m.error,
        "samples_s": m.samples,
    }


def read(path: Path) -> Document:
    """Read a document.

    Raises
    ------
    DocumentError
        If the file is no document, or one of another version.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DocumentError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise DocumentError(f"{path} was not written by `pullback bench --json`.")
    if data["version"] != VERSION:
        raise DocumentError(
            f"{path} is of version {data['version']}; this pullback reads version {VERSION}."
        )
    results = [
        Result(
            case=r["case"],
            size=r["size"],
            family=r["family"],
            facts=r["facts"],
            failure=r["failure"],
            measurements=[_measurement_of(m) for m in r["contestants"]],
        )
        for r in data["results"]
    ]
    return Document(data["suite"], data["environment"], results)


def _measurement_of(m: Mapping[str, Any]) -> Measurement:
    return Measurement(
        contestant=m["name"],
        note=m["note"],
        failure=m["failure"],
        first_call=m["first_call_s"],
        first_with_import=m["first_with_import_s"],
        error=m["gradient_error"],
        peak_bytes=m["peak_bytes"],
        samples=m["samples_s"],
    )
