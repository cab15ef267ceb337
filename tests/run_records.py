"""Run records for tests of tables: those of a unit, with metrics that are made up."""

import json

from minirec.models import MODELS, model_options
from minirec.training import FIT_DEFAULTS

USED = {key: FIT_DEFAULTS[key] for key in ("lr", "lr_schedule", "batch_size", "precision")}


def write_record(path, unit, metrics, **more):
    """Write what a finished run of the unit would have recorded; `more` adds or replaces."""
    told = {
        "schema": 1,
        "model": unit.model,
        "data": unit.recorded_data,
        "options": model_options(unit.model) | unit.options,
        "settings": USED | {"objective": MODELS[unit.model].objective} | unit.settings,
        "ended": "converged",
        "metrics": metrics,
    }
    path.write_text(json.dumps(told | more))
