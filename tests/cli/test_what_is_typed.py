"""How what is typed is read, and what is refused before anything is loaded."""

import csv
import io

import pytest
import torch
from hypothesis import given
from hypothesis.strategies import characters, lists, text
from logs import random_log

from minirec.cli import shared
from minirec.cli.main import _parser
from minirec.cli.output_files import name_of_data
from minirec.cli.recommend import items_in
from minirec.cli.shared import key_and_value, load_split

ONE_LINE = text(characters(exclude_characters="\r\n\0"), min_size=1).filter(str.strip)


def typed_as_csv(fields, delimiter=","):
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="").writerow(fields)
    return line.getvalue()


@pytest.fixture
def loaded(monkeypatch):
    """What load_file is asked for: a list of (name, keywords)."""
    calls = []

    def load(name, **how):
        calls.append((name, how))
        return random_log(0, latest=50)

    monkeypatch.setattr(shared, "load_file", load)
    return calls


def options_of(*words):
    return _parser().parse_args(["train", "--model", "last-item", "--data", "log.csv", *words])


@pytest.mark.parametrize(
    ("typed", "columns"),
    [
        ("user=customer,item=product", {"user": "customer", "item": "product"}),
        ("user=0,item=4,timestamp=1", {"user": 0, "item": 4, "timestamp": 1}),
        ("user= 0 , item=4", {"user": 0, "item": 4}),
        ("user=-1,item=1.5", {"user": "-1", "item": "1.5"}),
        ('user=id,"item=title, year"', {"user": "id", "item": "title, year"}),
        ("user=id,item=a=b", {"user": "id", "item": "a=b"}),
        ('user=id,"item=say ""hi"""', {"user": "id", "item": 'say "hi"'}),
        ("sequences", "sequences"),
        ("user=²,item=٣", {"user": "²", "item": "٣"}),
    ],
)
def test_columns_are_names_or_positions(loaded, typed, columns):
    load_split(options_of("--columns", typed))
    assert loaded == [("log.csv", {"columns": columns})]


@given(name=ONE_LINE)
def test_a_column_of_any_name_can_be_typed(name):
    inner = typed_as_csv(["user", name], delimiter="=")
    (pair,) = next(csv.reader([typed_as_csv([inner])]))
    assert key_and_value(pair, "--columns") == ("user", name.strip())


def test_where_may_be_repeated_and_a_key_may_hold_an_equals_sign(loaded):
    load_split(options_of("--where", "event=buy", "--where", '"a=b"=c=d', "--where", "3=x, y"))
    assert loaded[0][1]["where"] == {"event": "buy", "a=b": "c=d", 3: "x, y"}


def test_what_was_not_typed_is_not_asked_for(loaded):
    load_split(options_of())
    assert loaded == [("log.csv", {})]
    load_split(options_of("--trusted"))
    assert loaded[1] == ("log.csv", {"trusted": True})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--columns", "user"], "--columns takes KEY=VALUE; got 'user'"),
        (["--columns", "user="], "--columns takes KEY=VALUE"),
        (["--columns", "user=a,user=b"], "--columns has 'user' twice"),
        (["--where", "event=a", "--where", "event=b"], "--where has 'event' twice"),
        (["--where", "event"], "--where takes KEY=VALUE; got 'event'"),
        (["--where", ""], "--where takes KEY=VALUE; got ''"),
        (["--held-out", "0.2"], "--held-out is of a temporal split, and this one is leave-one-out"),
        (["--valid-data", "v.csv"], "--valid-data goes beside --test-data"),
        (["--test-data", "t.csv", "--split", "temporal"], "--split and --held-out do not go"),
        (["--test-data", "t.csv", "--held-out", "0.2"], "--split and --held-out do not go"),
        (["--test-data", "log.csv"], "must be different files"),
        (["--test-data", "t.csv", "--valid-data", "./t.csv"], "must be different files"),
    ],
)
def test_flags_that_say_nothing_or_contradict_each_other_are_refused(loaded, words, message):
    with pytest.raises(ValueError) as raised:
        load_split(options_of(*words))
    assert message in str(raised.value)
    assert loaded == []


