"""The contestants: each makes a case into a call, of the gradient or of the forward."""

import importlib
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..ir.machine import machine
from . import child, memory, work
from .case import Arguments, Case, leaves, map_leaves
from .timing import Run, Timer, timer_of


@dataclass(frozen=True)
class Prepared:
    """A case made ready: calling `run` gives ``(value, gradient)``, or the value of a forward.

    `peak` gives the bytes that a call in steady state needs beyond its arguments and results, or
    None where nobody knows; it is absent where only an allocation trace of the whole contestant can
    tell (`memory.traced_peak`).
    `timer` times the calls where they are not made in this process. `products` gives the
    floating-point operations in products of matrices and the like, where a compiler counts them.
    """

    run: Run
    note: str = ""
    peak: Callable[[], int | None] | None = None
    timer: Timer | None = None
    products: Callable[[], int] | None = None

    @property
    def timed(self) -> Timer:
        """What times the calls."""
        return self.timer or timer_of(self.run)


@contextmanager
def as_is(args: Arguments) -> Generator[None, None, None]:
    """Change nothing."""
    yield


@contextmanager
def jax_precision(args: Arguments) -> Generator[None, None, None]:
    """Let JAX compute in float64 where the arguments are, and by its defaults elsewhere."""
    jax: Any = importlib.import_module("jax")
    before = jax.config.jax_enable_x64
    is_double = any(np.asarray(leaf).dtype == np.float64 for leaf in leaves(args))
    jax.config.update("jax_enable_x64", is_double)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)


def always() -> bool:
    """Need nothing."""
    return True


@dataclass(frozen=True)
class Contestant:
    """One way to compute a case, and the package that it needs.

    Attributes
    ----------
    prepare
        ``prepare(case, args, way)``; `way` is the note of an earlier one, whose choice is kept.
    precision
        The context in which it computes in the dtype of the arguments.
    is_forward
        Whether it gives the value alone.
    is_measured_for_memory
        Whether its peak is of interest.
    available
        What else it needs.
    """

    name: str
    package: str | None
    prepare: Callable[..., Prepared]
    precision: Callable[[Arguments], Any] = as_is
    is_forward: bool = False
    is_measured_for_memory: bool = True
    available: Callable[[], bool] = always

    @property
    def is_installed(self) -> bool:
        """Whether what it needs is there."""
        return self.available() and (self.package is None or find_spec(self.package) is not None)

    @property
    def version(self) -> str:
        """The version of its package."""
        return metadata.version(self.package or "numpy")


def threads() -> int:
    """Threads that a contestant may use: the cores this process may run on.

    NumPy's BLAS and XLA take as many by themselves; PyTorch is told.
    """
    return machine().cores


def prepare_pullback(case: Case, args: Arguments, way: str = "") -> Prepared:
    """Compile the gradient of the case's plain NumPy function; the first call traces it."""
    import pullback as pb

    step = pb.value_and_grad(case.loss)
    return Prepared(lambda: step(*args), products=lambda: work.products_of(step.inspect(*args)))


def prepare_numpy(case: Case, args: Arguments, way: str = "") -> Prepared:
    """Call the gradient that is written by hand."""
    return Prepared(lambda: case.by_hand(*args))


def prepare_kept(case: Case, args: Arguments, way: str = "") -> Prepared:
    """Call the gradient that is written by hand where malloc keeps the pages that it has."""
    keeper = child.keeper()
    return Prepared(partial(keeper.call, case.by_hand, args), timer=keeper.time)


def prepare_plain(case: Case, args: Arguments, way: str = "") -> Prepared:
    """Call the plain NumPy function as it is written."""
    return Prepared(lambda: case.loss(*args))


def prepare_forward(case: Case, args: Arguments, way: str = "") -> Prepared:
    """Compile the plain NumPy function."""
    import pullback as pb

    forward = pb.compile(case.loss)
    return Prepared(lambda: forward(*args))


def prepare_autograd(case: Case, args: Arguments, way: str = "") -> Prepared:
    """Differentiate the case over autograd's NumPy."""
    autograd: Any = importlib.import_module("autograd")
    xp: Any = importlib.import_module("autograd.numpy")
    step = autograd.value_and_grad(case.loss_over(xp))
    return Prepared(lambda: step(*args))


def prepare_jax(case: Case, args: Arguments, way: str = "") -> Prepared:
    """Compile the case by jax.jit over inputs on the device, in the way that runs fastest."""
    jax: Any = importlib.import_module("jax")
    on_device = jax.device_put(args)
    ways = {"unrolled": case.loss_over(jax.numpy)}
    ways |= {name: partial(function, jax) for name, function in case.jax.items()}
    return fastest({name: partial(_jit, jax, loss, on_device) for name, loss in ways.items()}, way)


def fastest(ways: Mapping[str, Callable[[], Prepared]], way: str = "") -> Prepared:
    """Make ready in the way that runs fastest, or in the one that is named, and note its name."""
    if len(ways) == 1:
        (prepare,) = ways.values()
        return prepare()
    chosen = way or min(ways, key=lambda name: timer_of(ways[name]().run)(20))
    # Made again, so that the first call of the one that races is timed with its compilation.
    return replace(ways[chosen](), note=chosen)


def _jit(jax: Any, loss: Callable[..., Any], args: Arguments) -> Prepared:
    # A new function object each time: jax.jit remembers those that it has seen.
    step = jax.jit(jax.value_and_grad(lambda *a: loss(*a)))  # noqa: PLW0108

    def peak() -> int:
        return int(step.lower(*args).compile().memory_analysis().temp_size_in_bytes)

    return Prepared(lambda: jax.block_until_ready(step(*args)), peak=peak)


def prepare_torch(case: Case, args: Arguments, way: str = "") -> Prepared:
    """Record the case on PyTorch's tape at every call."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(threads())
    params = map_leaves(lambda a: torch.from_numpy(a.copy()).requires_grad_(), args[0])
    data = map_leaves(lambda a: torch.from_numpy(a.copy()), args[1:])
    wanted = list(leaves(params))

    def run() -> Any:
        value = case.torch(torch, params, *data)
        return value.detach(), torch.autograd.grad(value, wanted)

    return Prepared(run, peak=lambda: memory.torch_peak(torch, run))


PULLBACK = Contestant("pullback", None, prepare_pullback)
NUMPY = Contestant("by hand", None, prepare_numpy)
KEPT = Contestant(
    "by hand, pages kept",
    None,
    prepare_kept,
    is_measured_for_memory=False,
    available=child.keeps_pages,
)
PLAIN = Contestant(
    "plain forward", None, prepare_plain, is_forward=True, is_measured_for_memory=False
)
FORWARD = Contestant(
    "compiled forward", None, prepare_forward, is_forward=True, is_measured_for_memory=False
)
PEERS = (
    Contestant("jax", "jax", prepare_jax, precision=jax_precision),
    Contestant("torch", "torch", prepare_torch),
    Contestant("autograd", "autograd", prepare_autograd),
)
CONTESTANTS = (PULLBACK, NUMPY, KEPT, *PEERS, PLAIN, FORWARD)
