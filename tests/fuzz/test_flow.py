"""Random programs with loops and branches against plain NumPy, called with several arguments.

`python tests/fuzz/test_flow.py FIRST LAST` tries the seeds in between, and prints what differs.
"""

from __future__ import annotations

import importlib.util
import linecache
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parents[1] / ".src"))
from flow import Flow, arguments  # noqa: E402

import pullback as pb  # noqa: E402

_spec = importlib.util.spec_from_file_location(
    "staging_case_of_flow", HERE.parent / "tracer" / "staging_case.py"
)
assert _spec is not None
assert _spec.loader is not None
harness = sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(harness)

SHARDS = 4
EXAMPLES = 12
SEEDS = (0, 1, 2, 0, 4)


def function_of(text: str, seed: int) -> Callable[..., Any]:
    filename = f"<flow {seed}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
    namespace: dict[str, Any] = {"np": np, "__name__": "flow_program"}
    exec(compile(text, filename, "exec"), namespace)
    made: Callable[..., Any] = namespace["program"]
    return made


def difference(seed: int) -> str:
    """Return how a program differs from NumPy; "" where it does not, or is refused."""
    function = function_of(Flow(seed).text(), seed)
    compiled = pb.compile(function, exact=True)
    for number in SEEDS:
        expected = harness.call(function, arguments(number))
        found = harness.call(compiled, arguments(number))
        if isinstance(found.error, pb.UnsupportedError):
            return ""
        if expected.error is not None or found.error is not None:
            if isinstance(expected.error, type(found.error)):
                continue
            return f"arguments {number}: it raises {found.error!r}, not {expected.error!r}"
        for what in ("result", "arguments"):
            one, two = [harness.leaves_of(getattr(o, what)) for o in (found, expected)]
            for k, (x, y) in enumerate(zip(one, two, strict=True)):
                if not harness.same(x, y):
                    return f"arguments {number}: {what} {k} is {x!r}, not {y!r}"
    try:
        for number in SEEDS[:2]:
            harness.check_slopes(
                harness.Case(function, (tuple(arguments(number)),), False, True, True)
            )
    except pb.UnsupportedError:
        return ""
    except AssertionError as error:
        return f"its gradient: {error}"
    return ""


@pytest.mark.parametrize("shard", range(SHARDS))
def test_programs_do_what_numpy_does(shard: int) -> None:
    for seed in range(shard * EXAMPLES, (shard + 1) * EXAMPLES):
        found = difference(seed)
        assert not found, f"{found}\n{Flow(seed).text()}"


if __name__ == "__main__":
    for seed in range(int(sys.argv[1]), int(sys.argv[2])):
        try:
            found = difference(seed)
        except Exception as error:  # whatever the compiler does
            found = repr(error)
        if found:
            print(f"== {seed}: {found}\n{Flow(seed).text()}", flush=True)
