"""The command line: ``pullback demo``, ``inspect``, ``profile``, ``health``, ``bench`` and more.

click, rich, Matplotlib and scikit-learn come with an extra. They are imported where they are used,
and where one is missing the command says which extra to install.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    import click

    from .times import Profile

EXTRAS = ("click", "matplotlib", "rich", "sklearn")
STAGES = ("forward", "joint", "optimized", "source")
CLASSES = ("differentiable", "no gradient", "known while tracing", "refused")
SUITES = ("models", "transforms", "loops")
TRANSFORMS = ("grad", "value_and_grad", "compile")

Command = TypeVar("Command", bound=Callable[..., Any])


def main() -> None:
    """Run the command line."""
    with _extras_or_advice():
        commands().main(prog_name="pullback")


@contextmanager
def _extras_or_advice() -> Generator[None, None, None]:
    """Turn a missing optional package into the command that installs it, and exit code 2."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in EXTRAS:
            raise
        extra = "bench" if "bench" in sys.argv[1:2] else "demo"
        print(
            f"This command needs {error.name}, which is not installed:\n\n"
            f"    pip install 'pullback[{extra}]'",
            file=sys.stderr,
        )
        sys.exit(2)


def commands() -> click.Group:
    """Make the group of commands."""
    import click

    file = click.Path(exists=True, dir_okay=False, path_type=Path)

    @click.group(context_settings={"help_option_names": ["-h", "--help"]})
    @click.version_option(package_name="pullback")
    def group() -> None:
        """Compiled gradients of plain NumPy programs."""

    @group.command()
    @click.option("--seed", default=0, show_default=True, help="Splits the data, draws weights.")
    @click.option("--quick", is_flag=True, help="Train for fewer epochs.")
    @click.option("--rnn", is_flag=True, help="Train recurrent networks by truncated gradients.")
    @click.option("--health", is_flag=True, help="Show gradients that vanish, explode, turn nan.")
    @click.option("--plot", type=click.Path(path_type=Path), help="Draw to this file; not digits.")
    def demo(seed: int, quick: bool, rnn: bool, health: bool, plot: Path | None) -> None:
        """Train a classifier of handwritten digits that is written in plain NumPy."""
        if health:
            from .benchmarks.health_demo import run as run_health

            run_health(seed, plot)
            return
        if rnn or plot is not None:
            from .benchmarks.rnn_demo import run as run_rnn

            run_rnn(seed, quick, plot)
            return
        from .benchmarks.demo import run

        run(seed, quick)

    @group.command(name="inspect")
    @_called_with("np, pb and Spec", '(Spec((3,), "f4"), 2.0)')
    @click.option("--stage", type=click.Choice(STAGES), default="optimized", show_default=True)
    @click.option("--dot", type=click.Path(path_type=Path), help="Write the graph for Graphviz.")
    @click.option("--json", type=click.Path(path_type=Path), help="Write the graph as JSON.")
    def inspect_command(
        target: str,
        expression: str,
        transform: str | None,
        stage: str,
        dot: Path | None,
        json: Path | None,
    ) -> None:
        """Print what FUNCTION of FILE.py is compiled to."""
        show(target, expression, transform, stage, dot, json)

    @group.command(name="profile")
    @_called_with("np and pb", "(np.ones(3), 2.0)")
    @click.option(
        "--repeat",
        type=click.IntRange(1),
        default=10,
        show_default=True,
        help="Runs to take the mean of, after a first one; what they print is printed.",
    )
    @click.option("--trace", type=click.Path(path_type=Path), help="Write JSON for Perfetto.")
    def profile_command(
        target: str, expression: str, transform: str | None, repeat: int, trace: Path | None
    ) -> None:
        """Print where the time of FUNCTION of FILE.py goes, by equation and by line."""
        timed(target, expression, transform, repeat, trace)

    @group.command(name="health")
    @_called_with("np and pb", "(np.ones(3), 2.0)")
    @click.option("--plot", type=click.Path(path_type=Path), help="Draw the norms to this file.")
    def health_command(
        target: str, expression: str, transform: str | None, plot: Path | None
    ) -> None:
        """Print where the gradient of FUNCTION of FILE.py vanishes, explodes or turns nan."""
        checked(target, expression, transform, plot)

    @group.command()
    @click.option("--quick", is_flag=True, help="One small size of each case, short runs.")
    @click.option("--suite", type=click.Choice(SUITES), default="models", show_default=True)
    @click.option("--case", "names", metavar="NAME", multiple=True, help="Only this; repeatable.")
    @click.option("--json", type=click.Path(path_type=Path), help="Write all figures as JSON.")
    @click.option("--html", type=click.Path(path_type=Path), help="Write a page with plots.")
    @click.option("--from", "source", type=file, help="Show this JSON instead of measuring.")
    @click.option("--compare", type=file, nargs=2, help="Print what changed from A to B, two JSON.")
    @click.option("--list", "listing", is_flag=True, help="List the cases and their sizes.")
    def bench(
        quick: bool,
        suite: str,
        names: tuple[str, ...],
        json: Path | None,
        html: Path | None,
        source: Path | None,
        compare: tuple[Path, Path] | None,
        listing: bool,
    ) -> None:
        """Race gradients against other ways to compute them.

        The suite `models` races losses against NumPy written by hand, JAX, PyTorch and autograd;
        `transforms` Hessians, Jacobians, gradients of each example and steps of training;
        `loops` scientific programs of loops and branches against plain NumPy and JAX.
        """
        if compare is not None:
            compare_files(*compare)
        elif listing:
            list_cases(suite)
        else:
            race(suite, names, quick, json, html, source)

    @group.command()
    @click.option("--module", metavar="NAME", help="Only this module, such as numpy.linalg.")
    @click.option("--class", "kind", type=click.Choice(CLASSES), help="List the names of a class.")
    @click.option("--refused", is_flag=True, help="List what is refused, and why.")
    @click.option("--peers", is_flag=True, help="Compare with autograd and JAX, where installed.")
    @click.option("--markdown", type=click.Path(path_type=Path), help="Write the document.")
    def coverage(
        module: str | None, kind: str | None, refused: bool, peers: bool, markdown: Path | None
    ) -> None:
        """Count what of NumPy is differentiated, traced, known while tracing, and refused."""
        cover(module, "refused" if refused else kind, peers, markdown)

    return group


