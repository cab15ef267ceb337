"""Published results stand together only where they were measured alike."""

import json

import pandas as pd

from minirec.cli.main import main
from minirec.experiments.references import (
    FILE,
    PROTOCOL,
    SEEN_ITEMS,
    UNKNOWN,
    protocol_in_words,
    references,
)


def test_every_row_is_whole_and_says_what_is_not_known_in_words():
    table = pd.read_csv(FILE)
    assert not table.isna().any().any()
    assert set(table["seen items"]) <= set(SEEN_ITEMS)
    assert table["year"].between(2010, 2100).all()
    assert (table["ndcg"] < table["recall"]).all()
    assert table["recall"].between(0, 1).all()
    for column in ("n_items", "users"):
        told = table.loc[~table[column].isin(UNKNOWN), column]
        assert told.str.fullmatch(r"\d+").all()
    assert not table.duplicated(["source", "system", "data", "recall"]).any()


def test_rows_share_a_group_if_and_only_if_all_of_their_protocol_is_known_and_the_same():
    rows = references().to_dict("records")
    for one in rows:
        for other in rows:
            same = all(one[column] == other[column] for column in PROTOCOL)
            known = not any(one[column] in UNKNOWN for column in PROTOCOL)
            alike = same and (known or one["source"] == other["source"])
            assert (one["group"] == other["group"]) == alike


def test_the_order_of_ties_and_seen_items_part_results_on_the_same_data():
    table = references()
    on_ml_1m = table[table["data"] == "ml-1m"].set_index(["source", "system"])["group"]
    recblr = on_ml_1m["RecBLR paper", "RecBLR"]
    assert recblr == on_ml_1m["Mamba4Rec paper", "Mamba4Rec"]
    assert recblr != on_ml_1m["LRURec paper", "LRURec"]
    assert recblr != on_ml_1m["Klenitskiy & Vasilev", "SASRec+CE"]


def test_within_a_group_the_best_comes_first():
    for _, group in references().groupby("group"):
        assert group["ndcg"].is_monotonic_decreasing


def test_the_command_prints_a_table_for_each_protocol_or_one_as_json(capsys):
    assert main(["reproduce", "--references"]) == 0
    printed = capsys.readouterr().out
    for _, group in references().groupby("group"):
        assert protocol_in_words(group) in printed

    assert main(["reproduce", "--references", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(references())
