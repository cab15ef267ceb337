"""Every claim of the papers is judged by records alone, and a budget's end decides nothing."""

import itertools
import json
import math
import random
import re
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from minirec.cli.main import main
from minirec.experiments import claims, scoreboard
from minirec.experiments.benchmarks.recblr_scans import benchmark_recblr_scans
from minirec.models import model_options
from minirec.training import FIT_DEFAULTS

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "data"
CLAIMS = claims.read_claims(DATA / "claims.csv")

AHEAD = {
    "id": "one",
    "paper": "GLINT-RU",
    "place": "Table 2",
    "claim": "GLINT-RU is ahead of SASRec on Beauty",
    "kind": "ahead",
    "data": "Beauty",
    "systems": "GLINT-RU",
    "others": "SASRec",
    "protocol": "popular-100",
    "metric": "ndcg",
    "confirmed_by": "the interval lies above 0",
    "untestable": "",
}
CHEAPER = AHEAD | {"kind": "cheaper", "protocol": "inference", "metric": "seconds"}
LINEAR = AHEAD | {
    "kind": "linear in length",
    "data": "",
    "others": "",
    "protocol": "length",
    "metric": "seconds",
}


@pytest.fixture
def out(tmp_path):
    """An empty folder of records, beside which a table of claims may lie."""
    folder = tmp_path / "results"
    (folder / "benchmarks").mkdir(parents=True)
    return folder


def write_claims(out, *rows):
    pd.DataFrame(rows).to_csv(out.parent / "claims.csv", index=False)


def as_row(claim):
    """Return a claim as a row of the table."""
    row = asdict(claim)
    return row | {key: "; ".join(row[key]) for key in ("data", "systems", "others")}


def write_record(out, model, ndcg, seed=0, **changes):
    """Write a record of a finished run on Beauty at GLINT-RU's sizes, but for the changes."""
    settings = {key: FIT_DEFAULTS[key] for key in ("lr", "lr_schedule", "batch_size", "precision")}
    settings |= {"objective": "next-item", "select": "popular-100", "seed": seed}
    settings |= {"epochs": 200, "patience": 10}
    sizes = {"d_model": 64, "max_len": 100, "dropout": 0.5}
    figures = {"recall": 0.4, "mrr": 0.2, "ndcg": ndcg, "users": 20_000}
    told = {
        "schema": 1,
        "model": model,
        "data": changes.get("data", "beauty"),
        "fingerprint": changes.get("fingerprint", "abc"),
        "options": model_options(model) | sizes | changes.get("options", {}),
        "settings": settings | changes.get("settings", {}),
        "ended": changes.get("ended", "converged"),
        "metrics": {"test": {"popular-100": figures, "full": figures}},
    }
    name = f"{model}-{seed}-{told['data']}-{told['fingerprint']}-{told['settings']['lr']}.json"
    (out / name).write_text(json.dumps(told))
    return name


def write_benchmark(out, file, rows, folder="", device="a CPU"):
    """Write a benchmark's record; a row is case, name, median and quartiles."""
    columns = ["case", "name", "seconds", "low", "high"]
    record = {"device": device, "rows": [dict(zip(columns, row, strict=True)) for row in rows]}
    (out / "benchmarks" / folder).mkdir(exist_ok=True)
    (out / "benchmarks" / folder / f"{file}.json").write_text(json.dumps(record))


def judged(out):
    return claims.judged_claims(out).iloc[0]


# --- The table of claims -----------------------------------------------------------------------


def test_every_row_of_the_table_says_what_confirms_it_or_why_it_cannot_be_tested():
    assert {claim.paper for claim in CLAIMS} == set(claims.PAPERS)
    assert {claim.kind for claim in CLAIMS} == set(claims.KINDS)
    for claim in CLAIMS:
        assert claim.place
        assert claim.claim
        assert bool(claim.confirmed_by) != bool(claim.untestable)
        if claim.kind == "ahead":
            judged_by = {"GLINT-RU": "popular-100", "RecBLR": "full"}
            assert claim.protocol == judged_by[claim.paper]
            assert not set(claim.systems) & set(claim.others)


