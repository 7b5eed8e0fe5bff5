"""`profile`: the same results, and what is said about equations, lines and the timeline."""

from __future__ import annotations

import io
import json
import math
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from tiny_tiles import tiny_tiles

import pullback as pb
from pullback import cli
from pullback.benchmarks.corpus import PROGRAMS
from pullback.benchmarks.corpus.program import Program
from pullback.profiling import Profile
from pullback.runtime.profiled import KEPT, Recorder
from pullback.tables import amount, duration, rate
from pullback.times import EquationTime

X = np.linspace(0.5, 2.0, 6)
LONG = np.linspace(0.5, 2.0, 40)
"""So many that a loop over them is staged."""


def leaves(value: Any) -> list[Any]:
    if isinstance(value, tuple | list):
        return [leaf for part in value for leaf in leaves(part)]
    return [value]


def check_same(got: Any, want: Any) -> None:
    for a, b in zip(leaves(got), leaves(want), strict=True):
        assert type(a) is type(b)
        np.testing.assert_array_equal(a, b)


def rows(profile: Profile, word: str) -> list[EquationTime]:
    found = [row for row in profile.equations if word in row.text]
    assert found, f"no equation with {word!r} in\n{profile}"
    return found


def row(profile: Profile, word: str) -> EquationTime:
    (found,) = rows(profile, word)
    return found


# -- results


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=lambda p: p.name)
def test_results_of_loops_branches_and_recursions_are_the_same(program: Program) -> None:
    args = program.arguments(program.tiny)
    compiled = pb.compile(program.function)
    found = pb.profile(compiled)(*args)
    check_same(found.result, compiled(*args))
    assert found.equations


@pytest.mark.parametrize("name", ["cholesky", "newton", "lattice_boltzmann", "adi", "cavity"])
def test_gradients_of_loops_are_the_same(name: str) -> None:
    program = PROGRAMS[name]
    args = program.arguments(program.tiny)
    gradient = pb.value_and_grad(program.loss(), argnums=program.loss_argnums)
    weights = program.weights(args)
    found = pb.profile(gradient)(weights, *args)
    check_same(found.result, gradient(weights, *args))
    assert {row.direction for row in found.equations} == {"forward", "backward"}


def test_a_plain_function_is_compiled() -> None:
    found = pb.profile(lambda x: {"a": np.sin(x), "b": x.sum()})(X)
    check_same(found.result["a"], np.sin(X))
    assert found.result["b"] == X.sum()


def test_a_method_is_profiled_with_its_object() -> None:
    class Model:
        def __init__(self) -> None:
            self.scale = 3.0

        @pb.compile
        def predict(self, x: Any, *, shift: float = 0.0) -> Any:
            return self.scale * x + shift

    check_same(pb.profile(Model().predict)(X, shift=2.0).result, 3.0 * X + 2.0)


def test_static_arguments_stay_static() -> None:
    scaled = pb.compile(lambda x, scale: x * scale, static_argnums=1)
    profiled = pb.profile(scaled)
    for scale in (2.0, 3.0):
        check_same(profiled(X, scale).result, X * scale)


def test_a_built_function_is_profiled() -> None:
    function = pb.compile(lambda x: np.exp(x) * 2.0).inspect(X).optimized
    found = pb.profile(pb.build(function))(X)
    check_same(found.result, (np.exp(X) * 2.0,))
    assert found.compilation == ()
    with pytest.raises(pb.StructureError):
        pb.profile(pb.build(function))(X, X)


def test_writes_and_prints_happen_as_often_as_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    @pb.compile
    def count(x: Any) -> Any:
        x += 1.0
        print("here")
        return x.sum()

    x = np.zeros(3)
    found = pb.profile(count, repeat=3)(x)
    assert capsys.readouterr().out == "here\n" * 3
    check_same(x, np.full(3, 3.0))
    assert found.result == 9.0
    assert found.calls == 3
    assert row(found, "print").calls == 1.0


