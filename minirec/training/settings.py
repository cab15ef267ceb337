"""What a run may be asked for."""

PRECISIONS = ("float32", "bfloat16")

SCHEDULES = ("constant", "cosine")


class StopTraining(Exception):
    """Raised in on_epoch to end training: fit keeps the best weights, and stopped is "budget"."""
