"""Training steps as CUDA graphs: captured once for each shape, then replayed.

A step of these models is many small kernels, and a GPU runs them faster than its host can launch
them. A CUDA graph is a recording of launches that the host starts with a single call. It repeats
the same kernels on the same addresses, so whatever changes from step to step has to lie at a fixed
place: the plan of the epoch, the number of the batch, the learning rate, Adam's count of steps. The
state of dropout's generator is registered by PyTorch when it captures.

References: notebook 15; the section "CUDA Graphs" of PyTorch's notes on CUDA.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from minirec.data.batching import Batch, Epoch, Tables, TrainingBatches, gather
from minirec.scan.chunking import chunking
from minirec.training.step import TrainingStep

# Steps before a capture. Kernels are compiled, and libraries take their workspaces, while this is
# still allowed.
WARM_UP_STEPS = 3

Replay = Callable[[], Tensor]  # takes the recorded step again; returns its mean loss


class GraphedSteps:
    """The steps of a run on a GPU, each shape's captured when it is first met.

    Parameters
    ----------
    step : TrainingStep
        On a CUDA device.
    batches : TrainingBatches
        The batches that it will see, on the same device.

    Attributes
    ----------
    failure : str
        Why a capture failed; from then on steps run one kernel at a time. Empty if none has.
    """

    def __init__(self, step: TrainingStep, batches: TrainingBatches):
        self.step = step
        self.batches = batches
        self.failure = ""

        # What a recorded step reads, at addresses that stay.
        self.number = torch.zeros(1, dtype=torch.long, device=step.device)
        self.tables: Tables | None = None
        self.places: list[Tensor] = []

        # By the shape's number. All recordings share one pool of memory: they never run at the same
        # time, and leave nothing to each other but weights.
        self.replays: dict[int, Replay] = {}
        self.pool: Any = None

    def load(self, epoch: Epoch) -> None:
        """Copy the plan of an epoch to where the recorded steps read it."""
        self.epoch = epoch
        if self.tables is None:
            self.tables = epoch.tables.clone()
            self.places = [rows.clone() for rows in epoch.places]
            return

        self.tables.copy_(epoch.tables)
        for number, rows in enumerate(epoch.places):
            if len(rows) > len(self.places[number]):  # sampled prefixes: more batches than before
                self.places[number] = rows.clone()
                self.replays.pop(number, None)  # it reads the memory that is given up here
            else:
                self.places[number][: len(rows)].copy_(rows)

    def __call__(self, i: int) -> Tensor:
        """Take the step of batch i of the loaded epoch; return its mean loss, a scalar."""
        shape_number = int(self.epoch.shape_numbers[i])
        self.number.fill_(int(self.epoch.numbers[i]))
        if not self.failure and shape_number not in self.replays:
            self._try_to_record(shape_number)
        if self.failure:
            return self.step(self._batch(shape_number))
        return self.replays[shape_number]()

    def _try_to_record(self, shape_number: int) -> None:
        """Record a shape's step, or note why that is impossible and say so once."""

        def work() -> Tensor:
            return self.step(self._batch(shape_number))

        try:
            # The scan's choice of chunks weighs what launches cost; in a graph they cost nothing.
            with chunking(launch_seconds=0):
                self._warm_up(work)
                self.replays[shape_number] = self._record(work)
        except Exception as error:  # whatever a kernel or a library raises under capture
            self.failure = f"{type(error).__name__}: {error}"
            warnings.warn(
                "a training step could not be captured as a CUDA graph, so the run goes on one "
                f"kernel at a time, more slowly. {self.failure}",
                stacklevel=2,
            )

    def _warm_up(self, work: Callable[[], Tensor]) -> None:
        """Take a few steps whose effect is undone: weights, Adam and generators end as they began.

        They run on a side stream, as PyTorch asks for before a capture.
        """
        on_gpu = self.step.device.type == "cuda"
        generators = [self.step.device] if on_gpu else []
        before = _Kept(self.step)
        try:
            with torch.random.fork_rng(devices=generators), self._side_stream():
                for _ in range(WARM_UP_STEPS):
                    work()
        finally:
            before.put_back()
            self.step.optimizer.zero_grad(set_to_none=True)

    @contextlib.contextmanager
    def _side_stream(self) -> Iterator[None]:
        """Run what is inside on another stream, which waits for this one and is waited for."""
        current = torch.cuda.current_stream(self.step.device)
        side = torch.cuda.Stream(self.step.device)
        side.wait_stream(current)
        with torch.cuda.stream(side):
            yield
        current.wait_stream(side)

    def _record(self, work: Callable[[], Tensor]) -> Replay:
        """Capture `work`, which does not run now, and return what runs it."""
        if self.pool is None:
            self.pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool):
            loss = work()

        def replay() -> Tensor:
            graph.replay()
            return loss.clone()  # the next replay writes over it

        return replay

    def _batch(self, shape_number: int) -> Batch:
        """Make the batch whose number lies in `number`, in its fixed shape."""
        assert self.tables is not None
        rows = self.places[shape_number].index_select(0, self.number)[0]
        shape = self.batches.shapes[shape_number]
        return gather(self.tables, rows, shape, self.batches.objective, self.batches.mask_token)


class _Kept:
    """A copy of the weights and of Adam's state, to put back where they were."""

    def __init__(self, step: TrainingStep):
        self.step = step
        self.weights = [weight.detach().clone() for weight in step.model.parameters()]
        self.adam = {}
        for parameter, state in step.optimizer.state.items():
            self.adam[parameter] = {name: value.clone() for name, value in state.items()}

    @torch.no_grad()
    def put_back(self) -> None:
        for weight, kept in zip(self.step.model.parameters(), self.weights, strict=True):
            weight.copy_(kept)
        for parameter, state in self.step.optimizer.state.items():
            kept_state = self.adam.get(parameter)
            for name, value in state.items():
                if kept_state is None:
                    value.zero_()  # as Adam begins
                else:
                    value.copy_(kept_state[name])
