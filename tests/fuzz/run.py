"""Fuzz for a while: `python tests/fuzz/run.py --minutes 60 --seed 1`.

It prints how many programs it tried, and each kind of difference once, with a minimal program.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / ".src")]
from differ import check  # noqa: E402
from programs import Program, programs  # noqa: E402

BATCH = 100


class Fuzzer:
    """Batches of programs, and what was found in them by kind of failure."""

    def __init__(self, overlaps: bool, shrink: bool) -> None:
        self.strategy = programs(overlaps=overlaps)
        self.phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
        self.tried = 0
        self.found: dict[str, int] = {}
        self.last: tuple[Program, Exception] | None = None

    def batch(self, number: int) -> None:
        """Try programs until one fails in a new way."""
        wanted: list[str] = []

        @seed(number)
        @settings(
            max_examples=BATCH,
            deadline=None,
            database=None,
            phases=self.phases,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        @given(self.strategy)
        def behaves(program: Program) -> None:
            self.tried += not wanted
            try:
                check(program)
            except Exception as error:
                kind = kind_of(error)
                if not wanted and kind not in self.found:
                    wanted.append(kind)
                if kind not in wanted:
                    if not wanted:
                        self.found[kind] += 1
                    return
                self.last = program, error
                raise

        try:
            behaves()
        except Exception:
            if not wanted or self.last is None:
                raise
            self.found[wanted[0]] = 1
            program, error = self.last
            print(f"\n== {wanted[0]}\n{program!r}\n{type(error).__name__}: {error}", flush=True)


def kind_of(error: Exception) -> str:
    """Return a failure's text without what is particular to the program."""
    text = re.sub(r"[-+]?\d[\d.e+-]*j?", "0", str(error).split("\n")[0])
    text = re.sub(r"\[.*\]|<.*>|\bv0\S*|\b[abc]\b\S*|`.*?`", "_", text)
    return f"{type(error).__name__} {text[:110]}"


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--overlaps", action="store_true", help="arguments that share memory")
    parser.add_argument("--no-shrink", dest="shrink", action="store_false")
    options = parser.parse_args()
    fuzzer = Fuzzer(options.overlaps, options.shrink)
    until = time.monotonic() + 60 * options.minutes
    number = options.seed * 1_000_000
    show = progress()
    while time.monotonic() < until:
        fuzzer.batch(number)
        number += 1
        left = max(0.0, until - time.monotonic())
        show(f"{fuzzer.tried} programs, {len(fuzzer.found)} kinds of failure, {left:.0f} s left")
    print(f"\n{fuzzer.tried} programs; failures:")
    for kind, count in sorted(fuzzer.found.items(), key=lambda item: -item[1]):
        print(f"{count:6d}  {kind}")
    return 1 if fuzzer.found else 0


def progress() -> Any:
    """Return a function that shows a line: by rich on a terminal, else now and then."""
    try:
        from rich.console import Console
    except ImportError:
        return lambda text: print(f"\r{text}", end="", flush=True)
    console = Console(stderr=True)
    if not console.is_terminal:
        lines = iter(range(1 << 60))
        return lambda text: print(text, flush=True) if next(lines) % 20 == 0 else None
    status = console.status("")
    status.start()
    return status.update


if __name__ == "__main__":
    raise SystemExit(main())
