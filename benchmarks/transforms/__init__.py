"""The suite of transformations: derivatives other than one gradient, by name of the task."""

from . import (
    jacobians,
    logistic_hessian,
    mlp_products,
    per_example,
    sparse_hessian,
    training_step,
)
from .task import Task

MODULES = (
    logistic_hessian,
    mlp_products,
    per_example,
    jacobians,
    sparse_hessian,
    training_step,
)
TASKS: dict[str, Task] = {task.name: task for module in MODULES for task in module.TASKS}