def test_warnings_name_the_users_line() -> None:
    def f(x: Any) -> Any:
        return np.log(x)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pb.profile(f)(np.array([0.0, 1.0]))
    (warning,) = caught
    assert warning.filename == __file__
    assert warning.lineno == f.__code__.co_firstlineno + 1


def test_the_variant_for_strict_errors_is_profiled_too() -> None:
    def f(x: Any) -> Any:
        total = 0.0
        for value in x:
            total = total + value * 2.0
        return total

    with np.errstate(all="raise"):
        found = pb.profile(f)(LONG)
    assert found.result == pytest.approx(2.0 * LONG.sum())
    assert max(row.calls for row in found.equations) == len(LONG)
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        pb.profile(f)(np.full(40, 1e308))


def test_another_program_serves_where_a_guard_fails() -> None:
    def f(x: Any) -> Any:
        return np.exp(x) if int(x[0]) > 0 else np.sin(x)

    profiler = pb.profile(f)
    check_same(profiler(X + 1.0).result, np.exp(X + 1.0))
    found = profiler(-X - 1.0)
    check_same(found.result, np.sin(-X - 1.0))
    assert not [row for row in found.equations if "exp(" in row.text]
    assert row(profiler(X + 1.0), "exp(").calls == 1


def test_errors_of_the_program_come_through() -> None:
    def f(x: Any) -> Any:
        if x[0] > 1.0:
            raise ValueError("too large")
        return x * 2.0

    profiler = pb.profile(f)
    check_same(profiler(np.zeros(2)).result, np.zeros(2))
    with pytest.raises(ValueError, match="too large"):
        profiler(np.full(2, 5.0))
    check_same(profiler(np.ones(2)).result, np.full(2, 2.0))


def test_what_cannot_be_profiled_is_refused() -> None:
    with pytest.raises(TypeError, match="vjp makes two"):
        pb.profile(pb.vjp(np.sin))
    with pytest.raises(ValueError, match="repeat is 0"):
        pb.profile(np.sin, repeat=0)
    inner = pb.profile(np.sin)
    with pytest.raises(pb.UnsupportedError, match="being traced"):
        pb.compile(lambda x: inner(x).result)(X)


def test_the_ordinary_program_has_no_clock() -> None:
    f = pb.compile(lambda x: np.exp(x))
    pb.profile(f)(X)
    f(X)
    assert "clock" not in f.inspect(X).source
    assert f.cache_info().misses == 1


# -- figures


def test_equations_know_their_line_and_direction() -> None:
    @pb.grad
    def loss(w: Any) -> Any:
        h = np.tanh(w)
        return np.sum(h)

    found = pb.profile(loss)(X)
    first = loss.function.__code__.co_firstlineno
    assert row(found, "tanh").line == first + 2
    assert row(found, "tanh").file == __file__
    assert row(found, "tanh").source == "h = np.tanh(w)"
    assert row(found, "tanh").direction == "forward"
    assert row(found, "square").direction == "backward"
    assert row(found, "square").line == first + 2
    assert row(found, "tanh").type == "f64[6]"


def test_lines_add_up_their_equations() -> None:
    @pb.value_and_grad
    def loss(w: Any) -> Any:
        h = np.tanh(w) * np.sin(w)
        return np.sum(h * h)

    found = pb.profile(loss)(X)
    lines = found.by_line()
    assert sum(line.seconds for line in lines) == pytest.approx(
        sum(row.seconds for row in found.equations)
    )
    assert sum(line.nbytes for line in lines) == sum(row.nbytes for row in found.equations)
    assert [line.seconds for line in lines] == sorted((x.seconds for x in lines), reverse=True)
    first = loss.function.__code__.co_firstlineno
    assert {line.line for line in lines} == {first + 2, first + 3}
    text = str(lines)
    assert f"test_profiling.py:{first + 2}" in text
    assert "h = np.tanh(w) * np.sin(w)" in text


