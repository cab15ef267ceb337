"""The order of ties and the seen items, on the command line."""

import json

import pytest

import minirec


@pytest.fixture
def tied_log(tmp_path):
    """Forty users who chose seven items each, the last four of them at one time."""
    items = ["yak", "ant", "eel", "cow", "bat", "fox", "doe"]
    rows = []
    for user in range(40):
        for place, item in enumerate(items):
            rows.append(f"{user},{item},{min(place, 3)}")
    path = tmp_path / "tied.csv"
    path.write_text("\n".join(["user,item,timestamp", *rows]) + "\n")
    return path


def test_the_order_of_ties_decides_what_is_asked_for(cli, tied_log, tmp_path):
    found = {}
    for order in ("file", "id", "random"):
        out = tmp_path / f"{order}.pt"
        record = tmp_path / f"{order}.json"
        trained = cli(
            f"train --model popularity --ties {order} --ties-seed 3",
            data=tied_log,
            out=out,
            record=record,
        )
        assert trained.status == 0
        found[order] = json.loads(record.read_text())
    assert found["file"]["data"] == "tied.csv"
    assert found["id"]["data"] == "tied.csv, ties by id"
    assert found["random"]["data"] == "tied.csv, ties random 3"
    fingerprints = {record["fingerprint"] for record in found.values()}
    assert len(fingerprints) == 3


def test_a_model_is_judged_in_the_order_of_ties_that_is_asked_for(cli, tied_log, tmp_path):
    out = tmp_path / "m.pt"
    cli("train --model last-item --ties id", data=tied_log, out=out)
    judged = cli("evaluate --json --ties id", out, data=tied_log)
    split = minirec.load_dataset(tied_log, ties="id").split()
    expected = minirec.evaluate(minirec.load_model(out), split)
    assert judged.json()["ndcg"] == expected.ndcg


def test_a_log_without_times_has_no_other_order(cli, tmp_path):
    path = tmp_path / "plain.csv"
    path.write_text("user,item\n" + "".join(f"0,item {item}\n" for item in range(5)))
    refused = cli("train --model popularity --ties random", data=path, out=tmp_path / "m.pt")
    assert refused.status == 1
    assert "has no times" in refused.err


@pytest.mark.parametrize(
    "flag, exclude_seen", [("", False), ("--exclude-seen", True), ("--exclude-window", "window")]
)
def test_what_was_seen_is_left_out_or_only_what_was_read(
    cli, log_file, tmp_path, flag, exclude_seen
):
    out = tmp_path / "m.pt"
    cli("train --model gru4rec --epochs 1 --max-len 2 --d-model 4", data=log_file, out=out)
    judged = cli(f"evaluate --json {flag}", out, data=log_file)
    split = minirec.load_dataset(log_file).split()
    model = minirec.load_model(out)
    expected = minirec.evaluate(model, split, exclude_seen=exclude_seen)
    assert judged.json()["mrr"] == expected.mrr
    # Of eight items on a ring the user has seen all but the target, or read the last two.
    left = {False: 8, True: 1, "window": 6}[exclude_seen]
    assert expected.ranks.max() <= left
