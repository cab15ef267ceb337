"""Reading files, beside pandas and a Python loop."""

import gzip
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from minirec.data.datasets import find_file, load_file
from minirec.profiling import take_turns

N_ROWS = 1_000_000


@dataclass(frozen=True)
class Case:
    """A file that we read, and who reads the same beside us."""

    name: str
    file: Path
    peers: dict[str, Callable[[Path], object]]
    file_of_peers: Path


def benchmark_loading(n_rows: int = N_ROWS, repeats: int = 9) -> pd.DataFrame:
    """Measure how long files take to become `Interactions`.

    A ratings file against pandas, sequence lines against a Python loop. pandas.read_csv only makes
    a frame of the file; "pandas, all of it" also does what a log needs: it drops repeated rows,
    puts each user's in the order of time, and numbers users and items. The
    ratings are made up, in MovieLens-1M's proportions: in the order of users, shuffled, and
    shuffled with words for ids. The sequence lines are MovieLens-1M's own where they lie on this
    machine, else made from those ratings.

    Parameters
    ----------
    n_rows : int
        Ratings in a file.
    repeats : int
        How often each is measured.

    Returns
    -------
    DataFrame
        Seconds per file, as `take_turns` returns them.
    """
    frames = []
    with tempfile.TemporaryDirectory() as folder:
        for case in _write_cases(Path(folder), n_rows):
            runs: dict[str, Callable[[], Any]] = {"ours": partial(load_file, str(case.file))}
            for name, peer_reads in case.peers.items():
                runs[name] = partial(peer_reads, case.file_of_peers)
            frames.append(take_turns(case.name, runs, repeats))
    return pd.concat(frames, ignore_index=True)


def _write_cases(folder: Path, n_rows: int) -> list[Case]:
    """Write the same ratings in every format; return who reads which file."""
    ratings = _random_ratings(n_rows)
    by_user = folder / "ratings.csv"
    ratings.to_csv(by_user, index=False)

    shuffled = folder / "shuffled.csv"
    mixed = ratings.sample(frac=1, random_state=0)
    mixed.to_csv(shuffled, index=False)

    words = folder / "words.csv"
    user_words = [f"user-{user:06d}" for user in mixed["user"]]
    item_words = [f"B{item:09d}" for item in mixed["item"]]
    mixed.assign(user=user_words, item=item_words).to_csv(words, index=False)

    dat = folder / "ratings.dat"  # MovieLens's format: no header, :: between the columns
    _header, _, lines = by_user.read_text().partition("\n")
    dat.write_text(lines.replace(",", "::"))

    peers: dict[str, Callable[[Path], object]] = {
        "pandas.read_csv": pd.read_csv,
        "pandas, all of it": _all_by_pandas,
    }
    cases = [
        Case("CSV", by_user, peers, by_user),
        Case("CSV, shuffled", shuffled, peers, shuffled),
        Case("CSV, shuffled, words for ids", words, peers, words),
        Case("ratings.dat, beside the CSV", dat, peers, by_user),
    ]
    sequences = _sequence_lines(folder, ratings)
    return [*cases, Case(sequences.name, sequences, {"Python loop": _python_loop}, sequences)]


def _all_by_pandas(path: Path) -> pd.DataFrame:
    """Make a frame of a log by pandas: each row once, in order, users and items numbered."""
    frame = pd.read_csv(path)
    frame = frame.drop_duplicates(["user", "item", "timestamp"])
    frame = frame.sort_values(["user", "timestamp"], kind="stable")
    for column in ("user", "item"):
        frame[column], _ = pd.factorize(frame[column], sort=True)
    return frame


def _random_ratings(n_rows: int) -> pd.DataFrame:
    """Make up ratings in the order of users, in MovieLens-1M's proportions."""
    generator = np.random.default_rng(0)
    n_users = max(1, n_rows // 165)
    return pd.DataFrame(
        {
            "user": np.sort(generator.integers(1, n_users + 1, n_rows)),
            # The square makes some items much more popular than others.
            "item": (3_706 * generator.random(n_rows) ** 2).astype(int) + 1,
            "rating": generator.integers(1, 6, n_rows),
            "timestamp": generator.integers(956_703_932, 1_046_454_591, n_rows),
        }
    )


def _sequence_lines(folder: Path, ratings: pd.DataFrame) -> Path:
    """Return MovieLens-1M's sequence lines if they are here, else write the ratings' own."""
    real = find_file("ml-1m")
    if real is not None and real.suffix == ".gz":
        return real

    lines = []
    for user, rows in ratings.sort_values(["user", "timestamp"]).groupby("user"):
        items = " ".join(str(item) for item in rows["item"])
        lines.append(f"{user} {items}\n")
    path = folder / "sequences.txt.gz"
    path.write_bytes(gzip.compress("".join(lines).encode()))
    return path


def _python_loop(path: Path) -> list[list[int]]:
    """Read sequence lines as one would at first: line by line, split, int, append."""
    with gzip.open(path, "rt") as file:
        return [[int(word) for word in line.split()] for line in file]