def test_equations_of_a_loop_are_counted() -> None:
    def f(x: Any) -> Any:
        for _ in range(37):
            x = np.tanh(x) * x
        return x

    found = pb.profile(f)(X)
    assert row(found, "tanh").calls == 37
    assert row(found, "tanh").inside == 1
    assert row(found, "loop(").calls == 1
    assert row(found, "loop(").inside == 0


def test_of_a_branch_only_what_ran_is_there() -> None:
    def f(x: Any) -> Any:
        for k in range(6):
            if x[k] > 1.0:
                x = np.tanh(x)
            else:
                x = np.sin(x) + 0.0
        return x

    found = pb.profile(f)(np.array([2.0, 3.0, 0.0, 0.0, 0.0, 0.0]))
    assert row(found, "cond(").calls == 6
    assert row(found, "sin").calls == 6 - sum(r.calls for r in found.equations if "tanh" in r.text)
    only = pb.profile(f)(np.zeros(6))
    assert not [r for r in only.equations if "tanh" in r.text]
    assert row(only, "sin").calls == 6


def test_a_loop_that_ends_by_its_test() -> None:
    def f(x: Any) -> Any:
        while x.sum() < 100.0:
            x = x * 2.0
        return x

    found = pb.profile(f)(np.ones(4))
    check_same(found.result, np.full(4, 32.0))
    assert row(found, "* 2.0").calls == 5
    assert row(found, "sum").calls == 6
    spans = [e for e in found.to_chrome()["traceEvents"] if e.get("cat") == "iteration"]
    assert len(spans) == 5


def test_calls_of_a_recursion_are_counted_once_each() -> None:
    def power(x: Any, n: Any) -> Any:
        return x if n < 0.5 else power(x * 1.5, n - 1.0)

    found = pb.profile(power)(2.0, 4.0)
    assert found.result == 2.0 * 1.5**4
    assert row(found, "* 1.5").calls == 4
    assert sum(r.seconds for r in found.equations) <= found.seconds * 1.0001 + 1e-6


def test_bytes_are_those_read_and_written() -> None:
    def f(x: Any, y: Any) -> Any:
        return np.exp(x), x @ y, x.T, x[1:3] * 2.0

    x = np.ones((6, 6), np.float32)
    found = pb.profile(f)(x, x)
    assert row(found, "exp").nbytes == 2 * x.nbytes
    assert row(found, "@").nbytes == 3 * x.nbytes
    assert row(found, "@").flops == 2 * 6**3
    assert row(found, "* 2.0").nbytes == 2 * 2 * 6 * 4 + 4


def test_bytes_of_writes_are_those_of_the_part() -> None:
    def f(x: Any, v: Any) -> Any:
        y = np.tanh(x)
        y[2:4] = v
        y[5] += 1.0
        return y

    found = pb.profile(f)(np.zeros(1000), np.ones(2))
    for update in [r for r in found.equations if "index_" in r.text]:
        assert update.nbytes <= 8 * 6


def test_a_value_that_is_computed_into_a_part_counts_once() -> None:
    def f(x: Any, v: Any) -> Any:
        y = np.tanh(x)
        y[2:4] = v + 1.5
        return y

    found = pb.profile(f)(np.zeros(1000), np.ones(2))
    check_same(found.result, f(np.zeros(1000), np.ones(2)))
    total = sum(r.nbytes for r in found.equations if "tanh" not in r.text)
    assert 8 * 4 <= total <= 8 * 9


def test_sizes_that_only_the_run_knows() -> None:
    def f(x: Any) -> Any:
        y = x[x > 1.0]
        return np.exp(y)

    profiler = pb.profile(f)
    few, many = np.full(100, 0.0), np.full(100, 2.0)
    few[:3] = 2.0
    assert row(profiler(few), "exp").nbytes == 2 * 8 * 3
    assert row(profiler(many), "exp").nbytes == 2 * 8 * 100


