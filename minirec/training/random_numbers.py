"""The random numbers of a training run: neither the caller's nor those of another run.

Dropout draws from the generator of its device, of which a process has only one. On a CPU a run
keeps the generator's state as its own, and puts it in place for the length of a step: runs in
several threads take turns, step by step, and each draws what it draws alone. On a GPU a captured
step is bound to the device's generator, so a run has it from beginning to end, and there is one run
at a time.
"""

import contextlib
import threading
from collections.abc import Iterator

import torch
from torch import Tensor

# Held by the thread whose numbers the CPU's generator draws. Reentrant: a model may be trained
# within another one's step.
_turn = threading.RLock()

# Held by the thread that trains on a GPU.
_gpu = threading.RLock()


class RandomNumbers:
    """The random numbers of one run, the same as after `torch.manual_seed(seed)`.

    Parameters
    ----------
    seed : int
        From 0 to 2^64 - 1.
    device : torch.device
        Where the run trains.
    """

    def __init__(self, seed: int, device: torch.device):
        self.seed = seed
        self.device = device
        self.on_gpu = device.type == "cuda"
        self._own = torch.Generator().manual_seed(seed).get_state()  # not used on a GPU

    @property
    def state(self) -> Tensor:
        """The state of the run's generator on the CPU, as a checkpoint keeps it."""
        return torch.get_rng_state() if self.on_gpu else self._own

    @state.setter
    def state(self, state: Tensor) -> None:
        if self.on_gpu:
            torch.set_rng_state(state)
        else:
            torch.Generator().set_state(state)  # raises for what is none
            self._own = state

    @contextlib.contextmanager
    def for_a_step(self) -> Iterator[None]:
        """Draw from the run's own numbers; afterwards the caller's go on as if nothing had been.

        Another run's step waits until this one is over.
        """
        if self.on_gpu:  # `for_the_run` has seen to it
            yield
            return
        with _turn:
            callers = torch.get_rng_state()
            torch.set_rng_state(self._own)
            try:
                yield
            finally:
                self._own = torch.get_rng_state()
                torch.set_rng_state(callers)

    @contextlib.contextmanager
    def for_the_run(self) -> Iterator[None]:
        """Do on a GPU, once for all steps, what `for_a_step` does on a CPU."""
        if not self.on_gpu:
            yield
            return
        with _turn:  # not in the middle of a step that another thread takes on the CPU
            callers = torch.get_rng_state()
            callers_on_gpu = torch.cuda.get_rng_state(self.device)
            torch.manual_seed(self.seed)  # of the CPU and of the GPU
        try:
            yield
        finally:
            with _turn:
                torch.set_rng_state(callers)
                torch.cuda.set_rng_state(callers_on_gpu, self.device)


@contextlib.contextmanager
def alone_on(device: torch.device) -> Iterator[None]:
    """Keep other threads of this process from training on a GPU; on a CPU they may.

    Parameters
    ----------
    device : torch.device
        Where a run is about to train.

    Raises
    ------
    RuntimeError
        If another thread is training on a GPU already.
    """
    if device.type != "cuda":
        yield
        return
    if not _gpu.acquire(blocking=False):  # the same thread may: one run within another
        raise RuntimeError(
            "another thread of this process is training on the GPU, and both would draw from its "
            "one generator. Train one model after the other, or each in a process of its own."
        )
    try:
        yield
    finally:
        _gpu.release()
