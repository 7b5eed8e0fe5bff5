"""Each public name of NumPy is in one class, and its class is true."""

from __future__ import annotations

import linecache
import re
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import surface_cases as cases
from click.testing import CliRunner

import pullback as pb
from pullback import cli, coverage_report
from pullback.tracer.refusals import REFUSALS
from pullback.tracer.surface import MODULES, Class, Entry

ENTRIES = coverage_report.surface()
NUMPY = [e for e in ENTRIES if e.module in MODULES]
WRITTEN_FOR = (2, 4)
"""The NumPy whose names are all listed; of a later one, new names are refused without a reason."""

IS_LATER = tuple(map(int, np.__version__.split(".")[:2])) > WRITTEN_FOR
DOCUMENT = Path(__file__).parent.parent / "docs" / "coverage.md"


def full(entry: Entry) -> str:
    return f"{entry.module}.{entry.name}"


def compiled(name: str, expression: str) -> tuple[Callable[..., Any], list[Any]]:
    """Return the function that computes an expression, with source to trace, and its arguments."""
    names = [n for n in cases.ARGUMENTS if re.search(rf"\b{n}\b", expression)] or ["x"]
    source = f"def case({', '.join(names)}):\n    return {expression}\n"
    file = f"<case {name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    namespace: dict[str, Any] = {"np": np}
    exec(compile(source, file, "exec"), namespace)
    return namespace["case"], [cases.ARGUMENTS[n].copy() for n in names]


def leaves(result: Any) -> list[Any]:
    if isinstance(result, list | tuple):
        return [leaf for part in result for leaf in leaves(part)]
    return [result]


def weighted(case: Callable[..., Any]) -> Callable[..., Any]:
    """Return the sum of a function's inexact results, each element with a weight of its own."""

    def total(*args: Any) -> Any:
        result = case(*args)
        value: Any = 0.0
        for leaf in leaves(result):
            if hasattr(leaf, "dtype") and leaf.dtype.kind in "fc":
                flat = np.ravel(leaf)
                weights = 1.0 + 0.3 * np.cumsum(np.ones_like(flat))
                value = value + np.sum(np.real(flat * weights)) + np.sum(np.imag(flat * weights))
        return value, result

    return total


def check_value(found: Any, case: Callable[..., Any], arguments: list[Any]) -> None:
    np.random.seed(3)  # noqa: NPY002 - the generator of the functions of np.random
    expected = case(*[a.copy() for a in arguments])
    for got, want in zip(leaves(found), leaves(expected), strict=True):
        assert np.asarray(got).dtype == np.asarray(want).dtype
        np.testing.assert_allclose(got, want, rtol=1e-6)


def gradients(entry: Entry) -> list[Any]:
    """Run the case of a name, check its value, and return its gradients."""
    value = getattr(MODULES[entry.module], entry.name)
    case, arguments = compiled(full(entry), cases.call(entry.module, entry.name, value))
    floats = tuple(k for k, a in enumerate(arguments) if a.dtype.kind in "fc")
    np.random.seed(3)  # noqa: NPY002 - the generator of the functions of np.random
    if not floats:
        check_value(pb.compile(case)(*[a.copy() for a in arguments]), case, arguments)
        return []
    differentiated = pb.value_and_grad(weighted(case), floats, has_aux=True)
    (_, result), found = differentiated(*arguments)
    check_value(result, case, arguments)
    return list(found)


def named(kind: Class) -> Any:
    return pytest.mark.parametrize("entry", [e for e in NUMPY if e.kind is kind], ids=full)


@pytest.fixture(autouse=True)
def quiet() -> Any:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@named(Class.DIFFERENTIABLE)
def test_what_is_differentiable_has_a_finite_gradient_that_is_not_zero(entry: Entry) -> None:
    found = gradients(entry)
    assert all(np.all(np.isfinite(g)) for g in found)
    assert any(np.any(g) for g in found)


@named(Class.CONSTANT)
def test_what_has_no_gradient_gives_zeros_or_says_so(entry: Entry) -> None:
    try:
        found = gradients(entry)
    except pb.DifferentiationError:
        assert entry.name in UNDEFINED or entry.module.startswith("numpy.random")
        return
    assert not any(np.any(g) for g in found)


UNDEFINED = {"intersect1d"}
"""Where the derivative is undefined everywhere but at single points, and asking for it raises."""


@named(Class.KNOWN)
def test_what_is_known_is_what_numpy_says(entry: Entry) -> None:
    value = getattr(MODULES[entry.module], entry.name)
    is_listed = entry.name in cases.CALLS[entry.module]
    if not is_listed and entry.module != "numpy.ndarray":
        assert entry.name not in TAKES_ARRAYS
        return
    expression = cases.call(entry.module, entry.name, value)
    case, arguments = compiled(full(entry), expression)
    check_value(pb.compile(case)(*[a.copy() for a in arguments]), case, arguments)


TAKES_ARRAYS = {n for n, v in vars(np).items() if hasattr(v, "_implementation")} - {
    "busday_count", "busday_offset", "datetime_as_string", "is_busday"
}  # fmt: skip
"""Functions that dispatch on their arguments."""


