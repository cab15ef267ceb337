"""What holds for every test and every notebook cell of the suite."""

import contextlib
import os

# OpenMP's threads spin for long while they wait for each other. Beside other busy processes that
# can make the many small steps of a GRU ten times slower; threads that never spin are slower on a
# quiet machine; a short spin is right on both. It is read when torch is loaded, so it comes before;
# kernels inherit it.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import matplotlib
import pytest
import torch

# Kernels inherit the environment. Stored outputs are those of the planted run, and a backend named
# here would keep figures out of the notebooks.
os.environ.pop("MINIREC_FULL", None)
os.environ.pop("MPLBACKEND", None)

matplotlib.use("Agg")  # in this process only: a unit test opens no window

# How long an example takes says nothing on a busy machine.
with contextlib.suppress(ImportError):  # a rented GPU may lack it; few tests need it
    from hypothesis import settings

    settings.register_profile("minirec", deadline=None)
    settings.load_profile("minirec")


def pytest_collection_modifyitems(items):
    """Skip what needs a GPU where there is none: tests marked gpu, and cells tagged gpu."""
    if torch.cuda.is_available():
        return
    for item in items:
        cell = getattr(item, "cell", {})
        tags = cell.get("metadata", {}).get("tags", [])
        if "gpu" in tags or item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
