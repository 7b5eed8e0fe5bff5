"""The table of elementwise ops: NumPy's ufuncs with their gradient rules.

A rule is `(ct, y, *operands) -> cotangent` in plain NumPy, `y` being the result. Complex cotangents
follow the convention of JAX and autograd: for a real function f of z = a + ib the gradient is
df/da - i df/db, so that rules of holomorphic functions read as in the real case. At ties and kinks
the rules agree with JAX: `maximum` gives half to each, `abs` has slope 0 at 0.
"""

from __future__ import annotations

import math

import numpy as np

from ..op import Array, Cost, elementwise
from .share import share

LN2, LN10 = math.log(2.0), math.log(10.0)
POSITIVE = (0.1, 3.0)
UNIT = (-0.9, 0.9)
WIDE = (-2.0, 2.0)


# ---- arithmetic ---------------------------------------------------------------------------------

add = elementwise(np.add, infix="+", vjp=[lambda ct, y, a, b: ct, lambda ct, y, a, b: ct])
subtract = elementwise(
    np.subtract, infix="-", vjp=[lambda ct, y, a, b: ct, lambda ct, y, a, b: -ct]
)
multiply = elementwise(
    np.multiply, infix="*", vjp=[lambda ct, y, a, b: ct * b, lambda ct, y, a, b: ct * a]
)
divide = elementwise(
    np.divide,
    infix="/",
    cost=Cost.DIVISION,
    vjp=[lambda ct, y, a, b: ct / b, lambda ct, y, a, b: -((ct / b) * y)],  # shares ct / b
    domain=(WIDE, POSITIVE),
)
positive = elementwise(np.positive, vjp=[lambda ct, y, x: ct])
negative = elementwise(np.negative, infix="-", vjp=[lambda ct, y, x: -ct])
reciprocal = elementwise(
    np.reciprocal, cost=Cost.DIVISION, vjp=[lambda ct, y, x: -ct * (y * y)], domain=(POSITIVE,)
)
square = elementwise(np.square, vjp=[lambda ct, y, x: (2 * ct) * x])


def _power_base(ct: Array, y: Array, x: Array, n: Array) -> Array:
    return ct * n * np.power(x, np.where(n == 0, 1, n - 1))


def _power_exponent(ct: Array, y: Array, x: Array, n: Array) -> Array:
    zero = x == 0
    return ct * np.where(zero & (n >= 0), 0, y * np.log(np.where(zero, 1, x)))


power = elementwise(
    np.power,
    infix="**",
    cost=Cost.TRANSCENDENTAL,
    vjp=[_power_base, _power_exponent],
    domain=(POSITIVE, WIDE),
)
float_power = elementwise(
    np.float_power,
    cost=Cost.TRANSCENDENTAL,
    vjp=[_power_base, _power_exponent],
    domain=(POSITIVE, WIDE),
)
remainder = elementwise(
    np.remainder,
    infix="%",
    cost=Cost.DIVISION,
    vjp=[lambda ct, y, a, b: ct, lambda ct, y, a, b: -ct * np.floor_divide(a, b)],
    domain=((2.1, 2.9), (0.6, 0.65)),
)
fmod = elementwise(
    np.fmod,
    cost=Cost.DIVISION,
    vjp=[lambda ct, y, a, b: ct, lambda ct, y, a, b: -ct * np.trunc(a / b)],
    domain=((2.1, 2.4), (0.6, 0.65)),
)
floor_divide = elementwise(np.floor_divide, infix="//", cost=Cost.DIVISION, domain=(WIDE, POSITIVE))

# ---- absolute value, sign, parts ----------------------------------------------------------------


def _unit(x: Array) -> Array:
    """Return conj(x) / |x|, 0 at 0; the sign for real x."""
    if x.dtype.kind != "c":
        return np.sign(x)
    size = np.absolute(x)
    return np.conjugate(x) / np.where(size == 0, 1, size)


def _sign_vjp(ct: Array, y: Array, x: Array) -> Array | None:
    if x.dtype.kind != "c":
        return None  # constant but at 0
    size = np.absolute(x)
    size = np.where(size == 0, 1, size)
    return (ct - np.real(ct * y) * np.conjugate(y)) / size


absolute = elementwise(np.absolute, vjp=[lambda ct, y, x: ct * _unit(x)], domain=(POSITIVE,))
fabs = elementwise(np.fabs, vjp=[lambda ct, y, x: ct * np.sign(x)], domain=(POSITIVE,))
sign = elementwise(np.sign, vjp=[_sign_vjp], domain=(POSITIVE,))
conjugate = elementwise(np.conjugate, vjp=[lambda ct, y, x: np.conjugate(ct)])
copysign = elementwise(
    np.copysign,
    vjp=[lambda ct, y, a, b: ct * np.sign(a) * np.copysign(1, b), None],
    domain=(POSITIVE, POSITIVE),
)

