"""Memory of dropped results is used again; whatever can still be read is never touched."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.types import ArrayType
from pullback.runtime.keeper import KEEPER
from pullback.runtime.recycle import WORTH, Shelf

N = WORTH // 8  # float64 elements of the smallest result that is recycled


def doubled(x):
    return x * 2.0


def place(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def idle(f: Any, *args: Any) -> int:
    """Return the bytes that wait in the one program of a compiled function."""
    [entry] = f.programs.made()
    return sum(shelf.idle_bytes for shelf in entry.program.source.shelves)


@pytest.fixture
def f() -> Any:
    return pb.compile(doubled)


@pytest.fixture
def x() -> np.ndarray:
    return np.arange(float(N))


def test_a_dropped_result_is_used_again(f, x):
    y = f(x)
    first = place(y)
    del y
    y = f(x)
    assert place(y) == first
    np.testing.assert_array_equal(y, doubled(x))


def test_small_results_are_numpys_own(f):
    y = f(np.ones(N - 1))
    assert y.flags.owndata
    assert y.base is None


def test_a_live_result_is_not_touched(f, x):
    kept = [f(x + k) for k in range(5)]
    assert len({place(y) for y in kept}) == 5
    for k, y in enumerate(kept):
        np.testing.assert_array_equal(y, doubled(x + k))


HOLDERS = {
    "the array": lambda y: y,
    "a slice": lambda y: y[3:5],
    "a slice of a slice": lambda y: y[3:9][1:2],
    "a transposed reshape": lambda y: y.reshape(2, -1).T,
    "another dtype": lambda y: y.view(np.int64),
    "a view of another class": lambda y: y.view(np.recarray),
    "a memoryview": memoryview,
    "a memoryview of a slice": lambda y: memoryview(y[7:9]),
    "a capsule of dlpack": lambda y: y.__dlpack__(),
    "from_dlpack": np.from_dlpack,
    "frombuffer": lambda y: np.frombuffer(y),
    "an iterator": iter,
    "an iterator over all": lambda y: y.flat,
    "nditer": lambda y: np.nditer(y),
    "a broadcast view": lambda y: np.broadcast_to(y, (2, N)),
    "strides": lambda y: np.lib.stride_tricks.as_strided(y, (3,), (16,)),
    "ctypes": lambda y: y.ctypes,
    "the base": lambda y: y.base,
    "a list in a tuple": lambda y: ([y],),
    "a closure": lambda y: lambda: y,
    "a bound method": lambda y: y.sum,
}


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
def test_whatever_keeps_the_array_alive_keeps_its_memory(f, x, holder):
    y = f(x)
    first, content = place(y), y.copy()
    held = holder(y)
    del y
    gc.collect()
    others = [f(x - 1.0), f(x - 2.0)]
    assert first not in [place(z) for z in others]
    if isinstance(held, np.ndarray):
        flat = np.array(held).view(np.float64).ravel()
        assert np.isin(flat, content).all()
    del others, held
    gc.collect()
    assert idle(f) == x.nbytes  # never more than one call takes
    f(x)


def test_an_array_in_a_cycle_goes_with_it(f, x):
    box: list[Any] = [f(x)]
    box.append(box)
    first = place(box[0])
    y = f(x)
    assert place(y) != first
    del box
    gc.collect()
    assert idle(f) == x.nbytes
    assert place(f(x)) == first


def test_a_weak_reference_ends_with_the_result(f, x):
    import weakref

    y = f(x)
    ref = weakref.ref(y)
    del y
    assert ref() is None
    z = f(x)
    assert ref() is None
    del z


def test_no_more_waits_than_one_call_takes(f, x):
    kept = [f(x) for _ in range(10)]
    assert idle(f) == 0
    kept.clear()
    assert idle(f) == x.nbytes


def test_two_results_of_a_size_wait_both(x):
    f = pb.compile(lambda x: (x + 1.0, x * 3.0))
    a, b = f(x)
    places = {place(a), place(b)}
    del a, b
    assert idle(f) == 2 * x.nbytes
    a, b = f(x)
    assert {place(a), place(b)} == places
    np.testing.assert_array_equal(a, x + 1.0)
    np.testing.assert_array_equal(b, x * 3.0)


def test_results_look_like_numpys(f, x):
    y = f(x)
    assert type(y) is np.ndarray
    assert y.flags.c_contiguous
    assert y.flags.writeable
    assert y.flags.aligned
    assert y[1:].base is y
    assert y.strides == (8,)
    assert y.shape == (N,)
    y.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        y[0] = 1.0
    y.flags.writeable = True
    y[0] = 7.0
    y += 1.0
    assert y[0] == 8.0
    y.shape = (2, N // 2)
    again = pickle.loads(pickle.dumps(y))
    for z in (again, copy.copy(y), copy.deepcopy(y)):
        np.testing.assert_array_equal(z, y)
        assert not np.shares_memory(z, y)
    with pytest.raises(ValueError, match="own"):
        y.resize(3)
    assert np.resize(y, 3).shape == (3,)


def test_flags_of_a_result_do_not_reach_the_next(f, x):
    y = f(x)
    y.flags.writeable = False
    del y
    y = f(x)
    assert y.flags.writeable
    y.shape = (N, 1)
    del y
    assert f(x).shape == (N,)


def test_other_dtypes_and_orders():
    for dtype in (np.float16, np.float32, np.complex128, np.int16, np.longdouble):
        x = np.asfortranarray(np.ones((3, WORTH // 3), dtype))
        f = pb.compile(lambda x: x + x)
        for _ in range(2):
            y = f(x)
            assert y.dtype == dtype
            assert y.strides == (x + x).strides
            np.testing.assert_array_equal(y, x + x)


def test_gradients_of_broadcasts_loops_and_branches_are_recycled():
    def looped(x):
        y = x.copy()
        for _ in range(3):
            y = np.sin(y)
        return y

    def branched(x):
        return np.where(x[0] > 0, x, 2.0 * x) if x[0] > 0 else x + 1.0

    x = np.linspace(0.5, 1.0, N)
    for function, expected in (
        (pb.grad(lambda x: np.sum(x)), np.ones(N)),
        (pb.compile(looped), looped(x)),
        (pb.compile(branched), x),
        (pb.grad(lambda x: np.sum(looped(x))), None),
    ):
        y = function(x)
        first, content = place(y), y.copy()
        del y
        y = function(x)
        assert place(y) == first
        np.testing.assert_array_equal(y, content if expected is None else expected)


def test_an_error_in_a_run_loses_nothing(x):
    f = pb.compile(lambda x: (x + 1.0) / x)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        f(x)
    x[0] = 1.0
    np.testing.assert_array_equal(f(x), (x + 1.0) / x)


def test_threads_do_not_get_the_same_memory(f, x):
    wrong: list[int] = []

    def work(k: int) -> None:
        kept: list[tuple[float, np.ndarray]] = []
        for n in range(40):
            value = 100.0 * k + n
            kept.append((value, f(np.full(N, value))))
            if n % 3 == 0:
                kept.clear()
            wrong.extend(k for v, y in kept if not (y == 2.0 * v).all())

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    gc.collect()
    assert idle(f) <= 2 * x.nbytes


def test_release_drops_what_waits_and_what_comes_back_later(f, x):
    y = f(x)
    z = f(x)
    del z
    assert idle(f) == x.nbytes
    pb.release()
    assert idle(f) == 0
    content = y.copy()
    np.testing.assert_array_equal(y, content)
    del y  # lent before the release
    assert idle(f) == 0
    f(x)
    assert idle(f) == x.nbytes


def test_results_outlive_their_program(x):
    f = pb.compile(doubled)
    y = f(x)
    before = len(KEEPER.programs())
    del f
    gc.collect()
    assert len(KEEPER.programs()) < before
    np.testing.assert_array_equal(y, doubled(x))
    del y


def test_a_shelf_keeps_layouts_apart():
    shelf = Shelf(48)
    rows = shelf.lender(ArrayType(np.dtype(np.float64), (2, 3)), None)
    columns = shelf.lender(ArrayType(np.dtype(np.float64), (2, 3)), (8, 16))
    a = rows()
    assert a.strides == (24, 8)
    first = place(a)
    del a
    b = columns()
    assert b.strides == (8, 16)
    assert place(b) == first
    assert "used again" in (type(b.base).__doc__ or "")
