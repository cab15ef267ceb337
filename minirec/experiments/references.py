"""What others have published under full ranking, grouped by how it was measured."""

from pathlib import Path

import pandas as pd

FILE = Path(__file__).parent / "paper" / "full-ranking-references.csv"

# What changes every figure. Rows that differ in one of these are never ranked together.
PROTOCOL = ["data", "seen items", "filtering", "ties"]

UNKNOWN = (
    "not known",  # the source does not say
    "not read",  # nobody here has looked
)

SEEN_ITEMS = ("kept", "excluded", "last 200 excluded", "not read")


def references() -> pd.DataFrame:
    """Return published results under full ranking, those of one protocol together.

    Returns
    -------
    DataFrame
        A row for each result, on test:

        - group: counts the protocols from 1. The rows of a group have everything in PROTOCOL in
          common; a row of which one of these is not known shares a group only with rows of its own
          source, since nobody can say that it was measured as another.
        - data, and what decides how it is judged: seen items (whether what the user had chosen
          before stays among the candidates), filtering, and the order of ties in time.
        - source, year, system, n_items, users (that are judged), recall and ndcg at 10.

        Within a group the best NDCG comes first.
    """
    table = pd.read_csv(FILE)
    unknown = table[PROTOCOL].isin(UNKNOWN).any(axis=1)
    own_source = table["source"].where(unknown, "")
    keys = [table[column] for column in PROTOCOL] + [own_source]
    table.insert(0, "group", table.groupby(keys, sort=False).ngroup() + 1)
    table = table.sort_values(["group", "ndcg"], ascending=[True, False], ignore_index=True)
    rest = ["source", "year", "system", "n_items", "users", "recall", "ndcg"]
    return table[["group", *PROTOCOL, *rest]]


def protocol_in_words(group: pd.DataFrame) -> str:
    """Say how the rows of one group were measured.

    Parameters
    ----------
    group : DataFrame
        Rows of `references` with the same group.

    Returns
    -------
    str
        "ml-1m; seen items: kept; filtering: 5-core; ties: by item id", for example.
    """
    first = group.iloc[0]
    parts = [f"{column}: {first[column]}" for column in PROTOCOL[1:]]
    return "; ".join([str(first["data"]), *parts])
