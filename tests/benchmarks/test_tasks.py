"""The suite of transformations: every contestant of a task gives what is written by hand."""

import benchmark_runs as runs
import numpy as np
import pytest

from pullback.benchmarks import comparison, harness, page, report, summary
from pullback.benchmarks.case import Size
from pullback.benchmarks.results import Document, Result
from pullback.benchmarks.timing import Effort
from pullback.benchmarks.transforms import TASKS
from pullback.benchmarks.transforms.contestants import CONTESTANTS, DENSE, LOOPED
from pullback.benchmarks.transforms.task import Task, anew, by_hand, carrying, once

FAST = Effort(rounds=2, slice_seconds=1e-5, pause_seconds=0.0)
RUNS = [(task, size) for task in TASKS.values() for size in task.sizes]
QUICK_RUNS = [(task, size) for task, size in RUNS if size.quick]
BY_NAME = {contestant.name: contestant for contestant in CONTESTANTS}
TURNS = [
    (task, size, name)
    for task, size in RUNS
    for name in task.ways
    # Peers only where that is soon done: XLA compiles for each.
    if task.has(name, size) and (size.quick or BY_NAME[name].package is None)
]


def test_each_task_has_one_quick_size_and_known_contestants() -> None:
    assert [task.name for task, _ in QUICK_RUNS] == list(TASKS)
    for task in TASKS.values():
        assert "pullback" in task.ways
        assert task.ways.keys() <= BY_NAME.keys()
        labels = {size.label for size in task.sizes}
        assert all(set(chosen) <= labels for chosen in task.only.values())


@pytest.mark.parametrize(
    ("task", "size", "name"), TURNS, ids=[f"{t.name}: {s.label}: {n}" for t, s, n in TURNS]
)
# PyTorch warns of its own code.
@pytest.mark.filterwarnings("ignore::FutureWarning:torch")
def test_a_contestant_computes_what_is_written_by_hand(task: Task, size: Size, name: str) -> None:
    contestant = BY_NAME[name]
    if contestant.package is not None:
        pytest.importorskip(contestant.package)
    args = task.arguments(size)
    expected = task.by_hand(*args)
    with contestant.precision(args):
        result = contestant.prepare(task, args).run()
        error = harness.check(contestant, task.compared(result), expected, size.dtype)
    assert error <= harness.TOLERANCES[size.dtype]


@pytest.mark.parametrize("name", ["logistic_hessian", "mlp_hvp", "jacobian"])
def test_second_derivatives_by_hand_are_differences(name: str) -> None:
    from pullback.benchmarks.cases import mlp
    from pullback.benchmarks.transforms import jacobians, logistic_hessian

    task = TASKS[name]
    args = task.arguments(task.sizes[0])
    step = 1e-5
    if name == "mlp_hvp":
        params, direction, x, targets = args

        def there(sign: float) -> list[np.ndarray]:
            moved = tuple(
                tuple(p + sign * step * d for p, d in zip(layer, along, strict=True))
                for layer, along in zip(params, direction, strict=True)
            )
            return [g for layer in mlp.by_hand(moved, x, targets)[1] for g in layer]

        found = [g for layer in task.by_hand(*args) for g in layer]
        for got, after, before in zip(found, there(1), there(-1), strict=True):
            np.testing.assert_allclose(got, (after - before) / (2 * step), rtol=1e-6, atol=1e-8)
        return
    x, *data = args
    v = np.random.default_rng(0).standard_normal(x.shape)
    if name == "jacobian":
        after, before = (jacobians.network(x + s * v, *data) for s in (step, -step))
        slope, got = (after - before) / (2 * step), task.by_hand(*args) @ v
    else:
        after, here, before = (logistic_hessian.loss(x + s * v, *data) for s in (1e-3, 0, -1e-3))
        slope, got = (after - 2 * here + before) / 1e-6, v @ task.by_hand(*args) @ v
    np.testing.assert_allclose(got, slope, rtol=1e-4)


def test_the_sparse_hessian_by_hand_is_the_dense_one() -> None:
    import pullback as pb
    from pullback.benchmarks.transforms.sparse_hessian import chained_rosenbrock, diagonals

    x = np.random.default_rng(0).standard_normal(9)
    gradient = pb.grad(chained_rosenbrock)
    columns = [(gradient(x + 1e-6 * e) - gradient(x - 1e-6 * e)) / 2e-6 for e in np.eye(9)]
    dense = sum(np.diag(d, k) for d, k in zip(diagonals(x), (-1, 0, 1), strict=True))
    np.testing.assert_allclose(np.stack(columns, axis=1), dense, rtol=1e-5, atol=1e-5)


