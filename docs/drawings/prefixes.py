"""Every prefix at once: samples or one row, shared states, cut windows, a norm moved (lesson 08).

The numbers of the shared states are the lesson's toy: films 2, 4, 2, 6 and the weights 1, 2, 1.
Those of the norm are the first features of the keys in lesson 05's toy: 3, 4, 12.
"""

from itertools import pairwise

from style import Drawing, Grid, drawing

FILMS = 7
MAX_LEN = 10


@drawing
def padded_samples_or_one_row() -> Drawing:
    """Show a history as one padded sample for each prefix, and as a single row."""
    picture = Drawing(
        width=740,
        height=340,
        title="Seven padded samples, or one row: 70 positions or 7",
        description=(
            "Left: seven samples of ten positions each. Sample t holds the films 1 to t and then "
            "zeros of padding; only its last film is new, all the others stood in the samples "
            "above it. Of 70 positions 42 are padding, 21 were read before and 7 are new. Right: "
            "one row with the seven films, each read once."
        ),
    )
    rows = []
    roles = {}
    for sample in range(FILMS):
        films = [str(film + 1) for film in range(sample + 1)]
        rows.append(films + ["0"] * (MAX_LEN - len(films)))
        roles[sample, sample] = "state"
        for place in range(sample + 1, MAX_LEN):
            roles[sample, place] = "padding"
    labels = [f"sample {sample + 1}" for sample in range(FILMS)]
    samples = picture.matrix(
        240, 185, rows, role="signal", roles=roles, cell=30, size=13, row_labels=labels
    )
    picture.text(samples.x, 60, "prefix augmentation: every prefix is a sample")

    row = [str(film + 1) for film in range(FILMS)]
    one = picture.matrix(580, 108, [row], role="state", cell=30, size=13)
    picture.text(one.x, 60, "one pass: the history is a row")

    legend = (("state", "new"), ("signal", "read before"), ("padding", "padding"))
    for number, (role, meaning) in enumerate(legend):
        y = 185 + 40 * number
        picture.box(510, y, 24, 24, "", role=role)
        picture.text(534, y, meaning, anchor="start")
    picture.caption(
        "Drawn for a history of 7 films, each of which a target follows; max_len is 10."
    )
    return picture


STATES = (("2",), ("4", "7"), ("4", "8", "8"), ("4", "8", "11", "12.5"))
OUTPUTS = ("4", "18", "24", "36")


@drawing
def prefixes_share_states() -> Drawing:
    """Show the toy's states for each prefix, and the one pass that computes each once."""
    picture = Drawing(
        width=740,
        height=470,
        title="All prefixes share one run of states; each adds one step of its own",
        description=(
            "Above, a triangle with the toy's states: prefix 1 has the state 2; prefix 2 has 4 "
            "and 7; prefix 3 has 4, 8 and 8; prefix 4 has 4, 8, 11 and 12.5. The last state of "
            "each row is its own, the others are the same in every row below. Under it, the one "
            "pass: a shared run with the states 0, 4, 8, 11, and from each an arrow to one own "
            "step of the next prefix: 2, 7, 8 and 12.5. The outputs are 4, 18, 24 and 36."
        ),
    )
    rows = []
    roles = {}
    for row, states in enumerate(STATES):
        rows.append([*states, *[""] * (len(STATES) - len(states))])
        roles[row, row] = "gate"
        for column in range(len(states), len(STATES)):
            roles[row, column] = "plain"
    labels = [f"prefix {row + 1}" for row in range(len(STATES))]
    columns = ["$h_1$", "$h_2$", "$h_3$", "$h_4$"]
    triangle = picture.matrix(
        320, 150, rows, role="state", roles=roles, cell=84, cell_height=34, row_labels=labels,
        column_labels=columns,
    )  # fmt: skip
    picture.note(triangle.cell(1, 3), "prefix by prefix:\n10 steps", side="right")
    _one_pass(picture)
    picture.caption("Blue: shared by all longer prefixes. Orange: of one prefix only.")
    return picture


def _one_pass(picture: Drawing) -> None:
    """Draw the shared run, the own steps that leave it, and the outputs."""
    places = [236 + 84 * number for number in range(len(OUTPUTS))]
    shared = []
    for number, value in enumerate(["0", "4", "8", "11"]):
        shared.append(picture.box(places[number], 272, 50, 34, value, role="state"))
    for before, after in pairwise(shared):
        picture.arrow(before.right, after.left, role="state")
    picture.note(shared[0], "shared run, $h_{t-1}$", side="left")
    picture.note(shared[-1], "one pass:\n3 + 4 steps", side="right")
    for start, states, output in zip(shared, STATES, OUTPUTS, strict=True):
        own = picture.box(start.x, 340, 50, 34, states[-1], role="gate")
        end = picture.box(start.x, 408, 50, 34, output, role="signal")
        picture.arrow(start.bottom, own.top, role="gate")
        picture.arrow(own.bottom, end.top)
        if start is shared[0]:
            picture.note(own, "own step, $h_t$", side="left")
            picture.note(end, "output, $h_{t-1}$ + 2 $h_t$", side="left")


