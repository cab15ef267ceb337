"""One hypothesis profile for the unit tests: the same examples every time, however slow the machine. And Triton's interpreter where there is no GPU."""

import os

import pytest
import torch
from hypothesis import settings

if not torch.cuda.is_available():
    os.environ.setdefault(
        "TRITON_INTERPRET", "1"
    )  # Triton's kernels run without a GPU then; it is read when they are first imported

settings.register_profile("tests", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("tests")


@pytest.fixture
def real_data() -> str:
    """The folder of the real data sets, named by MINIREC_DATA; without it the test is skipped."""
    folder = os.environ.get("MINIREC_DATA", "")
    if not os.path.isfile(os.path.join(folder, "beauty.txt.gz")):
        pytest.skip("needs the real data sets: set MINIREC_DATA to their folder")
    return folder