def test_every_rival_of_both_papers_is_in_a_claim_on_every_data_set_at_hand():
    glint_ru = {"GRU4Rec", "BERT4Rec", "SASRec", "LinRec", "SMLP4Rec", "Mamba4Rec"}
    recblr = {"FPMC", "Caser", "NARM", "GRU4Rec", "SASRec", "BERT4Rec", "FMLP-Rec", "LRURec"}
    for paper, place, rivals in (
        ("GLINT-RU", "Table 2", glint_ru),
        ("RecBLR", "Table 1", recblr),
    ):
        wanted = {
            (data, rival)
            for (named, data), rival in itertools.product(claims.DATA, rivals)
            if named == paper
        }
        found = set()
        for claim in CLAIMS:
            if claim.paper == paper and claim.place == place and claim.kind == "ahead":
                assert claim.systems == (paper,)
                found |= set(itertools.product(claim.data, claim.others))
        assert found == wanted


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "better"}, "there is no kind 'better'"),
        ({"paper": "SASRec"}, "there is no paper 'SASRec'"),
        ({"systems": "SASREC"}, "there is no system 'SASREC'"),
        ({"others": "SASRec; GLINT"}, "there is no system 'GLINT'"),
        ({"data": "Sports"}, "no data set 'Sports'"),
        ({"protocol": "inference"}, "there is no protocol 'inference' of this kind"),
        ({"metric": "seconds"}, "there is no metric 'seconds' of this kind"),
        ({"untestable": "no data"}, "if and only if the kind is none"),
        ({"kind": "none"}, "if and only if the kind is none"),
    ],
)
def test_a_row_that_is_not_well_formed_is_named_with_what_is_wrong(out, changed, message):
    write_claims(out, AHEAD | changed)
    with pytest.raises(ValueError, match=rf"claims\.csv, claim 'one': .*{message}.*; mend the row"):
        claims.judged_claims(out)


def test_two_rows_with_one_id_are_an_error(out):
    write_claims(out, AHEAD, AHEAD)
    with pytest.raises(ValueError, match="another row has this id"):
        claims.judged_claims(out)


def test_a_table_that_lies_nowhere_or_lacks_a_column_is_named(out):
    with pytest.raises(ValueError, match=r"no table of claims at .*claims\.csv.*--out"):
        claims.judged_claims(out)
    row = dict(AHEAD)
    del row["metric"]
    write_claims(out, row)
    with pytest.raises(ValueError, match="lacks the columns metric"):
        claims.judged_claims(out)


# --- Claims of order ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        (0.30, 0.25, "confirmed"),
        (0.25, 0.30, "contradicted"),
        (0.301, 0.300, "undecided"),
        (0.300, 0.301, "undecided"),
    ],
)
def test_two_finished_runs_decide_by_the_interval_of_their_difference(out, ours, theirs, verdict):
    write_claims(out, AHEAD)
    files = [write_record(out, "glint-ru", ours), write_record(out, "sasrec", theirs)]
    row = judged(out)
    assert row["verdict"] == verdict
    assert row["evidence"] == files
    assert f"{ours:.4f} against {theirs:.4f}" in row["said"][0]
    assert "over users" in row["said"][0]


@pytest.mark.parametrize("unfinished", ["glint-ru", "sasrec"])
def test_a_run_that_its_budget_ended_never_decides(out, unfinished):
    write_claims(out, AHEAD)
    for model, ndcg in (("glint-ru", 0.35), ("sasrec", 0.25)):
        ended = "budget" if model == unfinished else "converged"
        write_record(out, model, ndcg, ended=ended)
    row = judged(out)
    assert row["verdict"] == "untested"
    name = {"glint-ru": "GLINT-RU", "sasrec": "SASRec"}[unfinished]
    assert row["said"] == [f"only unfinished runs of {name} on Beauty"]
    assert row["evidence"] == []


def test_without_records_a_claim_is_untested_and_says_what_is_missing(out):
    write_claims(out, AHEAD)
    row = judged(out)
    assert row["verdict"] == "untested"
    assert row["said"] == ["no run of GLINT-RU on Beauty", "no run of SASRec on Beauty"]


