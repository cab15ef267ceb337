"""Cuts in time, separate files, what was read of them, and whose model is replaced."""

import re

import pytest

import minirec

READ_AS = (
    "user = column 'user', item = column 'item', time = column 'timestamp' (the log's own clock)"
)


@pytest.fixture
def walk_files(log_file, tmp_path):
    """The ring of eight in three files: six items to train on, then one each."""
    lines = log_file.read_text().splitlines()
    header, rows = lines[0], lines[1:]
    parts = {"train.csv": slice(0, 6), "valid.csv": slice(6, 7), "test.csv": slice(7, 8)}
    for name, part in parts.items():
        chosen = [row for user in range(40) for row in rows[8 * user : 8 * user + 8][part]]
        (tmp_path / name).write_text("\n".join([header, *chosen]) + "\n")
    return {
        "data": tmp_path / "train.csv",
        "test_data": tmp_path / "test.csv",
        "valid_data": tmp_path / "valid.csv",
    }


def line_of_test(printed):
    return re.search(r"^test .*$", printed.out, re.MULTILINE)[0]


def test_three_files_are_judged_as_the_whole_log_they_were_cut_from(
    cli, log_file, walk_files, tmp_path
):
    whole = cli("train --model last-item", data=log_file, out=tmp_path / "whole.pt")
    apart = cli("train --model last-item --log", **walk_files, out=tmp_path / "apart.pt")
    assert apart.status == 0
    assert "split     files   40 valid   40 test   0 users not judged" in apart.out
    assert line_of_test(apart) == line_of_test(whole)

    again = cli("evaluate", tmp_path / "apart.pt", **walk_files)
    assert line_of_test(again) == line_of_test(apart)


def test_without_a_valid_file_the_last_training_item_is_the_valid_target(cli, walk_files, tmp_path):
    del walk_files["valid_data"]
    trained = cli("train --model last-item --log", **walk_files, out=tmp_path / "m.pt")
    assert "split     files   40 valid   40 test   0 users not judged" in trained.out
    assert cli("evaluate", tmp_path / "m.pt", **walk_files).status == 0


def test_users_known_to_the_test_file_alone_are_counted_and_not_judged(cli, walk_files, tmp_path):
    with walk_files["test_data"].open("a") as file:
        file.write("900,ant,1\n901,yak,2\n")
    trained = cli("train --model last-item --log", **walk_files, out=tmp_path / "m.pt")
    assert "40 test   2 users not judged: no history" in trained.out
    assert "42 users   9 items" in trained.out


def test_a_model_of_separate_files_asks_for_them(cli, walk_files, tmp_path):
    cli("train --model last-item", **walk_files, out=tmp_path / "m.pt")
    alone = cli("evaluate", tmp_path / "m.pt", data=walk_files["data"])
    assert alone.status == 1
    assert "--test-data" in alone.err

    del walk_files["valid_data"]
    without_valid = cli("evaluate", tmp_path / "m.pt", **walk_files)
    assert without_valid.status == 1
    assert "was trained on other data" in without_valid.err


def test_a_temporal_cut_is_repeated_by_the_share_that_made_it(cli, log_file, tmp_path):
    model = tmp_path / "m.pt"
    trained = cli(
        "train --model last-item --split temporal --held-out 0.25", data=log_file, out=model
    )
    assert trained.status == 0
    repeated = cli("evaluate --held-out 0.25", model, data=log_file)
    assert line_of_test(repeated) == line_of_test(trained)
    for words, share in (("evaluate", "0.1"), ("evaluate --held-out 0.3", "0.3")):
        refused = cli(words, model, data=log_file)
        assert refused.status == 1
        assert f"cut at another time than --held-out {share} cuts them" in refused.err


def test_a_log_of_four_days_is_split_by_time(cli, tmp_path):
    lines = [f"{user},{step},{step // 2}" for user in range(20) for step in range(8)]
    path = tmp_path / "days.csv"
    path.write_text("user,item,timestamp\n" + "\n".join(lines) + "\n")
    words = "train --model last-item --split temporal --log"
    trained = cli(words, data=path, out=tmp_path / "m.pt")
    assert trained.status == 0
    assert "split     temporal   20 valid   20 test   0 users" in trained.out


