"""Attention: weights, what brackets do to its cost, the running sum and chunks (lesson 05).

The numbers in the lookup and in the running sum are the lesson's toy.
"""

from style import MARGIN, Drawing, Grid, Shape, drawing

N = 6  # positions in the picture
D = 2  # features
CELL = 15
CHUNK = 4
IN_CHUNKS = 12  # positions in the picture of the chunks


@drawing
def attention_pairs_or_table() -> Drawing:
    """Show every film asking every earlier one, and every film using one common table."""
    picture = Drawing(
        width=740,
        height=300,
        title="Ask every earlier film, or one table that all films enter",
        description=(
            "Two pictures of five films. Left: an arc leads from every film to every earlier one, "
            "ten arcs; with each film asking itself these are 15 products of a query with a "
            "key. Right: each film has one arrow up into a common table and one arrow down from "
            "it, 10 in all."
        ),
    )
    n = 5
    cell = 36
    gap = 26
    y = 220
    films = [str(film) for film in range(1, n + 1)]
    asked = picture.sequence(180, y, films, cell=cell, gap=gap)
    for position in range(n):
        for earlier in range(position):
            start = (asked[position].x - 4, asked[position].top[1])
            end = (asked[earlier].x + 4, asked[earlier].top[1])
            picture.curve(start, end, bend=-32 * (position - earlier), role="attention", gaps=False)
    picture.text(180, 262, f"{n * (n + 1) // 2} pairs: each film with itself too")

    users = picture.sequence(555, y, films, cell=cell, gap=gap)
    table = picture.box(555, 105, 290, 50, "one table", role="attention")
    for user in users:
        up = user.x - 8
        down = user.x + 8
        picture.arrow((up, user.top[1]), (up, table.bottom[1]), role="state")
        picture.arrow((down, table.bottom[1]), (down, user.top[1]), role="attention")
    picture.text(555, 262, f"{n} entries and {n} answers")
    return picture


@drawing
def attention_lookup() -> Drawing:
    """Show one query of softmax attention: products, weights, a weighted sum of values."""
    picture = Drawing(
        width=740,
        height=330,
        title="A query meets every key; the weights mix the values",
        description=(
            "The query 1 is multiplied by the first key, ln 3, and by the second, 0. The softmax "
            "turns the products ln 3 and 0 into the weights 3/4 and 1/4. These multiply the "
            "values 4 and 8, which gives 3 and 2; the sum, 5, is the answer."
        ),
    )
    upper = 140
    lower = 220
    middle = 180
    query = picture.box(70, middle, 90, 50, "query $q$\n1", role="signal")
    picture.note(query, "[e]")
    fork = picture.fork(query.right, (140, middle), role="signal")
    softmax = picture.box(350, middle, 86, 120, "softmax")
    plus = picture.operator(610, middle, "+")
    answer = picture.box(690, middle, 80, 50, "answer\n5", role="state")
    picture.note(answer, "[e]")
    lines = (
        (upper, "$k_1$ = ln 3", "ln 3", "3/4", "$v_1$ = 4", "3", -70),
        (lower, "$k_2$ = 0", "0", "1/4", "$v_2$ = 8", "2", 70),
    )
    for y, key, product, weight, value, part, away in lines:
        side = "above" if away < 0 else "below"
        k = picture.box(220, y + away, 96, 36, key, role="signal")
        v = picture.box(510, y + away, 96, 36, value, role="signal")
        score = picture.operator(220, y, "×")
        weigh = picture.operator(510, y, "×")
        picture.arrow(fork, (140, y), score.left, role="signal")
        _towards(picture, k, score)
        _towards(picture, v, weigh)
        picture.arrow(score.right, (softmax.left[0], y), value=product, side=side)
        picture.arrow((softmax.right[0], y), weigh.left, value=weight, side=side, role="attention")
        end = plus.top if away < 0 else plus.bottom
        picture.arrow(weigh.right, (plus.x, y), end, value=part, side=side, at=0.3)
    picture.arrow(plus.right, answer.left)
    return picture


