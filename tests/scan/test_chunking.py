"""The number of chunks of time against what was measured.

chunks_h200.csv: milliseconds of the bare kernels of the scan in float32, forward and backward, by
shape and number of chunks, on one NVIDIA H200, 27 November 2026; a chunked walk took 0.19 ms to
launch there.
"""

from pathlib import Path

import pandas as pd
import pytest

from minirec.scan.chunking import chunking, chunks_for, formula_pays

MEASURED = pd.read_csv(Path(__file__).with_name("chunks_h200.csv"))
SHAPES = [shape for shape, _ in MEASURED.groupby(["B", "N", "D"])]
MULTIPROCESSORS = 132


def milliseconds(shape):
    """What was measured at a shape, both ways, by number of chunks."""
    rows = MEASURED[(MEASURED[["B", "N", "D"]] == list(shape)).all(axis=1)]
    return (rows.forward_ms + rows.backward_ms).set_axis(rows.chunks)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_choice_is_within_a_tenth_of_the_best_measured(shape):
    measured = milliseconds(shape)
    chosen = chunks_for(*shape, MULTIPROCESSORS, launch_seconds=190e-6)
    assert measured[chosen] <= 1.1 * measured.min()


def test_dear_launches_want_fewer_chunks_and_cheap_ones_cut_shorter_rows():
    dear = [chunks_for(1, n, 64, MULTIPROCESSORS, launch_seconds=1.0) for n in (64, 4096, 2**17)]
    assert dear == [1, 1, 1]
    assert chunks_for(1, 2048, 64, MULTIPROCESSORS, launch_seconds=190e-6) == 1
    assert chunks_for(1, 2048, 64, MULTIPROCESSORS, launch_seconds=0) > 1


@pytest.mark.parametrize("launch_seconds", [0, 190e-6])
@pytest.mark.parametrize("shape", [(2048, 200, 128), (2048, 1024, 512), (256, 8192, 512)])
def test_many_lanes_are_walked_in_one(shape, launch_seconds):
    assert chunks_for(*shape, MULTIPROCESSORS, launch_seconds) == 1


def test_chunking_holds_within_its_block_only_and_its_table_comes_first():
    shape = (1, 2048, 64)
    plain = chunks_for(*shape, MULTIPROCESSORS)
    with pytest.raises(KeyError), chunking(launch_seconds=0, table={shape: 7}):
        assert chunks_for(*shape, MULTIPROCESSORS) == 7
        other = chunks_for(1, 4096, 64, MULTIPROCESSORS)
        assert other == chunks_for(1, 4096, 64, MULTIPROCESSORS, launch_seconds=0)
        with chunking(launch_seconds=1.0):  # inside, the table in force stays
            assert chunks_for(*shape, MULTIPROCESSORS) == 7
            assert chunks_for(1, 4096, 64, MULTIPROCESSORS) == 1
        assert chunks_for(1, 4096, 64, MULTIPROCESSORS) == other
        with chunking(table={}):
            assert chunks_for(*shape, MULTIPROCESSORS) == plain
        assert chunks_for(*shape, MULTIPROCESSORS) == 7
        raise KeyError
    assert chunks_for(*shape, MULTIPROCESSORS) == plain


def test_a_chunk_has_sixteen_positions_or_more():
    """Shorter ones would look better on paper: by `walk_seconds` alone, 128 would be cut in 16."""
    for n in range(1, 600):
        n_chunks = chunks_for(1, n, 64, MULTIPROCESSORS, launch_seconds=0)
        assert n_chunks == 1 or n / n_chunks >= 16
    assert chunks_for(1, 128, 64, MULTIPROCESSORS, launch_seconds=0) == 8


def test_the_bd_lru_is_fused_at_the_shapes_of_training_and_not_over_a_few_long_rows():
    for launch_seconds in (0, 190e-6):
        with chunking(launch_seconds=launch_seconds):
            for shape in ((2048, 200, 128), (64, 200, 128), (20, 200, 128), (1, 200, 64)):
                assert not formula_pays(*shape, MULTIPROCESSORS)
            for shape in ((1, 65_536, 512), (1, 8192, 128)):
                assert formula_pays(*shape, MULTIPROCESSORS)
