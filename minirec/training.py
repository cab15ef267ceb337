"""fit: one training loop for every model, whatever its objective; and the history it leaves.

A step is one batch; an epoch visits every window (or the sampled prefixes) once.
"""

import inspect
import math
import re
import time
import warnings
from dataclasses import dataclass, field
from types import SimpleNamespace

import pandas as pd
import torch
from tqdm import tqdm

from minirec import checkpoint as checkpoints
from minirec.data.batching import PREFIXES_PER_USER, TrainingBatches
from minirec.data.interactions import Split
from minirec.evaluation import PROTOCOLS, evaluate, name_of
from minirec.losses import full_softmax_loss, represent
from minirec.models.base import Vocabulary

LOOK_EVERY = 20  # steps between two looks at the loss: a look waits for the device
PRECISIONS = ("float32", "bfloat16")
SCHEDULES = ("constant", "cosine")


@dataclass
class History:
    """What happened, an entry an epoch: epoch, loss (mean over targets), valid_recall, valid_mrr, valid_ndcg (at 10), seconds.

    best_epoch counts from 1 and is the one whose weights the model has now. stopped says why training ended: "epochs", "patience",
    "interrupted" or "counted" (a model that only counts). settings: what `fit` was asked for, the objective and the device as it chose them.
    """

    epochs: list[dict] = field(default_factory=list)
    best_epoch: int = 0
    stopped: str = ""
    settings: dict = field(default_factory=dict)

    best_ndcg = property(
        lambda self: (
            self.epochs[self.best_epoch - 1]["valid_ndcg"] if self.best_epoch else float("nan")
        )
    )

    def frame(self) -> pd.DataFrame:
        """The entries as a frame, indexed by epoch."""
        return pd.DataFrame(
            self.epochs,
            columns=["epoch", "loss", "valid_recall", "valid_mrr", "valid_ndcg", "seconds"],
        ).set_index("epoch")

    def plot(self):
        """Training loss and valid NDCG@10 against the epoch; returns the figure."""
        from minirec.plotting import plot_history

        return plot_history(self)

    def __repr__(self):
        return f"History({len(self.epochs)} epochs, best valid NDCG@10 {self.best_ndcg:.4f} at epoch {self.best_epoch}, stopped by {self.stopped})"


def fit(
    model,
    split: Split,
    *,
    epochs: int = 100,
    batch_size: int = 2048,
    lr: float = 1e-3,
    patience: int | None = 10,
    seed: int = 0,
    device: str = "auto",
    precision: str = "float32",
    select: str = "full",
    objective: str | None = None,
    prefixes_per_user: int = PREFIXES_PER_USER,
    lr_schedule: str = "constant",
    checkpoint=None,
    checkpoint_seconds: float = 60.0,
    progress: bool | None = None,
    on_epoch=None,
) -> History:
    """Trains `model` on split's training part with Adam; ends with the weights that were best on valid NDCG@10.

    batch_size counts targets. patience: epochs without a better valid NDCG@10 before stopping (None: never). select: the protocol of that choice.
    objective: the model's own unless given; "prefix" trains a next-item model on prefixes_per_user sampled prefixes of each user an epoch, by `last`.
    lr_schedule: "constant", or "cosine" (step by step from lr towards 0 at the end of the last epoch). precision: "float32" or "bfloat16" (autocast).
    device: "auto", "cpu" or "cuda". checkpoint: a path, written every checkpoint_seconds and after every epoch; if it exists the run goes on from it,
    bit for bit on the CPU with the same versions and number of threads. progress: a bar (None: only on a terminal). on_epoch(history): called after
    every epoch. Ctrl-C ends it and keeps the best. Raises FloatingPointError at a loss not finite, CheckpointError for another run's checkpoint.
    """
    for name, value, known in (
        ("precision", precision, PRECISIONS),
        ("select", select, PROTOCOLS),
        ("lr_schedule", lr_schedule, SCHEDULES),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}.")
    if epochs < 1 or lr <= 0 or (patience is not None and patience < 1):
        raise ValueError(
            f"epochs and patience must be at least 1 and lr positive; got {epochs}, {patience}, {lr}."
        )
    if not isinstance(split, Split):
        raise TypeError(f"fit trains on a split, interactions.split(); got {type(split).__name__}.")
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be an integer from 0 up; got {seed!r}.")
    data = split.interactions
    if model.n_items != data.n_items:
        raise ValueError(
            f"the model knows {model.n_items:,} items, the data has {data.n_items:,}; build it with n_items of this data."
        )
    objective = model.objective if objective is None else objective
    possible = ("next-item", "prefix") if model.objective == "next-item" else (model.objective,)
    if objective not in possible:
        raise ValueError(
            f"the objective of {name_of(model)} can be {' or '.join(map(repr, possible))}; got {objective!r}."
        )
    settings = {
        "batch_size": batch_size,
        "lr": lr,
        "lr_schedule": lr_schedule,
        "seed": seed,
        "precision": precision,
        "select": select,
        "objective": objective,
        "prefixes_per_user": prefixes_per_user if objective == "prefix" else None,
        "epochs": epochs,
        "patience": patience,
    }
    vocabulary = Vocabulary(data.item_ids, data.item_counts(), data.fingerprint, split.fingerprint)
    if objective == "count":
        begin, model.vocabulary = time.perf_counter(), vocabulary
        valid = evaluate(model.count(split), split, which="valid", protocol=select)
        return History(
            [_entry(1, math.nan, valid, time.perf_counter() - begin)],
            1,
            "counted",
            settings | {"device": "cpu"},
        )
    device = choose_device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        batches = TrainingBatches(
            split, objective, model.max_len, batch_size, seed, prefixes_per_user
        )
        run = _Run(
            model.to(device),
            split,
            batches,
            settings | {"device": device.type},
            device,
            checkpoint,
            checkpoint_seconds,
        )
        return run.train(vocabulary, progress, on_epoch or (lambda history: None))