@named(Class.REFUSED)
def test_what_is_refused_says_why(entry: Entry) -> None:
    if IS_LATER and not entry.note:
        return
    value = getattr(MODULES[entry.module], entry.name)
    if entry.module == "numpy.ndarray" and entry.name in NOT_CALLED:
        assert entry.note
        return
    case, arguments = compiled(full(entry), cases.call(entry.module, entry.name, value))
    with pytest.raises(pb.UnsupportedError) as caught:
        pb.compile(case)(*arguments)
    assert entry.note
    if entry.module.startswith("numpy.polynomial"):
        assert entry.note.split(". ")[0] in str(caught.value)
    refusal = REFUSALS.get(full(entry))
    if refusal is not None and type(caught.value) is pb.UnsupportedError:
        assert refusal.why in str(caught.value) or entry.name == "__array__"


NOT_CALLED = {
    "__array_interface__", "__array_struct__", "__buffer__", "__dlpack__", "__dlpack_device__",
}  # fmt: skip
"""Protocols of C code: a traced array does not have them."""


def test_protocols_of_memory_are_not_there() -> None:
    seen: list[bool] = []
    pb.compile(lambda x: [seen.extend(hasattr(x, n) for n in NOT_CALLED), x][1])(np.ones(2))
    assert not any(seen)


def test_each_name_is_there_once() -> None:
    assert Counter(map(full, ENTRIES)).most_common(1)[0][1] == 1
    for module, owner in (("numpy", np), ("numpy.linalg", np.linalg), ("numpy.fft", np.fft)):
        listed = {e.name for e in ENTRIES if e.module == module}
        missing = [
            name
            for name in dir(owner)
            if not name.startswith("_") and callable(getattr(owner, name)) and name not in listed
        ]
        is_error = [issubclass(getattr(owner, n), BaseException) for n in missing]
        assert all(is_error)
    methods = {e.name for e in ENTRIES if e.module == "numpy.ndarray"}
    assert {n for n in dir(np.ndarray) if not n.startswith("_")} <= methods


def test_nothing_is_refused_without_a_reason() -> None:
    silent = [full(e) for e in ENTRIES if e.kind is Class.REFUSED and not e.note]
    assert IS_LATER or not silent


def test_every_reason_is_of_something_that_is_refused() -> None:
    refused = {full(e) for e in NUMPY if e.kind is Class.REFUSED}
    present = [
        name
        for name in REFUSALS
        if hasattr(MODULES[name.rpartition(".")[0]], name.rpartition(".")[2])
    ]
    assert set(present) - refused == set()


# ---- the document and the command ----------------------------------------------------------------


def read(text: str) -> dict[str, tuple[str, str]]:
    """Return the class and the note of each name in the document."""
    found: dict[str, tuple[str, str]] = {}
    module = kind = ""
    for line in text.splitlines():
        if line.startswith("## "):
            module = line.removeprefix("## ")
        elif line.startswith("### "):
            kind = line.removeprefix("### ")
        elif kind and line.startswith(("`", "* `")):
            names, _, note = line.partition(": ")
            for name in re.findall("`([^`]+)`", names):
                found[f"{module}.{name}"] = (kind, note)
    return found


def test_the_document_is_up_to_date() -> None:
    document = read(DOCUMENT.read_text(encoding="utf-8"))
    here = read(coverage_report.markdown(ENTRIES))
    assert {full(e): (e.kind.value, e.note) for e in ENTRIES} == here
    unlike = {n: here[n] for n in here if n in document and here[n] != document[n]}
    assert not unlike, "run: pullback coverage --markdown docs/coverage.md"
    absent = [n for n in here if n not in document and n.startswith("numpy")]
    assert IS_LATER or not absent, "run: pullback coverage --markdown docs/coverage.md"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli.commands(), ["coverage", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_counts() -> None:
    output = run()
    counted = coverage_report.counts(ENTRIES)["numpy.linalg"]
    (row,) = [line for line in output.splitlines() if "numpy.linalg" in line]
    assert [int(n) for n in re.findall(r"\d+", row)][-1] == counted.total()


def test_the_command_lists_names_with_reasons(tmp_path: Path) -> None:
    assert "qr" in run("--module", "numpy.linalg", "--class", "differentiable")
    output = run("--module", "numpy", "--refused")
    assert "numpy.load" in output
    assert "reads a file" in " ".join(output.split())
    run("--markdown", str(tmp_path / "coverage.md"))
    assert read((tmp_path / "coverage.md").read_text("utf-8")) == read(
        coverage_report.markdown(ENTRIES)
    )


def test_the_command_knows_no_other_module() -> None:
    result = CliRunner().invoke(cli.commands(), ["coverage", "--module", "numpy.lingo"])
    assert result.exit_code == 2
    assert "numpy.linalg" in result.output


def test_peers_that_are_not_installed_are_left_out() -> None:
    text = coverage_report.comparisons(ENTRIES)
    for name in coverage_report.PEERS:
        compared = coverage_report.comparison(ENTRIES, name)
        if compared is None:
            assert f"{name} is not installed" in text
            continue
        ours, _, total = compared
        assert total > 100
        assert not any(n in ours for n in ("np.sin", "np.sum", "np.linalg.inv", "np.fft.fft"))