def test_slices_in_triangular_loops() -> None:
    def f(x: Any) -> Any:
        total = 0.0
        for j in range(1, len(x)):
            total = total + np.sum(np.exp(x[:j]))
        return total

    found = pb.profile(f)(LONG)
    exp = row(found, "exp")
    assert exp.calls == 39
    assert exp.nbytes == 2 * 8 * sum(range(40))


def test_figures_are_means_of_the_runs() -> None:
    found = pb.profile(lambda x: np.exp(x), repeat=4)(X)
    assert found.calls == 4
    assert row(found, "exp").calls == 1.0
    assert row(found, "exp").nbytes == 2 * X.nbytes
    assert "the mean of 4" in str(found)


def test_the_compilation_is_there() -> None:
    found = pb.profile(pb.grad(lambda x: np.sum(np.exp(x))))(X)
    names = [stage.name for stage in found.compilation]
    assert names[0] == "trace"
    assert "reverse" in names
    assert names[-1] == "Python's compile"
    assert all(stage.milliseconds >= 0.0 for stage in found.compilation)


def test_times_are_whole() -> None:
    found = pb.profile(lambda x: np.exp(np.sin(x)))(np.ones(1000))
    times = [row.seconds for row in found.equations]
    assert all(t > 0.0 for t in times)
    assert sum(times) + found.around == pytest.approx(found.seconds)
    assert 0.0 < found.program <= found.seconds


def test_sizes_that_only_the_runs_know_are_means() -> None:
    found = pb.profile(lambda x: np.exp(x[x > 1.0]), repeat=3)(np.full(100, 2.0))
    assert row(found, "exp").nbytes == 2 * 8 * 100


def test_equations_of_a_tiled_region() -> None:
    def loss(x: Any) -> Any:
        return np.sum(np.tanh(x) * np.exp(x))

    x = np.linspace(0.0, 1.0, 1000)
    gradient = pb.value_and_grad(loss)
    with tiny_tiles():
        found = pb.profile(gradient, repeat=2)(x)
        check_same(found.result, gradient(x))
    region = next(r for r in found.equations if "fused(" in r.text and "tile" in r.text)
    tanh = row(found, "tanh(")
    assert tanh.inside == region.inside + 1
    assert tanh.calls > 1.0
    assert tanh.nbytes == 2 * x.nbytes
    assert tanh.direction == "forward"
    check_events(found.to_chrome())


def test_equations_of_several_threads() -> None:
    def loss(x: Any) -> Any:
        return np.sum(np.tanh(x) * np.exp(x))

    x = np.linspace(0.0, 1.0, 1000)
    before = pb.compile(loss)
    with tiny_tiles(2):
        found = pb.profile(loss)(x)
        check_same(found.result, before(x))
    check_events(found.to_chrome())
    assert row(found, "tanh(").nbytes == 2 * x.nbytes
    assert ("whose times are added up" in str(found)) == (found.threads > 1)


# -- the recorder


def scripted(recorder: Recorder, *, clock: float = 0.0, note: float = 0.0) -> Recorder:
    recorder.count, recorder.clock_cost, recorder.note_cost = 4, clock, note
    return recorder


def test_own_time_leaves_out_what_is_inside() -> None:
    recorder = scripted(Recorder())
    outer = recorder.enter()
    inner = recorder.enter()
    recorder.note(3, 10, 30)
    recorder.leave(2, 5, inner, 45)
    recorder.note(3, 50, 60)
    recorder.leave(1, 0, outer, 100)
    tally = recorder.tally()
    assert tally.own == [0, 50, 20, 30]
    assert tally.total == [0, 100, 40, 30]


def test_the_clock_is_taken_off() -> None:
    recorder = scripted(Recorder(), clock=2.0, note=10.0)
    outer = recorder.enter()
    recorder.note(2, 0, 20)
    recorder.note(2, 40, 60)
    recorder.leave(1, 0, outer, 100)
    tally = recorder.tally()
    assert tally.own[2] == 36
    # Two notes inside, at ten each, and the clock once.
    assert tally.total[1] == 100 - 20 - 2
    assert tally.own[1] == 78 - 36


