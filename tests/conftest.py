"""What the unit tests share: hypothesis' profile, Triton's interpreter, the real data."""

import contextlib
import os

import pytest
import torch

# Without a GPU, Triton's kernels run in its interpreter. It is read when they are first imported.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# The same examples every time, however slow the machine.
with contextlib.suppress(ImportError):  # a rented GPU may lack it; few tests need it
    from hypothesis import settings

    settings.register_profile("tests", deadline=None, derandomize=True, max_examples=60)
    settings.load_profile("tests")


@pytest.fixture
def real_data() -> str:
    """The folder of the real data sets, named by MINIREC_DATA; without it the test is skipped."""
    folder = os.environ.get("MINIREC_DATA", "")
    if not os.path.isfile(os.path.join(folder, "beauty.txt.gz")):
        pytest.skip("needs the real data sets: set MINIREC_DATA to their folder")
    return folder
