"""Training steps as CUDA graphs: captured once for each shape, then replayed.

A step of these models is many small kernels, and a GPU runs them faster than its host can launch
them. A CUDA graph is a recording of launches that the host starts with a single call. It repeats
the same kernels on the same addresses, so whatever changes from step to step has to lie at a fixed
place: the plan of the epoch, the number of the batch, the learning rate, Adam's count of steps. The
state of dropout's generator is registered by PyTorch when it captures.

References: notebook 13; https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

import warnings
from typing import Any

import torch
from torch import Tensor

from minirec.data.batching import Batch, Epoch, Tables, TrainingBatches, gather
from minirec.training.step import TrainingStep

# Steps on a side stream before a capture. Kernels are compiled, and libraries take their
# workspaces, while this is still allowed.
WARM_UP_STEPS = 3


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

        # What a captured step reads, at addresses that stay.
        self.number = torch.zeros(1, dtype=torch.long, device=step.device)
        self.tables: Tables | None = None
        self.places: list[Tensor] = []

        # What has been captured, by the shape's number. All graphs share one pool of memory: they
        # never run at the same time, and each keeps nothing for the next but weights.
        self.pool: Any = None
        self.graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self.losses: dict[int, Tensor] = {}

    def load(self, epoch: Epoch) -> None:
        """Copy the plan of an epoch to where the captured steps read it."""
        self.epoch = epoch
        if self.tables is None:
            self.tables = epoch.tables.clone()
            self.places = [rows.clone() for rows in epoch.places]
            return

        self.tables.copy_(epoch.tables)
        for number, rows in enumerate(epoch.places):
            if len(rows) > len(self.places[number]):  # sampled prefixes: more batches than before
                self.places[number] = rows.clone()
                self.graphs.pop(number, None)  # it reads the memory that is given up here
            else:
                self.places[number][: len(rows)].copy_(rows)

    def __call__(self, i: int) -> Tensor:
        """Take the step of batch i of the loaded epoch; return its mean loss, a scalar."""
        if not self.failure:
            shape_number = int(self.epoch.shape_numbers[i])
            self.number.fill_(int(self.epoch.numbers[i]))
            if shape_number not in self.graphs:
                self._try_to_capture(shape_number)
            if not self.failure:
                self.graphs[shape_number].replay()
                return self.losses[shape_number].clone()  # the next replay writes over it
        return self.step(self.epoch[i])

    def _try_to_capture(self, shape_number: int) -> None:
        """Capture a shape's step, or note why that is impossible and say so once."""
        try:
            self._capture(shape_number)
        except Exception as error:  # whatever a kernel or library raises under capture
            self.failure = f"{type(error).__name__}: {error}"
            warnings.warn(
                "a training step could not be captured as a CUDA graph, so the run goes on one "
                f"kernel at a time, more slowly. {self.failure}",
                stacklevel=2,
            )

    def _capture(self, shape_number: int) -> None:
        """Record a step of a shape; weights, Adam and generator end as they began."""
        before = _Kept(self.step)
        try:
            side = torch.cuda.Stream(self.step.device)
            side.wait_stream(torch.cuda.current_stream(self.step.device))
            with torch.cuda.stream(side):
                for _ in range(WARM_UP_STEPS):
                    self.step(self._batch(shape_number))
            torch.cuda.current_stream(self.step.device).wait_stream(side)
        finally:
            before.put_back()
            self.step.optimizer.zero_grad(set_to_none=True)

        graph = torch.cuda.CUDAGraph()
        if self.pool is None:
            self.pool = torch.cuda.graph_pool_handle()
        with torch.cuda.graph(graph, pool=self.pool):
            loss = self.step(self._batch(shape_number))
        self.graphs[shape_number] = graph
        self.losses[shape_number] = loss

    def _batch(self, shape_number: int) -> Batch:
        """Make the batch whose number lies in `number`, of a shape."""
        assert self.tables is not None
        rows = self.places[shape_number].index_select(0, self.number)[0]
        shape = self.batches.shapes[shape_number]
        return gather(self.tables, rows, shape, self.batches.objective, self.batches.mask_token)


class _Kept:
    """A copy of everything that a step changes, to put back in place."""

    def __init__(self, step: TrainingStep):
        self.step = step
        self.weights = [p.detach().clone() for p in step.model.parameters()]
        self.adam = {
            id(p): {name: value.clone() for name, value in state.items()}
            for p, state in step.optimizer.state.items()
        }
        self.generator = torch.cuda.get_rng_state(step.device)

    @torch.no_grad()
    def put_back(self) -> None:
        for weight, kept in zip(self.step.model.parameters(), self.weights, strict=True):
            weight.data.copy_(kept)
        for parameter, state in self.step.optimizer.state.items():
            kept_state = self.adam.get(id(parameter))
            for name, value in state.items():
                if kept_state is None:
                    value.zero_()  # as Adam begins
                else:
                    value.copy_(kept_state[name])
        torch.cuda.set_rng_state(self.generator, self.step.device)