# ---- exponentials and logarithms ----------------------------------------------------------------

exp = elementwise(np.exp, cost=Cost.TRANSCENDENTAL, vjp=[lambda ct, y, x: ct * y])
exp2 = elementwise(np.exp2, cost=Cost.TRANSCENDENTAL, vjp=[lambda ct, y, x: ct * y * LN2])
expm1 = elementwise(np.expm1, cost=Cost.TRANSCENDENTAL, vjp=[lambda ct, y, x: ct * (y + 1)])
log = elementwise(
    np.log, cost=Cost.TRANSCENDENTAL, vjp=[lambda ct, y, x: ct / x], domain=(POSITIVE,)
)
log2 = elementwise(
    np.log2, cost=Cost.TRANSCENDENTAL, vjp=[lambda ct, y, x: ct / (x * LN2)], domain=(POSITIVE,)
)
log10 = elementwise(
    np.log10, cost=Cost.TRANSCENDENTAL, vjp=[lambda ct, y, x: ct / (x * LN10)], domain=(POSITIVE,)
)
log1p = elementwise(
    np.log1p, cost=Cost.TRANSCENDENTAL, vjp=[lambda ct, y, x: ct / (1 + x)], domain=(POSITIVE,)
)


def _gap(x: Array, y: Array) -> Array:
    """Return x - y without the nan of inf - inf."""
    return np.where(x == y, 0, x - y)


logaddexp = elementwise(
    np.logaddexp,
    cost=Cost.ENTRYWISE,
    vjp=[
        lambda ct, y, a, b: ct * np.exp(_gap(a, y)),
        lambda ct, y, a, b: ct * np.exp(_gap(b, y)),
    ],
)
logaddexp2 = elementwise(
    np.logaddexp2,
    cost=Cost.ENTRYWISE,
    vjp=[
        lambda ct, y, a, b: ct * np.exp2(_gap(a, y)),
        lambda ct, y, a, b: ct * np.exp2(_gap(b, y)),
    ],
)

# ---- roots --------------------------------------------------------------------------------------

sqrt = elementwise(
    np.sqrt, cost=Cost.DIVISION, vjp=[lambda ct, y, x: ct * 0.5 / y], domain=(POSITIVE,)
)
cbrt = elementwise(
    np.cbrt, cost=Cost.TRANSCENDENTAL, vjp=[lambda ct, y, x: ct / (3 * y * y)], domain=(POSITIVE,)
)
hypot = elementwise(
    np.hypot,
    cost=Cost.TRANSCENDENTAL,
    vjp=[lambda ct, y, a, b: ct * a / y, lambda ct, y, a, b: ct * b / y],
    domain=(POSITIVE, POSITIVE),
)

# ---- trigonometry -------------------------------------------------------------------------------

sin = elementwise(np.sin, cost=Cost.TRANSCENDENTAL, vjp=[lambda ct, y, x: ct * np.cos(x)])
cos = elementwise(np.cos, cost=Cost.TRANSCENDENTAL, vjp=[lambda ct, y, x: -ct * np.sin(x)])
tan = elementwise(
    np.tan, cost=Cost.TRANSCENDENTAL, vjp=[lambda ct, y, x: ct * (1 + y * y)], domain=(UNIT,)
)
arcsin = elementwise(
    np.arcsin,
    cost=Cost.TRANSCENDENTAL,
    vjp=[lambda ct, y, x: ct / np.sqrt(1 - x * x)],
    domain=(UNIT,),
)
arccos = elementwise(
    np.arccos,
    cost=Cost.TRANSCENDENTAL,
    vjp=[lambda ct, y, x: -ct / np.sqrt(1 - x * x)],
    domain=(UNIT,),
)
arctan = elementwise(np.arctan, cost=Cost.TRANSCENDENTAL, vjp=[lambda ct, y, x: ct / (1 + x * x)])
arctan2 = elementwise(
    np.arctan2,
    cost=Cost.TRANSCENDENTAL,
    vjp=[
        lambda ct, y, a, b: ct * b / (a * a + b * b),
        lambda ct, y, a, b: -ct * a / (a * a + b * b),
    ],
    domain=(POSITIVE, POSITIVE),
)
sinh = elementwise(np.sinh, cost=Cost.TRANSCENDENTAL, vjp=[lambda ct, y, x: ct * np.cosh(x)])
cosh = elementwise(np.cosh, cost=Cost.TRANSCENDENTAL, vjp=[lambda ct, y, x: ct * np.sinh(x)])
tanh = elementwise(np.tanh, cost=Cost.TRANSCENDENTAL, vjp=[lambda ct, y, x: ct * (1 - y * y)])
arcsinh = elementwise(
    np.arcsinh, cost=Cost.TRANSCENDENTAL, vjp=[lambda ct, y, x: ct / np.sqrt(x * x + 1)]
)
arccosh = elementwise(
    np.arccosh,
    cost=Cost.TRANSCENDENTAL,
    vjp=[lambda ct, y, x: ct / (np.sqrt(x - 1) * np.sqrt(x + 1))],
    domain=((1.5, 3.0),),
)
arctanh = elementwise(
    np.arctanh, cost=Cost.TRANSCENDENTAL, vjp=[lambda ct, y, x: ct / (1 - x * x)], domain=(UNIT,)
)
degrees = elementwise(np.degrees, vjp=[lambda ct, y, x: ct * (180.0 / math.pi)])
radians = elementwise(np.radians, vjp=[lambda ct, y, x: ct * (math.pi / 180.0)])
rad2deg = elementwise(np.rad2deg, vjp=[lambda ct, y, x: ct * (180.0 / math.pi)])
deg2rad = elementwise(np.deg2rad, vjp=[lambda ct, y, x: ct * (math.pi / 180.0)])