def test_other_threads_are_told_apart() -> None:
    recorder = scripted(Recorder())
    outer = recorder.enter()
    threads = [threading.Thread(target=lambda k=k: recorder.note(2, 0, 40 + k)) for k in range(2)]
    for thread in threads:
        thread.start()
        thread.join()
    recorder.leave(1, 0, outer, 100)
    assert recorder.tally().total[1] == 100
    assert recorder.tally().own[1] <= 60
    assert sum(t.own[2] for t in recorder.tallies.values()) == 81


# -- text


def test_the_table_names_equations_lines_and_rates() -> None:
    def f(x: Any) -> Any:
        for _ in range(35):
            x = np.tanh(x)
        return x

    text = str(pb.profile(f)(X))
    line = next(t for t in text.splitlines() if "tanh" in t)
    assert f"test_profiling.py:{f.__code__.co_firstlineno + 2}" in line
    assert "f64[6]" in line
    assert " 35 " in line
    assert "3.28 KiB" in line
    assert line.startswith("  ")  # within the loop
    assert "taken off" in text
    assert "Python's compile" in text or "trace" in text


def test_of_many_equations_the_dearest_are_shown() -> None:
    def f(x: Any) -> Any:
        return [np.sin(x + 0.1 * k) * 1.5 for k in range(40)]

    found = pb.profile(f)(X)
    assert len(found.equations) >= 120
    assert f"… {len(found.equations) - 40:,} more equations" in str(found)
    assert len(str(found).splitlines()) < 50


def test_rich_draws_the_same_table() -> None:
    from rich.console import Console

    found = pb.profile(lambda x: np.tanh(x))(X)
    written = io.StringIO()
    Console(width=200, file=written).print(found)
    text = written.getvalue()
    assert "tanh" in text
    assert "test_profiling.py" in text


def test_show_prints_both_tables(capsys: pytest.CaptureFixture[str]) -> None:
    pb.profile(lambda x: np.tanh(x))(X).show()
    out = capsys.readouterr().out
    assert "equation" in out
    assert "forward and backward time of each line" in out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, ""), (2e-9, "0.002 µs"), (1.234e-5, "12.3 µs"), (0.0123, "12.3 ms"), (2000.0, "2000 s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, ""), (12, "12 B"), (2048, "2 KiB"), (5 << 20, "5 MiB"), (1023 << 20, "1023 MiB")],
)
def test_amounts(nbytes: float, text: str) -> None:
    assert amount(nbytes) == text


def test_rates() -> None:
    assert rate(2e9, 1e9, 1.0) == "2 GB/s"
    assert rate(1e9, 9e9, 1.0) == "9 GFLOP/s"
    assert rate(0.0, 1e9, 1.0) == ""
    assert rate(1e9, 1e9, 0.0) == ""


# -- the timeline


def check_events(trace: dict[str, Any]) -> list[dict[str, Any]]:
    """Check a trace against the format, and that the events of a thread nest."""
    assert isinstance(trace["traceEvents"], list)
    assert trace["displayTimeUnit"] in ("ms", "ns")
    complete = []
    for event in trace["traceEvents"]:
        assert isinstance(event["name"], str)
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert isinstance(event["args"], dict)
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name")
            assert isinstance(event["args"]["name"], str)
            continue
        assert event["ph"] == "X"
        assert isinstance(event["cat"], str)
        for key in ("ts", "dur"):
            assert math.isfinite(event[key])
            assert event[key] >= 0
        complete.append(event)
    for place in {(e["pid"], e["tid"]) for e in complete}:
        own = [e for e in complete if (e["pid"], e["tid"]) == place]
        open_ends: list[float] = []
        for event in sorted(own, key=lambda e: (e["ts"], -e["dur"])):
            while open_ends and open_ends[-1] <= event["ts"] + 1e-6:
                open_ends.pop()
            end = event["ts"] + event["dur"]
            assert not open_ends or end <= open_ends[-1] + 1e-3
            open_ends.append(end)
    return complete


