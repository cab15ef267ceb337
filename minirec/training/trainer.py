"""The training loop: a step is one batch; an epoch visits every window (or the sampled prefixes) once."""

import math
import time
import warnings
from types import SimpleNamespace

import torch
from tqdm import tqdm

from minirec import storage
from minirec.evaluation import evaluate
from minirec.losses import full_softmax_loss, represent
from minirec.models.base import name_of
from minirec.training import progress as checkpoints
from minirec.training.history import History
from minirec.training.settings import StopTraining

LOOK_EVERY = 20  # steps between two looks at the loss: a look waits for the device


class Run:
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
            except StopTraining:
                history.stopped = "budget"
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
            epoch_entry(
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
        storage.save(
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


def epoch_entry(epoch: int, loss: float, valid, seconds: float) -> dict:
    """Return one epoch's entry of a History."""
    return {
        "epoch": epoch,
        "loss": loss,
        "valid_recall": valid.recall,
        "valid_mrr": valid.mrr,
        "valid_ndcg": valid.ndcg,
        "seconds": seconds,
    }
