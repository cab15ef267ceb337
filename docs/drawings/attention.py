"""Attention: what brackets do to its cost (lesson 05)."""

from style import MARGIN, Drawing, Grid, drawing

N = 6  # positions in the picture
D = 2  # features
CELL = 15


@drawing
def attention_brackets() -> Drawing:
    """Show the N x N matrix of one order of products and the d x d matrix of the other."""
    picture = Drawing(
        width=740,
        height=490,
        title="Move the brackets, and the large square becomes a small one",
        description=(
            "Two ways to multiply Q, K transposed and V. First (Q K^T) V: six positions with two "
            "features each give a 6 x 6 matrix, 36 numbers, before V joins in. Then Q (K^T V): "
            "the inner product is a 2 x 2 matrix, 4 numbers, however long the sequence is. Both "
            "end at the same output, [N, d]."
        ),
    )
    _queries_with_keys(picture, y=165)
    _keys_with_values(picture, y=365)
    picture.caption("Drawn for $N$ = 6 positions and one head of width $d$ = 2.")
    return picture


def _queries_with_keys(picture: Drawing, y: float) -> None:
    """Draw (Q K^T) V, whose inner product grows with the square of N."""
    _heading(picture, y, "$(Q K^T) V$: the square grows with $N$", "$2 N^2 d$ multiply-adds")
    q = _named(picture, 62, y, (N, D), "$Q$", "[N, d]", "signal")
    k = _named(picture, 152, y, (D, N), "$K^T$", "[d, N]", "signal")
    v = _named(picture, 256, y, (N, D), "$V$", "[N, d]", "signal")
    _in_parentheses(picture, q, k)

    pairs = _named(picture, 445, y, (N, N), "$Q K^T$", "[N, N]", "attention")
    v_again = _named(picture, 536, y, (N, D), "$V$", "[N, d]", "signal")
    _step(picture, v, pairs, "36 numbers")
    output = _named(picture, 684, y, (N, D), "output", "[N, d]", "state")
    _step(picture, v_again, output)


def _keys_with_values(picture: Drawing, y: float) -> None:
    """Draw Q (K^T V), whose inner product does not grow with N."""
    _heading(picture, y, "$Q (K^T V)$: the square stays as it is", "$2 N d^2$ multiply-adds")
    _named(picture, 62, y, (N, D), "$Q$", "[N, d]", "signal")
    k = _named(picture, 158, y, (D, N), "$K^T$", "[d, N]", "signal")
    v = _named(picture, 248, y, (N, D), "$V$", "[N, d]", "signal")
    _in_parentheses(picture, k, v)

    q_again = _named(picture, 430, y, (N, D), "$Q$", "[N, d]", "signal")
    table = _named(picture, 500, y, (D, D), "$K^T V$", "[d, d]", "attention")
    _step(picture, v, q_again, "4 numbers")
    output = _named(picture, 684, y, (N, D), "output", "[N, d]", "state")
    _step(picture, table, output)


def _heading(picture: Drawing, y: float, what: str, cost: str) -> None:
    """Write above a row of matrices what it is, and what it costs."""
    picture.text(MARGIN, y - 88, what, anchor="start")
    picture.text(picture.width - MARGIN, y - 88, cost, anchor="end")


def _named(
    picture: Drawing,
    x: float,
    y: float,
    size: tuple[int, int],
    name: str,
    shape: str,
    role: str,
) -> Grid:
    """Draw a matrix without numbers, its name above it and its shape below it."""
    rows, columns = size
    grid = picture.matrix(x, y, [[""] * columns for _ in range(rows)], role=role, cell=CELL)
    picture.text(x, grid.top[1] - 14, name)
    picture.note(grid, shape)
    return grid


def _in_parentheses(picture: Drawing, first: Grid, last: Grid) -> None:
    """Draw round brackets around the product that is computed first."""
    left = first.left[0]
    right = last.right[0]
    picture.parentheses((left + right) / 2, first.y, right - left, 84)


def _step(picture: Drawing, before: Grid, after: Grid, value: str = "") -> None:
    """Draw an arrow from one stage of the product to the next."""
    start = (before.right[0] + 24, before.y)
    end = (after.left[0] - 18, after.y)
    picture.arrow(start, end, value=value, role="attention" if value else "plain")
