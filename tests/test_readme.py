"""The documents' programs run, print what the documents say, and name commands that exist."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import linecache
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    *("README.md", "docs/health.md", "docs/layer.md", "docs/rules.md"),
    "docs/transformations.md",
)
PACKAGE = ROOT / ".src" / "pullback"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def documented() -> list[str]:
    """Return the modules with examples in their docstrings."""
    found = []
    for entry in PACKAGE.iterdir():
        for path in entry.rglob("*.py") if entry.is_dir() else [entry]:
            if re.search(r"^ +>>> ", path.read_text(encoding="utf-8"), re.MULTILINE):
                name = ".".join(path.relative_to(ROOT / ".src").with_suffix("").parts)
                found.append(name.removesuffix(".__init__"))
    return sorted(found)


class Block(NamedTuple):
    """A fenced block of a document."""

    language: str
    text: str
    line: int


def blocks(document: str) -> list[Block]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return [Block(m[1], m[2], text.count("\n", 0, m.start()) + 2) for m in FENCE.finditer(text)]


def run(block: Block, names: dict[str, Any]) -> str:
    """Run a program as if it were the file `model.py`, and return what it prints."""
    linecache.cache["model.py"] = (
        len(block.text),
        None,
        block.text.splitlines(keepends=True),
        "model.py",
    )
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block.text, "model.py", "exec"), names)
    return printed.getvalue()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_programs_print_what_the_document_says(
    document: str, request: pytest.FixtureRequest
) -> None:
    """A `python` block runs and prints the `text` block after it; a `pycon` block is a doctest.

    `pytest --update` writes what is printed into the `text` blocks.
    """
    names: dict[str, Any] = {"__name__": "model"}
    found = [b for b in blocks(document) if b.language in ("python", "pycon", "text")]
    assert found, f"{document} has no program"
    printed: str | None = None
    answers: list[tuple[Block, str]] = []
    for block in found:
        if block.language == "text":
            assert printed is not None, f"{document}:{block.line}: nothing prints this"
            answers.append((block, printed))
            printed = None
            continue
        assert not printed, f"{document}:{block.line}: the program before prints something"
        printed = None
        if block.language == "python":
            printed = run(block, names).strip("\n")
        else:
            session(block, names, document)
    assert not printed, f"{document}: the last program prints something"
    if request.config.getoption("--update"):
        write(ROOT / document, answers)
        return
    for block, answer in answers:
        assert answer == block.text.strip("\n"), f"{document}:{block.line}"


def write(path: Path, answers: list[tuple[Block, str]]) -> None:
    lines = path.read_text(encoding="utf-8").split("\n")
    for block, answer in reversed(answers):
        lines[block.line - 1 : block.line - 1 + block.text.count("\n")] = answer.split("\n")
    path.write_text("\n".join(lines), encoding="utf-8")


def session(block: Block, names: dict[str, Any], document: str) -> None:
    """Run a doctest in, and leave what it defines to, the names of the document."""
    test = doctest.DocTestParser().get_doctest(
        block.text, names, document, document, block.line - 1
    )
    assert test.examples
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    report: list[str] = []
    result = doctest.DocTestRunner(optionflags=flags).run(
        test, out=report.append, clear_globs=False
    )
    names.update(test.globs)
    assert not result.failed, "".join(report)


@pytest.mark.parametrize("module", documented())
def test_docstrings(module: str) -> None:
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    result = doctest.testmod(importlib.import_module(module), optionflags=flags)
    assert result.attempted
    assert not result.failed


def test_the_test_command_is_the_one_that_integration_runs() -> None:
    commands = [b.text for b in blocks("README.md") if b.language == "sh"]
    steps = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    (tests,) = [s.removeprefix("step ") for s in steps if "pytest" in s]
    assert any(tests in c for c in commands)


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", *DOCUMENTS])
def test_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    targets = re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (path.parent / t).exists()]
    assert not missing


def test_architecture_names_files_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:[a-z_.]+/)*[a-z_]+\.(?:py|md))`", text))
    assert named
    places = (ROOT, ROOT / ".src" / "pullback")
    missing = sorted(n for n in named if not any((p / n).exists() for p in places))
    assert not missing
