"""Reading files, beside pandas and a Python loop."""

import gzip
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from minirec.data.datasets import find_file, load_dataset
from minirec.profiling import take_turns

N_ROWS = 1_000_000


def benchmark_loading(n_rows: int = N_ROWS, repeats: int = 9) -> pd.DataFrame:
    """Files to `Interactions`: a ratings file of n_rows against pandas reading the same CSV, sequence lines against a Python loop.

    The ratings are made up, in MovieLens-1M's proportions: in the order of users, shuffled, and shuffled with words for ids. The sequence lines
    are MovieLens-1M's own where they lie on this machine, else made from those ratings.
    """
    with tempfile.TemporaryDirectory() as folder:
        by_user, shuffled, words, dat, sequences = _write_ratings(Path(folder), n_rows)
        cases = {
            "CSV": (by_user, "pandas.read_csv", lambda: pd.read_csv(by_user)),
            "CSV, shuffled": (shuffled, "pandas.read_csv", lambda: pd.read_csv(shuffled)),
            "CSV, shuffled, words for ids": (words, "pandas.read_csv", lambda: pd.read_csv(words)),
            "ratings.dat": (dat, "pandas.read_csv of the CSV", lambda: pd.read_csv(by_user)),
            sequences.name: (sequences, "Python loop", lambda: _python_loop(sequences)),
        }
        return pd.concat(
            [
                take_turns(case, {"ours": lambda file=file: load_dataset(file), peer: run}, repeats)
                for case, (file, peer, run) in cases.items()
            ],
            ignore_index=True,
        )


def _write_ratings(folder: Path, n_rows: int) -> tuple[Path, ...]:
    """n_rows ratings as a CSV, shuffled, shuffled with words for ids, as ratings.dat, and as sequence lines (the real ones, if they are here)."""
    generator = np.random.default_rng(0)
    n_users = max(1, n_rows // 165)
    frame = pd.DataFrame(
        {
            "user": np.sort(generator.integers(1, n_users + 1, n_rows)),
            "item": (3_706 * generator.random(n_rows) ** 2).astype(int) + 1,
            "rating": generator.integers(1, 6, n_rows),
            "timestamp": generator.integers(956_703_932, 1_046_454_591, n_rows),
        }
    )
    by_user, shuffled, words, dat = (
        folder / name for name in ("ratings.csv", "shuffled.csv", "words.csv", "ratings.dat")
    )
    frame.to_csv(by_user, index=False)
    mixed = frame.sample(frac=1, random_state=0)
    mixed.to_csv(shuffled, index=False)
    mixed.assign(
        user=[f"user-{user:06d}" for user in mixed.user],
        item=[f"B{item:09d}" for item in mixed.item],
    ).to_csv(words, index=False)
    dat.write_text(by_user.read_text().partition("\n")[2].replace(",", "::"))
    sequences = find_file("ml-1m")
    if sequences is None or sequences.suffix != ".gz":
        sequences = folder / "sequences.txt.gz"
        lines = (
            frame.sort_values(["user", "timestamp"])
            .groupby("user")["item"]
            .agg(lambda items: " ".join(map(str, items)))
        )
        sequences.write_bytes(
            gzip.compress("".join(f"{user} {items}\n" for user, items in lines.items()).encode())
        )
    return by_user, shuffled, words, dat, sequences


def _python_loop(path: Path) -> list[list[int]]:
    """What one would write first: line by line, split, int, append."""
    with gzip.open(path, "rt") as file:
        return [[int(word) for word in line.split()] for line in file]
