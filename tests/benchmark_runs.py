"""Documents of runs that were never made: figures by hand, no clock."""

from typing import Any

from pullback.benchmarks import machine
from pullback.benchmarks.results import Document, Measurement, Result
from pullback.benchmarks.work import Rates

RATES = Rates(bandwidth=1e10, blas={"float32": 1e11, "float64": 5e10})

TIMES = {
    "pullback": 1.0,
    "by hand": 2.0,
    "by hand, pages kept": 1.5,
    "jax": 0.5,
    "torch": 4.0,
    "autograd": 8.0,
    "plain forward": 0.4,
    "compiled forward": 0.25,
}


def measurement(name: str, seconds: float, **facts: Any) -> Measurement:
    return Measurement(name, samples=[0.9 * seconds, seconds, 1.1 * seconds], **facts)


def model(case: str, entries: int, times: dict[str, float] | None = None, **facts: Any) -> Result:
    """A case whose times are milliseconds."""
    found = [
        measurement(name, 1e-3 * time, error=1e-7, peak_bytes=4096, first_call=0.01)
        for name, time in (TIMES if times is None else times).items()
    ]
    known = {
        "dtype": "float32",
        "parameters": entries // 2,
        "entries": entries,
        "bound_s": 5e-4,
        "bound_by": "bandwidth",
    }
    return Result(case, f"{entries} entries", "networks", known | facts, found)


def loop(program: str, body: str = "array", **times: float) -> Result:
    found = [
        measurement(name, seconds, first_call=0.1 if "gradient" in name else None)
        for name, seconds in times.items()
    ]
    facts = {"dtype": "float64", "body": body, "lines": 7}
    return Result(program, "", "relaxation", facts, found)


def document(suite: str, *results: Result, quick: bool = False) -> Document:
    return Document(suite, machine.environment(RATES) | {"quick": quick}, list(results))