@drawing
def truncated_windows() -> Drawing:
    """Show which taps of a centred window of five fall away at the end of a prefix."""
    picture = Drawing(
        width=740,
        height=330,
        title="Nearer to the end, more of the last taps meet zeros",
        description=(
            "Five films, the end of a prefix, at positions t - 4 to t, and two zeros behind them. "
            "Under them three windows of five taps. The window at t - 2 lies on films only. Of "
            "the one at t - 1 the last tap meets a zero, of the one at t the last two taps do."
        ),
    )
    films = ["film"] * 5 + ["0", "0"]
    names = ["$t$ − 4", "$t$ − 3", "$t$ − 2", "$t$ − 1", "$t$", "$t$ + 1", "$t$ + 2"]
    roles = {(0, 5): "padding", (0, 6): "padding"}
    picture.matrix(
        430, 100, [films], role="signal", roles=roles, cell=70, cell_height=34,
        column_labels=names,
    )  # fmt: skip
    rows = []
    roles = {}
    for m in range(3):
        row = [""] * 7
        for column in range(7):
            roles[m, column] = "plain"
        for tap in range(5):
            row[m + tap] = f"$T_{tap}$"
            roles[m, m + tap] = "weights" if m + tap < 5 else "loss"
        rows.append(row)
    picture.matrix(
        430, 210, rows, roles=roles, cell=70, cell_height=42,
        row_labels=["$m$ = 0: at $t$ − 2", "$m$ = 1: at $t$ − 1",
                    "$m$ = 2: at $t$"],
    )  # fmt: skip
    picture.caption("Kernel size $k$ = 5, so $r$ = 2. The taps below the zeros fall away.")
    return picture


@drawing
def norm_moves_to_query() -> Drawing:
    """Show a feature of three keys, divided in each prefix anew, and the query divided instead."""
    picture = Drawing(
        width=740,
        height=300,
        title="Divide the query, and the keys stay as they are",
        description=(
            "One feature of three keys: 3, 4 and 12. Left, as Eq. 2 has it: prefix 1 reads 3/3; "
            "prefix 2 reads 3/5 and 4/5; prefix 3 reads 3/13, 4/13 and 12/13. Every number "
            "changes with every prefix. Right: prefix 1 reads 3 with the query over 3; prefix 2 "
            "reads 3 and 4 with the query over 5; prefix 3 reads 3, 4 and 12 with the query over "
            "13. The columns of keys stay the same, so their sum can run along."
        ),
    )
    divided = (("3/3", "", ""), ("3/5", "4/5", ""), ("3/13", "4/13", "12/13"))
    bare = (("3", "", ""), ("3", "4", ""), ("3", "4", "12"))
    queries = ("$q_1$ / 3", "$q_2$ / 5", "$q_3$ / 13")
    names = ("prefix 1", "prefix 2", "prefix 3")
    picture.text(200, 62, "every key divided: all change")
    _triangle(picture, 210, divided, "loss", names)
    picture.text(560, 62, "the query divided: nothing old changes")
    right = _triangle(picture, 610, bare, "attention", ())
    asking = picture.matrix(
        455, right.y, [[query] for query in queries], role="signal", cell=84, cell_height=40
    )
    for row in range(3):
        end = right.cell(row, 0).left
        picture.arrow(asking.cell(row, 0).right, (end[0] - 2, end[1]))
    picture.text(right.x, 238, "a running sum", size=13)
    picture.caption("One feature $j$ of the keys: 3, 4, 12. Its lengths so far are 3, 5 and 13.")
    return picture


def _triangle(
    picture: Drawing,
    x: float,
    rows: tuple[tuple[str, ...], ...],
    role: str,
    names: tuple[str, ...],
) -> Grid:
    """Draw what each prefix reads, one row each; what it does not read stays white."""
    roles = {}
    for i, row in enumerate(rows):
        for j, text in enumerate(row):
            roles[i, j] = role if text else "plain"
    return picture.matrix(
        x, 160, rows, roles=roles, cell=58, cell_height=40, row_labels=names,
        column_labels=["$s$ = 1", "2", "3"],
    )  # fmt: skip
