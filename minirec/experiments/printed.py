"""What the papers print in their tables, typed once into the CSV files of `paper/`."""

from pathlib import Path

import pandas as pd


def paper(table: int, of: str = "glint-ru") -> pd.DataFrame:
    """Return what a paper prints in one of its tables.

    Parameters
    ----------
    table : int
        The table's number: 1 to 4 of GLINT-RU, 1 to 5 of RecBLR.
    of : {"glint-ru", "recblr"}
        The paper.

    Returns
    -------
    DataFrame
        A row for each system (or variant) and data set, in the paper's units: the name of a column
        ends in its unit where it has one, as `epoch_s` does (seconds).
    """
    return pd.read_csv(Path(__file__).parent / "paper" / f"{of}-table-{table}.csv")