def looping(x: Any) -> Any:
    for _ in range(35):
        x = np.tanh(x) * x
    return np.sum(x)


@pytest.mark.parametrize(
    "function",
    [looping, pb.value_and_grad(looping), pb.compile(lambda x: np.exp(x))],
    ids=["loop", "gradient", "line"],
)
def test_the_trace_has_the_documented_form(function: Callable[..., Any], tmp_path: Path) -> None:
    found = pb.profile(function, repeat=2)(X)
    path = tmp_path / "trace.json"
    found.trace(path)
    trace = json.loads(path.read_text(encoding="utf-8"))
    events = check_events(trace)
    assert [e["name"] for e in events if e["cat"] == "call"] == ["call 1", "call 2"]
    assert {e["name"] for e in events if e["cat"] == "compilation"} >= {"trace", "plan"}


def test_the_trace_shows_iterations_and_where_they_come_from() -> None:
    events = check_events(pb.profile(looping)(X).to_chrome())
    names = [e["name"] for e in events]
    assert [n for n in names if n.startswith("iteration")] == [
        f"iteration {k}" for k in range(1, 36)
    ]
    tanh = [e for e in events if "tanh" in e["name"]]
    assert len(tanh) == 35
    line = looping.__code__.co_firstlineno + 2
    assert tanh[0]["args"] == {
        "type": "f64[6]",
        "line": f"test_profiling.py:{line}",
        "source": "x = np.tanh(x) * x",
        "bytes": 2 * X.nbytes,
        "operations": 20 * 6,
    }
    assert tanh[0]["cat"] == "forward"


def test_the_trace_of_a_long_loop_is_cut_and_says_so() -> None:
    def f(x: Any) -> Any:
        for _ in range(KEPT + 50):
            x = x * 0.5 + 1.0
        return np.exp(x)

    found = pb.profile(f)(X)
    events = check_events(found.to_chrome())
    names = [e["name"] for e in events]
    assert names.count(f"iteration {KEPT}") == 1
    assert f"iteration {KEPT + 1}" not in names
    assert "50 more iterations" in names
    assert [n for n in names if "exp" in n]  # what follows the loop
    assert row(found, "* 0.5").calls == KEPT + 50


def test_the_trace_of_a_recursion_nests() -> None:
    def power(x: Any, n: Any) -> Any:
        return x if n < 0.5 else power(x * 1.5, n - 1.0)

    assert check_events(pb.profile(power)(2.0, 4.0).to_chrome())


# -- the command line

MODEL = """
import numpy as np
import pullback as pb

def loss(w):
    for _ in range(3):
        w = np.tanh(w)
    return np.sum(w)

@pb.compile
def double(w):
    return w * 2.0
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import sys

    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return path


def command(model: Path, function: str, args: str, *options: object) -> Result:
    arguments = ["profile", f"{model}:{function}", "--args", args, *map(str, options)]
    return CliRunner().invoke(cli.commands(), arguments)


def test_the_command_prints_tables_and_writes_a_trace(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    result = command(model, "loss", "np.ones(3)", "--trace", path, "--repeat", 2)
    assert result.exit_code == 0, result.output
    assert "model.py:7" in result.output
    assert "∂" in result.output
    assert "w = np.tanh(w)" in result.output
    check_events(json.loads(path.read_text(encoding="utf-8")))


def test_the_command_takes_what_is_decorated(model: Path) -> None:
    result = command(model, "double", "np.ones(3)")
    assert result.exit_code == 0, result.output
    assert "* 2.0" in result.output


def test_the_command_refuses_what_does_not_run(model: Path) -> None:
    result = command(model, "loss", "Spec((3,), float)")
    assert result.exit_code == 2
    assert "give arrays" in result.output
    result = command(model, "loss", "np.ones(3).shape")
    assert result.exit_code == 1