def doubled(made: list[int]):
    def make(module):
        made.append(1)
        return lambda x: 2 * x

    return make


def test_a_way_makes_its_function_once_or_for_each_call() -> None:
    made: list[int] = []
    for way, count in ((once, 1), (anew, 3)):
        made.clear()
        run = way(doubled(made))(None, 4)
        assert [run(), run(), run()] == [8, 8, 8]
        assert len(made) == count


def test_a_state_is_carried_from_call_to_call() -> None:
    step = carrying(lambda a, b, rate: (a + rate, b * rate), (1, 1), (3,))
    assert [step(), step(), step()] == [(4, 3), (7, 9), (10, 27)]


def task_of(**changes) -> Task:
    known = {
        "name": "doubling",
        "title": "twice a vector",
        "sizes": (Size("3", {"n": 3}, quick=True, dtype="float64"), Size("5", {"n": 5})),
        "make": lambda rng, dtype, n: (np.arange(n, dtype=dtype),),
        "by_hand": lambda x: 2 * x,
        "family": "second order",
        "ways": {
            "pullback": by_hand(lambda x: {"twice": 2 * x}),
            LOOPED: by_hand(lambda x: {"twice": x + x}),
            DENSE: by_hand(lambda x: {"twice": np.diag(2 * x)}),
        },
        "read": lambda result: result["twice"],
    }
    return Task(**(known | changes))


OURS = (BY_NAME["pullback"], BY_NAME[LOOPED])


def test_only_who_has_a_way_takes_part_and_its_result_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(harness, "rates", lambda quick: runs.RATES)
    task = task_of(only={LOOPED: ("5",)})
    results = list(
        harness.measure([task], contestants=OURS, effort=FAST, imports=False, first=task)
    )
    names = [[m.contestant for m in r.measurements] for r in results]
    assert names == [["pullback"], ["pullback", LOOPED]]
    assert all(r.failures == {} for r in results)
    assert all(m.error == 0 and m.peak_bytes is not None for m in results[1].measurements)


def test_who_compiles_at_each_call_has_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "rates", lambda quick: runs.RATES)
    task = task_of(is_steady=False)
    [result] = harness.measure([task], quick=True, contestants=OURS, effort=FAST, first=task)
    assert [m.peak_bytes for m in result.measurements] == [None, None]


def test_a_wrong_derivative_is_in_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "rates", lambda quick: runs.RATES)
    ways = {"pullback": by_hand(lambda x: {"twice": 3 * x}), LOOPED: by_hand(lambda x: {})}
    task = task_of(ways=ways)
    [result] = harness.measure([task], quick=True, contestants=OURS, effort=FAST, first=task)
    assert "DisagreementError: its result is off" in result.failures["pullback"]
    assert "KeyError" in result.failures[LOOPED]


@pytest.fixture
def document() -> Document:
    times = {"pullback": 1.0, "by hand": 0.5, LOOPED: 20.0, "jax": 2.0, DENSE: 40.0}
    return runs.document(
        "transforms",
        runs.model("jacobian", 100, times),
        runs.model("mlp_hvp", 200, times | {"by hand": 2.0, "jax": 0.5}),
    )


def test_the_summary_compares_with_each_contestant(document: Document) -> None:
    peers, _ = summary.tables(document)
    names = list(peers.columns[0].cells)
    assert names == ["by hand", LOOPED, "jax", DENSE]
    assert list(peers.columns[2].cells) == ["1.00x", "20.00x", "1.00x", "40.00x"]
    lines = summary.lines(document)
    assert "Slower than jax: mlp_hvp: 200 entries (0.5x)." in lines
    assert any(line.startswith("First call: 10 ms by the median") for line in lines)


def test_a_table_leaves_out_what_the_suite_does_not_measure(document: Document) -> None:
    found: Result = document.results[0]
    headers = [str(c.header) for c in report.table(found, "transforms").columns]
    assert headers == ["", "per call", "quartiles", "pullback is", "first", "memory", "error"]


def test_two_runs_are_compared_and_a_page_is_made(document: Document) -> None:
    pytest.importorskip("matplotlib")
    changes = comparison.changes(document, document)
    assert {change.what for change in changes} == {"pullback", "by hand", LOOPED, "jax", DENSE}
    text = page.html(document)
    for heading in ("Against each contestant", "The first call", "Peak memory of a call"):
        assert heading in text
    assert "Hessians, Jacobians and steps of training, raced" in text
    assert DENSE in text
