"""The command line, called as a user calls it."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import benchmark_runs as runs
import numpy as np
import pytest
from click.testing import CliRunner, Result

from pullback import cli
from pullback.benchmarks.cases import CASES
from pullback.benchmarks.corpus import PROGRAMS

MODEL = """
import numpy as np
import pullback as pb

SIZE = 3

def loss(w, x):
    return np.sum(np.tanh(w * x))

@pb.value_and_grad
def decorated(w):
    return np.sum(w * w)

def broken(w):
    raise ValueError("no loss today")

def refused(w):
    return w

class Model:
    @staticmethod
    def loss(w):
        return np.sum(np.exp(w))
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.commands(), [str(a) for a in arguments])


def inspect(model: Path, function: str, args: str, *options: object) -> Result:
    return run("inspect", f"{model}:{function}", "--args", args, *options)


def test_inspect_prints_the_optimised_gradient(model: Path) -> None:
    result = inspect(model, "loss", "Spec((SIZE,), 'f4'), np.ones(3, 'f4')")
    assert result.exit_code == 0, result.output
    assert "tanh" in result.output
    assert "f32[3]" in result.output


@pytest.mark.parametrize(
    ("stage", "there", "absent"),
    [
        ("forward", "def loss(w: f64[3], x: f64[3]) -> f64:", "∂"),
        ("joint", "return dw", "fused"),
        ("optimized", "= square(", "workspace"),
        ("source", "def run(", "f64[3]"),
    ],
)
def test_inspect_prints_the_stage_asked_for(
    model: Path, stage: str, there: str, absent: str
) -> None:
    result = inspect(model, "loss", "(np.ones(3), np.ones(3))", "--stage", stage)
    assert result.exit_code == 0, result.output
    assert there in result.output
    assert absent not in result.output


def test_inspect_applies_the_transform_asked_for(model: Path) -> None:
    plain = inspect(model, "loss", "np.ones(3), np.ones(3)", "--transform", "compile")
    both = inspect(model, "loss", "np.ones(3), np.ones(3)", "--transform", "value_and_grad")
    assert "-> f64:" in plain.output
    assert "-> (f64, f64[3]):" in both.output


def test_inspect_takes_one_argument_and_a_decorated_function(model: Path) -> None:
    result = inspect(model, "decorated", "Spec((2, 2), float)")
    assert "-> (f64, f64[2, 2]):" in result.output


def test_inspect_finds_a_function_in_a_class(model: Path) -> None:
    assert "exp" in inspect(model, "Model.loss", "np.ones(2)").output


def test_inspect_writes_graphs(model: Path, tmp_path: Path) -> None:
    dot, data = tmp_path / "g.dot", tmp_path / "g.json"
    args = "np.ones(3), np.ones(3)"
    result = inspect(model, "loss", args, "--stage", "source", "--dot", dot, "--json", data)
    assert result.exit_code == 0, result.output
    assert dot.read_text().startswith("digraph")
    assert json.loads(data.read_text())


@pytest.mark.parametrize(
    ("target", "args", "code", "words"),
    [
        ("{model}", "1.0", 2, "is not FILE.py:FUNCTION"),
        ("nowhere.py:loss", "1.0", 2, "There is no file 'nowhere.py'"),
        ("{model}:los", "1.0", 2, "no function 'los'. Its functions: loss, decorated, broken"),
        ("{model}:SIZE", "1.0", 2, "no function 'SIZE'"),
        ("{model}:loss", "(1.0", 2, "SyntaxError"),
        ("{model}:loss", "np.one(3)", 2, "module 'numpy' has no attribute 'one'"),
        ("{model}:broken", "1.0", 1, "ValueError: no loss today"),
        ("{model}:refused", "np.ones(3)", 1, "scalar"),
        (":loss", "1.0", 2, "':loss' is not FILE.py:FUNCTION"),
    ],
)
def test_inspect_explains_what_is_wrong(
    model: Path, target: str, args: str, code: int, words: str
) -> None:
    result = run("inspect", target.format(model=model), "--args", args)
    assert (result.exit_code, "Traceback" in result.output) == (code, False)
    assert words in " ".join(result.output.split())


