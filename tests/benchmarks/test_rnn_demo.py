"""The demonstration of truncated gradients learns what it can, and shows what it says."""

import io
from itertools import islice
from pathlib import Path

import numpy as np
from rich.console import Console

from pullback.benchmarks import rnn, rnn_demo


def test_the_quick_demo_recalls_bits_where_the_gradient_reaches_them(tmp_path: Path) -> None:
    out = io.StringIO()
    plot = tmp_path / "lags.png"
    runs = rnn_demo.run(quick=True, plot=plot, console=Console(file=out, width=100))
    whole, cut = runs
    assert whole.accuracy > 0.98
    assert cut.accuracy < 0.9
    text = out.getvalue()
    for shown in ("whole", "cut every 4", "100.0%", "lag", "█"):
        assert shown in text
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_the_gradient_ends_at_the_cut() -> None:
    size = rnn.Size(hidden=6, streams=3, chunk=12, delay=2)
    rng = np.random.default_rng(0)
    params, h = rnn.initial(size, rng).params, np.zeros((3, 6))
    bits, wanted = next(rnn.streams(size, rng))
    whole = rnn.norms_by_lag(params, h, bits, wanted, None)
    assert (whole > 0).all()
    for truncate in (4, 5, 12):
        reach = (size.chunk - 1) % truncate + 1
        cut = rnn.norms_by_lag(params, h, bits, wanted, truncate)
        np.testing.assert_allclose(cut[:reach], whole[:reach], rtol=1e-12)
        assert not cut[reach:].any()


def test_streams_go_on_across_chunks() -> None:
    size = rnn.Size(streams=2, chunk=5, delay=3)
    chunks = list(islice(rnn.streams(size, np.random.default_rng(1)), 4))
    bits = np.concatenate([b for b, _ in chunks])
    wanted = np.concatenate([w for _, w in chunks])
    assert bits.shape == (20, 2, 1)
    np.testing.assert_array_equal(wanted[3:], bits[:-3])


def test_one_program_clips_the_gradient() -> None:
    size = rnn.Size(hidden=5, streams=4, chunk=6, delay=2)
    rng = np.random.default_rng(2)
    learner, h = rnn.initial(size, rng), np.zeros((4, 5))
    bits, wanted = next(rnn.streams(size, rng))
    norm = rnn.update(learner, h, bits, wanted, 0.1, 1.0, 3)[3]
    after = rnn.update(learner, h, bits, wanted, 0.1, 0.5 * norm, 3)[0]
    length = np.sqrt(sum(np.sum(m * m) for m in after.mean)) / 0.1
    np.testing.assert_allclose(length, 0.5 * norm, rtol=1e-9)