def test_what_was_taken_of_a_file_is_said_by_train_and_evaluate(cli, log_file, tmp_path):
    line = f"read      {READ_AS}"
    model = tmp_path / "m.pt"
    assert line in cli("train --model last-item", data=log_file, out=model).out.splitlines()
    assert line in cli("evaluate", model, data=log_file).out.splitlines()
    told = cli("train --model last-item --json", data=log_file, out=model).json()
    assert told["read_as"] == READ_AS
    assert cli("evaluate --json", model, data=log_file).json()["read_as"] == READ_AS


def test_nothing_is_said_of_a_named_set(cli, tmp_path):
    model = tmp_path / "m.pt"
    assert "read  " not in cli("train --model popularity --data planted", out=model).out
    assert cli("evaluate --data planted --json", model).json()["read_as"] == ""


def test_what_loading_says_does_not_stand_before_the_json(cli, tmp_path, monkeypatch):
    load_dataset = minirec.load_dataset

    def load(*args, **how):
        print("this data set has a licence")
        return load_dataset(*args, **how)

    monkeypatch.setattr(minirec, "load_dataset", load)
    told = cli("train --model popularity --data planted --json", out=tmp_path / "m.pt")
    assert told.json()["model"] == "popularity"
    assert "licence" in told.err
    assert "licence" in cli("train --model popularity --data planted", out=tmp_path / "m.pt").out


@pytest.fixture
def logs_of_two_years(tmp_path, monkeypatch):
    """log.2020.csv and log.2021.csv: as many items, none in common; in the working directory."""
    for year in (2020, 2021):
        rows = [f"{user},{year}{(user + t) % 5},{t}" for user in range(9) for t in range(4)]
        text = "user,item,timestamp\n" + "\n".join(rows) + "\n"
        (tmp_path / f"log.{year}.csv").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_log_has_a_model_of_its_own(cli, logs_of_two_years):
    for year in (2020, 2021):
        cli(f"train --model last-item --data log.{year}.csv")
    saved = sorted(path.name for path in (logs_of_two_years / "runs").iterdir())
    assert saved == ["log.2020-last-item.pt", "log.2021-last-item.pt"]


def test_a_default_name_never_replaces_a_model_of_other_data(cli, logs_of_two_years, never_trained):
    saved = logs_of_two_years / "runs" / "log.2021-last-item.pt"
    saved.parent.mkdir()
    data = minirec.load_dataset(logs_of_two_years / "log.2020.csv")
    model = minirec.build_model("last-item", data.n_items)
    minirec.save_model(saved, model, data)
    before = saved.read_bytes()

    refused = cli("train --model last-item --data log.2021.csv")
    assert refused.status == 1
    assert "holds a model that was trained on other data; name another file with --out" in (
        refused.err
    )
    assert saved.read_bytes() == before


def test_a_default_name_never_replaces_what_is_no_model(cli, logs_of_two_years, never_trained):
    saved = logs_of_two_years / "runs" / "log.2021-last-item.pt"
    saved.parent.mkdir()
    saved.write_text("precious")
    refused = cli("train --model last-item --data log.2021.csv")
    assert refused.status == 1
    assert "is not a file of minirec. It is left alone" in refused.err
    assert saved.read_text() == "precious"


def test_a_model_of_the_same_data_is_replaced_and_a_typed_out_always(cli, logs_of_two_years):
    words = "train --model last-item --data"
    assert cli(f"{words} log.2020.csv").status == 0
    assert cli(f"{words} log.2020.csv").status == 0
    out = logs_of_two_years / "runs" / "log.2020-last-item.pt"
    before = out.read_bytes()
    assert cli(f"{words} log.2021.csv", out=out).status == 0
    assert out.read_bytes() != before
