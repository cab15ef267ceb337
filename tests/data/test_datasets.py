"""Named data sets: which file is taken, how the real ones count, and what a wrong name is told."""

import gzip
import os
from pathlib import Path

import pytest

from minirec import DataError, available_datasets, load_dataset
from minirec.data import datasets
from minirec.experiments.benchmarks import benchmark_loading

REAL = Path(os.environ.get("MINIREC_DATA", "nowhere"))


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The three places, empty, in the order in which they are searched."""
    places = [tmp_path / place for place in ("home", "environment", "default")]
    for place in places:
        place.mkdir()
    monkeypatch.setenv("MINIREC_DATA", str(places[1]))
    monkeypatch.setattr(datasets, "default_folder", lambda: places[2])
    return places


def write_beauty(folder, n_users):
    text = "".join(f"{user} 1 2 3\n" for user in range(n_users))
    (folder / "beauty.txt.gz").write_bytes(gzip.compress(text.encode()))


def write_ratings(folder, rare=0):
    """Six users who have all rated the same six films, and `rare` films rated once."""
    (folder / "ml-1m").mkdir(exist_ok=True)
    rows = [(user, item) for user in range(1, 7) for item in range(1, 7)]
    rows += [(1, 100 + film) for film in range(rare)]
    text = "".join(f"{user}::{item}::5::{10**9 + item}\n" for user, item in rows)
    (folder / "ml-1m" / "ratings.dat").write_text(text)


def published_counts():
    """name -> (users, items, interactions) as the README beside the real files gives them."""
    counts = {}
    for line in (REAL / "README.md").read_text().splitlines():
        if line.startswith("| `"):
            file, _, *numbers = line.strip("|").split("|")
            name = file.strip(" `").split(".")[0]
            counts[name] = tuple(int(number.replace(",", "")) for number in numbers)
    return counts


@pytest.mark.parametrize("name", ["ml-1m", "beauty", "sports", "video-games", "ml-100k"])
def test_a_real_data_set_counts_exactly_what_is_published(name):
    if not (REAL / "README.md").is_file():
        pytest.skip("MINIREC_DATA names no folder with the real data sets and their README.md")
    data = load_dataset(name, download=False)
    assert tuple(data.statistics()[["users", "items", "interactions"]]) == published_counts()[name]


@pytest.mark.parametrize("name", ["ml-1m", "beauty", "sports", "video-games", "ml-100k"])
def test_the_counts_a_download_is_verified_by_are_the_published_ones(name):
    if not (REAL / "README.md").is_file():
        pytest.skip("MINIREC_DATA names no folder with the real data sets and their README.md")
    assert datasets.NAMED_SETS[name].counts == published_counts()[name]


def test_ml_1m_from_its_ratings_is_the_5_core(folders):
    write_ratings(folders[0], rare=3)
    data = load_dataset("ml-1m", data_home=folders[0])
    assert data.item_ids.tolist() == [1, 2, 3, 4, 5, 6]
    assert (data.n_users, data.n_interactions) == (6, 36)


def test_ml_1m_full_is_not_filtered(folders):
    write_ratings(folders[0], rare=3)
    data = load_dataset("ml-1m-full", data_home=folders[0])
    assert data.item_ids.tolist() == [*range(1, 7), 100, 101, 102]


def test_ml_1m_full_is_never_taken_from_the_filtered_file(folders):
    (folders[0] / "ml-1m.txt.gz").write_bytes(gzip.compress(b"1 2 3\n"))
    with pytest.raises(DataError, match="'ml-1m-full' is not in"):
        load_dataset("ml-1m-full", data_home=folders[0], download=False)


def test_data_home_comes_before_the_environment_and_that_before_the_default(folders):
    found = []
    for n_users, folder in reversed(list(enumerate(folders, 1))):
        write_beauty(folder, n_users)
        found.append(load_dataset("beauty", data_home=folders[0], download=False).n_users)
    assert found == [3, 2, 1]


def test_without_data_home_and_environment_the_default_folder_is_searched(folders, monkeypatch):
    monkeypatch.delenv("MINIREC_DATA")
    write_beauty(folders[2], 3)
    assert load_dataset("beauty", download=False).n_users == 3


def test_in_a_checkout_the_default_folder_lies_beside_the_package():
    root = Path(__file__).resolve().parents[2]
    assert datasets.default_folder() == root / "data"


@pytest.mark.parametrize(
    "file, text",
    [
        ("ml-100k.inter", "user_id:token\titem_id:token\ttimestamp:float\n1\t2\t3\n"),
        ("ml-100k/u.data", "1\t2\t5\t3\n"),
    ],
)
def test_each_name_a_data_set_may_lie_under_is_found(folders, file, text):
    (folders[1] / file).parent.mkdir(exist_ok=True)
    (folders[1] / file).write_text(text)
    assert load_dataset("ml-100k", download=False).n_interactions == 1


def test_the_listing_counts_the_planted_set_as_it_loads():
    data = load_dataset("planted")
    listed = available_datasets().set_index("name").loc["planted"]
    counts = (data.n_users, data.n_items, data.n_interactions)
    assert counts == tuple(listed[["users", "items", "interactions"]])


def test_a_planted_set_lies_ready_or_is_generated(folders):
    assert load_dataset("planted", download=False).n_interactions > 10_000


def test_a_path_loads_the_file(tmp_path):
    (tmp_path / "log.csv").write_text("user,item,timestamp\nb,x,2\na,y,1\nb,z,1\n")
    data = load_dataset(tmp_path / "log.csv")
    assert [data.item_ids[item - 1] for item in data.items] == ["y", "z", "x"]
    assert data.source == "log.csv"


def test_the_columns_of_a_file_can_be_named(tmp_path):
    (tmp_path / "log.csv").write_text("who,what\n1,2\n")
    columns = {"user": "who", "item": "what"}
    data = load_dataset(str(tmp_path / "log.csv"), columns=columns)
    assert data.item_ids.tolist() == [2]


def test_a_named_set_takes_no_columns(folders):
    write_beauty(folders[0], 3)
    with pytest.raises(DataError, match="columns= and where= are for files"):
        load_dataset("beauty", data_home=folders[0], columns={"user": "user", "item": "item"})


@pytest.mark.parametrize(
    "wrong, right",
    [
        ("bauty", "beauty"),
        ("ML-1M", "ml-1m"),
        ("ml1m", "ml-1m"),
        ("videogames", "video-games"),
        ("plantd", "planted"),
    ],
)
def test_an_unknown_name_is_told_the_nearest_known_one(wrong, right):
    message = f"'{wrong}' is neither a file nor the name of a data set. Did you mean '{right}'"
    with pytest.raises(DataError, match=message):
        load_dataset(wrong)


def test_a_name_like_no_other_is_told_all_names():
    names = "planted, ml-1m, ml-1m-full, ml-100k, beauty, sports, video-games"
    with pytest.raises(DataError, match=f"Data sets by name: {names}"):
        load_dataset("/no/such/folder/x.csv")


def test_the_loading_benchmark_gives_each_peer_its_time_as_a_multiple_of_ours():
    frame = benchmark_loading(n_rows=2_000, repeats=1)
    ours = frame[frame["name"] == "ours"].set_index("case")["seconds"]
    expected = frame["seconds"] / frame["case"].map(ours)
    assert frame["ratio"].tolist() == pytest.approx(expected.tolist())
    assert (frame.groupby("case")["name"].nunique() >= 2).all()


def test_the_listing_says_where_each_set_lies(folders):
    write_beauty(folders[1], 3)
    listed = available_datasets().set_index("name")["where"]
    assert listed["beauty"] == str(folders[1] / "beauty.txt.gz")
    assert (listed.drop("beauty") == "not here").all()
