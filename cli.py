"""The command line: ``pullback demo``, ``inspect``, ``profile``, ``health``, ``bench`` and more.

click, rich, Matplotlib and scikit-learn come with an extra. They are imported where they are used,
and where one is missing the command says which extra to install.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

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
    @click.option(
        *("--seed", "seed"),
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="Of the split of the data and of the first weights.",
    )
    @click.option("--quick", is_flag=True, help="Train for fewer epochs.")
    @click.option("--rnn", is_flag=True, help="Train recurrent networks by truncated gradients.")
    @click.option("--health", is_flag=True, help="Show gradients that vanish, explode, turn nan.")
    @_writes("--plot", help="With --rnn or --health: draw gradients to this file.", plots=True)
    def demo(seed: int, quick: bool, rnn: bool, health: bool, plot: Path | None) -> None:
        """Train a classifier of handwritten digits that is written in plain NumPy."""
        if rnn and health:
            raise click.UsageError("--rnn and --health are two demonstrations: give one of them.")
        if plot is not None and not (rnn or health):
            raise click.UsageError("--plot draws what --rnn or --health shows: give one of them.")
        if health:
            from .benchmarks.health_demo import run as run_health

            run_health(seed, plot)
            return
        if rnn:
            from .benchmarks.rnn_demo import run as run_rnn

            run_rnn(seed, quick, plot)
            return
        from .benchmarks.demo import run

        run(seed, quick)

    @group.command(name="inspect")
    @_called_with("np, pb and Spec", '(Spec((3,), "f4"), 2.0)')
    @click.option("--stage", type=click.Choice(STAGES), default="optimized", show_default=True)
    @_writes("--dot", help="Write the graph for Graphviz.")
    @_writes("--json", help="Write the graph as JSON.")
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
    @_writes("--trace", help="Write JSON for Perfetto.")
    def profile_command(
        target: str, expression: str, transform: str | None, repeat: int, trace: Path | None
    ) -> None:
        """Print where the time of FUNCTION of FILE.py goes, by equation and by line."""
        timed(target, expression, transform, repeat, trace)

    @group.command(name="health")
    @_called_with("np and pb", "(np.ones(3), 2.0)", transforms=False)
    @_writes("--plot", help="Draw the norms to this file.", plots=True)
    def health_command(target: str, expression: str, plot: Path | None) -> None:
        """Print where the gradient of FUNCTION of FILE.py vanishes, explodes or turns nan."""
        checked(target, expression, plot)

    @group.command()
    @click.option("--quick", is_flag=True, help="One small size of each case, short runs.")
    @click.option("--suite", type=click.Choice(SUITES), default="models", show_default=True)
    @click.option("--case", "names", metavar="NAME", multiple=True, help="Only this; repeatable.")
    @_writes("--json", help="Write all figures as JSON.")
    @_writes("--html", help="Write a page with plots.")
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
    @_writes("--markdown", help="Write the document.")
    def coverage(
        module: str | None, kind: str | None, refused: bool, peers: bool, markdown: Path | None
    ) -> None:
        """Count what of NumPy is differentiated, traced, known while tracing, and refused."""
        cover(module, "refused" if refused else kind, peers, markdown)

    return group


def _writes(name: str, help: str, plots: bool = False) -> Callable[[Command], Command]:
    """Give a command an option for a file that it writes, checked before anything runs."""
    import click

    def check(context: Any, parameter: Any, path: Path | None) -> Path | None:
        if path is not None and not path.parent.is_dir():
            raise click.BadParameter(f"There is no folder {str(path.parent)!r}.")
        if path is not None and plots:
            _check_format(path)
        return path

    kind = click.Path(dir_okay=False, writable=True, path_type=Path)
    return click.option(name, type=kind, callback=check, help=help)


def _check_format(path: Path) -> None:
    """Raise unless Matplotlib writes files of that name."""
    import click

    bases: Any = importlib.import_module("matplotlib.backend_bases")
    known = sorted(bases.FigureCanvasBase.get_supported_filetypes())
    if path.suffix.removeprefix(".").lower() not in known:
        raise click.BadParameter(
            f"{str(path)!r} is no picture: end it in {', '.join(f'.{k}' for k in known)}."
        )


def _called_with(known: str, example: str, transforms: bool = True) -> Callable[[Command], Command]:
    """Give a command what `targets.called` reads: a function, its arguments, a transform."""
    import click

    options = [
        click.argument("target", metavar="FILE.py:FUNCTION"),
        click.option(
            "--args",
            "expression",
            metavar="EXPR",
            required=True,
            help="A tuple of arguments, or one argument: Python in which the names of FILE,"
            f" {known} are known, such as '{example}'.",
        ),
    ]
    if transforms:
        options.append(
            click.option(
                "--transform",
                type=click.Choice(TRANSFORMS),
                help="What to make of a FUNCTION that is not decorated.  [default: grad]",
            )
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
    if listing and not part:
        click.echo(f"No name of {module or 'NumPy'} is of the class {kind!r}.")
        return
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

    from . import targets
    from .ir import export

    function, arguments = targets.called(target, expression, transform)
    inspection = targets.run(target, lambda: function.inspect(*arguments))
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
    from . import targets
    from .profiling import profile

    function, arguments = targets.called(target, expression, transform)
    targets.check_arrays(arguments)
    profiler = profile(function, repeat)
    targets.run(target, lambda: profiler.warm(*arguments))
    found: Profile = targets.run(target, lambda: profiler(*arguments))
    found.show()
    if trace is not None:
        _write(trace, found.json())


def checked(target: str, expression: str, plot: Path | None) -> None:
    """Print the health of the gradient of a function of a file, and draw it where asked."""
    import click

    from . import targets
    from .health import health

    function, arguments = targets.called(target, expression, None)
    targets.check_arrays(arguments)
    check = health(function)
    found = targets.run(target, lambda: check(*arguments))
    found.show()
    if plot is not None:
        try:
            found.plot(plot)
        except OSError as error:
            raise click.FileError(str(plot), error.strerror) from error


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
