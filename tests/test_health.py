"""The health of gradients: what is measured, the layers and steps found, and the verdicts."""

from __future__ import annotations

import functools
import inspect
import io
import math
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure
from rich.console import Console

import pullback as pb
from pullback import cli
from pullback.benchmarks import health_programs as programs
from pullback.benchmarks.corpus import FAMILIES
from pullback.health.measures import measure, together
from pullback.health.report import Health

FOUND: dict[str, Any] = {p.title: p for p in programs.programs()}


@functools.cache
def health_of(title: str) -> Health:
    """Return the report on one of the demonstration's programs, made once."""
    program = FOUND[title]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # none are given
        return pb.health(program.loss)(*program.arguments)


def line_of(function: Callable[..., Any], text: str) -> int:
    lines, first = inspect.getsourcelines(function)
    (offset,) = [k for k, line in enumerate(lines) if text in line]
    return first + offset


class Expected(NamedTuple):
    """A verdict, where the first problem is, and what its sentence says."""

    verdict: str
    source: str = ""
    words: tuple[str, ...] = ()


VERDICTS = {
    "tanh, small weights": Expected("vanishes", "h = np.tanh(h @ w)", ("layer 32 of 50", "`h`")),
    "tanh, large weights": Expected("explodes", "h = np.tanh(h @ w)", ("layer 50", "`h`")),
    "relu, small weights": Expected("vanishes", "h = np.maximum(h @ w, 0)", ("layer 50",)),
    "residual connections": Expected("healthy"),
    "recurrent, large weights": Expected("explodes", "h = np.tanh(", ("of 200", "step 200")),
    "recurrent, clipped steps": Expected("healthy"),
    "recurrent, small weights": Expected("vanishes", "h = np.tanh(", ("of 200", "step 200")),
    "logarithm of zero": Expected(
        "non-finite", "np.log(p)", ("log at", "`p` from 0 to", "1 zero of 4", "inf (1 of 4")
    ),
    "root of zero": Expected(
        "non-finite", "np.sqrt(", ("going backward through sqrt", "from 0 to", "1 zero of 5")
    ),
    "masked, zero times infinity": Expected("non-finite", "np.log(x)", ("log at", "`x` from 0")),
}


@pytest.mark.parametrize("title", FOUND)
def test_verdicts_name_the_line(title: str) -> None:
    report, expected = health_of(title), VERDICTS[title]
    assert report.verdict == expected.verdict
    assert report.is_healthy == (expected.verdict == "healthy")
    assert expected.verdict in report.sentence
    if report.problem is None:
        return
    assert report.problem.file == programs.__file__
    assert report.problem.line == line_of(FOUND[title].loss, expected.source)
    assert report.problem.place == f"health_programs.py:{report.problem.line}"
    for word in (*expected.words, report.problem.place):
        assert word in report.sentence


