"""Scientific programs in plain NumPy, one file a family, by name."""

from . import (
    dynamics,
    factorizations,
    filters,
    finance,
    flow,
    iterations,
    learning,
    relaxation,
    sequences,
    transforms,
    tridiagonal,
)
from .program import Program

FAMILIES = (
    factorizations,
    iterations,
    relaxation,
    flow,
    tridiagonal,
    dynamics,
    filters,
    sequences,
    finance,
    learning,
    transforms,
)

PROGRAMS: dict[str, Program] = {
    program.name: program for family in FAMILIES for program in family.PROGRAMS
}
