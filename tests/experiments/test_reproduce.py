"""Only missing runs are trained, a run cut short continues, tables are made of records alone."""

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from scipy import stats

from minirec.devices import choose_device
from minirec.experiments import results, tables, units
from minirec.experiments import run as runs
from minirec.experiments.records import benchmark_folder, device_in_words, load_records
from minirec.models import model_options
from minirec.training import fit

pytestmark = pytest.mark.slow

RESULTS = Path(__file__).parents[2] / "data" / "results"
SMALL_PLANTED = units.DataSetup("planted", d_model=8, max_len=10, dropout=0.1)


@pytest.fixture
def tiny(monkeypatch):
    """One system on the planted set with two seeds, small and for three epochs."""
    monkeypatch.setattr(units, "DATA", {"beauty": SMALL_PLANTED})
    monkeypatch.setattr(units, "SYSTEMS", {"GRU4Rec": "gru4rec", "SASRec": "sasrec"})
    short = {"epochs": 3, "batch_size": 4096, "device": "cpu"}
    return [
        replace(unit, settings=unit.settings | short)
        for unit in units.units(2, seeds=(0, 1))
        if unit.row == "GRU4Rec"
    ]


@pytest.fixture
def train(tmp_path):
    """`run` with records and checkpoints in this test's folder."""
    return partial(
        runs.run,
        out=tmp_path,
        command=["python"],
        checkpoints=tmp_path / "checkpoints",
        say=lambda line: None,
    )


def record(folder, name, unit, seed, ndcg, ended="converged"):
    """Write a record of a unit, with metrics made up around an NDCG."""
    defaults = {
        "select": "popular-100",
        "lr": 1e-3,
        "lr_schedule": "constant",
        "batch_size": 2048,
        "precision": "float32",
        "objective": "next-item",
    }
    settings = defaults | unit.settings | {"seed": seed}
    figures = {"recall": ndcg + 0.1, "mrr": ndcg - 0.1, "ndcg": ndcg, "users": 1000}
    told = {
        "schema": 1,
        "model": unit.model,
        "data": unit.recorded_data,
        "options": model_options(unit.model) | unit.options,
        "settings": settings,
        "device": "a CPU, 2 threads",
        "ended": ended,
        "metrics": {"test": {"popular-100": figures, "full": figures}},
    }
    (folder / f"{name}.json").write_text(json.dumps(told))


def test_every_row_of_the_papers_tables_has_its_runs():
    for table, n_units in ((2, 8 * len(units.DATA)), (4, 5)):
        rows = tables.paper(table)
        printed = set(zip(rows[rows.columns[0]], rows["data"], strict=True))
        found = units.units(table)
        assert printed <= {(unit.row, unit.paper_data) for unit in found}
        assert len({unit.name for unit in found}) == len(found) == n_units

    kernel_sizes = [unit.options.get("kernel_size") for unit in units.units(figure=2)]
    assert kernel_sizes == [1, 3, 5, 7, None]
    assert {unit.settings["select"] for unit in units.units()} == {"full"}
    assert {unit.paper_data for unit in units.units(2, data=["beauty"], seeds=(3,))} == {"beauty"}
    with pytest.raises(ValueError, match="got table 3"):
        units.units(3)


def test_missing_runs_are_trained_once_and_recorded(tiny, train, tmp_path):
    said = []
    train(tiny, say=said.append)
    records = load_records(tmp_path)
    assert [len(units.find(records, unit)) for unit in tiny] == [1, 1]
    assert len(said) == 2
    assert set(records["ended"]) == {"budget"}
    assert not list((tmp_path / "checkpoints").glob("*"))

    train(tiny, say=said.append)
    assert len(said) == 2  # nothing is left to do


