"""Dense linear algebra by loops: factorisations and direct solutions."""

# As people write it: names change their types, and matrices have capital letters.
# pyright: reportConstantRedefinition=false

from typing import Any

import numpy as np

from .program import Arguments, Program


def cholesky(A: Any) -> Any:
    """Lower triangular L with L Lᵀ = A, row by row."""
    n = A.shape[0]
    L = np.zeros_like(A)
    for i in range(n):
        for j in range(i):
            L[i, j] = (A[i, j] - L[i, :j] @ L[j, :j]) / L[j, j]
        L[i, i] = np.sqrt(A[i, i] - L[i, :i] @ L[i, :i])
    return L


def cholesky_columns(A: Any) -> Any:
    """Lower triangular L with L Lᵀ = A, column by column."""
    n = A.shape[0]
    L = np.zeros((n, n), dtype=A.dtype)
    for j in range(n):
        L[j, j] = np.sqrt(A[j, j] - np.dot(L[j, :j], L[j, :j]))
        L[j + 1 :, j] = (A[j + 1 :, j] - np.dot(L[j + 1 :, :j], L[j, :j])) / L[j, j]
    return L


def lu(A: Any) -> Any:
    """Doolittle's L (unit diagonal) and U with L U = A, without pivoting."""
    n = len(A)
    L = np.eye(n, dtype=A.dtype)
    U = np.zeros_like(A)
    for i in range(n):
        for j in range(i, n):
            U[i, j] = A[i, j] - L[i, :i] @ U[:i, j]
        for j in range(i + 1, n):
            L[j, i] = (A[j, i] - L[j, :i] @ U[:i, i]) / U[i, i]
    return L, U


def lu_solve(A: Any, b: Any) -> Any:
    """Solve A x = b: eliminate in place, then substitute forward and back."""
    n = len(b)
    A = A.copy()
    x = b.copy()
    for k in range(n - 1):
        for i in range(k + 1, n):
            A[i, k] /= A[k, k]
            A[i, k + 1 :] -= A[i, k] * A[k, k + 1 :]
    for i in range(1, n):
        x[i] -= A[i, :i] @ x[:i]
    for i in range(n - 1, -1, -1):
        x[i] = (x[i] - A[i, i + 1 :] @ x[i + 1 :]) / A[i, i]
    return x


def gauss_pivot(A: Any, b: Any) -> Any:
    """Solve A x = b by Gaussian elimination with partial pivoting."""
    A, b = A.copy(), b.copy()
    n = len(b)
    for k in range(n):
        p = k + np.argmax(np.abs(A[k:, k]))
        if p != k:
            A[[k, p]] = A[[p, k]]
            b[k], b[p] = b[p], b[k]
        factors = A[k + 1 :, k] / A[k, k]
        A[k + 1 :, k:] -= np.outer(factors, A[k, k:])
        b[k + 1 :] -= factors * b[k]
    x = np.zeros_like(b)
    for k in reversed(range(n)):
        x[k] = (b[k] - A[k, k + 1 :] @ x[k + 1 :]) / A[k, k]
    return x


def gram_schmidt(A: Any) -> Any:
    """Q and R with Q R = A by the modified Gram-Schmidt process."""
    m, n = A.shape
    V = A.copy()
    Q = np.zeros((m, n), dtype=A.dtype)
    R = np.zeros((n, n), dtype=A.dtype)
    for k in range(n):
        R[k, k] = np.sqrt(np.dot(V[:, k], V[:, k]))
        Q[:, k] = V[:, k] / R[k, k]
        for j in range(k + 1, n):
            R[k, j] = np.dot(Q[:, k], V[:, j])
            V[:, j] -= Q[:, k] * R[k, j]
    return Q, R


def householder(A: Any) -> Any:
    """Q and R with Q R = A by Householder reflections."""
    m, n = A.shape
    R = A.copy()
    Q = np.eye(m, dtype=A.dtype)
    for k in range(n):
        v = R[k:, k].copy()
        v[0] += np.sign(v[0]) * np.linalg.norm(v)
        v /= np.linalg.norm(v)
        R[k:, k:] -= 2.0 * np.outer(v, v @ R[k:, k:])
        Q[:, k:] -= 2.0 * np.outer(Q[:, k:] @ v, v)
    return Q, R