def test_inspect_says_where_a_file_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "bad.py"
    path.write_text("x = 1\ny = x / 0\n")
    result = inspect(path, "loss", "1.0")
    assert result.exit_code == 1
    assert f"ZeroDivisionError: division by zero ({path}:2)" in result.output


def test_inspect_names_the_users_lines_alone(model: Path) -> None:
    result = inspect(model, "loss", "1.0")
    assert result.exit_code == 1
    missing = "raised TypeError: loss() missing 1 required positional argument: 'x'\n"
    assert result.output.endswith(missing)
    result = inspect(model, "broken", "1.0")
    assert f"no loss today ({model}:" in result.output
    path = model.with_name("unfinished.py")
    path.write_text("x = (\n")
    result = inspect(path, "loss", "1.0")
    assert result.exit_code == 1
    assert f"SyntaxError: '(' was never closed ({path}:1)" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("demo", "--rnn", "--health"), "give one of them"),
        (("demo", "--plot", "a.png"), "--plot draws what --rnn or --health shows"),
        (("demo", "--seed", "-1"), "-1 is not in the range x>=0"),
        (("demo", "--rnn", "--plot", "nowhere/a.png"), "There is no folder 'nowhere'"),
        (("demo", "--rnn", "--plot", "a.text"), "'a.text' is no picture: end it in"),
        (("health", "{model}:loss", "--args", "1.0", "--plot", "a.text"), "is no picture"),
        (("health", "{model}:loss", "--args", "Spec(3)"), "give arrays in place of Spec"),
        (("bench", "--json", "nowhere/a.json"), "There is no folder 'nowhere'"),
        (("bench", "--html", "nowhere/a.html"), "There is no folder 'nowhere'"),
        (("profile", "{model}:loss", "--args", "1.0", "--trace", "nowhere/a"), "no folder"),
        (("inspect", "{model}:loss", "--args", "1.0", "--dot", "nowhere/a"), "no folder"),
        (("coverage", "--markdown", "nowhere/a.md"), "no folder"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(
    model: Path, arguments: tuple[str, ...], words: str
) -> None:
    result = run(*[a.format(model=model) for a in arguments])
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())


def test_coverage_says_where_there_is_nothing() -> None:
    result = run("coverage", "--module", "numpy.fft", "--class", "refused")
    assert result.output == "No name of numpy.fft is of the class 'refused'.\n"


def test_inspect_refuses_a_transform_of_a_decorated_function(model: Path) -> None:
    result = inspect(model, "decorated", "np.ones(3)", "--transform", "grad")
    assert result.exit_code == 2
    assert "leave --transform out" in result.output


def test_bench_lists_its_cases() -> None:
    result = run("bench", "--list")
    assert result.exit_code == 0
    assert result.output.split()[0] == next(iter(CASES))
    assert "100 steps, 16 x 64-128" in result.output


