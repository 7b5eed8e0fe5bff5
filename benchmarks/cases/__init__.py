"""The cases, one file each, by name."""

from ..case import Case
from . import (
    attention,
    classes,
    convnet,
    elementwise,
    factorisation,
    gmm,
    logistic,
    lstm,
    mlp,
    resnet,
    rnn,
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
)
CASES: dict[str, Case] = {module.CASE.name: module.CASE for module in MODULES}