def _called_with(known: str, example: str) -> Callable[[Command], Command]:
    """Give a command the options that `_called` reads: a function, its arguments, a transform."""
    import click

    options = (
        click.argument("target", metavar="FILE.py:FUNCTION"),
        click.option(
            "--args",
            "expression",
            metavar="EXPR",
            required=True,
            help="A tuple of arguments, or one argument: Python in which the names of FILE,"
            f" {known} are known, such as '{example}'.",
        ),
        click.option(
            "--transform", type=click.Choice(TRANSFORMS), help="For a plain FUNCTION: grad."
        ),
    )

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def cover(module: str | None, kind: str | None, peers: bool, markdown: Path | None) -> None:
    """Print counts, names or a comparison, or write the document."""
    import click
    from rich.console import Console

    from . import coverage_report

    found = coverage_report.surface()
    if markdown is not None:
        _write(markdown, coverage_report.markdown(found))
        return
    modules = coverage_report.counts(found)
    if module is not None and module not in modules:
        raise click.UsageError(f"No module {module!r}. The modules: {', '.join(modules)}.")
    wanted = None if kind is None else coverage_report.Class(kind)
    part = coverage_report.chosen(found, module, wanted)
    console = Console()
    listing = module is not None or wanted is not None
    console.print(
        coverage_report.names_table(part) if listing else coverage_report.counts_table(found)
    )
    if peers:
        console.print(coverage_report.comparisons(found), markup=False, highlight=False)


def show(
    target: str,
    expression: str,
    transform: str | None,
    stage: str,
    dot: Path | None,
    json: Path | None,
) -> None:
    """Print one stage of a function of a file, and write its graph where asked."""
    import click

    from .ir import export

    function, arguments = _called(target, expression, transform)
    inspection = _run(target, lambda: function.inspect(*arguments))
    click.echo(str(getattr(inspection, stage)))
    # The source is no graph; what it was generated from is.
    graph = inspection.optimized if stage == "source" else getattr(inspection, stage)
    for path, write in ((dot, export.to_dot), (json, export.to_json)):
        if path is not None:
            _write(path, write(graph))


def timed(
    target: str, expression: str, transform: str | None, repeat: int, trace: Path | None
) -> None:
    """Print the profile of a function of a file, and write its trace where asked."""
    import pullback as pb

    function, arguments = _called(target, expression, transform)
    _check_arrays(arguments)
    profiler = pb.profile(function, repeat)
    _run(target, lambda: profiler.warm(*arguments))
    found: Profile = _run(target, lambda: profiler(*arguments))
    found.show()
    if trace is not None:
        _write(trace, found.json())


