"""The training loop: `train` calls `one_epoch`, which calls `one_step`.

A step is one batch. An epoch visits every training window (or the sampled prefixes) once.

B batch, N positions.
"""

import math
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from minirec import storage
from minirec.data.batching import Epoch, TrainingBatches
from minirec.data.splits import Split
from minirec.errors import CheckpointError, printable, printable_path
from minirec.evaluation import Evaluation, evaluate
from minirec.evaluation.evaluate import NaNScores
from minirec.models.base import NeuralRecommender, Vocabulary
from minirec.training.divergence import advice, unusable_weight
from minirec.training.graphs import GraphedSteps
from minirec.training.history import History
from minirec.training.progress import (
    WAY_OUT,
    Progress,
    checkpoint_in_use,
    default_options,
    identity_of,
    load_checkpoint,
)
from minirec.training.random_numbers import RandomNumbers
from minirec.training.settings import Settings
from minirec.training.step import TrainingStep

# Steps between two looks at the loss. A look makes the host wait until a GPU has finished its
# steps, which are much shorter than a CPU's; after every single step that would slow it down.
LOOK_EVERY = {"cpu": 20, "cuda": 200}

# How an epoch is cut into batches. A checkpoint counts the batches of its epoch, which means
# nothing where they are others; version 0.1.0 wrote no number.
BATCHING = 2


class StopTraining(Exception):
    """Raised by an `on_epoch` callback of `fit` to end training after the epoch just finished.

    The model keeps its best weights, and the history's `stopped` is "budget".
    """