def test_a_claim_about_what_is_not_at_hand_is_untestable_for_its_reason(out):
    write_claims(out, AHEAD | {"kind": "none", "untestable": "Gowalla is not at hand"})
    row = judged(out)
    assert row["verdict"] == "untestable here"
    assert row["said"] == ["Gowalla is not at hand"]


@pytest.mark.parametrize(
    "changes",
    [
        {"fingerprint": "another order of ties"},
        {"settings": {"lr": 0.01}},
        {"settings": {"patience": 25}},
        {"options": {"d_model": 32}},
        {"options": {"max_len": 50}},
        {"settings": {"select": "full"}},
        {"data": "planted"},
    ],
)
def test_runs_that_differ_in_more_than_the_system_are_never_compared(out, changes):
    write_claims(out, AHEAD)
    write_record(out, "glint-ru", 0.35)
    write_record(out, "sasrec", 0.25, **changes)
    assert judged(out)["verdict"] == "untested"


@pytest.mark.parametrize(
    ("schedule", "verdict"), [("constant", "confirmed"), ("cosine", "untested")]
)
def test_the_epochs_asked_for_matter_only_where_a_schedule_hangs_on_them(out, schedule, verdict):
    write_claims(out, AHEAD)
    for model, ndcg, epochs in (("glint-ru", 0.35, 200), ("sasrec", 0.25, 45)):
        settings = {"lr_schedule": schedule, "epochs": epochs}
        write_record(out, model, ndcg, settings=settings)
    assert judged(out)["verdict"] == verdict


@pytest.mark.slow
@pytest.mark.parametrize("deviations", [(1.0, 1.0), (1.0, 4.0)])
def test_the_interval_over_seeds_holds_the_true_difference_nineteen_times_of_twenty(deviations):
    draw = np.random.default_rng(0)
    n_held = 0
    for _ in range(4_000):
        ours, theirs = (draw.normal(0, deviation, 3) for deviation in deviations)
        half = claims._half_interval_over_seeds(ours, theirs)
        n_held += abs(ours.mean() - theirs.mean()) <= half
    # Welch's interval is approximate: with three seeds a side between 94% and 97% hold it.
    assert 0.935 < n_held / 4_000 < 0.975


@pytest.mark.slow
@pytest.mark.parametrize("alike", [0.0, 0.7])
def test_the_interval_over_users_errs_towards_undecided(alike):
    """Two systems, equally good, rank 2,000 users' targets, more or less alike."""
    draw = np.random.default_rng(0)
    n_held = 0
    for _ in range(1_000):
        shared = draw.normal(size=2_000)
        sides = []
        for _ in range(2):
            own = draw.normal(size=2_000)
            latent = math.sqrt(alike) * shared + math.sqrt(1 - alike) * own
            ranks = np.ceil(stats.norm.cdf(latent) * 100)
            ndcg = np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0.0)
            figures = {"recall": (ranks <= 10).mean(), "mrr": 0.0, "ndcg": ndcg.mean()}
            told = {f"metrics.test.full.{key}": [value] for key, value in figures.items()}
            sides.append(pd.DataFrame(told | {"metrics.test.full.users": [2_000]}))
        claim = claims.Claim(*["", "", "", "", ""], (), (), (), "full", "ndcg", "", "")
        half = claims._half_interval_over_users(*sides, claim)
        means = [side["metrics.test.full.ndcg"][0] for side in sides]
        n_held += abs(means[0] - means[1]) <= half
    assert n_held / 1_000 > 0.95


def test_several_seeds_decide_by_welchs_interval(out):
    write_claims(out, AHEAD)
    samples = {"glint-ru": [0.30, 0.31, 0.32], "sasrec": [0.24, 0.29]}
    for model, figures in samples.items():
        for seed, ndcg in enumerate(figures):
            write_record(out, model, ndcg, seed=seed)
    row = judged(out)
    test = stats.ttest_ind(*samples.values(), equal_var=False)
    low, high = test.confidence_interval(0.95)
    assert f"({low:+.4f} to {high:+.4f} over 3 and 2 seeds)" in row["said"][0]
    assert row["verdict"] == "undecided"
    assert len(row["evidence"]) == 5


