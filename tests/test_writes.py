"""Functions that write into their arguments: what the caller sees, overlaps, derivatives, cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.ops.index import IndexUpdate

Arrays = tuple[np.ndarray, ...]


def shift_and_double(x: Any, y: Any) -> Any:
    x[1:] = y[:-1] + 1
    y *= 2
    return x, y.sum()


def apart() -> Arrays:
    return np.arange(5.0), np.arange(5.0)


def twice() -> Arrays:
    x = np.arange(5.0)
    return x, x


def overlapping() -> Arrays:
    x = np.arange(8.0)
    return x[:5], x[2:7]


def reversed_over() -> Arrays:
    x = np.arange(8.0)
    return x[:5], x[6:1:-1]


def interleaved() -> Arrays:
    x = np.arange(10.0)
    return x[::2], x[1::2]


LAYOUTS = [apart, twice, overlapping, reversed_over, interleaved]


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("exact", [False, True])
def test_arguments_that_overlap_are_written_as_numpy_writes_them(
    make: Callable[[], Arrays], exact: bool
) -> None:
    compiled = pb.compile(shift_and_double, exact=exact)
    for _ in range(2):  # the second call finds the program
        plain, ours = make(), make()
        expected = shift_and_double(*plain)
        found = compiled(*ours)
        np.testing.assert_array_equal(found[0], expected[0])
        assert found[1] == expected[1]
        for a, b in zip(ours, plain, strict=True):
            np.testing.assert_array_equal(a, b)
        assert np.shares_memory(found[0], ours[0])
    assert compiled.cache_info().hits == 1


def test_one_function_keeps_a_program_for_each_pattern_of_overlaps() -> None:
    compiled = pb.compile(shift_and_double)
    for make in LAYOUTS * 2:
        plain, ours = make(), make()
        shift_and_double(*plain)
        compiled(*ours)
        for a, b in zip(ours, plain, strict=True):
            np.testing.assert_array_equal(a, b)


def test_two_axes_that_overlap_transposed() -> None:
    def f(x: Any, y: Any) -> Any:
        x[0] = y[:, 1]
        y += x
        return y

    def make() -> Arrays:
        base = np.arange(16.0).reshape(4, 4)
        return base[:3, :3], base.T[1:, 1:]

    plain, ours = make(), make()
    np.testing.assert_array_equal(pb.compile(f)(*ours), f(*plain))
    np.testing.assert_array_equal(ours[0], plain[0])


def test_an_argument_that_is_also_read_from_outside() -> None:
    outer = np.arange(3.0)

    def f(x: Any) -> Any:
        x[0] = 7.0
        return outer.sum()

    assert pb.compile(f)(outer) == 10.0
    assert pb.compile(f)(np.zeros(3)) == 10.0


def test_overlapping_arrays_of_two_dtypes_are_refused() -> None:
    x = np.arange(4.0)
    with pytest.raises(pb.UnsupportedError, match="overlaps"):
        pb.compile(shift_and_double)(x, x.view(np.int64))


def test_the_argument_itself_is_returned() -> None:
    def f(x: Any) -> Any:
        x[0] = 1.0
        return x, x[1:], x.copy()

    x = np.zeros(3)
    whole, part, copied = pb.compile(f)(x)
    assert whole is x
    assert np.shares_memory(part, x)
    assert not np.shares_memory(copied, x)
    part[0] = 5.0
    assert x[1] == 5.0


def test_read_only_arguments_are_refused_at_the_users_line_and_stay() -> None:
    compiled = pb.compile(shift_and_double)
    x, y = apart()
    x.flags.writeable = False
    with pytest.raises(ValueError, match=r"read-only(.|\n)*x\[1:\] = y\[:-1\] \+ 1"):
        compiled(x, y)
    np.testing.assert_array_equal(y, np.arange(5.0))
    compiled(*apart())
    with pytest.raises(ValueError, match="read-only"):
        compiled(x, y)
    with pytest.raises(ValueError, match="read-only"):
        pb.grad(lambda x, y: np.sum(shift_and_double(x, y)[0]), argnums=1)(x, y)


def test_a_call_that_raises_changes_nothing() -> None:
    def f(x: Any, i: Any) -> Any:
        x[0] = 1.0
        x[1] = x[i[0]]

    x = np.zeros(3)
    with pytest.raises(IndexError):
        pb.compile(f)(x, np.array([5]))
    np.testing.assert_array_equal(x, 0.0)


def test_a_global_array_is_written_at_every_call() -> None:
    counts = np.zeros(2)

    def f(x: Any) -> Any:
        counts[0] += 1
        return counts[0] * x

    compiled = pb.compile(f)
    assert [compiled(2.0) for _ in range(3)] == [2.0, 4.0, 6.0]
    np.testing.assert_array_equal(counts, [3.0, 0.0])


def test_derivatives_leave_the_arguments_untouched() -> None:
    def f(x: Any) -> Any:
        x *= x
        x[1:] += x[:-1]
        return np.sum(x * x)

    x = np.array([1.0, 2.0, 3.0])
    before = x.copy()
    pb.check_grads(lambda x: f(x.copy()), (x,), order=2)
    first = pb.grad(f)(x)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(pb.grad(f)(x), first)
    np.testing.assert_allclose(first, pb.grad(lambda x: f(x.copy()))(x))


def test_differentiating_by_a_written_argument_that_overlaps_is_refused() -> None:
    def f(x: Any, y: Any) -> Any:
        return np.sum(shift_and_double(x, y)[0])

    with pytest.raises(pb.DifferentiationError, match="overlaps"):
        pb.grad(f)(*twice())


def cholesky(A: Any) -> None:
    for i in range(len(A)):
        for j in range(i):
            A[i, j] -= A[i, :j] @ A[j, :j]
            A[i, j] /= A[j, j]
        A[i, i] = np.sqrt(A[i, i] - A[i, :i] @ A[i, :i])


def test_the_last_content_of_an_argument_is_differentiated() -> None:
    rng = np.random.default_rng(0)
    A = rng.normal(size=(4, 4))
    A = A @ A.T + 4 * np.eye(4)
    value, slope = pb.value_and_grad(cholesky, of="A")(A)
    content = pb.final(cholesky, "A")

    def total(A: Any) -> Any:
        return np.sum(content(A.copy()))

    assert value == pytest.approx(total(A))
    pb.check_grads(total, (A,))
    np.testing.assert_allclose(slope, pb.grad(total)(A))
    output, pull = pb.vjp(content, A)
    np.testing.assert_allclose(np.tril(output), np.linalg.cholesky(A))
    np.testing.assert_allclose(pull(np.ones((4, 4)))[0], slope)


def test_naming_an_argument_that_is_not_written() -> None:
    def f(x: Any, out: Any) -> None:
        out[:] = x * x

    x, out = np.ones(2), np.zeros(2)
    with pytest.raises(pb.DifferentiationError, match="does not write"):
        pb.grad(f, of="x")(x, out)
    with pytest.raises(pb.ArgumentError, match="no such parameter"):
        pb.grad(f, of="z")
    np.testing.assert_array_equal(pb.grad(f, of="out")(x, out), [2.0, 2.0])


# ---- cost ----------------------------------------------------------------------------------------


def recurrence(n: int) -> Callable[..., Any]:
    def f(x: Any, y: Any) -> Any:
        x = x * 2.0
        for i in range(1, n):
            x[i] = np.sin(x[i - 1]) * y[i]
        return np.sum(x)

    return f


def looped(x: Any, y: Any) -> Any:
    def body(i: Any, x: Any) -> Any:
        x[i] = np.sin(x[i - 1]) * y[i]
        return x

    return np.sum(pb.fori_loop(1, 20, body, x * 2.0))


@pytest.mark.parametrize("function", [recurrence(20), looped])
def test_element_writes_copy_no_array(function: Callable[..., Any]) -> None:
    x, y = np.ones(1000), np.linspace(0.5, 1.0, 1000)
    inspection = pb.grad(function).inspect(x, y)
    # The cotangent of the sum is a broadcast view, which the first write has to copy.
    assert inspection.plan.copied <= 1
    pb.check_grads(function, (x[:25], y[:25]), order=2)


def test_a_slice_that_an_adjoint_reads_is_copied_and_not_the_array() -> None:
    def f(x: Any) -> Any:
        x = x * 1.0
        total = 0.0
        for i in range(0, 90, 3):
            row = x[i : i + 3]
            total += np.sum(row * row)
            x[i] = 1.0
        return total + np.sum(x)

    x = np.linspace(0.0, 1.0, 100)
    # The argument is copied once, and the broadcast cotangent of the sum.
    assert pb.grad(f).inspect(x).plan.copied <= 2
    pb.check_grads(f, (x,), order=2)


def test_element_writes_go_into_the_callers_memory() -> None:
    def f(x: Any) -> None:
        for i in range(1, 5):
            x[i] = x[i - 1] + 1
        x *= 2

    plan = pb.compile(f).inspect(np.zeros(1000)).plan
    assert plan.copied == 0
    assert plan.peak_bytes == 0
    assert any(isinstance(e.op, IndexUpdate) for e in plan.function.eqns)


def test_what_is_read_before_a_write_keeps_its_value() -> None:
    def f(x: Any) -> Any:
        before = np.copy(x)
        x[:] = x[::-1]
        after = np.positive(x)
        x += 1
        return before, after

    plain, ours = np.arange(4.0), np.arange(4.0)
    for a, b in zip(pb.compile(f)(ours), f(plain), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(ours, plain)


def test_two_arguments_swap_their_contents() -> None:
    def f(x: Any, y: Any) -> None:
        kept = x.copy()
        x[:] = y
        y[:] = kept

    x, y = np.arange(3.0), np.ones(3)
    pb.compile(f)(x, y)
    np.testing.assert_array_equal(x, 1.0)
    np.testing.assert_array_equal(y, np.arange(3.0))


# ---- loops ---------------------------------------------------------------------------------------


def test_the_carry_of_a_loop_is_its_own() -> None:
    def add(i: Any, x: Any) -> Any:
        x[i] += 1.0
        return x

    def f(x: Any) -> Any:
        return pb.fori_loop(0, 3, add, x)

    for call in (f, pb.compile(f)):
        x = np.zeros(4)
        np.testing.assert_array_equal(call(x), [1.0, 1.0, 1.0, 0.0])
        np.testing.assert_array_equal(x, 0.0)


def test_rows_of_a_scan_are_read_only() -> None:
    def step(carry: Any, row: Any) -> Any:
        row[0] = 1.0
        return carry, row

    def f(xs: Any) -> Any:
        return pb.scan(step, 0.0, xs)

    for call in (f, pb.compile(f)):
        with pytest.raises(ValueError, match="read-only"):
            call(np.zeros((2, 2)))


def test_a_loop_body_that_writes_into_an_array_of_outside() -> None:
    def f(x: Any) -> Any:
        seen = np.zeros(3)

        def body(i: Any, total: Any) -> Any:
            seen[i] = total
            return total + x[i]

        return pb.fori_loop(0, 3, body, 0.0) + np.sum(seen)

    with pytest.raises(pb.UnsupportedError, match="carry of the loop"):
        pb.compile(f)(np.ones(3))


def test_vjp_of_overlapping_arguments_is_refused_and_of_others_right() -> None:
    with pytest.raises(pb.DifferentiationError, match="overlaps"):
        pb.vjp(shift_and_double, *twice())
    output, pull = pb.vjp(shift_and_double, *apart())
    np.testing.assert_array_equal(output[0], [0.0, 1.0, 2.0, 3.0, 4.0])
    dx, dy = pull((np.ones(5), 1.0))
    np.testing.assert_array_equal(dx, [1.0, 0.0, 0.0, 0.0, 0.0])
    np.testing.assert_array_equal(dy, [3.0, 3.0, 3.0, 3.0, 2.0])


def test_elements_are_written_through_a_reshape_without_a_copy() -> None:
    def f(x: Any) -> Any:
        flat, rows = x.reshape(-1), x.reshape(6, 4)
        for i in range(1, 9):
            flat[-i] = flat[i] * 2
            rows[i % 6, i % 4 - 4] += flat[0]
        flat[3] = 7.0
        return np.sum(x * x)

    plain, ours = np.arange(24.0).reshape(2, 3, 4), np.arange(24.0).reshape(2, 3, 4)
    compiled = pb.compile(f)
    assert compiled(ours) == pytest.approx(f(plain))
    np.testing.assert_array_equal(ours, plain)
    assert compiled.inspect(ours).plan.copied == 0
    pb.check_grads(lambda x: f(x.copy()), (plain / 10,), order=2)