class Run:
    """One training run of a model that learns by gradients.

    Parameters
    ----------
    model : NeuralRecommender
        The model, on `device`; it is trained in place.
    split : Split
        The data; the valid phase chooses the best epoch.
    batches : TrainingBatches
        The training part of `split`, in batches of the run's objective.
    settings : Settings
        How to train.
    device : torch.device
        Where the model is.
    checkpoint : str or path, optional
        A file that keeps the run; if it exists, the run goes on from it.
    checkpoint_seconds : float
        At least so many seconds lie between two checkpoints within an epoch.
    cuda_graphs : bool
        On a GPU: whether steps are captured as CUDA graphs.
    """

    def __init__(
        self,
        model: NeuralRecommender,
        split: Split,
        batches: TrainingBatches,
        settings: Settings,
        device: torch.device,
        checkpoint: str | os.PathLike[str] | None,
        checkpoint_seconds: float,
        cuda_graphs: bool = True,
    ):
        # What is trained, on what, and how.
        self.model = model
        self.split = split
        self.batches = batches
        self.settings = settings
        self.device = device
        self.step = TrainingStep(model, settings.objective, settings.precision, settings.lr)
        self.graphs: GraphedSteps | None = None
        if device.type == "cuda" and cuda_graphs:
            self.graphs = GraphedSteps(self.step, batches)
        self.random = RandomNumbers(settings.seed, device)

        # How far it is, and how it went so far.
        self.progress = Progress()
        self.history = History(settings=asdict(settings))
        self.epoch_began = time.perf_counter()
        # Of the steps whose loss has not been looked at yet: (mean loss, number of targets).
        self.pending_losses: list[tuple[Tensor, int]] = []
        # Until there is a best epoch: what to go back to after a divergence.
        self.first_weights: dict[str, Tensor] | None = None
        self.first_vocabulary = model.vocabulary
        self.has_diverged = False

        # Where it is kept, and what has to agree before it is continued.
        # Whole, because a callback may change into another folder.
        self.checkpoint = None if checkpoint is None else Path(checkpoint).absolute()
        self.checkpoint_seconds = checkpoint_seconds
        self.last_saved = time.perf_counter()
        self.identity = identity_of(model, split, settings)
        self.environment = {"torch": str(torch.__version__), "threads": torch.get_num_threads()}

    def train(
        self,
        vocabulary: Vocabulary,
        show_bar: bool | None,
        on_epoch: Callable[[History], object] | None,
    ) -> History:
        """Train until there is a reason to stop; the model ends with its best weights."""
        if self.checkpoint is None:
            return self.train_alone(vocabulary, show_bar, on_epoch)
        with checkpoint_in_use(self.checkpoint):
            return self.train_alone(vocabulary, show_bar, on_epoch)

    def train_alone(
        self,
        vocabulary: Vocabulary,
        show_bar: bool | None,
        on_epoch: Callable[[History], object] | None,
    ) -> History:
        """Train, while nobody else uses the checkpoint."""
        with self.random.for_the_run():
            self.resume()
            self.refuse_unusable_weights()
            if self.progress.best is None:
                self.first_weights = weights_of(self.model)
            # Only now: a checkpoint that is refused leaves the model as it was.
            self.model.vocabulary = vocabulary

            with self.progress_bar(show_bar) as bar:
                try:
                    while not self.reason_to_stop():
                        self.one_epoch(bar)
                        if on_epoch is not None:
                            on_epoch(self.history)
                    self.history.stopped = self.reason_to_stop()
                except StopTraining:
                    self.history.stopped = "budget"
                except KeyboardInterrupt:
                    self.history.stopped = "interrupted"
                finally:
                    self.leave_the_best_weights()
        return self.history

    def refuse_unusable_weights(self) -> None:
        """Raise before the first step where no learning rate could help."""
        found = unusable_weight(self.model)
        if not found:
            return
        if self.progress.epoch == 0 and self.progress.step == 0:
            raise FloatingPointError(
                f"the model had diverged before this run: {found}. Build a new model."
            )
        raise FloatingPointError(
            f"the checkpoint {printable_path(self.checkpoint)} is of a run that has diverged: "
            f"{found}. Delete it, build a new model, and lower the learning rate."
        )

    def leave_the_best_weights(self) -> None:
        """Give the model its best weights, or those it began with if it diverged without any."""
        kept = self.progress.best
        if kept is None and (self.has_diverged or unusable_weight(self.model)):
            kept = self.first_weights
            self.model.vocabulary = self.first_vocabulary
        if kept is not None:
            self.model.load_state_dict(kept)
        self.model.eval()

    def reason_to_stop(self) -> str:
        """Return "epochs" or "patience", whichever has run out, or "" to go on."""
        if self.progress.epoch >= self.settings.epochs:
            return "epochs"
        patience = self.settings.patience
        epochs_since_best = self.progress.epoch - self.history.best_epoch
        if patience is not None and epochs_since_best >= patience:
            return "patience"
        return ""

    def progress_bar(self, show: bool | None) -> tqdm:
        """Return a bar that counts the steps of the whole run."""
        steps_per_epoch = self.batches.steps_per_epoch
        return tqdm(
            total=self.settings.epochs * steps_per_epoch,
            initial=self.progress.epoch * steps_per_epoch + self.progress.step,
            disable=None if show is None else not show,  # None shows it only on a terminal
            unit="step",
            leave=False,
        )

    def one_epoch(self, bar: tqdm) -> None:
        """Train from the current step to the end of the epoch, then judge the epoch and save it."""
        progress = self.progress
        self.epoch_began = time.perf_counter() - progress.seconds
        epoch = self.batches.epoch(progress.epoch)
        if self.graphs is not None:
            self.graphs.load(epoch)

        self.model.train()
        while progress.step < len(epoch):
            if self.settings.lr_schedule == "cosine":
                self.set_cosine_learning_rate(len(epoch))
            with self.random.for_a_step():
                self.one_step(epoch)
            bar.update(1)
            self.after_step(epoch, bar)

        # No model of ours draws while it is judged; somebody's own may.
        with self.random.for_a_step():
            self.judge_epoch()
        self.save()

    def set_cosine_learning_rate(self, steps_per_epoch: int) -> None:
        """Set the rate of this step: half a cosine, from lr to 0 at the end of the last epoch.

        It is a function of the step alone, so that a resumed run has it too.
        """
        epochs_done = self.progress.epoch + self.progress.step / steps_per_epoch
        share_done = epochs_done / self.settings.epochs
        self.step.set_learning_rate(self.settings.lr * (1 + math.cos(math.pi * share_done)) / 2)

    def one_step(self, epoch: Epoch) -> None:
        """Change the weights once, by the epoch's next batch; the loss is not looked at yet."""
        i = self.progress.step
        loss = self.step(epoch[i]) if self.graphs is None else self.graphs(i)
        self.pending_losses.append((loss, epoch.real[i].n_targets))
        self.progress.step += 1

    def after_step(self, epoch: Epoch, bar: tqdm) -> None:
        """Look at the loss and save, where it is time to."""
        epoch_is_over = self.progress.step == len(epoch)
        save_is_due = (
            self.checkpoint is not None
            and time.perf_counter() - self.last_saved >= self.checkpoint_seconds
        )

        # What is saved has to count every step's loss, so before a save there is a look.
        look_is_due = len(self.pending_losses) == LOOK_EVERY[self.device.type]
        if save_is_due or epoch_is_over or look_is_due:
            self.look_at_the_losses(epoch)
            bar.set_postfix_str(self.in_words())

        # A loss is that of the weights before its step: what is saved or judged is looked at, too.
        if save_is_due or epoch_is_over:
            self.look_at_the_weights(epoch)

        if save_is_due and not epoch_is_over:  # at its end the epoch is saved in any case
            self.progress.seconds = time.perf_counter() - self.epoch_began
            self.save()

    def look_at_the_losses(self, epoch: Epoch) -> None:
        """Add up the losses since the last look; raise at the first that is not finite."""
        losses = torch.stack([loss for loss, _ in self.pending_losses]).tolist()
        n_targets = [n for _, n in self.pending_losses]
        first_step = self.progress.step - len(losses)

        for i, loss in enumerate(losses):
            if not math.isfinite(loss):
                step = first_step + i
                shape = epoch.real[step]
                raise self.divergence(
                    f"the loss is {loss} at epoch {self.progress.epoch + 1}, step {step + 1} "
                    f"of {len(epoch)} (batch of shape {(shape.n_rows, shape.width)}, learning "
                    f"rate {self.settings.lr:g})"
                )
            self.progress.loss_sum += loss * n_targets[i]
            self.progress.n_targets += n_targets[i]
        self.pending_losses = []

    def look_at_the_weights(self, epoch: Epoch) -> None:
        """Raise if the last step left a weight that no further step can repair."""
        found = unusable_weight(self.model)
        if found:
            raise self.divergence(
                f"{found} after epoch {self.progress.epoch + 1}, step {self.progress.step} "
                f"of {len(epoch)} (learning rate {self.settings.lr:g})"
            )

    def divergence(self, found: str) -> FloatingPointError:
        """Return the error that ends a run: what was found, what to do, and what is left."""
        self.has_diverged = True
        message = f"training diverged: {found}. {advice(self.settings.precision)}"
        if self.progress.best is None:
            message += " The model has the weights that it began with."
        else:
            message += f" The model has its best weights, of epoch {self.history.best_epoch}."
        if self.checkpoint is not None and self.checkpoint.exists():
            message += (
                f" The checkpoint {printable_path(self.checkpoint)} holds the state before. With "
                "another setting it is another run, which needs a checkpoint of its own."
            )
        return FloatingPointError(message)

    def in_words(self) -> str:
        """Return the loss of this epoch and the best metric so far, for the bar."""
        words = f"loss {self.progress.mean_loss:.3f}"
        if self.history.epochs:
            words += f", valid NDCG@10 {self.history.best_ndcg:.4f}"
        return words

    def judge_epoch(self) -> None:
        """Note the epoch's loss and valid metrics; keep its weights if it is the best so far."""
        try:
            valid = evaluate(self.model, self.split, which="valid", protocol=self.settings.select)
        except NaNScores as error:
            found = str(error).rstrip(".")
            raise self.divergence(
                f"after epoch {self.progress.epoch + 1} (learning rate {self.settings.lr:g}), on "
                f"the valid phase, {found}"
            ) from error
        seconds = time.perf_counter() - self.epoch_began
        epoch = self.progress.epoch + 1  # as the history counts them
        entry = epoch_entry(epoch, self.progress.mean_loss, valid, seconds)
        is_best = self.progress.best is None or valid.ndcg > self.history.best_ndcg
        # What takes long comes first, so that Ctrl-C within it leaves history and weights in step.
        best = weights_of(self.model) if is_best else self.progress.best

        self.progress.best = best
        self.history.epochs.append(entry)
        if is_best:
            self.history.best_epoch = epoch
            self.first_weights = None  # no longer needed
        self.progress.start_next_epoch()

    def save(self) -> None:
        """Write everything that the rest of the run depends on, if a checkpoint is asked for."""
        if self.checkpoint is None:
            return
        on_cuda = self.device.type == "cuda"
        state = {
            **self.progress.to_checkpoint(),
            "epochs": self.history.epochs,
            "best_epoch": self.history.best_epoch,
            "identity": self.identity,
            "environment": self.environment,
            "batching": BATCHING,
            "model": self.model.state_dict(),
            "optimizer": self.step.optimizer.state_dict(),
            "random": self.random.state,
            "cuda_random": torch.cuda.get_rng_state(self.device) if on_cuda else None,
        }
        storage.save(self.checkpoint, "checkpoint", state)
        self.last_saved = time.perf_counter()

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one; warn where it cannot be bit for bit."""
        if self.checkpoint is None:
            return
        defaults = default_options(self.model)
        state = load_checkpoint(self.checkpoint, self.identity, defaults)
        if state is None:
            return

        name = printable_path(self.checkpoint)
        if state["format"] == 1:
            warnings.warn(
                f"{name} was written by minirec 0.1 and has no checksum, so damage to it could go "
                "unseen. It will have one from the next write on.",
                stacklevel=5,
            )
        if state["environment"] != self.environment:
            warnings.warn(
                f"{name} was written with {printable(state['environment'])}, this is "
                f"{self.environment}: training continues, but not bit for bit.",
                stacklevel=5,  # names the line that called `fit`
            )
        self.take_over(state, name)
        if self.progress.step > 0 and state.get("batching") != BATCHING:
            warnings.warn(
                f"{name} was written by a version of minirec that cuts an epoch into other "
                "batches: the epoch under way begins again from its first batch.",
                stacklevel=5,
            )
            self.progress.restart_epoch()

    def take_over(self, state: dict[str, Any], name: str) -> None:
        """Go to where a checkpoint is; raise, with the model as it was, if that is nowhere."""
        before = weights_of(self.model)
        try:
            self.progress = Progress.from_checkpoint(state)
            self.history.epochs = state["epochs"]
            self.history.best_epoch = state["best_epoch"]
            if len(self.history.epochs) != self.progress.epoch:
                raise ValueError("another number of epochs than of their entries")
            if (self.progress.best is not None) != math.isfinite(self.history.best_ndcg):
                raise ValueError("a best epoch without its weights, or weights without their epoch")
            if self.progress.best is not None:
                self.model.load_state_dict(self.progress.best)  # whether it can be done in the end
            self.model.load_state_dict(state["model"])
            self.step.load_optimizer(state["optimizer"])
            self.random.state = state["random"]
            if state["cuda_random"] is not None:
                torch.cuda.set_rng_state(state["cuda_random"], self.device)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            self.model.load_state_dict(before)
            raise CheckpointError(
                f"{name} is not a checkpoint as minirec writes them: its parts do not go together. "
                f"{WAY_OUT}"
            ) from error


def weights_of(model: NeuralRecommender) -> dict[str, Tensor]:
    """Return a copy of a model's weights and buffers, on the CPU.

    Parameters
    ----------
    model : NeuralRecommender
        On any device.

    Returns
    -------
    dict
        For `load_state_dict`.
    """
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def epoch_entry(epoch: int, loss: float, valid: Evaluation, seconds: float) -> dict[str, Any]:
    """Return one epoch's entry of a History.

    Parameters
    ----------
    epoch : int
        Counted from 1.
    loss : float
        Mean over the epoch's targets.
    valid : Evaluation
        Of the valid phase, at k = 10.
    seconds : float
        That training and judging took.

    Returns
    -------
    dict
        The entry, under the names of `history.COLUMNS`.
    """
    return {
        "epoch": epoch,
        "loss": loss,
        "valid_recall": valid.recall,
        "valid_mrr": valid.mrr,
        "valid_ndcg": valid.ndcg,
        "seconds": seconds,
    }