def test_two_records_of_one_seed_are_not_two_seeds(out):
    write_claims(out, AHEAD)
    (out / "recblr").mkdir()
    for folder in (out, out / "recblr"):
        write_record(folder, "glint-ru", 0.301)
        write_record(folder, "sasrec", 0.300)
    row = judged(out)
    assert "over users" in row["said"][0]
    assert row["verdict"] == "undecided"


def test_orders_of_ties_that_disagree_decide_nothing(out):
    write_claims(out, AHEAD | {"paper": "RecBLR", "systems": "RecBLR", "protocol": "full"})
    at_recblrs_sizes = {"options": {"max_len": 50}, "settings": {"select": "full"}}
    for data, ours in (("beauty", 0.35), ("beauty-with-times.inter.gz", 0.15)):
        write_record(out, "recblr", ours, data=data, fingerprint=data, **at_recblrs_sizes)
        write_record(out, "sasrec", 0.25, data=data, fingerprint=data, **at_recblrs_sizes)
    row = judged(out)
    assert row["verdict"] == "undecided"
    assert len(row["said"]) == 2

    for path in out.glob("*with-times*"):
        path.unlink()
    assert judged(out)["verdict"] == "confirmed"


@pytest.mark.parametrize(
    ("linrec", "verdict"), [(0.25, "confirmed"), (0.35, "contradicted"), (None, "untested")]
)
def test_a_claim_about_several_rivals_needs_them_all(out, linrec, verdict):
    write_claims(out, AHEAD | {"others": "SASRec; LinRec"})
    write_record(out, "glint-ru", 0.30)
    write_record(out, "sasrec", 0.25)
    if linrec is not None:
        write_record(out, "linrec", linrec, settings={"objective": "prefix"})
    row = judged(out)
    assert row["verdict"] == verdict
    assert any("GLINT-RU against SASRec" in said for said in row["said"])


def test_records_of_recblrs_own_settings_are_read_from_their_folder(out):
    write_claims(out, AHEAD)
    (out / "recblr").mkdir()
    write_record(out, "glint-ru", 0.30)
    name = write_record(out / "recblr", "sasrec", 0.25)
    row = judged(out)
    assert row["verdict"] == "confirmed"
    assert f"recblr/{name}" in row["evidence"]


@pytest.mark.parametrize("metric", ["recall", "mrr", "ndcg"])
def test_no_distribution_of_ranks_has_a_larger_variance_than_the_one_taken(metric):
    figure = {
        "recall": lambda rank: 1.0,
        "mrr": lambda rank: 1 / rank,
        "ndcg": lambda rank: 1 / math.log2(1 + rank),
    }[metric]
    draw = random.Random(0)
    for _ in range(200):
        ranks = [draw.choice([*range(1, 11), *[0] * draw.randint(1, 30)]) for _ in range(50)]
        figures = np.array([figure(rank) if rank else 0.0 for rank in ranks])
        hits = np.array([rank > 0 for rank in ranks])
        bound = claims.largest_variance(hits.mean(), figures.mean(), metric)
        assert figures.var() <= bound + 1e-12

    extreme = np.array([figure(1)] * 3 + [figure(10)] * 4 + [0.0] * 9)
    bound = claims.largest_variance(7 / 16, extreme.mean(), metric)
    assert extreme.var() == pytest.approx(bound)


# --- Claims of cost ----------------------------------------------------------------------------

READING = "reading 2,048 histories of 100, d = 64"


