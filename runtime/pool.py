"""The threads that share the parts of a tiled region with the thread that calls.

NumPy releases the interpreter's lock while it computes. The threads are started when they are first
needed, wait without spinning, and are daemons: a process ends without waiting for them. Who calls
takes parts like any other thread, and what is finished does not depend on threads that never got
round to it, so that concurrent callers can share the pool and none ever waits for its turn.
"""

from __future__ import annotations

import contextvars
import itertools
import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from ..ir.machine import machine

Part = Callable[[int, int], None]
"""Computes the part of a number, in the scratch of a worker."""


class _Job:
    """The parts of one region in one call."""

    def __init__(self, part: Part, parts: int) -> None:
        self.part = part
        self.parts = parts
        self.numbers = itertools.count()
        self.lock = threading.Lock()
        self.active = 0
        self.is_closed = False
        self.left: SimpleQueue[None] = SimpleQueue()
        self.errors: list[tuple[int, BaseException]] = []

    def work(self, worker: int) -> None:
        """Compute parts until none is left; after an error none is begun."""
        at = -1
        try:
            for at in self.numbers:
                if at >= self.parts or self.errors:
                    return
                self.part(at, worker)
        except BaseException as error:
            self.errors.append((at, error))

    def help(self, worker: int) -> None:
        """Work, if the caller is still at it."""
        with self.lock:
            if self.is_closed:
                return
            self.active += 1
        self.work(worker)
        with self.lock:
            self.active -= 1
        self.left.put(None)

    def finish(self) -> None:
        """Wait for who is still working, and raise the error of the first part that failed.

        An interrupt has to wait too: they write into memory that the next call may be given.
        """
        with self.lock:
            self.is_closed = True
        while self.active:
            try:
                self.left.get(timeout=1.0)
            except Empty:
                pass  # an interrupt had come with the last word of a helper
            except BaseException as error:
                self.errors.append((self.parts, error))
        if self.errors:
            raise min(self.errors, key=lambda found: found[0])[1]


class Pool:
    """Threads that wait for jobs."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.jobs: SimpleQueue[tuple[contextvars.Context, _Job, int]] = SimpleQueue()
        self.started = 0

    def run(self, part: Part, parts: int, threads: int) -> None:
        """Compute `part(number, worker)` for all numbers, the caller being worker 0."""
        job = _Job(part, parts)
        helpers = min(threads, parts) - 1
        if self.started < helpers:
            self._start(helpers)
        try:
            for worker in range(1, helpers + 1):
                # With the caller's modes for floating-point errors.
                self.jobs.put((contextvars.copy_context(), job, worker))
            job.work(0)
        finally:
            job.finish()

    def _start(self, wanted: int) -> None:
        with self.lock:
            while self.started < wanted:
                name = f"pullback-{self.started}"
                threading.Thread(target=self._serve, name=name, daemon=True).start()
                self.started += 1

    def _serve(self) -> None:
        while True:
            context, job, worker = self.jobs.get()
            context.run(job.help, worker)
            del context, job  # which hold arrays of the caller's


class _Settings:
    pool = Pool()
    threads: int | None = None


def run(part: Part, parts: int) -> None:
    """Compute all parts of a region, by as many threads as are set."""
    _Settings.pool.run(part, parts, threads())


def threads() -> int:
    """Return how many threads share a region, the caller's included."""
    return _Settings.threads or machine().cores


def set_threads(n: int | None) -> None:
    """Set how many threads compute large elementwise work; results do not depend on it.

    Parameters
    ----------
    n
        The number, the calling thread included; 1 uses no other thread. None: as many as there are
        cores that the process may run on, which is the default. BLAS has threads of its own, which
        this does not set.

    Raises
    ------
    ValueError
        If the number is less than 1.
    TypeError
        If it is no integer.

    Examples
    --------
    >>> import pullback as pb
    >>> pb.set_threads(1)
    >>> pb.set_threads(None)
    """
    if n is not None and (isinstance(n, bool) or not hasattr(n, "__index__")):
        raise TypeError(f"set_threads takes an int or None, not {n!r}")
    if n is not None and n < 1:
        raise ValueError(f"set_threads takes at least 1 thread, not {n}")
    _Settings.threads = None if n is None else int(n)


def _after_fork() -> None:
    _Settings.pool = Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
