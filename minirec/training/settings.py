"""What a run may be asked for."""

PRECISIONS = ("float32", "bfloat16")

SCHEDULES = ("constant", "cosine")