def _towards(picture: Drawing, thing: Shape, operator: Shape) -> None:
    """Draw the arrow from a key or value down or up to the product below or above it."""
    if thing.y < operator.y:
        picture.arrow(thing.bottom, operator.top, role="signal")
    else:
        picture.arrow(thing.top, operator.bottom, role="signal")


@drawing
def running_sum_steps() -> Drawing:
    """Show the table of linear attention growing by one outer product with every film."""
    picture = Drawing(
        width=740,
        height=430,
        title="Each film adds one outer product, and the table keeps its size",
        description=(
            "Three films of the toy. The table starts as a 2 x 2 matrix of zeros. The first film "
            "adds the outer product of its key (3, 1) and its value (1, 2), so the table is "
            "(3, 6), (1, 2). The second adds that of (4, -0.75) and (3, -1): (15, 2), "
            "(-1.25, 2.75). The third adds that of (12, 3) and (1, 0): (27, 2), (1.75, 2.75). "
            "After each film its query, divided by the lengths of the keys' features so far, "
            "reads an answer of two numbers from the table: (1.4, 2.8), (-2.6, 1.52), "
            "(1.677, 0.769)."
        ),
    )
    films = (
        (("3", "1"), ("1", "2"), (("3", "6"), ("1", "2"))),
        (("4", "−0.75"), ("3", "−1"), (("12", "−4"), ("−2.25", "0.75"))),
        (("12", "3"), ("1", "0"), (("12", "0"), ("3", "0"))),
    )
    tables = (
        (("3", "6"), ("1", "2")),
        (("15", "2"), ("−1.25", "2.75")),
        (("27", "2"), ("1.75", "2.75")),
    )
    answers = (("1.4", "2.8"), ("−2.6", "1.52"), ("1.677", "0.769"))
    asking = ("(0.2, 0.8)", "(−0.12, 0.64)", "(0.046, 0.246)")
    y = 248
    before: Shape = picture.matrix(52, y, (("0", "0"), ("0", "0")), role="state", cell=26, size=13)
    picture.note(before, "[e, e]")
    for number, (key, value, product) in enumerate(films):
        plus = picture.operator(145 + 214 * number, y, "+")
        x = 235 + 214 * number
        table = picture.matrix(x, y, tables[number], role="state", cell=48, cell_height=34, size=13)
        outer = picture.matrix(
            plus.x, 128, product, role="attention", cell=48, cell_height=34, size=13,
            row_labels=key, column_labels=value,
        )  # fmt: skip
        answer = picture.strip(
            x, 368, answers[number], role="signal", cell=54, cell_height=30, size=13
        )
        film = number + 1
        picture.text(plus.x, 58, f"film {film}: $k_{film}^T v_{film}$")
        picture.arrow(outer.bottom, plus.top, role="attention")
        picture.arrow(before.right, plus.left, role="state")
        picture.arrow(plus.right, table.left, role="state")
        picture.arrow(
            table.bottom, answer.top, value=f"$q_{film} / n_{film}$\n{asking[number]}", side="left"
        )
        picture.note(answer, "[e]", side="left")
        before = table
    picture.caption(
        "Left of a product stands the key, above it the value. $n_t$: the length of each feature "
        "of the keys so far."
    )
    return picture


