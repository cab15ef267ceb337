"""Training: one loop for every model, and the history that it leaves."""

from minirec.training.fit import FIT_DEFAULTS, fit
from minirec.training.history import History
from minirec.training.settings import PRECISIONS, SCHEDULES, StopTraining

__all__ = ["FIT_DEFAULTS", "PRECISIONS", "SCHEDULES", "History", "StopTraining", "fit"]
