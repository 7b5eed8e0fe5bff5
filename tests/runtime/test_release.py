"""Memory between calls: dropped on request and after disuse, bounded, and never leaked."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.entries import CACHE_SIZE
from pullback.runtime import keeper, program
from pullback.runtime.keeper import Keeper

N = 1 << 15


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of a keeper that new programs are added to."""
    clock = Clock()
    monkeypatch.setattr(program, "KEEPER", Keeper(clock, 10.0))
    return clock


@pytest.fixture
def traced() -> Iterator[None]:
    gc.collect()
    tracemalloc.start()
    yield
    tracemalloc.stop()


def arrays() -> int:
    """Return the bytes that NumPy has allocated and tracemalloc knows of."""
    gc.collect()
    domain = np.lib.tracemalloc_domain
    found = tracemalloc.take_snapshot().filter_traces([tracemalloc.DomainFilter(True, domain)])
    return sum(t.size for t in found.traces)


def chain(x: Any) -> Any:
    return np.cumsum(np.tanh(x) * np.exp(-x))


def kept(f: Any) -> int:
    """Return the workspaces kept by the one program of a compiled function."""
    [entry] = f.programs.made()
    return sum(len(pool) for pool in entry.program._pools.values())


# -- on request ------------------------------------------------------------------------------------


def test_release_gives_back_all_that_is_kept(traced):
    x = np.linspace(0.0, 1.0, N)
    f, g = pb.compile(chain), pb.grad(lambda x: np.sum(chain(x)))
    pb.release()
    before = arrays()
    y = f(x)
    g(x)
    content = y.copy()
    del y
    assert arrays() - before > 3 * x.nbytes
    pb.release()
    assert arrays() - before < content.nbytes + 4096
    np.testing.assert_array_equal(f(x), content)


def test_release_reaches_pullbacks_and_built_functions(traced):
    x = np.linspace(0.0, 1.0, N)
    value, back = pb.vjp(chain, x)
    back(value)
    before = arrays()
    pb.release()
    assert arrays() < before
    np.testing.assert_allclose(back(value), back(value))


def test_release_while_calls_run():
    f = pb.value_and_grad(lambda x: np.sum(chain(x)))
    x = np.linspace(0.0, 1.0, N)
    value, gradient = f(x)
    done = threading.Event()
    wrong: list[Any] = []

    def work() -> None:
        for _ in range(60):
            v, g = f(x)
            if v != value or not np.array_equal(g, gradient):
                wrong.append(v)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for t in threads:
        t.start()
    while not done.is_set():
        pb.release()
        if not any(t.is_alive() for t in threads):
            done.set()
    assert not wrong
    pb.release()
    assert kept(f) == 0


def test_the_variant_for_errors_that_raise_is_released_too():
    @pb.compile
    def total(x):
        s = 0.0
        for k in range(len(x)):
            s = s + x[k] * x[k]
        return s

    x = np.ones(40)
    total(x)
    own = total.programs.made()[0].program
    with np.errstate(all="raise"):
        assert total(x) == 40.0
        assert own._strict is not None
        pb.release()
        assert own._strict is None
        assert total(x) == 40.0


# -- after disuse ----------------------------------------------------------------------------------


def test_what_is_not_used_goes_when_others_run(clock):
    x = np.linspace(0.0, 1.0, 100)
    f, g = pb.compile(chain), pb.compile(chain)
    f(x)
    g(x)
    clock.now = 11.0
    for _ in range(program.OFTEN):
        g(x)
    assert kept(f) == kept(g) == 1  # both have run since the clock began
    clock.now = 22.0
    for _ in range(program.OFTEN):
        g(x)
    assert kept(f) == 0
    assert kept(g) == 1
    f(x)
    assert kept(f) == 1


def test_what_is_not_used_goes_when_others_are_compiled(clock):
    x = np.linspace(0.0, 1.0, 100)
    f = pb.compile(chain)
    f(x)
    for now in (11.0, 22.0):
        clock.now = now
        pb.compile(chain)(x)
    assert kept(f) == 0