def checked(target: str, expression: str, transform: str | None, plot: Path | None) -> None:
    """Print the health of the gradient of a function of a file, and draw it where asked."""
    import click

    import pullback as pb

    function, arguments = _called(target, expression, transform)
    _check_arrays(arguments)
    check = pb.health(function)
    found = _run(target, lambda: check(*arguments))
    found.show()
    if plot is not None:
        try:
            found.plot(plot)
        except OSError as error:
            raise click.FileError(str(plot), error.strerror) from error


def _check_arrays(arguments: tuple[Any, ...]) -> None:
    import click

    import pullback as pb

    if any(isinstance(a, pb.Spec) for a in arguments):
        raise click.UsageError("This runs the function: give arrays in place of Spec.")


def _called(target: str, expression: str, transform: str | None) -> tuple[Any, tuple[Any, ...]]:
    """Return the transformed function that a command is about, and its arguments."""
    import click

    import pullback as pb

    module, function = _load(target)
    if not hasattr(function, "inspect"):
        function = getattr(pb, transform or "grad")(function)
    elif transform is not None:
        raise click.UsageError(f"{target} is decorated already: leave --transform out.")
    names = {"np": np, "pb": pb, "Spec": pb.Spec} | vars(module)
    return function, _evaluate(expression, names)


def _run(target: str, call: Callable[[], Any]) -> Any:
    """Return what a call returns; what it raises is the user's."""
    import click

    import pullback as pb

    try:
        return call()
    except pb.PullbackError as error:
        raise click.ClickException(str(error)) from error
    except Exception as error:
        raise click.ClickException(f"{target} raised {_summary(error)}") from error


def _load(target: str) -> tuple[Any, Any]:
    """Import FILE and find FUNCTION (dots lead into classes) in it."""
    import click

    file, colon, name = target.rpartition(":")
    if not colon or not name:
        raise click.UsageError(f"{target!r} is not FILE.py:FUNCTION.")
    path = Path(file)
    if not path.is_file():
        raise click.UsageError(f"There is no file {file!r}.")
    # As `python FILE` would, so that it can import its neighbours.
    sys.path.insert(0, str(path.resolve().parent))
    # A name that hides no other module, whatever the file is called.
    spec = importlib.util.spec_from_file_location(f"inspected_{path.stem}", path.resolve())
    if spec is None or spec.loader is None:
        raise click.UsageError(f"{file!r} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise click.ClickException(f"{file} cannot be imported: {_summary(error)}") from error
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        known = ", ".join(k for k, v in vars(module).items() if _is_own(v, module)) or "none"
        raise click.UsageError(f"{file} has no function {name!r}. Its functions: {known}.")
    return module, found


def _is_own(value: Any, module: Any) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _evaluate(expression: str, names: dict[str, Any]) -> tuple[Any, ...]:
    """Evaluate the user's own expression to a tuple of arguments."""
    import click

    try:
        value = eval(compile(expression, "--args", "eval"), names)
    except Exception as error:
        raise click.UsageError(f"--args {expression!r}: {_summary(error)}") from error
    return value if isinstance(value, tuple) else (value,)


def _summary(error: Exception) -> str:
    """Say what went wrong and in which line, without a traceback."""
    text = traceback.format_exception_only(error)[-1].strip()
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) or not frames or frames[-1].filename == "--args":
        return text
    return f"{text} ({frames[-1].filename}:{frames[-1].lineno})"


def _write(path: Path, text: str) -> None:
    import click

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.FileError(str(path), error.strerror) from error


def list_cases(suite: str) -> None:
    """Print the cases of a suite, and their sizes."""
    import click

    from .benchmarks import command

    for line in command.listing(suite):
        click.echo(line)


def race(
    suite: str,
    names: tuple[str, ...],
    quick: bool,
    json: Path | None,
    html: Path | None,
    source: Path | None,
) -> None:
    """Measure a suite, or read what was measured, and print it; exit with 1 if a case failed."""
    import click

    from .benchmarks import command, results

    if html is not None:
        # Before a long run, not after it.
        importlib.import_module("matplotlib")
    try:
        if source is None:
            document = command.run(suite, command.chosen(suite, names), quick, json)
        else:
            document = command.show(results.read(source))
    except (command.UnknownCaseError, results.DocumentError) as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        raise click.FileError(str(json or source), error.strerror) from error
    if html is not None:
        from .benchmarks import page

        _write(html, page.html(document))
    if any(result.failures for result in document.results):
        sys.exit(1)


def compare_files(before: Path, after: Path) -> None:
    """Print what changed between two files of figures."""
    import click

    from .benchmarks import command, results

    try:
        command.compare(results.read(before), results.read(after))
    except results.DocumentError as error:
        raise click.UsageError(str(error)) from error


if __name__ == "__main__":
    main()
