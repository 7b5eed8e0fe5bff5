"""The bar that shows how a minimization goes."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class Watched(Protocol):
    """What is shown: the value and the gradient computed last."""

    value: float
    slope: np.ndarray


class Progress:
    """A bar of iterations on the standard error stream, with value and norm of the gradient."""

    def __init__(self, watched: Watched, options: dict[str, Any] | None) -> None:
        try:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar
        except ImportError as error:
            raise ImportError("progress=True needs rich:  pip install rich") from error
        self.watched = watched
        self.bar = Bar(
            TextColumn("minimize"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self.task = self.bar.add_task(self._text(), total=(options or {}).get("maxiter"))

    def __enter__(self) -> Progress:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.update(self.task, description=self._text())
        self.bar.stop()

    def step(self) -> None:
        """Show that an iteration has ended."""
        self.bar.update(self.task, advance=1, description=self._text())

    def _text(self) -> str:
        text = f"value {self.watched.value:.6g}"
        if self.watched.slope.size:
            text += f", gradient {float(np.linalg.norm(self.watched.slope)):.2e}"
        return text


__all__ = ["Progress"]
