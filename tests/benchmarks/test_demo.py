"""The demonstration learns, and shows what it says that it shows."""

import io

import numpy as np
from rich.console import Console

from pullback.benchmarks import demo, digits


def test_the_quick_demo_learns_the_digits() -> None:
    out = io.StringIO()
    training = demo.run(quick=True, console=Console(file=out, width=100))
    text = out.getvalue()
    assert training.accuracy >= 0.97
    assert f"test accuracy {training.accuracy:.2%}" in text
    for shown in ("tracing", "compiling", "first gradient", "dlogits", "∂"):
        assert shown in text


def test_the_split_depends_on_the_seed_alone_and_loses_no_image() -> None:
    images, labels = np.arange(40.0).reshape(20, 2), np.arange(20)
    parts = [digits.split(images, labels, np.random.default_rng(3)) for _ in range(2)]
    for first, again in zip(*parts, strict=True):
        np.testing.assert_array_equal(first, again)
    _, train, _, test = parts[0]
    assert len(test) == 5
    assert sorted([*train, *test]) == list(range(20))


def test_batches_have_one_shape_and_a_falling_rate() -> None:
    x, targets = np.zeros((10, 64), np.float32), np.zeros((10, 10), np.float32)
    drawn = list(digits.batches(np.random.default_rng(0), x, targets, epochs=2, size=4))
    assert {(a.shape, a.dtype, b.shape) for _, a, b in drawn} == {((4, 64), x.dtype, (4, 10))}
    assert [rate for rate, _, _ in drawn] == [0.004, 0.003, 0.002, 0.001]


def test_adam_descends_in_place() -> None:
    weight = np.array([3.0, -2.0])
    params = [(weight, np.array([1.0]))]
    optimiser = digits.Adam(params)
    for _ in range(500):
        optimiser.update([(2 * params[0][0], 2 * params[0][1])], 0.05)
    assert params[0][0] is weight
    np.testing.assert_allclose(weight, 0, atol=1e-2)