def test_a_saved_models_kind_of_split_is_taken_unless_another_was_typed(loaded):
    assert load_split(options_of(), trained_on="temporal 12").kind == "temporal"
    typed = options_of("--split", "leave-one-out")
    assert load_split(typed, trained_on="temporal 12").kind == "leave-one-out"
    assert load_split(options_of(), trained_on="").kind == "leave-one-out"
    with pytest.raises(ValueError, match="trained on separate files"):
        load_split(options_of(), trained_on="files 12")


def test_the_share_held_out_reaches_the_split(loaded):
    typed = options_of("--split", "temporal", "--held-out", "0.3")
    expected = random_log(0, latest=50).split("temporal", held_out=0.3)
    assert load_split(typed).fingerprint == expected.fingerprint


@pytest.mark.parametrize("share", ["0", "0.5", "-0.1", "nan", "inf", "a tenth"])
def test_an_impossible_share_is_refused(capsys, share):
    with pytest.raises(SystemExit):
        options_of("--held-out", share)
    assert f"{share!r} is no share between 0 and 0.5" in capsys.readouterr().err


@pytest.mark.parametrize("seed", ["-1", "99999999999999999999999", str(2**64), "1.5", "one"])
def test_an_impossible_seed_is_refused_and_the_range_named(capsys, seed):
    with pytest.raises(SystemExit):
        options_of("--seed", seed)
    assert f"a seed is an integer from 0 to 2^64 - 1; got {seed!r}" in capsys.readouterr().err


def test_the_highest_seed_is_one_that_pytorch_takes():
    highest = options_of("--seed", str(2**64 - 1)).seed
    assert torch.Generator().manual_seed(highest).initial_seed() == highest


@pytest.mark.parametrize("command", ["recommend nowhere.pt --history 1", "evaluate nowhere.pt"])
@pytest.mark.parametrize("k", ["0", "-3"])
def test_an_impossible_k_is_found_before_the_model_is_loaded(cli, command, k):
    data = ["--data", "nowhere.csv"] if command.startswith("evaluate") else []
    printed = cli(command, *data, k=k)
    assert printed.status == 1
    assert printed.err == f"error: k must be an integer from 1 up; got {k}.\n"


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("planted", "planted"),
        ("ml-1m", "ml-1m"),
        ("log.csv", "log"),
        ("logs/log.2020.csv", "log.2020"),
        ("/logs/log.2021.CSV.gz", "log.2021"),
        ("events.v1.2.jsonl.bz2", "events.v1.2"),
        ("ratings", "ratings"),
        ("ratings.2020", "ratings.2020"),
        ("my log.tsv", "my log"),
        ("reviews.parquet.zip", "reviews"),
        ("a.inter.xz", "a"),
        ("logs/", "logs"),
        ("logs/part-*.csv", "part"),
        ("part-*-of-10.csv.gz", "part-of-10"),
        ("log_202[0-4]*.json", "log_202"),
        ("2020-??.dat", "2020"),
        ("*.csv", "data"),
        (".csv", "data"),
        (".", "data"),
    ],
)
def test_the_name_of_data_is_the_whole_stem(typed, name):
    assert name_of_data(typed) == name


@given(ids=lists(ONE_LINE, min_size=1))
def test_known_ids_without_line_ends_are_read_as_they_were_written(ids):
    assert items_in(typed_as_csv(ids), known=set(ids)) == ids


def test_blanks_around_an_id_are_dropped_unless_they_are_part_of_a_known_one():
    assert items_in(" ant, bee ,,cat , ", known={"ant", "cat "}) == ["ant", "bee", "cat "]


@pytest.mark.parametrize("line", ["a\rb", "a" * 200_000])
def test_a_history_that_is_no_line_of_csv_is_refused(line):
    with pytest.raises(ValueError, match="--history takes a line of CSV"):
        items_in(line, known=set())
