"""The cases, one file each, by name."""

from ..case import Case
from . import gmm, logistic, mlp, resnet, rnn

CASES: dict[str, Case] = {
    module.CASE.name: module.CASE for module in (mlp, resnet, rnn, gmm, logistic)
}