@pytest.mark.parametrize("title", FOUND)
def test_the_gradient_is_that_of_grad(title: str) -> None:
    report, program = health_of(title), FOUND[title]
    with np.errstate(all="ignore"):  # some of them overflow
        value, gradient = pb.value_and_grad(program.loss, exact=True)(*program.arguments)
    assert report.value == value
    for a, b in zip(pb.tree.leaves(report.gradient), pb.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("title", FOUND)
def test_what_prints_is_at_most_100_columns_wide(title: str) -> None:
    report = health_of(title)
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith(FOUND[title].loss.__name__)
    assert len(lines) < 80


# ---- layers and steps ----------------------------------------------------------------------------


def test_layers_are_those_of_the_network() -> None:
    weights, x, wanted = FOUND["tanh, small weights"].arguments
    (chain,) = health_of("tanh, small weights").chains
    assert (chain.kind, chain.name, len(chain.links)) == ("layer", "h", 50)
    h = x
    for link, w in zip(chain.links, weights, strict=True):
        h = np.tanh(h @ w)
        assert link.value is not None
        assert link.value.norm == pytest.approx(np.linalg.norm(h), rel=1e-12)
    for k in (1, 20, 49):
        cut = functools.partial(programs.tanh_network, weights[k:], wanted=wanted)
        h = functools.reduce(lambda h, w: np.tanh(h @ w), weights[:k], x)
        expected = pb.grad(lambda h, cut=cut: cut(h))(h)
        ct = chain.links[k - 1].cotangent
        assert ct is not None
        assert ct.norm == pytest.approx(np.linalg.norm(expected), rel=1e-9)
        assert ct.rms == pytest.approx(np.sqrt(np.mean(expected**2)), rel=1e-9)
        assert ct.largest == pytest.approx(np.max(np.abs(expected)), rel=1e-9)


def test_steps_are_those_of_the_recurrence() -> None:
    (inward, across), xs = FOUND["recurrent, small weights"].arguments
    (chain,) = health_of("recurrent, small weights").chains
    assert (chain.kind, chain.name, len(chain.links)) == ("step", "h", 201)

    def rest(h: Any, xs: Any) -> Any:
        for x in xs:
            h = np.tanh(x @ inward + h @ across)
        return np.mean((h - 1.0) ** 2)

    states = [np.zeros(len(across))]
    for x in xs:
        states.append(np.tanh(x @ inward + states[-1] @ across))
    for k in (0, 150, 199, 200):
        value, ct = chain.links[k].value, chain.links[k].cotangent
        assert value is not None
        assert ct is not None
        assert value.norm == pytest.approx(np.linalg.norm(states[k]), rel=1e-9)
        expected = pb.grad(rest)(states[k], xs[k:])
        assert ct.norm == pytest.approx(np.linalg.norm(expected), rel=1e-7)


@pytest.mark.parametrize("title", ["tanh, large weights", "recurrent, large weights"])
def test_amplifications_are_ratios_of_norms(title: str) -> None:
    (chain,) = health_of(title).chains
    norms = np.array(chain.norms)
    found = [k.amplification for k in chain.links]
    assert found[-1] is None
    np.testing.assert_allclose(found[:-1], norms[:-1] / norms[1:], rtol=1e-12)
    assert chain.ratio == pytest.approx(norms[0] / norms[-1])
    assert chain.factor ** (len(norms) - 1) == pytest.approx(chain.ratio)


def test_norms_of_jacobians_of_layers() -> None:
    weights, x, _ = FOUND["tanh, large weights"].arguments
    (chain,) = health_of("tanh, large weights").chains
    h = x
    for link, w in zip(chain.links[:6], weights[1:7], strict=True):
        h = np.tanh(h @ weights[link.number - 1])
        slopes = 1 - np.tanh(h @ w) ** 2
        # The Jacobian of a batch is block diagonal.
        expected = max(np.linalg.norm(w * s, 2) for s in slopes)
        assert link.jacobian_norm is not None
        assert 0.9 * expected < link.jacobian_norm <= expected * (1 + 1e-9)


def test_norms_of_jacobians_of_steps() -> None:
    (inward, across), xs = FOUND["recurrent, large weights"].arguments
    (chain,) = health_of("recurrent, large weights").chains
    h, checked = np.zeros(len(across)), 0
    for link, x in zip(chain.links, xs, strict=False):
        after = np.tanh(x @ inward + h @ across)
        if link.jacobian_norm is not None:
            expected = np.linalg.norm(across * (1 - after**2), 2)
            assert 0.97 * expected < link.jacobian_norm <= expected * (1 + 1e-9)
            assert link.amplification is not None
            assert link.amplification <= expected * (1 + 1e-9)
            checked += 1
        h = after
    assert checked >= 60


def test_jacobians_are_spread_over_the_steps() -> None:
    program = FOUND["recurrent, small weights"]
    for count in (0, 1, 5, 20):
        (chain,) = pb.health(program.loss, jacobians=count)(*program.arguments).chains
        known = [k.number for k in chain.links if k.jacobian_norm is not None]
        assert min(count, 5) <= len(known) <= count
        if count > 1:
            assert (known[0], known[-1]) == (0, 199)
            assert max(np.diff(known)) <= 199 / (min(count, 12) - 1) + 1


def test_shares_of_zeros_are_counted() -> None:
    weights, x, _ = FOUND["relu, small weights"].arguments
    report = health_of("relu, small weights")
    h = np.maximum(x @ weights[0], 0)
    first = report.chains[0].links[0]
    assert first.value is not None
    assert first.value.zero_share == np.mean(h == 0)
    (row,) = [r for r in report.rows if r.name == "h" and r.value.norm == first.value.norm]
    assert row.value.zeros == np.count_nonzero(h == 0)
    assert row.cotangent == first.cotangent


def test_a_dead_network_is_named() -> None:
    weights, x, wanted = FOUND["relu, small weights"].arguments
    layers = [2 * w for w in weights[:8]]
    layers[5] = -np.abs(layers[5])
    report = pb.health(programs.relu_network)(layers, np.abs(x), wanted)
    assert report.problem is not None
    assert report.verdict == "vanishes"
    assert report.problem.number == 5
    assert report.problem.text.endswith("at layer 5 of 8 the cotangent of `h` is zero.")


def test_the_worst_run_of_a_loop_in_a_loop_is_shown() -> None:
    def loss(w: Any, xs: Any) -> Any:
        total = 0.0
        for x in xs:
            h = x
            for _ in range(30):
                h = np.tanh(h * w)
            total = total + np.sum(h)
        return total

    xs = np.linspace(0.1, 2.0, 12).reshape(12, 1)
    (chain,) = pb.health(loss)(np.array([0.7]), xs).chains  # the total is passed on as it is
    assert (chain.kind, chain.name, chain.runs, len(chain.links)) == ("step", "h", 12, 31)
    slopes = [pb.grad(lambda x, w: loss(w, x[None]))(x, np.array([0.7]))[0] for x in xs]
    assert chain.run == int(np.argmin(slopes))
    assert chain.norms[0] == pytest.approx(min(slopes), rel=1e-9)


def test_a_while_loop_has_as_many_steps_as_it_ran() -> None:
    def loss(x: Any) -> Any:
        while np.sum(x) < 100.0:
            x = x * 1.5
        return np.sum(x)

    report = pb.health(loss)(np.array([1.0, 2.0, 3.0]))
    (chain,) = report.chains
    assert len(chain.links) == 8
    np.testing.assert_allclose(chain.norms, [np.sqrt(3) * 1.5**k for k in range(7, -1, -1)])
    np.testing.assert_allclose(report.gradient, np.full(3, 1.5**7))


# ---- problems ------------------------------------------------------------------------------------


def test_thresholds_are_the_callers() -> None:
    program = FOUND["tanh, small weights"]
    assert pb.health(program.loss, vanishing=0.0)(*program.arguments).is_healthy
    strict = pb.health(program.loss, vanishing=0.5)(*program.arguments)
    assert strict.problem is not None
    (chain,) = strict.chains
    below = [
        k.number for k, n in zip(chain.links, chain.norms, strict=True) if n < 0.5 * chain.norms[-1]
    ]
    assert strict.problem.number == max(below)
    for wrong in ({"vanishing": 2.0}, {"exploding": 0.5}, {"jacobians": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            pb.health(program.loss, **wrong)  # type: ignore[arg-type]


def test_the_backward_equation_at_fault_is_named() -> None:
    masked = health_of("masked, zero times infinity")
    (_, backward) = masked.problems
    assert backward.line == line_of(programs.masked_log, "np.log(x)")
    for word in ("going backward through log", "`x` has nan (1 of 3", "a cotangent from 0 to 1"):
        assert word in backward.text


def test_zero_times_infinity() -> None:
    def loss(x: Any) -> Any:
        big = np.exp(x)
        return np.sum(big * (x - 800.0))

    report = pb.health(loss)(np.array([1.0, 800.0]))
    first, backward = report.problems
    assert first.line == line_of(loss, "np.exp(x)")
    assert "exp at" in first.text
    assert "`x` from 1 to 800" in first.text
    assert backward.line == line_of(loss, "np.sum(big")
    assert "going backward through multiply" in backward.text


def test_the_iteration_is_named() -> None:
    def loss(xs: Any, s: Any) -> Any:
        for k in range(30):
            s = s / xs[k]
        return s

    xs = np.ones(30)
    xs[20] = 0.0
    report = pb.health(loss, argnums=(0, 1))(xs, 1.0)
    assert report.problem is not None
    assert "(iteration 20) gives inf; it got `s` 1 and `xs[k]` 0" in report.problem.text
    assert report.problem.line == line_of(loss, "s = s / xs[k]")


def test_layers_that_are_not_finite_are_shown() -> None:
    def loss(w: Any, x: Any) -> Any:
        h = x
        for _ in range(5):
            h = np.tanh(w * h)
        return np.sum(np.sqrt(h))

    report = pb.health(loss)(np.ones(2), np.zeros(2))
    assert [p.verdict for p in report.problems] == ["non-finite"]
    assert report.problems[0].line == line_of(loss, "np.sqrt")
    (chain,) = report.chains
    assert chain.norms == [math.inf] * 5
    assert chain.links[0].amplification is None
    assert "nan for each" not in str(report)


def test_infinity_that_is_replaced_is_no_problem() -> None:
    def loss(x: Any) -> Any:
        best = np.full(3, np.inf)
        for k in range(20):
            best = np.minimum(best, np.abs(x - k))
        return np.sum(best)

    report = pb.health(loss)(np.array([0.3, 4.4, 7.8]))
    assert report.is_healthy
    np.testing.assert_array_equal(report.gradient, [1.0, 1.0, -1.0])

    def worse(x: Any) -> Any:
        return loss(x) + np.sum(np.sqrt(x - 4.0))

    report = pb.health(worse)(np.array([0.3, 4.4, 7.8]))
    assert report.problem is not None
    assert report.problem.line == line_of(worse, "np.sqrt")
    assert "sqrt at" in report.problem.text


def test_steps_end_where_the_carry_is_cut() -> None:
    def loss(w: Any, xs: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            return np.tanh(w * h + x), h

        return np.sum(pb.scan(step, np.zeros(2), xs, truncate=10)[0] ** 2)

    report = pb.health(loss)(np.full(2, 0.6), np.full((40, 2), 0.1))
    assert report.is_healthy
    (chain,) = report.chains
    assert [k.number for k in chain.flowing] == list(range(31, 41))
    assert chain.links[30].cotangent is not None
    assert chain.links[30].cotangent.zeros == 2


def test_an_argument_that_is_not_finite() -> None:
    report = pb.health(lambda x: np.sum(x * x))(np.array([1.0, np.nan]))
    assert report.verdict == "non-finite"
    assert "`x` holds nan (1 of 2 entries) from the start" in report.sentence


def test_a_parameter_that_nothing_depends_on() -> None:
    report = pb.health(lambda a, b: np.sum(a * a) + 0.0 * np.sum(b), argnums=(0, 1))(
        np.ones(2), np.ones(3)
    )
    assert report.verdict == "vanishes"
    assert "that of `b` is zero" in report.sentence


def test_parameters_are_compared_where_there_are_no_layers() -> None:
    def loss(a: Any, b: Any) -> Any:
        h = np.tanh(a)
        return np.sum(1e-9 * h + np.tanh(b))

    report = pb.health(loss, argnums=(0, 1))(np.ones(2), np.ones(2))
    assert not report.chains
    assert report.verdict == "vanishes"
    assert report.problem is not None
    assert (report.problem.name, report.problem.line) == ("a", line_of(loss, "np.tanh(a)"))
    # Units make no difference: what is 1e9 times as large has a slope of 1e-9.
    scaled = pb.health(lambda a, b: np.sum(np.tanh(1e-9 * a) + np.tanh(b)), argnums=(0, 1))
    assert scaled(np.full(2, 1e9), np.ones(2)).is_healthy


def test_a_residual_that_vanishes_is_not_hidden_by_a_total() -> None:
    def loss(weights: Any, x: Any) -> Any:
        h, total = x, 0.0
        for w in weights:
            h = np.tanh(w * h)
            total = total + 1e-30 * np.sum(h)
        return total + np.sum(h)

    weights = [np.full(3, 0.5 + k / 1000) for k in range(40)]
    report = pb.health(loss)(weights, np.ones(3))
    assert report.verdict == "vanishes"
    assert report.chains[0].name == "h"


# ---- calls ---------------------------------------------------------------------------------------


def test_what_grad_returned_keeps_its_options() -> None:
    def loss(a: Any, b: Any) -> Any:
        return np.sum(np.sin(a) * b), b

    report = pb.health(pb.grad(loss, argnums="b", has_aux=True))(np.ones(2), np.full(2, 3.0))
    np.testing.assert_array_equal(report.gradient, np.sin(np.ones(2)))
    value, aux = report.value
    assert value == pytest.approx(6 * np.sin(1.0))
    np.testing.assert_array_equal(aux, np.full(2, 3.0))
    compiled = pb.health(pb.compile(lambda x: np.sum(x * x)))(np.ones(2))
    np.testing.assert_array_equal(compiled.gradient, [2.0, 2.0])


def test_methods_branches_recursion_and_what_is_read_from_outside() -> None:
    class Model:
        scale = np.array([2.0, 3.0])

        @pb.grad(argnums=1)
        def loss(self, x: Any, n: float) -> Any:
            return np.sum(power(x * self.scale, n))

    def power(x: Any, n: float) -> Any:
        return x if n < 1.0 else np.sin(x) * power(x, n - 1.0)

    model = Model()
    check = pb.health(model.loss)
    for scale, n in (([2.0, 3.0], 2.0), ([1.0, 1.0], 2.0), ([1.0, 1.0], 0.0)):
        model.scale = np.array(scale)
        report = check(np.array([0.3, 0.4]), n)
        np.testing.assert_allclose(report.gradient, model.loss(np.array([0.3, 0.4]), n), rtol=1e-12)
        assert report.is_healthy


def test_arguments_that_are_written_into_stay_as_they_are() -> None:
    def loss(a: Any) -> Any:
        for k in range(1, len(a)):
            a[k] = np.sin(a[k]) + a[k - 1]
        return np.sum(a)

    a = np.linspace(0.0, 1.0, 30)
    report = pb.health(loss)(a)
    np.testing.assert_array_equal(a, np.linspace(0.0, 1.0, 30))
    np.testing.assert_allclose(report.gradient, pb.grad(loss)(a), rtol=1e-12)


def test_effects_happen_once(capsys: pytest.CaptureFixture[str]) -> None:
    def loss(x: Any, rng: Any) -> Any:
        h = x
        for k in range(4):
            h = np.tanh(h + rng.normal(size=3))
            print("layer", k)
        return np.sum(h)

    rng = np.random.default_rng(0)
    report = pb.health(loss)(np.ones(3), rng)
    assert capsys.readouterr().out == "".join(f"layer {k}\n" for k in range(4))
    again = np.random.default_rng(0)
    assert report.value == loss(np.ones(3), again)
    assert rng.bit_generator.state == again.bit_generator.state


def test_what_is_refused() -> None:
    with pytest.raises(pb.DifferentiationError, match="returns a scalar"):
        pb.health(lambda x: x * 2)(np.ones(2))
    with pytest.raises(TypeError, match="health takes a function"):
        pb.health(3)  # type: ignore[arg-type]

    def outer(x: Any) -> Any:
        pb.health(lambda x: np.sum(x))(x)
        return np.sum(x)

    with pytest.raises(pb.UnsupportedError, match="being traced"):
        pb.grad(outer)(np.ones(2))


def test_complex_and_single_precision() -> None:
    def loss(z: Any) -> Any:
        h = z
        for _ in range(3):
            h = h * h * np.array([0.5 + 0.5j, 1j]).astype(z.dtype)
        return np.sum(np.abs(h) ** 2)

    for dtype in (np.complex128, np.complex64):
        z = np.array([1.0 + 1.0j, 0.5j], dtype)
        report = pb.health(loss)(z)
        (chain,) = report.chains
        np.testing.assert_allclose(report.gradient, pb.grad(loss)(z), rtol=1e-5)
        # The step is z -> c z², of slope 2 c z.
        norm = chain.links[0].jacobian_norm
        h = z * z * np.array([0.5 + 0.5j, 1j])
        expected = np.max(np.abs(2 * h * np.array([0.5 + 0.5j, 1j])))
        assert norm == pytest.approx(expected, rel=0.02)


def test_derivatives_and_batches_inside() -> None:
    def penalty(w: Any, x: Any) -> Any:
        def inner(x: Any) -> Any:
            h = x
            for _ in range(30):
                h = np.tanh(w * h)
            return np.sum(h)

        return np.sum(pb.grad(inner)(x) ** 2) + np.mean(pb.vmap(inner)(np.stack([x, 2 * x])))

    report = pb.health(penalty)(np.full(3, 0.9), np.ones(3))
    expected = pb.grad(penalty)(np.full(3, 0.9), np.ones(3))
    np.testing.assert_allclose(report.gradient, expected, rtol=1e-10)
    # Forward, its reverse, and the batch of two.
    assert len(report.chains) == 3
    assert {len(c.links) for c in report.chains} == {31}


SOME = [p for f in FAMILIES for p in f.PROGRAMS[:2] if p.differentiable]
"""Two programs of each family of the corpus."""


@pytest.mark.parametrize("program", SOME, ids=lambda p: p.name)
def test_observation_changes_no_gradient(program: Any) -> None:
    args = program.arguments(program.tiny)
    loss, weights = program.loss(), program.weights(args)
    report = pb.health(loss, argnums=program.loss_argnums, jacobians=0)(weights, *args)
    expected = pb.grad(loss, argnums=program.loss_argnums)(weights, *args)
    for a, b in zip(pb.tree.leaves(report.gradient), pb.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9 * max(1.0, np.max(np.abs(b))))
    # Every line of the table is of the program, and of no more than 100 columns.
    assert max(map(len, str(report).splitlines())) <= 100
    for row in report.rows:
        assert row.cotangent is None or row.cotangent.size == row.value.size


# ---- measures ------------------------------------------------------------------------------------


def test_measures() -> None:
    found = measure(np.array([[3.0, 0.0], [-4.0, 0.0]]))
    assert found == (4, 5.0, 4.0, 2, 0, -4.0, 3.0)
    assert (found.rms, found.zero_share, found.bad_share) == (2.5, 0.5, 0.0)
    bad = measure(np.array([1.0, np.nan, -np.inf, 0.0]))
    assert math.isnan(bad.norm)
    assert (bad.size, bad.zeros, bad.bad, bad.low, bad.high) == (4, 1, 2, -math.inf, 1.0)
    assert measure(np.zeros((0, 3))).size == 0
    assert measure(np.float32(3e38)).norm == pytest.approx(3e38)


@pytest.mark.parametrize("scale", [1e-200, 1e-320, 1.0, 1e200])
def test_norms_do_not_over_or_underflow(scale: float) -> None:
    assert measure(np.array([3.0, 4.0]) * scale).norm == pytest.approx(5 * scale, rel=1e-3)


def test_several_arrays_as_one() -> None:
    parts = [np.array([1.0, 0.0]), np.array([-2.0]), np.array([5.0, 6.0, 0.0])]
    found, expected = together(list(map(measure, parts))), measure(np.concatenate(parts))
    assert found[2:] == expected[2:]
    assert found.norm == pytest.approx(expected.norm)


# ---- what is shown -------------------------------------------------------------------------------


@pytest.mark.parametrize("title", ["tanh, small weights", "root of zero"])
def test_plots(title: str, tmp_path: Path) -> None:
    report = health_of(title)
    report.plot(tmp_path / "health.png")
    assert (tmp_path / "health.png").read_bytes().startswith(b"\x89PNG")
    axes = Figure().add_subplot()
    assert report.plot(axes) is axes
    line = axes.lines[0]
    shown = report.chains[0].norms if report.chains else None
    if shown is not None:
        np.testing.assert_allclose(line.get_ydata(), shown)
    assert report.verdict in axes.get_title()


def test_tables_of_long_programs_are_short() -> None:
    report = health_of("tanh, small weights")
    assert len(report.rows) == 156
    table = report.table()
    (row,) = [r for r in table.rows if r[0] == "h"]
    cts = [r.cotangent.rms for r in report.rows if r.name == "h" and r.cotangent]
    assert row[2:5] == ["50", f"{min(cts):.3g}", f"{max(cts):.3g}"]
    (weights,) = [r for r in table.rows if r[0] == "weights"]
    assert weights[2] == "50"


def test_show_prints_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    report = health_of("root of zero")
    report.show()
    shown = capsys.readouterr().out
    assert shown.startswith("distance: non-finite")
    assert "np.sqrt(" in shown
    assert repr(report) == "<health of distance: non-finite>"


def test_rich_shows_the_same() -> None:
    report = health_of("root of zero")
    out = io.StringIO()
    Console(file=out, width=100).print(report)
    shown = out.getvalue()
    for text in ("going backward through sqrt", "np.sqrt(", "20 %"):
        assert text in shown


# ---- the command ---------------------------------------------------------------------------------

MODEL = """
import numpy as np

def loss(w, x):
    h = x
    for _ in range(5):
        h = np.tanh(w * h)
    return np.sum(np.sqrt(h))
"""


def test_the_command_prints_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    model, plot = tmp_path / "model.py", tmp_path / "health.png"
    model.write_text(MODEL)

    def run(args: str, *options: object) -> Any:
        given = ["health", f"{model}:loss", "--args", args, *map(str, options)]
        return CliRunner().invoke(cli.commands(), given)

    result = run("(np.ones(2), np.ones(2))", "--plot", plot)
    assert result.exit_code == 0
    assert result.output.startswith("loss: the gradient is healthy")
    assert "5 layers" in result.output
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "going backward through sqrt at model.py:8" in run("(np.ones(2), np.zeros(2))").output
    assert "give arrays in place of Spec" in run("(np.ones(2), pb.Spec(2))").output
    assert "not-there" in run("(np.ones(2), np.ones(2))", "--plot", "/not-there/x.png").output
