"""How many chunks of time a walk on a GPU is cut into (notebook 12).

    B, N, D    rows, positions, channels; a lane is one of the B * D pairs (row, channel)
    C          number of chunks; 1 is a plain walk

A plain walk takes N steps one after another, however few lanes there are. Cut into C chunks, it
takes N / C steps twice and C steps once between them, but moves 20 bytes per position and lane in
the place of 12, and launches three kernels in the place of one. Outside a CUDA graph the host's
time for these launches decides about short walks; inside one there is no host.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

Shape = tuple[int, int, int]  # B, N, D

# Measured on one H200, 27 November 2026 (tests/scan/chunks_h200.csv holds its rows). Before the
# host is done with a chunked walk, which launched five kernels then; with one kernel, a fifth.
LAUNCH_SECONDS = 190e-6
LAUNCHES = 5

# One position of a walk, which waits for memory: 31 to 68 ns forward, 51 to 93 backward.
STEP_SECONDS = 70e-9

# Bytes per second of memory: a copy's 4.16 TB/s over 132 multiprocessors.
BYTES_PER_SECOND = 31.5e9  # for each of them

# What a GPU itself takes to begin a kernel: a guess, and all there is of it within a graph.
BEGIN_SECONDS = 3e-6

# Numbers that move in one position and lane: plain, a and b in, h out; in chunks a and b twice.
PLAIN_BYTES = 12
CHUNKED_BYTES = 20
FEWEST = 16  # positions in a chunk


class _Current:
    """What is in force: set by `chunking`. Not per thread, as autograd has threads of its own."""

    launch_seconds = LAUNCH_SECONDS
    table: Mapping[Shape, int] = {}


@contextmanager
def chunking(
    *, launch_seconds: float = LAUNCH_SECONDS, table: Mapping[Shape, int] | None = None
) -> Iterator[None]:
    """Choose chunks for other costs than those of a plain call, for every thread.

    A step that is captured as a CUDA graph is run and captured within
    `chunking(launch_seconds=0)`, so that it takes the chunks that are best when it is replayed.

    Parameters
    ----------
    launch_seconds : float
        The host's time to launch a chunked walk.
    table : mapping, optional
        From (B, N, D) to a number of chunks, as measured by a sweep; it decides about these. The
        one in force stays unless given.
    """
    before = (_Current.launch_seconds, _Current.table)
    _Current.launch_seconds = launch_seconds
    if table is not None:
        _Current.table = table
    try:
        yield
    finally:
        _Current.launch_seconds, _Current.table = before


def best_of(measured: Iterable[tuple[Shape, int, float]]) -> dict[Shape, int]:
    """Find the best number of chunks of each shape: a table for `chunking`.

    Parameters
    ----------
    measured : iterable of (shape, int, float)
        (B, N, D), a number of chunks, and the seconds that it took, or any other unit of time.

    Returns
    -------
    dict
        From (B, N, D) to the number of chunks that took least.
    """
    fastest: dict[Shape, tuple[float, int]] = {}
    for shape, n_chunks, seconds in measured:
        if shape not in fastest or seconds < fastest[shape][0]:
            fastest[shape] = (seconds, n_chunks)
    return {shape: n_chunks for shape, (_, n_chunks) in fastest.items()}


def chunks_for(
    B: int, N: int, D: int, n_multiprocessors: int, launch_seconds: float | None = None
) -> int:
    """Choose a number of chunks of time: a power of two with the least seconds by `walk_seconds`.

    On the shapes measured it takes at most 1.1 times as long as the best number there is.

    Parameters
    ----------
    B, N, D : int
        Rows, positions and channels.
    n_multiprocessors : int
        Multiprocessors of the GPU.
    launch_seconds : float, optional
        The host's time to launch a chunked walk; unless given, what `chunking` has set, whose
        table then comes first.

    Returns
    -------
    int
        The number of chunks; 1 for a plain walk.

    References
    ----------
    Notebook 12.
    """
    if launch_seconds is None:
        measured = _Current.table.get((B, N, D))
        if measured is not None:
            return measured
        launch_seconds = _Current.launch_seconds

    best = 1
    least = walk_seconds(B, N, D, 1, n_multiprocessors)
    least_in_all = max(least, launch_seconds / LAUNCHES)
    n_chunks = 2
    while n_chunks * FEWEST <= N:
        seconds = walk_seconds(B, N, D, n_chunks, n_multiprocessors)
        in_all = max(seconds, launch_seconds)  # the host launches while the GPU works
        # Where the host decides, the GPU is done the sooner the better all the same.
        if (in_all, seconds) < (least_in_all, least):
            best = n_chunks
            least = seconds
            least_in_all = in_all
        n_chunks *= 2
    return best


def formula_pays(B: int, N: int, H: int, n_multiprocessors: int) -> bool:
    """Tell whether the BD-LRU's formula, around a scan in chunks, beats its fused walk in one.

    The fused walk moves 28 bytes one way and waits twice as often as the scan's, its tiles being
    half as long. The formula moves 225, and launches some 20 kernels.

    Parameters
    ----------
    B, N, H : int
        Rows, positions and channels.
    n_multiprocessors : int
        Multiprocessors of the GPU.

    Returns
    -------
    bool
        True for few long rows only.

    References
    ----------
    Notebook 12.
    """
    n_chunks = chunks_for(B, N, H, n_multiprocessors)
    if n_chunks == 1:
        return False
    launch_one = _Current.launch_seconds / LAUNCHES
    position = B * N * H / (n_multiprocessors * BYTES_PER_SECOND)  # seconds for a byte in each
    fused = BEGIN_SECONDS + max(28 * position, 2 * N * STEP_SECONDS)

    formula = 20 * BEGIN_SECONDS + 225 * position
    formula += walk_seconds(B, N, H, n_chunks, n_multiprocessors)
    return max(formula, 20 * launch_one) < max(fused, launch_one)


def walk_seconds(B: int, N: int, D: int, n_chunks: int, n_multiprocessors: int) -> float:
    """Estimate how long a GPU works on a walk, the mean of forward and backward.

    Parameters
    ----------
    B, N, D : int
        Rows, positions and channels.
    n_chunks : int
        Chunks of time.
    n_multiprocessors : int
        Multiprocessors of the GPU.

    Returns
    -------
    float
        Seconds, without the host's launches.

    References
    ----------
    Notebook 12.
    """
    positions = B * N * D
    bytes_per_second = n_multiprocessors * BYTES_PER_SECOND
    if n_chunks == 1:
        moving = PLAIN_BYTES * positions / bytes_per_second
        return BEGIN_SECONDS + max(moving, N * STEP_SECONDS)

    moving = CHUNKED_BYTES * positions / bytes_per_second
    steps = 2 * N / n_chunks + n_chunks
    return 3 * BEGIN_SECONDS + moving + steps * STEP_SECONDS
