"""Gradient rules of the ufuncs of `scipy.special`, by the ufunc's name.

A derivative is `(y, *operands)` in plain NumPy and SciPy, y being the result; the longer ones are
in `special_slopes.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..op import Array, VjpRule
from .special_slopes import (
    DEGREE,
    LN2,
    LN10,
    SQRT_2PI,
    SQRT_PI,
    above_degree_zero,
    beta_density,
    binom_pmf,
    binom_slope,
    boxcox_lambda,
    chebyu,
    ellipe_slope,
    ellipk_slope,
    entr,
    expn,
    exprel,
    f_density,
    gamma_density,
    gegenbauer,
    half_difference,
    half_sum,
    huber,
    huber_delta,
    inv_boxcox_lambda,
    ive,
    jacobi,
    kl_div_x,
    kl_div_y,
    legendre,
    log_ndtr,
    order_of,
    poisson,
    pseudo_huber,
    pseudo_huber_delta,
    real_difference,
    rel_entr_x,
    rel_entr_y,
    rgamma,
    second_order,
    sp,
    spence,
    spherical,
    spherical_slope,
    struve,
    t_density,
    trigamma,
    xlogy_y,
)


def refused(name: str, operand: str) -> VjpRule:
    """Return the rule of an operand by which the ufunc is not differentiated."""

    def rule(*args: Array) -> Array:
        raise NotImplementedError(f"the derivative of {name} by {operand} is not known")

    return rule


def scaled(slope: Callable[..., Array]) -> VjpRule:
    """Return the rule of a slope `(y, *operands)`."""
    return lambda ct, y, *operands: ct * slope(y, *operands)


# ---- the tables ----------------------------------------------------------------------------------

SLOPES: dict[str, Callable[..., Array]] = {
    "gamma": lambda y, x: y * sp.psi(x),
    "gammaln": lambda y, x: sp.psi(x),
    "loggamma": lambda y, x: sp.psi(x),
    "psi": trigamma,
    "rgamma": rgamma,
    "erf": lambda y, x: np.exp(-x * x) * (2 / SQRT_PI),
    "erfc": lambda y, x: np.exp(-x * x) * (-2 / SQRT_PI),
    "erfi": lambda y, x: np.exp(x * x) * (2 / SQRT_PI),
    "erfcx": lambda y, x: 2 * x * y - 2 / SQRT_PI,
    "dawsn": lambda y, x: 1 - 2 * x * y,
    "wofz": lambda y, x: 2j / SQRT_PI - 2 * x * y,
    "erfinv": lambda y, x: np.exp(y * y) * (SQRT_PI / 2),
    "erfcinv": lambda y, x: np.exp(y * y) * (-SQRT_PI / 2),
    "ndtr": lambda y, x: np.exp(-x * x / 2) / SQRT_2PI,
    "ndtri": lambda y, x: np.exp(y * y / 2) * SQRT_2PI,
    "ndtri_exp": lambda y, x: np.exp(x + y * y / 2) * SQRT_2PI,
    "log_ndtr": log_ndtr,
    "expit": lambda y, x: y * sp.expit(-x),
    "logit": lambda y, x: 1 / (x * (1 - x)),
    "log_expit": lambda y, x: sp.expit(-x),
    "entr": entr,
    "exprel": lambda y, x: exprel(x),
    "expm1": lambda y, x: y + 1,
    "log1p": lambda y, x: 1 / (1 + x),
    "cosm1": lambda y, x: -np.sin(x),
    "exp2": lambda y, x: y * LN2,
    "exp10": lambda y, x: y * LN10,
    "cbrt": lambda y, x: 1 / (3 * y * y),
    "sindg": lambda y, x: sp.cosdg(x) * DEGREE,
    "cosdg": lambda y, x: sp.sindg(x) * -DEGREE,
    "tandg": lambda y, x: (1 + y * y) * DEGREE,
    "cotdg": lambda y, x: (1 + y * y) * -DEGREE,
    "i0": lambda y, x: sp.i1(x),
    "i0e": lambda y, x: sp.i1e(x) - np.sign(x) * y,
    "i1": lambda y, x: (sp.i0(x) + second_order("iv", x)) / 2,
    "i1e": lambda y, x: (sp.i0e(x) + second_order("ive", x)) / 2 - np.sign(x) * y,
    "k0": lambda y, x: -sp.k1(x),
    "k0e": lambda y, x: y - sp.k1e(x),
    "k1": lambda y, x: (sp.k0(x) + second_order("kv", x)) / -2,
    "k1e": lambda y, x: y - (sp.k0e(x) + second_order("kve", x)) / 2,
    "j0": lambda y, x: -sp.j1(x),
    "j1": lambda y, x: (sp.j0(x) - second_order("jv", x)) / 2,
    "y0": lambda y, x: -sp.y1(x),
    "y1": lambda y, x: (sp.y0(x) - second_order("yv", x)) / 2,
    "ber": lambda y, x: sp.berp(x),
    "bei": lambda y, x: sp.beip(x),
    "ker": lambda y, x: sp.kerp(x),
    "kei": lambda y, x: sp.keip(x),
    "berp": lambda y, x: -sp.bei(x) - y / x,
    "beip": lambda y, x: sp.ber(x) - y / x,
    "kerp": lambda y, x: -sp.kei(x) - y / x,
    "keip": lambda y, x: sp.ker(x) - y / x,
    "expi": lambda y, x: np.exp(x) / x,
    "exp1": lambda y, x: -np.exp(-x) / x,
    "_scaled_exp1": lambda y, x: y + y / x - 1,
    "ellipk": lambda y, m: ellipk_slope(y, sp.ellipe(m), m, 1 - m),
    "ellipe": ellipe_slope,
    "ellipkm1": lambda y, p: -ellipk_slope(y, sp.ellipe(1 - p), 1 - p, p),
    "spence": spence,
    "wrightomega": lambda y, x: y / (1 + y),
    "_log1pmx": lambda y, x: -x / (1 + x),
    "_log1mexp": lambda y, x: -1 / np.expm1(-x),
    "_sinpi": lambda y, x: sp._cospi(x) * math.pi,
    "_cospi": lambda y, x: sp._sinpi(x) * -math.pi,
    "_lgam1p": lambda y, x: sp.psi(x + 1),
    "_factorial": lambda y, x: y * sp.psi(x + 1),
}
"""The derivative `(y, x)` of each ufunc of one operand."""

PARTIALS: dict[str, Sequence[Callable[..., Array] | str]] = {
    "beta": [
        lambda y, a, b: y * (sp.psi(a) - sp.psi(a + b)),
        lambda y, a, b: y * (sp.psi(b) - sp.psi(a + b)),
    ],
    "betaln": [
        lambda y, a, b: sp.psi(a) - sp.psi(a + b),
        lambda y, a, b: sp.psi(b) - sp.psi(a + b),
    ],
    "binom": [
        lambda y, n, k: y * (sp.psi(n + 1) - sp.psi(n - k + 1)),
        lambda y, n, k: y * (sp.psi(n - k + 1) - sp.psi(k + 1)),
    ],
    "poch": [
        lambda y, z, m: y * (sp.psi(z + m) - sp.psi(z)),
        lambda y, z, m: y * sp.psi(z + m),
    ],
    "betainc": ["a", "b", lambda y, a, b, x: beta_density(a, b, x)],
    "betaincc": ["a", "b", lambda y, a, b, x: -beta_density(a, b, x)],
    "betaincinv": ["a", "b", lambda y, a, b, p: 1 / beta_density(a, b, y)],
    "betainccinv": ["a", "b", lambda y, a, b, p: -1 / beta_density(a, b, y)],
    "gammainc": ["a", lambda y, a, x: gamma_density(a, x)],
    "gammaincc": ["a", lambda y, a, x: -gamma_density(a, x)],
    "gammaincinv": ["a", lambda y, a, p: 1 / gamma_density(a, y)],
    "gammainccinv": ["a", lambda y, a, p: -1 / gamma_density(a, y)],
    "chdtr": ["v", lambda y, v, x: gamma_density(v / 2, x / 2) / 2],
    "chdtrc": ["v", lambda y, v, x: gamma_density(v / 2, x / 2) / -2],
    "chdtri": ["v", lambda y, v, p: -2 / gamma_density(v / 2, y / 2)],
    "gdtr": [
        lambda y, a, b, x: x * gamma_density(b, a * x),
        "b",
        lambda y, a, b, x: a * gamma_density(b, a * x),
    ],
    "gdtrc": [
        lambda y, a, b, x: -x * gamma_density(b, a * x),
        "b",
        lambda y, a, b, x: -a * gamma_density(b, a * x),
    ],
    "stdtr": ["df", lambda y, df, t: t_density(df, t)],
    "stdtrit": ["df", lambda y, df, p: 1 / t_density(df, y)],
    "fdtr": ["dfn", "dfd", lambda y, n, d, x: f_density(n, d, x)],
    "fdtrc": ["dfn", "dfd", lambda y, n, d, x: -f_density(n, d, x)],
    "pdtr": ["k", lambda y, k, m: -poisson(np.floor(k), m)],
    "pdtrc": ["k", lambda y, k, m: poisson(np.floor(k), m)],
    "bdtr": ["k", "n", lambda y, k, n, p: -binom_slope(k, n, p)],
    "bdtrc": ["k", "n", lambda y, k, n, p: binom_slope(k, n, p)],
    "_binom_cdf": ["k", "n", lambda y, k, n, p: -binom_slope(k, n, p)],
    "_binom_sf": ["k", "n", lambda y, k, n, p: binom_slope(k, n, p)],
    "_binom_pmf": ["k", "n", binom_pmf],
    "_beta_pdf": [
        lambda y, x, a, b: y * ((a - 1) / x - (b - 1) / (1 - x)),
        lambda y, x, a, b: y * (np.log(x) - sp.psi(a) + sp.psi(a + b)),
        lambda y, x, a, b: y * (np.log1p(-x) - sp.psi(b) + sp.psi(a + b)),
    ],
    "_beta_ppf": [lambda y, p, a, b: 1 / beta_density(a, b, y), "a", "b"],
    "_cauchy_ppf": [
        lambda y, p, loc, scale: (scale * scale + (y - loc) ** 2) * math.pi / scale,
        lambda y, p, loc, scale: np.ones_like(y),
        lambda y, p, loc, scale: (y - loc) / scale,
    ],
    "_cauchy_isf": [
        lambda y, p, loc, scale: (scale * scale + (y - loc) ** 2) * -math.pi / scale,
        lambda y, p, loc, scale: np.ones_like(y),
        lambda y, p, loc, scale: (y - loc) / scale,
    ],
    "xlogy": [lambda r, x, y: np.log(y), lambda r, x, y: xlogy_y(x, y)],
    "xlog1py": [lambda r, x, y: np.log1p(y), lambda r, x, y: xlogy_y(x, 1 + y)],
    "rel_entr": [rel_entr_x, rel_entr_y],
    "kl_div": [kl_div_x, kl_div_y],
    "huber": [huber_delta, huber],
    "pseudo_huber": [pseudo_huber_delta, pseudo_huber],
    "boxcox": [
        lambda y, x, p: np.power(x, p - 1),
        lambda y, x, p: boxcox_lambda(np.log(x), p),
    ],
    "boxcox1p": [
        lambda y, x, p: np.exp((p - 1) * np.log1p(x)),
        lambda y, x, p: boxcox_lambda(np.log1p(x), p),
    ],
    "inv_boxcox": [
        lambda r, y, p: r / (1 + p * y),
        inv_boxcox_lambda,
    ],
    "inv_boxcox1p": [
        lambda r, y, p: (r + 1) / (1 + p * y),
        lambda r, y, p: inv_boxcox_lambda(r + 1, y, p),
    ],
    "powm1": [
        lambda r, x, y: y * np.power(x, y - 1),
        lambda r, x, y: (r + 1) * np.log(x),
    ],
    "iv": ["its order", half_sum("iv", 1)],
    "ive": ["its order", ive],
    "kv": ["its order", half_sum("kv", -1)],
    "kve": ["its order", lambda y, v, x: y + half_sum("kve", -1)(y, v, x)],
    "kn": ["its order", half_sum("kv", -1)],
    "jv": ["its order", half_difference("jv")],
    "yv": ["its order", half_difference("yv")],
    "yn": ["its order", half_difference("yv")],
    "jve": ["its order", real_difference("jve")],
    "yve": ["its order", real_difference("yve")],
    "hankel1": ["its order", half_difference("hankel1")],
    "hankel2": ["its order", half_difference("hankel2")],
    "hankel1e": ["its order", lambda y, v, x: half_difference("hankel1e")(y, v, x) - 1j * y],
    "hankel2e": ["its order", lambda y, v, x: half_difference("hankel2e")(y, v, x) + 1j * y],
    "struve": ["its order", struve("struve")],
    "modstruve": ["its order", struve("modstruve")],
    "expn": ["its order", expn],
    "_zeta": ["its order", lambda y, s, q: -s * sp._zeta(s + 1, q)],
    "_lambertw": [lambda w, z, k, tol: np.exp(-w) / (1 + w), "k", "tol"],
    "hyp0f1": ["v", lambda y, v, x: sp.hyp0f1(v + 1, x) / v],
    "hyp1f1": ["a", "b", lambda y, a, b, x: sp.hyp1f1(a + 1, b + 1, x) * (a / b)],
    "hyperu": ["a", "b", lambda y, a, b, x: sp.hyperu(a + 1, b + 1, x) * -a],
    "hyp2f1": [
        "a",
        "b",
        "c",
        lambda y, a, b, c, x: sp.hyp2f1(a + 1, b + 1, c + 1, x) * (a * b / c),
    ],
    "ellipkinc": [lambda y, t, m: 1 / np.sqrt(1 - m * np.sin(t) ** 2), "m"],
    "ellipeinc": [lambda y, t, m: np.sqrt(1 - m * np.sin(t) ** 2), "m"],
    "owens_t": [
        lambda y, h, a: np.exp(-h * h / 2) * sp.erf(a * h / math.sqrt(2)) * (-1 / (2 * SQRT_2PI)),
        lambda y, h, a: np.exp(-h * h * (1 + a * a) / 2) / (2 * math.pi * (1 + a * a)),
    ],
    "eval_legendre": ["its degree", above_degree_zero(legendre)],
    "eval_sh_legendre": ["its degree", above_degree_zero(lambda n, x: 2 * legendre(n, 2 * x - 1))],
    "eval_jacobi": ["its degree", "alpha", "beta", above_degree_zero(jacobi)],
    "eval_gegenbauer": ["its degree", "alpha", above_degree_zero(gegenbauer)],
    "eval_chebyt": [
        "its degree",
        above_degree_zero(lambda n, x: sp.eval_chebyu(n - 1, x) * order_of(n, x)),
    ],
    "eval_chebyu": ["its degree", above_degree_zero(chebyu)],
    "eval_chebyc": [
        "its degree",
        above_degree_zero(lambda n, x: sp.eval_chebys(n - 1, x) * order_of(n, x)),
    ],
    "eval_chebys": ["its degree", above_degree_zero(lambda n, x: chebyu(n, x / 2) / 2)],
    "eval_sh_chebyt": [
        "its degree",
        above_degree_zero(lambda n, x: 2 * order_of(n, x) * sp.eval_sh_chebyu(n - 1, x)),
    ],
    "eval_sh_chebyu": ["its degree", above_degree_zero(lambda n, x: 2 * chebyu(n, 2 * x - 1))],
    "eval_laguerre": [
        "its degree",
        above_degree_zero(lambda n, x: -sp.eval_genlaguerre(n - 1, np.ones_like(x.real), x)),
    ],
    "eval_genlaguerre": [
        "its degree",
        "alpha",
        above_degree_zero(lambda n, a, x: -sp.eval_genlaguerre(n - 1, a + 1, x)),
    ],
    "eval_hermite": [
        "its degree",
        above_degree_zero(lambda n, x: 2 * order_of(n, x) * sp.eval_hermite(n - 1, x)),
    ],
    "eval_hermitenorm": [
        "its degree",
        above_degree_zero(lambda n, x: order_of(n, x) * sp.eval_hermitenorm(n - 1, x)),
    ],
    **{
        f"_spherical_{kind}": ["its order", spherical(f"_spherical_{kind}")]
        for kind in ("jn", "yn", "in", "kn")
    },
    **{
        f"_spherical_{kind}_d": ["its order", spherical_slope(f"_spherical_{kind}", sign)]
        for kind, sign in (("jn", 1), ("yn", 1), ("in", -1), ("kn", -1))
    },
}
"""For each operand the partial derivative `(y, *operands)`, or what it is called where there is
none."""

STEPS = frozenset({"gammasgn", "round"})
"""Ufuncs that are constant but for jumps: no derivative flows through them."""


def rules_of(name: str, operands: int) -> list[VjpRule] | None:
    """Return the rules of a ufunc: None for one of `STEPS`, refusals where nothing is known."""
    if name in STEPS:
        return None
    if name in SLOPES:
        return [scaled(SLOPES[name])]
    partials = PARTIALS.get(name)
    if partials is None:
        return [refused(name, "any operand")] * operands
    return [refused(name, p) if isinstance(p, str) else scaled(p) for p in partials]