def test_a_call_that_is_cut_short_leaves_no_record_and_the_next_one_continues(
    tiny, train, tmp_path, monkeypatch
):
    histories = []

    def watched_fit(*arguments, **options):
        histories.append(fit(*arguments, **options))
        return histories[-1]

    monkeypatch.setattr(runs, "fit", watched_fit)
    train(tiny[:1], budget=1e-9)
    assert not histories  # the budget was gone before the first run

    # The clock is looked at when a call begins, before a run, and after each of its epochs.
    clock = iter([0.0, 0.0, 9.0, 0.0, *[0.0] * 9])
    monkeypatch.setattr(runs.time, "monotonic", lambda: next(clock))
    train(tiny[:1], budget=5.0)
    assert len(histories[0].epochs) == 1
    assert not list(tmp_path.glob("*.json"))

    train(tiny[:1], budget=5.0)
    assert [entry["epoch"] for entry in histories[1].epochs] == [1, 2, 3]
    assert histories[1].epochs[0] == histories[0].epochs[0]
    assert len(load_records(tmp_path)) == 1


def test_ctrl_c_cuts_a_run_short_and_the_next_call_continues_it(tiny, train, tmp_path, monkeypatch):
    def interrupted_fit(*arguments, on_epoch, **options):
        def interrupt(history):
            on_epoch(history)
            raise KeyboardInterrupt

        return fit(*arguments, on_epoch=interrupt, **options)

    said = []
    with monkeypatch.context() as patched:
        patched.setattr(runs, "fit", interrupted_fit)
        train(tiny, say=said.append)
    assert said == [f"{tiny[0].name}: 1 epochs so far; the same command continues it"]
    assert not list(tmp_path.glob("*.json"))

    train(tiny[:1])
    assert len(load_records(tmp_path)["history"][0]) == 3


def test_a_run_that_has_used_its_own_budget_is_recorded_as_such(tiny, train, tmp_path):
    train(tiny[:1], unit_budget=1e-9)
    told = load_records(tmp_path).iloc[0]
    assert told["ended"] == "budget"
    assert told["stopped"] == "budget"
    assert len(told["history"]) == 1


def test_a_damaged_or_foreign_record_is_an_error_before_anything_is_trained(
    tiny, tmp_path, monkeypatch
):
    def refuse(*arguments, **options):
        pytest.fail("it trained")

    monkeypatch.setattr(runs, "fit", refuse)
    another_run = units.units(figure=2)[0]
    record(tmp_path, tiny[0].name, another_run, 0, 0.3)  # under this one's name
    with pytest.raises(FileExistsError, match="never replaced"):
        runs.run(tiny, tmp_path, command=["python"])
    (tmp_path / "damaged.json").write_text("{")
    with pytest.raises(ValueError, match=r"damaged\.json is not a run record"):
        runs.run(tiny, tmp_path, command=["python"])


def test_ours_stands_beside_the_papers_with_interval_and_sigmas(tmp_path):
    todo = units.units(2, data=["beauty"], seeds=(0, 1, 2))
    glint_ru = next(unit for unit in todo if unit.row == "GLINT-RU")
    for seed, ndcg in enumerate((0.28, 0.30, 0.32)):
        record(tmp_path, f"seed{seed}", glint_ru, seed, ndcg)
    table = tables.beside_paper(todo, tmp_path, 2).set_index("system")

    ours = table.loc["GLINT-RU"]
    assert ours["n_seeds"] == 3
    assert ours["ended"] == "converged"
    assert ours["paper ndcg"] == 0.2964
    assert ours["ndcg"] == pytest.approx(0.30)
    assert ours["ndcg difference"] == pytest.approx(0.0036)
    low, high = stats.t.interval(0.95, 2, loc=0.30, scale=stats.sem([0.28, 0.30, 0.32]))
    assert 0.30 - ours["interval"] == pytest.approx(low)
    assert 0.30 + ours["interval"] == pytest.approx(high)
    assert ours["sigmas"] == pytest.approx((0.40 - 0.4472) / math.sqrt(2 * 0.4 * 0.6 / 1000))

    missing = table.loc["SASRec"]
    assert missing["ended"] == "not run"
    assert missing["n_seeds"] == 0
    assert math.isnan(missing["ndcg"])


def test_table_1_shows_data_that_the_paper_does_not_have(monkeypatch):
    data = {"beauty": SMALL_PLANTED, "ml-1m, 5-core": SMALL_PLANTED}
    monkeypatch.setattr(tables, "DATA", data)
    table = tables.statistics_beside_paper().set_index("data")
    assert table["users"].tolist() == [3000, 3000]
    assert table.loc["beauty", "paper users"] == 22364
    assert math.isnan(table.loc["ml-1m, 5-core", "paper users"])


