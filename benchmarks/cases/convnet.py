"""A convolution net of LeNet's size: windows of images, contracted with filters by one product."""

from itertools import pairwise
from typing import Any

import numpy as np

from ..case import Arguments, Case, Size

CHANNELS = (1, 6, 16)
KERNEL = 5
WIDTHS = (256, 120, 84, 10)


def convolve(x: Any, w: Any, b: Any) -> Any:
    """Convolve images `x` of (n, h, w, c) with filters `w` of (kh, kw, c, d)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[:2], axis=(1, 2))
    return np.tensordot(windows, w, axes=([4, 5, 3], [0, 1, 2])) + b


def pool(x: Any) -> Any:
    """Take the largest of each square of 2 x 2."""
    n, h, w, c = x.shape
    return np.max(x.reshape(n, h // 2, 2, w // 2, 2, c), axis=(2, 4))


def loss(params: Any, images: Any, targets: Any) -> Any:
    """Mean cross-entropy of two convolutions and three dense layers, against one-hot `targets`."""
    filters, layers = params
    h = images
    for w, b in filters:
        h = pool(np.maximum(convolve(h, w, b), 0))
    h = h.reshape(len(h), -1)
    for w, b in layers[:-1]:
        h = np.maximum(h @ w + b, 0)
    w, b = layers[-1]
    logits = h @ w + b
    shifted = logits - np.max(logits, axis=1, keepdims=True)
    log_partition = np.log(np.sum(np.exp(shifted), axis=1))
    return np.mean(log_partition - np.sum(targets * shifted, axis=1))


def make(rng: np.random.Generator, dtype: Any, batch: int, side: int = 28) -> Arguments:
    """Draw weights, images and one-hot targets."""

    def drawn(*shape: int) -> tuple[Any, Any]:
        scale = np.sqrt(2 / np.prod(shape[:-1]))
        return (
            (scale * rng.standard_normal(shape)).astype(dtype),
            (0.1 * rng.standard_normal(shape[-1])).astype(dtype),
        )

    filters = tuple([drawn(KERNEL, KERNEL, c, d) for c, d in pairwise(CHANNELS)])
    layers = tuple([drawn(m, n) for m, n in pairwise(WIDTHS)])
    images = rng.standard_normal((batch, side, side, 1)).astype(dtype)
    targets = np.eye(WIDTHS[-1], dtype=dtype)[rng.integers(WIDTHS[-1], size=batch)]
    return (filters, layers), images, targets


def by_hand(params: Any, images: Any, targets: Any) -> tuple[Any, Any]:
    """Value and gradient in NumPy: each convolution is a product with the matrix of its windows."""
    filters, layers = params
    h = images
    convolved = []
    for w, b in filters:
        columns = _columns(h)
        a = np.maximum(columns @ w.reshape(-1, w.shape[-1]) + b, 0)
        squares = a.reshape(len(h), h.shape[1] - KERNEL + 1, h.shape[2] - KERNEL + 1, -1)
        corners = [squares[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
        pooled = np.maximum(np.maximum(*corners[:2]), np.maximum(*corners[2:]))
        convolved.append((h.shape, columns, squares, pooled))
        h = pooled
    flat = h.reshape(len(h), -1)
    hidden = [flat]
    for w, b in layers[:-1]:
        hidden.append(np.maximum(hidden[-1] @ w + b, 0))
    w, b = layers[-1]
    logits = hidden[-1] @ w + b
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    partition = exponentials.sum(axis=1, keepdims=True)
    value = np.mean(np.log(partition[:, 0]) - np.sum(targets * shifted, axis=1))

    da = (exponentials / partition - targets) / len(images)
    dlayers = []
    for (w, _), x in zip(reversed(layers), reversed(hidden), strict=True):
        dlayers.append((x.T @ da, da.sum(axis=0)))
        da = (da @ w.T) * (x > 0)
    dh = da.reshape(h.shape)
    dfilters = []
    for (w, _), step in zip(reversed(filters), reversed(convolved), strict=True):
        shape, columns, squares, pooled = step
        dsquares = np.empty_like(squares)
        for i in (0, 1):
            for j in (0, 1):
                dsquares[:, i::2, j::2] = dh * (squares[:, i::2, j::2] == pooled)
        dsquares *= squares > 0
        da = dsquares.reshape(-1, w.shape[-1])
        dfilters.append(((columns.T @ da).reshape(w.shape), da.sum(axis=0)))
        if step is not convolved[0]:
            dh = _images(da @ w.reshape(-1, w.shape[-1]).T, shape)
    return value, (tuple(reversed(dfilters)), tuple(reversed(dlayers)))


def _columns(x: Any) -> Any:
    """Copy the windows of images to the rows of a matrix."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (KERNEL, KERNEL), axis=(1, 2))
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, KERNEL * KERNEL * x.shape[-1])


