"""Transforms by loops."""

from typing import Any

import numpy as np

from .program import Arguments, Program


def fft_radix2(x: Any) -> Any:
    """Fourier transform of a signal whose length is a power of two, by Cooley and Tukey."""
    n = len(x)
    X = x.astype(complex)
    j = 0
    for i in range(1, n):
        bit = n >> 1
        while j & bit:
            j ^= bit
            bit >>= 1
        j |= bit
        if i < j:
            X[i], X[j] = X[j], X[i]
    size = 2
    while size <= n:
        half = size // 2
        w = np.exp(-2j * np.pi * np.arange(half) / size)
        for start in range(0, n, size):
            even = X[start : start + half].copy()
            odd = w * X[start + half : start + size]
            X[start : start + half] = even + odd
            X[start + half : start + size] = even - odd
        size *= 2
    return X


def haar_wavelet(x: Any) -> Any:
    """Haar coefficients of a signal whose length is a power of two, level by level."""
    out = x.copy()
    n = len(x)
    while n > 1:
        n //= 2
        means = (out[: 2 * n : 2] + out[1 : 2 * n : 2]) / np.sqrt(2)
        details = (out[: 2 * n : 2] - out[1 : 2 * n : 2]) / np.sqrt(2)
        out[:n] = means
        out[n : 2 * n] = details
    return out


def make_signal(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a signal."""
    return (rng.standard_normal(n).astype(dtype),)


PROGRAMS = (
    Program(
        "fft_radix2",
        "radix-2 FFT by loops",
        fft_radix2,
        make_signal,
        (0,),
        16,
        (32, 1024),
        "array",
        staged=False,
        reason="the passes, whose slices double, are written out; the loops inside them stay loops",
    ),
    Program(
        "haar_wavelet",
        "Haar wavelet transform",
        haar_wavelet,
        make_signal,
        (0,),
        16,
        (32, 16_384),
        "array",
        staged=False,
        reason="the length, a known number, halves in each of the few passes",
    ),
)