def test_where_nothing_was_recorded_every_row_says_so(tmp_path):
    table = tables.beside_paper(units.units(4), tmp_path / "nothing", 4)
    assert set(table["ended"]) == {"not run"}


@pytest.mark.parametrize(
    ("changed", "value"),
    [
        ("model", "gru4rec"),
        ("data", "ml-1m"),
        ("options.d_model", 32),
        ("settings.seed", 1),
        ("settings.select", "full"),
        ("settings.lr", 0.01),
        ("settings.objective", "prefix"),
        ("settings.batch_size", 512),
    ],
)
def test_a_record_of_another_run_is_not_taken(tmp_path, changed, value):
    unit = units.units(2, data=["beauty"])[0]
    record(tmp_path, "one", unit, 0, 0.3)
    records = load_records(tmp_path)
    assert len(units.find(records, unit)) == 1
    assert len(units.find(records.assign(**{changed: value}), unit)) == 0


@pytest.mark.parametrize(
    ("paper_data", "table", "rows"),
    [
        ("beauty", 2, set(units.SYSTEMS)),
        ("beauty", None, {"RecBLR"}),
        ("ml-1m, 5-core, ties by movie id", None, {"RecBLR"}),
        ("video-games", 2, {"GLINT-RU", "GRU4Rec"}),
    ],
)
def test_the_records_in_the_repository_are_found(paper_data, table, rows):
    """Also where the model has got an option since."""
    asked = units.units(table, data=[paper_data])
    found = units.recorded(asked, RESULTS)
    assert rows <= {unit.row for unit, _ in found}


def test_runs_on_an_earlier_order_are_shown_under_its_name_and_never_to_be_trained(tmp_path):
    for table in (2, None):
        assert not {unit.paper_data for unit in units.units(table)} & set(units.EARLIER)

    earlier = units.units(2, data=units.EARLIER)
    for unit in (earlier[0], earlier[-1], *units.units(data=units.EARLIER)):
        record(tmp_path, unit.name, unit, 0, 0.3)
    table = tables.beside_paper(units.units(2, data=["ml-1m, 5-core"]), tmp_path, 2)
    assert set(table["ended"]) == {"not run"}

    lines = results.page(tmp_path).splitlines()
    shown = [line for line in lines if line.startswith("| ml-1m, 5-core")]
    assert len(shown) == 5  # two of Table 2's; by full ranking these two and RecBLR's own
    assert all(line.startswith("| ml-1m, 5-core, ties by movie id |") for line in shown)
    not_run = [line for line in lines if line.startswith("Not run yet:")]
    assert len(not_run) == 4  # Table 2, full ranking, and RecBLR's two
    assert all("ml-1m, 5-core" in line for line in not_run[:2])
    assert not any("ties by movie id" in line for line in not_run)
    assert results.ABOUT_EARLIER in lines
    assert "ties by movie id" not in results.readme_section(tmp_path)


def test_efficiency_is_compared_by_ratios(tmp_path):
    assert tables.efficiency_beside_paper(tmp_path).empty

    case = "epoch, own objective, beauty, d = 64, N = 100"
    rows = [
        {"case": case, "name": "glint-ru", "seconds": 2.0},
        {"case": case, "name": "sasrec", "seconds": 6.0},
    ]
    (tmp_path / "benchmarks").mkdir()
    record = {"device": "a CPU, 2 threads", "rows": rows}
    (tmp_path / "benchmarks" / "train.json").write_text(json.dumps(record))
    table = tables.efficiency_beside_paper(tmp_path).set_index("system")
    assert table.loc["SASRec", "ratio"] == 3
    assert table.loc["SASRec", "paper ratio"] == pytest.approx(8.1 / 3.8)