@pytest.mark.parametrize(
    ("kind", "ours", "verdict"),
    [
        ("cheaper", (1.0, 0.9, 1.1), "confirmed"),
        ("cheaper", (3.0, 2.9, 3.1), "contradicted"),
        ("cheaper", (2.0, 1.9, 2.2), "undecided"),
        ("about as cheap", (2.2, 2.1, 2.3), "confirmed"),
        ("about as cheap", (2.9, 2.8, 3.0), "contradicted"),
        ("about as cheap", (2.5, 2.3, 2.6), "undecided"),
    ],
)
def test_a_cost_is_judged_by_its_ratio_and_the_spread_of_that(out, kind, ours, verdict):
    write_claims(out, CHEAPER | {"kind": kind})
    rows = [(READING, "glint-ru", *ours), (READING, "sasrec", 2.0, 1.95, 2.05)]
    write_benchmark(out, "inference", rows)
    row = judged(out)
    assert row["verdict"] == verdict
    assert row["measured_on"] == "a CPU"
    assert row["evidence"] == ["benchmarks/inference.json"]
    assert f"ratio {ours[0] / 2:.2f}" in row["said"][0]


def test_what_was_counted_has_no_spread_though_times_stand_beside_it(out):
    write_claims(out, CHEAPER | {"protocol": "memory", "metric": "mib"})
    case = "training step, a sample a prefix, padded, beauty, d = 64, N = 100"
    rows = [
        {"case": "a time", "name": "glint-ru", "seconds": 1.0, "low": 0.9, "high": 1.1},
        {"case": case, "name": "glint-ru", "mib": 20.0},
        {"case": case, "name": "sasrec", "mib": 80.0},
    ]
    record = {"device": "a CPU", "rows": rows}
    (out / "benchmarks").mkdir(exist_ok=True)
    (out / "benchmarks" / "memory.json").write_text(json.dumps(record))
    row = judged(out)
    assert row["verdict"] == "confirmed"
    assert row["said"][0].endswith("ratio 0.25")


def test_a_gpus_benchmark_goes_before_the_cpus(out):
    write_claims(out, CHEAPER)
    rows = [(READING, "glint-ru", 1.0, 1.0, 1.0), (READING, "sasrec", 2.0, 2.0, 2.0)]
    write_benchmark(out, "inference", rows)
    swapped = [(READING, "glint-ru", 2.0, 2.0, 2.0), (READING, "sasrec", 1.0, 1.0, 1.0)]
    write_benchmark(out, "inference", swapped, "a-gpu", "a GPU")
    row = judged(out)
    assert row["verdict"] == "contradicted"
    assert row["measured_on"] == "a GPU"
    assert row["evidence"] == ["benchmarks/a-gpu/inference.json"]


def test_a_benchmark_of_other_sizes_or_without_a_system_decides_nothing(out):
    write_claims(out, CHEAPER)
    other = "reading 2,048 histories of 50, d = 64"
    rows = [(other, "glint-ru", 1.0, 1.0, 1.0), (other, "sasrec", 2.0, 2.0, 2.0)]
    write_benchmark(out, "inference", [*rows, (READING, "glint-ru", 1.0, 1.0, 1.0)])
    row = judged(out)
    assert row["verdict"] == "untested"
    assert row["said"] == ["no benchmark of inference on Beauty with GLINT-RU and SASRec"]


@pytest.mark.parametrize(
    ("long", "linear", "quadratic"),
    [
        ((1.1, 1.0, 1.2), "confirmed", "contradicted"),
        ((9.0, 8.5, 9.5), "contradicted", "confirmed"),
        ((3.2, 2.9, 3.5), "undecided", "undecided"),
    ],
)
def test_growth_is_judged_by_its_exponent_at_as_many_positions(out, long, linear, quadratic):
    cases = [f"20,000 positions in rows of N = {n}, d = 64" for n in ("100", "1,000")]
    rows = [(cases[0], "glint-ru", 1.0, 0.99, 1.01), (cases[1], "glint-ru", *long)]
    write_benchmark(out, "length", rows)
    write_claims(out, LINEAR, LINEAR | {"id": "two", "kind": "quadratic in length"})
    table = claims.judged_claims(out)
    assert table["verdict"].tolist() == [linear, quadratic]
    assert f"to the power {1 + math.log10(long[0]):.2f}" in table["said"].iloc[0][0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("other", "padded_embeddings", "verdict"),
    [
        ("RecBLR, serial scan", 1.0, "confirmed"),
        ("RecBLR, padded sequences", 1.0, "confirmed"),
        ("RecBLR, padded sequences", 3.0, "contradicted"),
    ],
)
def test_the_benchmark_behind_recblrs_table_5_decides_its_claims(
    out, other, padded_embeddings, verdict
):
    """The names and the case are those that the benchmark gives its rows, in miniature."""
    table = benchmark_recblr_scans(n_users=30, repeats=1, rows=2, n=1, max_len=5)
    table["seconds"] = 2.0
    table.loc[table["name"] == "parallel, embeddings padded", "seconds"] = padded_embeddings
    table["low"] = table["high"] = table["seconds"]
    table["case"] = table["case"].str.replace("planted, for want of ml-1m, N = 5", "ml-1m, N = 200")
    rows = table[["case", "name", "seconds", "low", "high"]].to_numpy().tolist()
    write_benchmark(out, "recblr-scans", rows)
    of_paper = [claim for claim in CLAIMS if claim.place == "Table 5" and claim.others == (other,)]
    write_claims(out, *(as_row(claim) for claim in of_paper))
    assert judged(out)["verdict"] == verdict