# ---- extremes: half to each at a tie ------------------------------------------------------------


def _share(ct: Array, y: Array, mine: Array, other: Array) -> Array:
    # The cotangent stands inside: where(c, 0.5, 1) alone would be float64.
    return np.where(mine == y, np.where(other == y, ct * 0.5, ct), 0)


_EXTREME = [
    _share,
    lambda ct, y, a, b: _share(ct, y, b, a),
]


maximum = elementwise(
    np.maximum,
    vjp=[
        lambda ct, y, a, b: ct * share(a, b),
        lambda ct, y, a, b: ct * share(b, a),
    ],
)
minimum = elementwise(
    np.minimum,
    vjp=[
        lambda ct, y, a, b: ct * share(b, a),
        lambda ct, y, a, b: ct * share(a, b),
    ],
)


_np_clip: np.ufunc = vars(np._core.umath)["clip"]  # type: ignore[attr-defined]
"""The ufunc below `np.clip`: one pass over memory for both bounds."""


def _clip_value(ct: Array, y: Array, x: Array, low: Array, high: Array) -> Array:
    inner = np.maximum(x, low)
    return _share(_share(ct, y, inner, high), inner, x, low)


def _clip_low(ct: Array, y: Array, x: Array, low: Array, high: Array) -> Array:
    inner = np.maximum(x, low)
    return _share(_share(ct, y, inner, high), inner, low, x)


clip = elementwise(
    _np_clip,
    vjp=[
        _clip_value,
        _clip_low,
        lambda ct, y, x, low, high: _share(ct, y, high, np.maximum(x, low)),
    ],
    domain=(WIDE, (-1.0, -0.5), (0.5, 1.0)),
)
fmax = elementwise(np.fmax, vjp=_EXTREME)
fmin = elementwise(np.fmin, vjp=_EXTREME)

# ---- floating-point parts -----------------------------------------------------------------------

ldexp = elementwise(np.ldexp, vjp=[lambda ct, y, a, n: np.ldexp(ct, n), None])
nextafter = elementwise(np.nextafter, vjp=[lambda ct, y, a, b: ct, None])
heaviside = elementwise(
    np.heaviside, vjp=[None, lambda ct, y, x, h: np.where(x == 0, ct, 0)], domain=(POSITIVE, WIDE)
)
spacing = elementwise(np.spacing)
floor = elementwise(np.floor)
ceil = elementwise(np.ceil)
trunc = elementwise(np.trunc)
rint = elementwise(np.rint)

# ---- predicates, logic, integers: no derivative -------------------------------------------------

equal = elementwise(np.equal, infix="==")
not_equal = elementwise(np.not_equal, infix="!=")
less = elementwise(np.less, infix="<")
less_equal = elementwise(np.less_equal, infix="<=")
greater = elementwise(np.greater, infix=">")
greater_equal = elementwise(np.greater_equal, infix=">=")
isnan = elementwise(np.isnan)
isinf = elementwise(np.isinf)
isfinite = elementwise(np.isfinite)
signbit = elementwise(np.signbit)
logical_and = elementwise(np.logical_and)
logical_or = elementwise(np.logical_or)
logical_xor = elementwise(np.logical_xor)
logical_not = elementwise(np.logical_not)
bitwise_and = elementwise(np.bitwise_and, infix="&")
bitwise_or = elementwise(np.bitwise_or, infix="|")
bitwise_xor = elementwise(np.bitwise_xor, infix="^")
invert = elementwise(np.invert, infix="~")
left_shift = elementwise(np.left_shift, infix="<<")
right_shift = elementwise(np.right_shift, infix=">>")
bitwise_count = elementwise(np.bitwise_count)
gcd = elementwise(np.gcd)
lcm = elementwise(np.lcm)
