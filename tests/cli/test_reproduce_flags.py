"""What is typed after `minirec reproduce`: each mistake is named before anything is trained."""

import sys

import pytest

from minirec.cli.reproduce import _seeds
from minirec.experiments import tuning
from minirec.experiments.orders import ORDERS_OF


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("--table 2 --seeds x", "'x' are no seeds; write 0 or 0,1,2"),
        ("--table 2 --seeds=-1", "'-1' are no seeds"),
        ("--table 2 --seeds 0,,1", "'0,,1' are no seeds"),
        ("--tune gru4rec --trials 0", "'0' is no integer from 1 up"),
        ("--tune gru4rec --trial-epochs=-3", "'-3' is no integer from 1 up"),
        ("--tune gru5rec", "'gru5rec' is none of"),
        ("--paper recblr --table 1 --file gowalla=nowhere.csv", "there is no file nowhere.csv"),
        ("--paper recblr --table 1 --file beauty=a.csv", "is not NAME=FILE with one of gowalla"),
    ],
)
def test_a_flag_that_means_nothing_is_named(cli, capsys, typed, message):
    with pytest.raises(SystemExit) as stopped:
        cli(f"reproduce {typed} --budget 0")
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("--table 5", "for RecBLR's add --paper recblr"),
        ("--figure 6", "for RecBLR's add --paper recblr"),
        ("--paper recblr --figure 2", "of RecBLR there are --table 1, 2, 3, 4 and 5, and --figure"),
        ("--paper recblr --figure 6 --data steam", "none of this table's data: beauty, ml-1m, sp"),
        ("--table 2 --data books", "none of this table's data: beauty, ml-1m, ml-1m-5core, video"),
        ("--paper recblr --table 1 --data steam", "none of this table's data: beauty, ml-1m, sp"),
        ("--orders --data books", "none of this table's data: beauty, ml-100k, ml-1m, sports."),
        ("--tune gru4rec --data planted --data books", "'books' is none of the data to tune on"),
    ],
)
def test_what_the_papers_do_not_have_is_named_with_what_they_have(cli, tmp_path, typed, message):
    refused = cli(f"reproduce {typed}", out=tmp_path)
    assert refused.status == 1
    assert message in refused.err
    assert list(tmp_path.iterdir()) == []


def test_a_seed_that_is_typed_twice_is_run_once():
    assert _seeds("2,0,2") == [2, 0]


def test_orders_of_ties_are_shown_of_the_data_that_are_asked_for(cli, tmp_path):
    shown = cli("reproduce --orders --data sports --budget 0 --json", out=tmp_path).json()
    assert {row["data"] for row in shown} == {"sports"}
    assert {row["ties"] for row in shown} == set(ORDERS_OF["sports"])
    printed = cli("reproduce --orders --data sports --budget 0", out=tmp_path).out
    assert "RecBLR's lead over" in printed
    assert "beauty" not in printed


def test_a_search_without_optuna_says_what_to_install(cli, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    refused = cli("reproduce --tune gru4rec --data planted", out=tmp_path)
    assert refused.status == 1
    assert "pip install 'minirec[tune]'" in refused.err
    assert list(tmp_path.iterdir()) == []


def test_all_searches_share_the_budget_of_a_call(cli, tmp_path, monkeypatch):
    pytest.importorskip("optuna", reason="the extra 'tune' is not installed")
    left = []

    def note_budget(unit, *arguments, budget, **more):
        left.append((unit.model, budget))

    monkeypatch.setattr("minirec.cli.reproduce.tune", note_budget)
    monkeypatch.setattr("minirec.cli.reproduce.tuned_side_by_side", tuning.pd.DataFrame)
    monkeypatch.setattr(tuning.Unit, "load", lambda unit, data_home: Log())
    cli("reproduce --tune gru4rec,sasrec --data planted --budget 9m", out=tmp_path)
    assert [model for model, _ in left] == ["gru4rec", "sasrec"]
    assert 0 < left[1][1] <= left[0][1] <= 9 * 60


class Log:
    """Data that are never read."""

    def split(self):
        return None