# --- What is shown -----------------------------------------------------------------------------


def test_the_command_counts_the_verdicts_first_and_gives_everything_as_json(out, capsys):
    write_claims(out, AHEAD)
    write_record(out, "glint-ru", 0.30)
    write_record(out, "sasrec", 0.25)
    assert main(["reproduce", "--claims", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"\A\s+verdict\s+GLINT-RU\s+RecBLR\n\s+confirmed\s+1\s+0\n", printed)
    assert AHEAD["claim"] in printed

    assert main(["reproduce", "--claims", "--json", "--out", str(out)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["verdict"] for row in told] == ["confirmed"]
    assert len(told[0]["evidence"]) == 2


def test_the_scoreboard_is_written_between_its_marks_and_whole_beside_the_readme(out):
    write_claims(out, AHEAD, CHEAPER | {"id": "two"})
    write_record(out, "glint-ru", 0.30)
    write_record(out, "sasrec", 0.25)
    readme = out.parent / "README.md"
    readme.write_text("before\n<!-- scoreboard -->\nstale\n<!-- end of scoreboard -->\nafter\n")
    for _ in range(2):
        scoreboard.write_scoreboard(readme, out)
    text = readme.read_text()
    assert text.startswith("before\n<!-- scoreboard -->\n| verdict | GLINT-RU | RecBLR |")
    assert text.endswith("<!-- end of scoreboard -->\nafter\n")
    assert "| confirmed | 1 | 0 |" in text
    assert "stale" not in text
    whole = (out.parent / "docs" / "scoreboard.md").read_text()
    assert "no benchmark of inference on Beauty" in whole
    assert "no benchmark" not in text  # only what is decided

    readme.write_text("no marks")
    with pytest.raises(ValueError, match="end of scoreboard"):
        scoreboard.write_scoreboard(readme, out)


def test_fields_of_a_claim_are_the_columns_of_the_table():
    header = (DATA / "claims.csv").read_text().partition("\n")[0]
    assert header.split(",") == [field.name for field in fields(claims.Claim)]


def test_the_page_says_first_what_was_tested_and_what_each_verdict_means(out):
    write_claims(out, AHEAD, CHEAPER | {"id": "two"})
    write_record(out, "glint-ru", 0.30)
    write_record(out, "sasrec", 0.25)
    text = scoreboard.page(claims.judged_claims(out))
    summary, _, rest = text.partition("## Decided")
    assert "lists 2 claims" in summary
    assert "1 of them are decided so far, 1 are untested" in summary
    for verdict in claims.VERDICTS:
        assert f"| {scoreboard.MEANINGS[verdict]} |" in summary
    assert "| quality of recommendations | 1 | 0 | 0 | 0 |" in summary
    assert "| time and memory | 0 | 0 | 0 | 1 |" in summary
    decided, _, not_decided = rest.partition("## Not decided")
    assert "no benchmark of inference on Beauty" in not_decided
    assert "**confirmed**" in decided
