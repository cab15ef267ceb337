"""How the files of this folder were made, once, by the code of commit 7685832 (see README.md)."""

import json
import random
import sys
from pathlib import Path

import torch
from minirec.results import record_run, save_record

from minirec import Interactions, available_models, build_model, fit, save_model
from minirec.models import model_options

HERE = Path(sys.argv[1])  # a new folder
N_USERS = 20
N_ITEMS = 12
HISTORIES = [[3, 1, 4, 1, 5], [9, 2, 0, 0, 0]]  # dense ids; 0 is padding
SMALL = {"d_model": 4, "n_heads": 2, "max_len": 5, "dropout": 0.1, "d_state": 4}
RUN = {
    "model": "gru4rec",
    "options": {"d_model": 4, "max_len": 5, "dropout": 0.1},
    "seed": 0,
    "settings": {"epochs": 3, "batch_size": 16, "lr": 0.03, "seed": 0, "device": "cpu"},
}


def small_log() -> dict[str, list[int]]:
    """Twenty users with eight items each; most items are followed by the next number."""
    draw = random.Random(0)
    users = []
    items = []
    for user in range(N_USERS):
        item = user % N_ITEMS
        for _ in range(8):
            users.append(user)
            items.append(item)
            goes_on = draw.random() < 0.8
            item = (item + 1) % N_ITEMS if goes_on else draw.randrange(N_ITEMS)
    return {"users": users, "items": items}


def interactions(log: dict[str, list[int]], ids: str) -> Interactions:
    """Build the log with its items called 0, 1, 2 ... ("integers") or film 0 ... ("strings")."""
    items = log["items"]
    if ids == "strings":
        items = [f"film {item}" for item in items]
    return Interactions.from_columns(log["users"], items)


def make_model(name: str, options: dict, seed: int):
    torch.manual_seed(seed)
    return build_model(name, N_ITEMS, **options)


def save_every_model(log) -> None:
    expected = {}
    for number, name in enumerate(available_models()):
        ids = ("integers", "strings")[number % 2]
        data = interactions(log, ids)
        options = {key: value for key, value in SMALL.items() if key in model_options(name)}
        model = make_model(name, options, seed=number)
        fit(model, data.split(), epochs=1, batch_size=16, lr=0.01, device="cpu")
        save_model(HERE / "models" / f"{name}.pt", model, data)
        with torch.inference_mode():
            scores = model.scores(torch.tensor(HISTORIES))[:, 1:]
        expected[name] = {
            "ids": ids,
            "item_ids": data.item_ids.tolist(),
            "histories": HISTORIES,
            "scores": scores.tolist(),
        }
    write("models/expected.json", expected)


def save_a_run(log) -> None:
    split = interactions(log, "integers").split()

    # The whole run, never interrupted.
    whole = make_model(RUN["model"], RUN["options"], RUN["seed"])
    history = fit(whole, split, **RUN["settings"])
    losses = [entry["loss"] for entry in history.epochs]
    ndcgs = [entry["valid_ndcg"] for entry in history.epochs]
    torch.save(whole.state_dict(), HERE / "training" / "weights.pt")
    write(
        "training/run.json",
        {**RUN, "losses": losses, "valid_ndcg": ndcgs, "best_epoch": history.best_epoch},
    )
    save_record(
        HERE / "records" / "run.json",
        record_run(whole, split, history, ["minirec", "train", "--data", "log.csv"]),
    )

    # The same run, interrupted in its second epoch; it saves a checkpoint after every step.
    model = make_model(RUN["model"], RUN["options"], RUN["seed"])
    encode = model.encode
    steps = 0

    def interrupted_encode(items):
        nonlocal steps
        if model.training:
            steps += 1
            if steps == 10:
                raise KeyboardInterrupt
        return encode(items)

    model.encode = interrupted_encode
    path = HERE / "training" / "run.ckpt"
    fit(model, split, checkpoint=path, checkpoint_seconds=0.0, **RUN["settings"])


def write(name: str, content: dict) -> None:
    (HERE / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for folder in ("models", "training", "records"):
        (HERE / folder).mkdir(parents=True, exist_ok=True)
    the_log = small_log()
    write("log.json", the_log)
    save_every_model(the_log)
    save_a_run(the_log)
