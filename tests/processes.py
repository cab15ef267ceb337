"""Processes of their own, which a test may interrupt or kill."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def listen_to_ctrl_c():
    """A process that is started in the background is deaf to it, and so are its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def python(*words):
    """Run Python with these words, for as long as the block runs."""
    process = subprocess.Popen(
        [sys.executable, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        preexec_fn=listen_to_ctrl_c if os.name == "posix" else None,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