def levinson_durbin(r: Any) -> Any:
    """Solve the Yule-Walker equations of the autocorrelations r, with r at lag 0 being 1."""
    n = len(r)
    y = np.zeros_like(r)
    y[0] = -r[0]
    alpha = -r[0]
    beta = 1.0
    for k in range(1, n):
        beta *= 1 - alpha**2
        alpha = -(r[k] + r[:k][::-1] @ y[:k]) / beta
        y[:k] += alpha * y[:k][::-1]
        y[k] = alpha
    return y


def triangular_solve(L: Any, b: Any) -> Any:
    """Solve L x = b for a lower triangular L."""
    x = np.zeros_like(b)
    for i in range(len(b)):
        x[i] = (b[i] - L[i, :i] @ x[:i]) / L[i, i]
    return x


def make_definite(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a symmetric positive definite matrix with eigenvalues between 1 and about 5."""
    B = rng.standard_normal((n, n))
    return ((B @ B.T / n + np.eye(n)).astype(dtype),)


def make_dominant(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a matrix that needs no pivoting."""
    return ((rng.standard_normal((n, n)) / np.sqrt(n) + 3 * np.eye(n)).astype(dtype),)


def make_system(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a matrix that needs no pivoting, and a right-hand side."""
    return *make_dominant(n, dtype, rng), rng.standard_normal(n).astype(dtype)


def make_shuffled_system(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a matrix that needs pivoting, and a right-hand side."""
    A, b = make_system(n, dtype, rng)
    return A[rng.permutation(n)], b


def make_tall(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a matrix of independent columns, a little taller than wide."""
    m = n + 3
    return ((rng.standard_normal((m, n)) / np.sqrt(n) + 3 * np.eye(m, n)).astype(dtype),)


def make_autocorrelations(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw autocorrelations at lags 1 to n of a noisy autoregressive signal."""
    signal = np.convolve(rng.standard_normal(16 * n), 0.7 ** np.arange(20), mode="same")
    spectrum = np.abs(np.fft.rfft(signal, 32 * n)) ** 2 + 1.0
    r = np.fft.irfft(spectrum)
    return ((r[1 : n + 1] / r[0]).astype(dtype),)


def make_triangle(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a well-conditioned lower triangular matrix, and a right-hand side."""
    A, b = make_system(n, dtype, rng)
    return np.tril(A), b


PROGRAMS = (
    Program("cholesky", "Cholesky by rows", cholesky, make_definite, (0,), 12, (17, 500), "array"),
    Program(
        "cholesky_columns",
        "Cholesky by columns",
        cholesky_columns,
        make_definite,
        (0,),
        12,
        (17, 500),
        "array",
    ),
    Program("lu", "LU by Doolittle", lu, make_dominant, (0,), 12, (17, 200), "array"),
    Program(
        "lu_solve", "LU and substitution", lu_solve, make_system, (0, 1), 12, (17, 150), "array"
    ),
    Program(
        "gauss_pivot",
        "elimination with partial pivoting",
        gauss_pivot,
        make_shuffled_system,
        (0, 1),
        12,
        (17, 200),
        "array",
    ),
    Program(
        "gram_schmidt", "QR by Gram-Schmidt", gram_schmidt, make_tall, (0,), 12, (17, 300), "array"
    ),
    Program(
        "householder", "QR by Householder", householder, make_tall, (0,), 12, (17, 200), "array"
    ),
    Program(
        "levinson_durbin",
        "Toeplitz solution by Levinson-Durbin",
        levinson_durbin,
        make_autocorrelations,
        (0,),
        12,
        (17, 1000),
        "array",
    ),
    Program(
        "triangular_solve",
        "forward substitution",
        triangular_solve,
        make_triangle,
        (0, 1),
        12,
        (17, 1000),
        "array",
    ),
)