@drawing
def attention_chunks() -> Drawing:
    """Show which pairs are computed one by one, and which through the carried sum."""
    picture = Drawing(
        width=740,
        height=390,
        title="Only the triangles on the diagonal are pairs",
        description=(
            "A square of 12 x 12 cells: each row is a position that asks, each column one that is "
            "seen. The sequence is cut into three chunks of four. On the diagonal stand three "
            "small triangles: pairs within a chunk. All that lies below them is asked of the "
            "carried sum, one table per chunk. What lies above the diagonal is the future."
        ),
    )
    roles = {}
    for asks in range(IN_CHUNKS):
        for seen in range(IN_CHUNKS):
            if seen > asks:
                roles[asks, seen] = "padding"
            elif seen // CHUNK < asks // CHUNK:
                roles[asks, seen] = "state"
    labels = [str(position) for position in range(1, IN_CHUNKS + 1)]
    square = picture.matrix(
        275, 225, [[""] * IN_CHUNKS for _ in labels], role="attention", roles=roles, cell=22,
        size=13, row_labels=labels, column_labels=labels,
    )  # fmt: skip
    picture.text(square.x, 58, "position seen, $s$", size=13)
    picture.text(66, square.y, "position\nthat asks, $t$", size=13)
    legend = (
        ("attention", "pairs within a chunk", "$Q K^T$ of the chunk, masked"),
        ("state", "asked of the carried sum", "$k_s^T v_s$ of all earlier chunks, added up"),
        ("padding", "the future", "not seen"),
    )
    for number, (role, what, how) in enumerate(legend):
        y = 145 + 80 * number
        picture.box(462, y, 26, 26, "", role=role)
        picture.text(488, y - 10, what, anchor="start")
        picture.text(488, y + 12, how, anchor="start", size=13)
    return picture


@drawing
def attention_brackets() -> Drawing:
    """Show the N x N matrix of one order of products and the e x e matrix of the other."""
    picture = Drawing(
        width=740,
        height=490,
        title="Move the brackets, and the large square becomes a small one",
        description=(
            "Two ways to multiply Q, K transposed and V. First (Q K^T) V: six positions with two "
            "features each give a 6 x 6 matrix, 36 numbers, before V joins in. Then Q (K^T V): "
            "the inner product is a 2 x 2 matrix, 4 numbers, however long the sequence is. Both "
            "end at the same output, [N, e]."
        ),
    )
    _queries_with_keys(picture, y=165)
    _keys_with_values(picture, y=365)
    picture.caption("Drawn for $N$ = 6 positions and one head of width $e$ = 2.")
    return picture


def _queries_with_keys(picture: Drawing, y: float) -> None:
    """Draw (Q K^T) V, whose inner product grows with the square of N."""
    _heading(picture, y, "$(Q K^T) V$: the square grows with $N$")
    q = _named(picture, 62, y, (N, D), "$Q$", "[N, e]", "signal")
    k = _named(picture, 152, y, (D, N), "$K^T$", "[e, N]", "signal")
    v = _named(picture, 256, y, (N, D), "$V$", "[N, e]", "signal")
    _in_parentheses(picture, q, k)

    pairs = _named(picture, 445, y, (N, N), "$Q K^T$", "[N, N]", "attention")
    v_again = _named(picture, 536, y, (N, D), "$V$", "[N, e]", "signal")
    _step(picture, v, pairs, "36 numbers")
    output = _named(picture, 684, y, (N, D), "output", "[N, e]", "state")
    _step(picture, v_again, output)


def _keys_with_values(picture: Drawing, y: float) -> None:
    """Draw Q (K^T V), whose inner product does not grow with N."""
    _heading(picture, y, "$Q (K^T V)$: the square stays as it is")
    _named(picture, 62, y, (N, D), "$Q$", "[N, e]", "signal")
    k = _named(picture, 158, y, (D, N), "$K^T$", "[e, N]", "signal")
    v = _named(picture, 248, y, (N, D), "$V$", "[N, e]", "signal")
    _in_parentheses(picture, k, v)

    q_again = _named(picture, 430, y, (N, D), "$Q$", "[N, e]", "signal")
    table = _named(picture, 500, y, (D, D), "$K^T V$", "[e, e]", "attention")
    _step(picture, v, q_again, "4 numbers")
    output = _named(picture, 684, y, (N, D), "output", "[N, e]", "state")
    _step(picture, table, output)


def _heading(picture: Drawing, y: float, what: str) -> None:
    """Write above a row of matrices what it is."""
    picture.text(MARGIN, y - 88, what, anchor="start")


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