def test_bench_races_one_case(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    result = run("bench", "--quick", "--case", "logistic", "--json", path)
    assert result.exit_code == 0, result.output
    assert "logistic: 1000 x 20" in result.output
    figures = json.loads(path.read_text())
    [found] = figures["results"]
    contestants = {c["name"]: c for c in found["contestants"]}
    assert contestants.keys() >= {"pullback", "by hand", "plain forward", "compiled forward"}
    assert all(c["gradient_error"] < 1e-3 for c in contestants.values())
    assert figures["environment"]["rates"]["bandwidth"] > 0


def test_bench_refuses_a_case_that_it_does_not_have() -> None:
    result = run("bench", "--case", "mpl")
    assert result.exit_code == 2
    assert "No case mpl. The cases: " in result.output


def test_bench_lists_the_programs_of_the_corpus() -> None:
    result = run("bench", "--suite", "loops", "--list")
    assert result.exit_code == 0
    assert result.output.split()[0] == "cholesky"
    assert "gauss_seidel           Gauss-Seidel sweeps" in result.output


def test_bench_measures_a_program_of_the_corpus(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    arguments = ("--suite", "loops", "--quick", "--case", "triangular_solve", "--json", path)
    result = run("bench", *arguments)
    assert result.exit_code == 0, result.output
    assert "triangular_solve" in result.output
    assert "geometric means" in result.output
    [figures] = json.loads(path.read_text())["results"]
    assert figures["ratios"]["gradient to plain forward"] > 0


def test_bench_exits_with_one_where_a_program_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    program = PROGRAMS["triangular_solve"]
    broken = dataclasses.replace(program, make=lambda size, dtype, rng: (np.eye(size),))
    monkeypatch.setitem(PROGRAMS, "triangular_solve", broken)
    result = run("bench", "--suite", "loops", "--quick", "--case", "triangular_solve")
    assert result.exit_code == 1
    assert "triangular_solve: TypeError" in result.output


def test_bench_goes_on_after_a_failure_and_exits_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["logistic"]
    wrong = dataclasses.replace(case, torch=None, portable=lambda xp, *args: 0.0, jax={})
    wrong = dataclasses.replace(wrong, loss=lambda params, x, y: np.sum(params[0] * 2))
    monkeypatch.setitem(CASES, "logistic", wrong)
    result = run("bench", "--quick", "--case", "logistic")
    assert result.exit_code == 1
    assert "logistic, pullback: DisagreementError: its result is off" in result.output
    assert "Failed: logistic: 1000 x 20 (pullback; " not in result.output
    assert "Failed: logistic: 1000 x 20 (pullback, " in result.output


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "kept.json"
    times = {"plain": 1.0, "forward": 0.5, "gradient": 1.0}
    path.write_text(runs.document("loops", runs.loop("adi", **times)).to_json())
    return path


def test_bench_shows_a_file_and_makes_its_page(kept: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = tmp_path / "page.html"
    result = run("bench", "--from", kept, "--html", page)
    assert result.exit_code == 0, result.output
    assert "relaxation" in result.output
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_bench_compares_two_files(kept: Path) -> None:
    result = run("bench", "--compare", kept, kept)
    assert result.exit_code == 0, result.output
    assert "geometric means over the cases that both have" in result.output


def test_bench_refuses_files_that_it_did_not_write(kept: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}")
    for arguments in (("--compare", kept, other), ("--from", other)):
        result = run("bench", *arguments)
        assert result.exit_code == 2
        assert "was not written by" in result.output


def test_bench_refuses_a_program_that_it_does_not_have() -> None:
    result = run("bench", "--suite", "loops", "--case", "mlp")
    assert result.exit_code == 2
    assert "No program mlp. The programs: cholesky," in result.output


def run_without(package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = (
        f"import sys; sys.path[:] = {sys.path!r}; sys.modules[{package!r}] = None\n"
        f"sys.argv = {['pullback', *arguments]!r}\n"
        "from pullback.cli import main\n"
        "main()\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("package", ["rich", "matplotlib"])
def test_what_bench_lacks_is_named_before_anything_is_measured(package: str) -> None:
    done = run_without(package, "bench", "--quick", "--html", "page.html")
    assert done.returncode == 2
    assert f"needs {package}" in done.stderr
    assert "pip install 'pullback[bench]'" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("package", ["click", "rich", "sklearn"])
def test_a_missing_extra_is_named_with_the_command_that_installs_it(package: str) -> None:
    done = run_without(package, "demo", "--quick")
    assert done.returncode == 2
    assert f"needs {package}" in done.stderr
    assert "pip install 'pullback[demo]'" in done.stderr
    assert "Traceback" not in done.stderr
