"""The health of a gradient: a run that is observed, and what is found in it.

`check` runs, `recording` holds what was observed, `measures` what is measured of each array;
`chains` finds layers and time steps, `jacobians` by how much they can scale, `problems` what is
wrong and where; `report` prints and `plot` draws.
"""

from .check import HealthCheck, health
from .problems import Problem, Thresholds
from .report import Health, Row

__all__ = ["Health", "HealthCheck", "Problem", "Row", "Thresholds", "health"]