def test_dropped_results_go_after_disuse(clock):
    x = np.linspace(0.0, 1.0, N)
    f = pb.compile(chain)
    f(x)
    [shelf] = f.programs.made()[0].program.source.shelves
    assert shelf.idle_bytes == x.nbytes
    for now in (11.0, 22.0):
        clock.now = now
        pb.compile(chain)(x)
    assert shelf.idle_bytes == 0


def test_looks_are_rare(clock):
    calls: list[str] = []

    class Fake:
        uses = 0

        def release(self) -> None:
            calls.append("released")

    fake = Fake()
    own = Keeper(clock, 10.0)
    own.add(fake)
    for now in (1.0, 5.0, 9.0):
        clock.now = now
        own.look()
    assert not calls
    for now in (10.0, 12.0, 19.0):
        clock.now = now
        own.look()
    assert not calls  # seen for the first time
    clock.now = 20.0
    own.look()
    own.look()
    assert calls == ["released"]
    fake.uses = 1
    clock.now = 31.0
    own.look()
    assert calls == ["released"]


def test_a_keeper_keeps_no_program_alive(clock):
    x = np.ones(3)
    f = pb.compile(chain)
    f(x)
    own = program.KEEPER
    assert len(own.programs()) == 1
    del f
    gc.collect()
    assert own.programs() == []
    own.release()


def test_the_keeper_of_the_process_uses_the_monotonic_clock():
    assert keeper.KEEPER.programs() is not None
    assert keeper.PAUSE >= 10.0


# -- bounds ----------------------------------------------------------------------------------------


def test_many_threads_leave_a_bounded_number_of_workspaces():
    f = pb.compile(chain)
    x = np.linspace(0.0, 1.0, N)
    f(x)
    threads = 4 * program.KEPT
    barrier = threading.Barrier(threads)

    def work() -> None:
        barrier.wait()
        for _ in range(5):
            f(x)

    running = [threading.Thread(target=work) for _ in range(threads)]
    for t in running:
        t.start()
    for t in running:
        t.join()
    assert 1 <= kept(f) <= program.KEPT


def test_workspaces_kept_for_error_modes_are_bounded():
    f = pb.compile(chain)
    x = np.linspace(0.0, 1.0, 10)
    for over in ("ignore", "warn", "print", "log"):
        for under in ("ignore", "warn", "print"):
            with np.errstate(over=over, under=under):
                f(x)
    assert kept(f) <= program.MODES


# -- leaks -----------------------------------------------------------------------------------------


def test_ten_thousand_calls_with_changing_shapes_leak_nothing(traced, clock):
    """More shapes than the cache holds, each used some times in a row, over and over."""
    f = pb.grad(lambda x: np.sum(x * x))
    shapes = [(n,) for n in range(1, CACHE_SIZE + 30)]
    rounds, repeats = 2, 10_000 // (2 * len(shapes)) + 1

    def cycle() -> None:
        for shape in shapes:
            x = np.ones(shape)
            for _ in range(repeats):
                f(x)

    def state() -> tuple[int, int, int]:
        gc.collect()
        return tracemalloc.get_traced_memory()[0], arrays(), len(gc.get_objects())

    f(np.ones(3))
    cycle()
    size, numpy_size, objects = state()
    for _ in range(rounds):
        cycle()
    assert rounds * repeats * len(shapes) >= 10_000
    assert f.cache_info().currsize == CACHE_SIZE
    after = state()
    assert after[0] < 1.02 * size + 100_000
    assert after[1] < numpy_size + 10_000
    assert after[2] < 1.02 * objects + 500


def test_programs_that_the_cache_forgets_take_their_memory_along(traced, clock):
    f = pb.compile(chain)
    before = arrays()
    for n in range(N, N + 3):
        f(np.linspace(0.0, 1.0, n))
    assert arrays() - before > 6 * N
    f.cache_clear()
    assert arrays() - before < 4096
