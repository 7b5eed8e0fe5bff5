"""The cases, one file each, by name."""

from ..case import Case
from . import (
    alternating,
    asian,
    attention,
    classes,
    convnet,
    elementwise,
    factorisation,
    gmm,
    gp,
    heat,
    kalman,
    logistic,
    lstm,
    mlp,
    nbody,
    ode,
    resnet,
    rnn,
    robust,
    scaling,
)

MODULES = (
    elementwise,
    logistic,
    mlp,
    resnet,
    rnn,
    lstm,
    convnet,
    attention,
    gmm,
    factorisation,
    classes,
    scaling,
    alternating,
    heat,
    ode,
    nbody,
    kalman,
    gp,
    robust,
    asian,
)
CASES: dict[str, Case] = {module.CASE.name: module.CASE for module in MODULES}
