"""Processes of their own: for NumPy under another malloc, and for first gradients with imports.

glibc gives the memory of a large array back to the system when it is freed, and the next one pays
for fresh pages again. In the child process that `Keeper` talks to, malloc keeps what it has: loops
over arrays as they are written in NumPy may then be three times as fast. Its slices are timed in
turn with those of the contestants in this process, and it sleeps between them.
"""

import json
import os
import pickle
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache, partial
from typing import IO, Any

from .timing import Timer, failure_of, timer_of

KEEPING = {
    "MALLOC_MMAP_MAX_": "0",  # arrays of any size from the heap,
    "MALLOC_TRIM_THRESHOLD_": str(2**62),  # which is never given back,
    "MALLOC_TOP_PAD_": str(2**26),  # and grows by large steps
}
"""What glibc's malloc reads when a process starts (the manual's "Memory Allocation Tunables")."""


class ChildError(RuntimeError):
    """The other process could not do what it was asked."""


def keeps_pages() -> bool:
    """Whether malloc can be told to keep pages: it is glibc's."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):
        return False


def _command(call: str) -> list[str]:
    # As this process finds its modules, wherever it was started.
    code = f"import sys; sys.path[:] = {sys.path!r}; {call}"
    return [sys.executable, "-c", code]


def _message(*parts: Any) -> bytes:
    try:
        return pickle.dumps(parts)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ChildError(f"cannot be sent to another process: {error}") from error


class Keeper:
    """A process in which malloc keeps pages, and that times calls when it is asked to."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            _command("from pullback.benchmarks import child; child.serve()"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **KEEPING},
        )

    def call(self, function: Any, args: tuple[Any, ...]) -> Any:
        """Send a function and its arguments, which stay there, and give what it returns."""
        return self._ask("call", (function, args))

    def time(self, calls: int) -> float:
        """Give the seconds that a call of what was sent takes."""
        seconds: float = self._ask("time", calls)
        return seconds

    def _ask(self, what: str, value: Any) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        message = _message(what, value)
        try:
            stdin.write(message)
            stdin.flush()
            is_done, answer = pickle.load(stdout)
        except (OSError, EOFError, ValueError) as error:
            # Killed for want of memory, say: the next case gets a new one.
            keeper.cache_clear()
            raise ChildError("the other process ended") from error
        except BaseException:
            # Interrupted: an answer under way would be taken for the next one.
            keeper.cache_clear()
            self._process.kill()
            raise
        if not is_done:
            raise ChildError(answer)
        return answer

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                # What it no longer reads cannot be written.
                with suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()


@cache
def keeper() -> Keeper:
    """Give the process that this one shares among cases; it ends with this one."""
    import atexit

    found = Keeper()
    atexit.register(found.close)
    return found


def serve() -> None:
    """Answer the messages of `Keeper`: the child's side of it."""
    # What a function prints is no answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    answer_all(sys.stdin.buffer, answers)


def answer_all(source: IO[bytes], sink: IO[bytes]) -> None:
    """Do what messages ask, until there are no more."""
    timer: Timer | None = None
    while True:
        try:
            what, value = pickle.load(source)
        except EOFError:
            return
        try:
            if what == "call":
                call = partial(value[0], *value[1])
                timer = timer_of(call)
                answer = True, call()
            else:
                assert timer is not None
                answer = True, timer(value)
        except Exception as error:
            answer = False, failure_of(error)
        pickle.dump(answer, sink)
        sink.flush()


def first_gradient_with_import(contestant: str, case: Any, args: Any, way: str) -> float:
    """Time in a new process: import the contestant's package, make the case ready, call it once.

    NumPy, the case and its arguments are there before the clock starts.

    Raises
    ------
    ChildError
        If the process fails.
    """
    message = _message(contestant, case, args, way)
    code = (
        "import time, numpy; start = time.perf_counter(); import pullback; "
        "imported = time.perf_counter() - start; "
        "from pullback.benchmarks import child; child.time_first_gradient(imported)"
    )
    done = subprocess.run(_command(code), input=message, capture_output=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise ChildError(lines[-1] if lines else f"exit code {done.returncode}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def time_first_gradient(imported: float) -> None:
    """Print the seconds: the child's side of `first_gradient_with_import`."""
    from .contestants import CONTESTANTS, PULLBACK

    name, case, args, way = pickle.load(sys.stdin.buffer)
    (contestant,) = (c for c in CONTESTANTS if c.name == name)
    start = time.perf_counter()
    with contestant.precision(args):
        contestant.prepare(case, args, way).run()
    seconds = time.perf_counter() - start
    # This package was there before the case could be read; its import is timed by itself.
    print(json.dumps(seconds + (imported if name == PULLBACK.name else 0.0)))