def _images(columns: Any, shape: tuple[int, ...]) -> Any:
    """Add windows, the rows of a matrix, up to images again."""
    n, h, w, c = shape
    rows, across = h - KERNEL + 1, w - KERNEL + 1
    windows = columns.reshape(n, rows, across, KERNEL, KERNEL, c)
    images = np.zeros(shape, columns.dtype)
    for i in range(KERNEL):
        for j in range(KERNEL):
            images[:, i : i + rows, j : j + across] += windows[:, :, :, i, j]
    return images


def over(xp: Any, params: Any, images: Any, targets: Any) -> Any:
    """Say `loss` over a namespace without windows, by slices for each place of a filter."""
    filters, layers = params
    h = images
    for w, b in filters:
        rows, across = h.shape[1] - KERNEL + 1, h.shape[2] - KERNEL + 1
        slices = [h[:, i : i + rows, j : j + across] for i in range(KERNEL) for j in range(KERNEL)]
        columns = xp.concatenate(slices, axis=3)
        h = xp.maximum(columns @ w.reshape(-1, w.shape[-1]) + b, 0)
        h = xp.max(h.reshape(len(h), rows // 2, 2, across // 2, 2, -1), axis=(2, 4))
    h = h.reshape(len(h), -1)
    for w, b in layers[:-1]:
        h = xp.maximum(h @ w + b, 0)
    w, b = layers[-1]
    logits = h @ w + b
    shifted = logits - xp.max(logits, axis=1, keepdims=True)
    log_partition = xp.log(xp.sum(xp.exp(shifted), axis=1))
    return xp.mean(log_partition - xp.sum(targets * shifted, axis=1))


def by_jax_conv(jax: Any, params: Any, images: Any, targets: Any) -> Any:
    """Say `loss` in JAX with its convolution."""
    return _by_conv(jax, params, images, targets, _windowed_max)


def by_jax_conv_and_reshape(jax: Any, params: Any, images: Any, targets: Any) -> Any:
    """Say `loss` in JAX with its convolution, and pooling by `reshape`."""
    return _by_conv(jax, params, images, targets, _reshaped_max)


def _windowed_max(jax: Any, h: Any) -> Any:
    lax, square = jax.lax, (1, 2, 2, 1)
    return lax.reduce_window(h, -np.inf, lax.max, square, square, "VALID")


def _reshaped_max(jax: Any, h: Any) -> Any:
    n, rows, across, c = h.shape
    return jax.numpy.max(h.reshape(n, rows // 2, 2, across // 2, 2, c), axis=(2, 4))


def _by_conv(jax: Any, params: Any, images: Any, targets: Any, pooled: Any) -> Any:
    filters, layers = params
    h = images
    for w, b in filters:
        h = jax.lax.conv_general_dilated(
            h, w, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        h = pooled(jax, jax.nn.relu(h + b))
    h = h.reshape(len(h), -1)
    for w, b in layers[:-1]:
        h = jax.nn.relu(h @ w + b)
    w, b = layers[-1]
    return -jax.numpy.mean(jax.numpy.sum(targets * jax.nn.log_softmax(h @ w + b), axis=1))


def in_torch(torch: Any, params: Any, images: Any, targets: Any) -> Any:
    """Say `loss` in PyTorch with its convolution, pooling and cross-entropy.

    Images and filters are views with the channels in the place where PyTorch wants them.
    """
    call = torch.nn.functional
    filters, layers = params
    h = images.permute(0, 3, 1, 2)
    for w, b in filters:
        h = call.max_pool2d(torch.relu(call.conv2d(h, w.permute(3, 2, 0, 1), b)), 2)
    h = h.permute(0, 2, 3, 1).flatten(1)
    for w, b in layers[:-1]:
        h = torch.relu(torch.addmm(b, h, w))
    w, b = layers[-1]
    return call.cross_entropy(torch.addmm(b, h, w), targets)


CASE = Case(
    name="convnet",
    title="convolution net of LeNet's size, softmax cross-entropy",
    family="networks",
    sizes=(
        Size("8 x 28 x 28", {"batch": 8}, quick=True),
        Size("64 x 28 x 28", {"batch": 64}),
    ),
    loss=loss,
    make=make,
    by_hand=by_hand,
    portable=over,
    torch=in_torch,
    jax={"conv": by_jax_conv, "conv, max by reshape": by_jax_conv_and_reshape},
)