FIT_DEFAULTS = {
    name: parameter.default for name, parameter in inspect.signature(fit).parameters.items()
}


def choose_device(name: str) -> torch.device:
    """ "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:1" -> the device; ValueError for any other name, or a GPU that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ValueError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:NUMBER'; got {name!r}.")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"device {name!r} was asked for, but this PyTorch sees no CUDA GPU; use 'cpu' or 'auto'."
        )
    return torch.device(name)


class _Run:
    """One training run. `at`: how far it is, which a checkpoint holds beside the weights; seconds: of this epoch, before it was resumed."""

    def __init__(self, model, split, batches, settings, device, checkpoint, checkpoint_seconds):
        self.model, self.split, self.batches, self.device = model, split, batches, device
        self.path, self.checkpoint_seconds = checkpoint, checkpoint_seconds
        self.history, self.asked = History(settings=settings), SimpleNamespace(**settings)
        self.optimizer = torch.optim.Adam(model.parameters(), lr=self.asked.lr, fused=True)
        self.at = SimpleNamespace(
            epoch=0, step=0, loss_sum=0.0, n_targets=0, seconds=0.0, best=None
        )
        self.pending, self.saved_at = (
            [],
            time.perf_counter(),
        )  # pending: (loss, number of targets) of the steps not looked at yet
        self.environment = {"torch": str(torch.__version__), "threads": torch.get_num_threads()}
        may_differ = (
            {"patience"} if self.asked.lr_schedule == "cosine" else {"patience", "epochs"}
        )  # a cosine's steps depend on them
        self.identity = {
            "model": name_of(model),
            "n_items": model.n_items,
            "data": split.interactions.fingerprint,
            "split": split.fingerprint,
            **{name: value for name, value in settings.items() if name not in may_differ},
            **{f"option {name}": value for name, value in getattr(model, "options", {}).items()},
            **{f"shape of {name}": list(p.shape) for name, p in model.named_parameters()},
        }

    def train(self, vocabulary, progress, on_epoch) -> History:
        torch.manual_seed(self.asked.seed)
        if (
            self.path is not None
            and (state := checkpoints.load(self.path, self.identity)) is not None
        ):
            self.resume(state)
        self.model.vocabulary = (
            vocabulary  # only now: a checkpoint that is refused leaves the model as it was
        )
        history, epochs, patience, n_batches = (
            self.history,
            self.asked.epochs,
            self.asked.patience or math.inf,
            len(self.batches.epoch(0)),
        )
        with tqdm(
            total=epochs * n_batches,
            initial=self.at.epoch * n_batches + self.at.step,
            disable=None if progress is None else not progress,
            unit="step",
            leave=False,
        ) as bar:
            try:
                while self.at.epoch < epochs and self.at.epoch - history.best_epoch < patience:
                    self.one_epoch(bar)
                    on_epoch(history)
                history.stopped = "epochs" if self.at.epoch >= epochs else "patience"
            except KeyboardInterrupt:
                history.stopped = "interrupted"
            finally:
                if self.at.best is not None:
                    self.model.load_state_dict(self.at.best)
                self.model.eval()
        return history

    def one_epoch(self, bar) -> None:
        """From the current step to the end of the epoch, then the valid metrics and a checkpoint."""
        at, batches, self.begin = (
            self.at,
            self.batches.epoch(self.at.epoch),
            time.perf_counter() - self.at.seconds,
        )
        self.model.train()
        while at.step < len(batches):
            if (
                self.asked.lr_schedule == "cosine"
            ):  # a function of the step alone, so a resumed run has it too
                done = (at.epoch + at.step / len(batches)) / self.asked.epochs
                self.optimizer.param_groups[0]["lr"] = (
                    self.asked.lr * (1 + math.cos(math.pi * done)) / 2
                )
            self.one_step(batches[at.step])
            bar.update(1)
            due = (
                self.path is not None
                and time.perf_counter() - self.saved_at >= self.checkpoint_seconds
            )
            if due or len(self.pending) == LOOK_EVERY or at.step == len(batches):
                self.look_at_the_loss(batches)
                best = (
                    f", valid NDCG@10 {self.history.best_ndcg:.4f}" if self.history.epochs else ""
                )
                bar.set_postfix_str(f"loss {at.loss_sum / at.n_targets:.3f}{best}")
            if due and at.step < len(batches):
                self.save()
        valid = evaluate(self.model, self.split, which="valid", protocol=self.asked.select)
        self.history.epochs.append(
            _entry(
                at.epoch + 1, at.loss_sum / at.n_targets, valid, time.perf_counter() - self.begin
            )
        )
        at.epoch, at.step, at.loss_sum, at.n_targets = at.epoch + 1, 0, 0.0, 0
        if at.best is None or valid.ndcg > self.history.best_ndcg:
            self.history.best_epoch = at.epoch
            at.best = {
                name: value.detach().cpu().clone()
                for name, value in self.model.state_dict().items()
            }
        if self.path is not None:
            self.save()

    def one_step(self, batch) -> None:
        inputs, targets = (
            torch.from_numpy(part).to(self.device, non_blocking=True)
            for part in (batch.inputs, batch.targets)
        )
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.asked.precision == "bfloat16"
        ):
            representations, targets = represent(self.model, self.asked.objective, inputs, targets)
            loss = full_softmax_loss(representations, self.model.output_weights(), targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.pending.append((loss.detach(), len(targets)))
        self.at.step += 1

    def look_at_the_loss(self, batches) -> None:
        """Sums the losses since the last look; raises at the first that is not finite, naming step, batch and learning rate."""
        losses, n_targets = zip(*self.pending)
        for step, loss, n in zip(
            range(self.at.step - len(losses), self.at.step), torch.stack(losses).tolist(), n_targets
        ):
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss is not finite at epoch {self.at.epoch + 1}, step {step + 1} of {len(batches)} (batch of shape "
                    f"{batches[step].inputs.shape}, learning rate {self.asked.lr:g}). Lower the learning rate, or use precision='float32'."
                )
            self.at.loss_sum += loss * n
            self.at.n_targets += n
        self.pending = []

    def save(self) -> None:
        self.at.seconds = time.perf_counter() - self.begin if self.at.step else 0.0
        checkpoints.save(
            self.path,
            {
                **vars(self.at),
                "epochs": self.history.epochs,
                "best_epoch": self.history.best_epoch,
                "identity": self.identity,
                "environment": self.environment,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "random": torch.get_rng_state(),
                "cuda_random": torch.cuda.get_rng_state(self.device)
                if self.device.type == "cuda"
                else None,
            },
        )
        self.saved_at = time.perf_counter()

    def resume(self, state) -> None:
        if state["environment"] != self.environment:
            warnings.warn(
                f"{self.path} was written with {state['environment']}, this is {self.environment}: training continues, but not bit for bit.",
                stacklevel=4,
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        if state["cuda_random"] is not None:
            torch.cuda.set_rng_state(state["cuda_random"], self.device)
        self.at = SimpleNamespace(**{name: state[name] for name in vars(self.at)})
        self.at.loss_sum = float(self.at.loss_sum)  # a tensor in older files
        self.history.epochs, self.history.best_epoch = state["epochs"], state["best_epoch"]


def _entry(epoch: int, loss: float, valid, seconds: float) -> dict:
    return {
        "epoch": epoch,
        "loss": loss,
        "valid_recall": valid.recall,
        "valid_mrr": valid.mrr,
        "valid_ndcg": valid.ndcg,
        "seconds": seconds,
    }