def test_figures_of_a_cpu_and_of_a_gpu_lie_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 (80 GB)")
    case = "epoch, own objective, beauty, d = 64, N = 100"
    gpu = torch.device("cuda")
    for device, seconds in ((torch.device("cpu"), 6.0), (gpu, 3.0)):
        rows = [{"case": case, "name": "glint-ru", "seconds": seconds}]
        path = benchmark_folder(tmp_path, device) / "train.json"
        path.parent.mkdir()
        path.write_text(json.dumps({"device": device_in_words(device), "rows": rows}))
    assert benchmark_folder(tmp_path, gpu).name == "nvidia-h100-80-gb"

    assert tables.efficiency_beside_paper(tmp_path)["seconds"].tolist() == [6]
    both = tables.efficiency_beside_paper(tmp_path, gpus=True)
    assert both["seconds"].tolist() == [6, 3]
    assert both["device"].tolist() == [device_in_words(torch.device("cpu")), "NVIDIA H100 (80 GB)"]


def test_systems_are_timed_once(tmp_path, monkeypatch):
    calls = []
    kinds = ["train", "inference", "memory", *runs.OF_CLAIMS]

    def measure(kind):
        calls.append(kind)
        return pd.DataFrame({"name": ["x", "y"], "seconds": [1.0, None], "mib": [None, 2.0]})

    monkeypatch.setattr(runs, "measure", measure)
    for _ in range(2):
        runs.time_systems(tmp_path, ["python"], say=lambda line: None)
    assert calls == kinds
    folder = benchmark_folder(tmp_path, choose_device("auto"))
    memory = json.loads((folder / "memory.json").read_text())
    assert memory["rows"] == [{"name": "x", "seconds": 1}, {"name": "y", "mib": 2}]


def test_runs_that_ended_on_their_budget_stand_apart(tmp_path):
    for unit, ended in zip(
        units.units(2, data=["beauty"])[:2], ("converged", "budget"), strict=True
    ):
        record(tmp_path, unit.name, unit, 0, 0.3, ended)
    lines = results.page(tmp_path).splitlines()
    heading = lines.index(results.CUT_SHORT)  # of Table 2; full ranking has its own further down
    starts = [line[:37] for line in lines]
    ranked = starts.index("| beauty | id | GLINT-RU | 0.4000 / 0")
    apart = starts.index("| beauty | id | SASRec | 0.4000 / 0.4")
    assert ranked < heading < apart


def test_the_readme_shows_the_best_finished_run_bold_and_a_cut_short_one_in_brackets(tmp_path):
    of_system = {unit.row: unit for unit in units.units(2, data=["beauty"])}
    record(tmp_path, "best", of_system["GLINT-RU"], 0, 0.3)
    record(tmp_path, "cut-short", of_system["SASRec"], 0, 0.4, "budget")
    record(tmp_path, "second", of_system["GRU4Rec"], 0, 0.2)
    lines = results.readme_section(tmp_path).splitlines()
    assert "| system | beauty (ties: id) |" in lines
    assert "| GLINT-RU | **0.3000** / 0.2964 |" in lines
    assert "| SASRec | (0.4000) / 0.2798 |" in lines
    assert "| GRU4Rec | 0.2000 / 0.2351 |" in lines
    assert not [line for line in lines if line.startswith("| LinRec |")]
    assert "No system has been run yet on ml-1m; video-games; ml-1m, 5-core." in lines


def test_of_a_single_run_nobody_says_that_it_is_the_best(tmp_path):
    unit = units.units(2, data=["beauty"])[0]
    record(tmp_path, unit.name, unit, 0, 0.3)
    assert "| GLINT-RU | 0.3000 / 0.2964 |" in results.readme_section(tmp_path).splitlines()


def test_the_results_are_written_between_their_marks_and_whole_beside_the_readme(tmp_path):
    record(tmp_path, "one", units.units(2, data=["beauty"])[0], 0, 0.3)
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- results -->\nold\n<!-- end of results -->\nafter\n")
    for _ in range(2):
        results.write_results(readme, tmp_path)

    section = results.readme_section(tmp_path)
    text = readme.read_text()
    assert text == f"before\n<!-- results -->\n{section}<!-- end of results -->\nafter\n"
    whole = (tmp_path / "docs" / "results.md").read_text()
    assert whole == results.page(tmp_path)
    assert "| beauty | id | GLINT-RU | 0.4000 / 0.4472 |" in whole

    readme.write_text("no marks")
    with pytest.raises(ValueError, match="end of results"):
        results.write_results(readme, tmp_path)
