"""Peak memory of one call, counted by whoever allocates and not guessed from the process.

The resident size of a process moves by megabytes for reasons of its own (caches of the allocator,
thread stacks, compilers), which is more than most cases need. So each contestant is asked in its
own way, always for the same thing: the bytes of array storage, beyond the arguments and the
results, that are live at once in a call in steady state, with any workspace kept between calls.

* NumPy reports each allocation of array data to tracemalloc: pullback, autograd, NumPy by hand.
  The Python objects that live during the call (an autograd tape) are counted with them.
* XLA plans a program's memory and tells: its temporaries.
* PyTorch's profiler records each allocation and release of its CPU allocator.
"""

import contextlib
import gc
import os
import tracemalloc
from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from .case import leaves


def bytes_of(tree: Any) -> int:
    """Bytes of the arrays (NumPy's, JAX's or PyTorch's) in nested tuples, each counted once."""
    return sum({id(leaf): int(getattr(leaf, "nbytes", 0)) for leaf in leaves(tree)}.values())


def traced_peak(make: Callable[[], Callable[[], Any]]) -> int:
    """Bytes that a call of ``make()`` needs beyond its result, by NumPy's reports to tracemalloc.

    Memory of earlier results that is kept for later ones is counted once, and is the result's.
    """
    gc.collect()
    tracemalloc.start()
    try:
        run = make()
        for _ in range(2):
            run()
        gc.collect()
        kept = _array_bytes()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        result = run()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return max(kept + peak - before - bytes_of(result), 0)


def _array_bytes() -> int:
    """Bytes of array data that are live now and were allocated since tracing began."""
    domain: int = getattr(np.lib, "tracemalloc_domain")  # noqa: B009 - absent from the stubs
    arrays = tracemalloc.take_snapshot().filter_traces([tracemalloc.DomainFilter(True, domain)])
    return sum(statistic.size for statistic in arrays.statistics("filename"))


def torch_peak(torch: Any, run: Callable[[], Any]) -> int:
    """Bytes that a call of `run` needs beyond its result, by the profiler's record."""
    run()
    activities = [torch.profiler.ProfilerActivity.CPU]
    with (
        _standard_error_closed(),
        torch.profiler.profile(activities=activities, profile_memory=True) as profile,
    ):
        result = run()
    live = peak = 0
    events = profile.profiler.kineto_results.events()
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return max(peak - bytes_of(result), 0)


@contextlib.contextmanager
def _standard_error_closed() -> Generator[None, None, None]:
    """Keep the lines that the profiler's C++ side prints out of the report."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
