"""What is read of the machine."""

from __future__ import annotations

import pytest

from pullback.ir import machine as module
from pullback.ir.machine import Machine, machine


def test_the_machine_has_cores_and_caches() -> None:
    found = machine.__wrapped__()
    assert found.cores >= 1
    assert 1 << 14 <= found.l2 <= found.l3


@pytest.mark.parametrize(
    ("settings", "wait"),
    [
        ({}, Machine().blas_wait),
        ({"OPENBLAS_NUM_THREADS": "1"}, 0.0),
        ({"OMP_NUM_THREADS": "4", "OPENBLAS_THREAD_TIMEOUT": "10"}, 1024 / 2.5),
        ({"OPENBLAS_THREAD_TIMEOUT": "never"}, Machine().blas_wait),
    ],
)
def test_how_long_blas_waits(
    settings: dict[str, str], wait: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_THREAD_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert machine.__wrapped__().blas_wait == wait


def test_caches_that_cannot_be_read_have_common_sizes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setattr(module, "_CACHES", tmp_path)
    assert machine.__wrapped__().l2 == Machine().l2
