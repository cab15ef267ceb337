"""How a convolution is computed, and which channels it mixes (lesson 03).

The numbers are the lesson's toy: films 2, 3, 5, 6 and the taps -1, 0, 1, causal.
"""

from style import Drawing, drawing

CELL = 46
STEP = 54  # from the middle of a cell of a sequence to that of the next
LABELS = 40  # where the names of the rows begin
N_CHANNELS = 3


@drawing
def conv_shifted_products() -> Drawing:
    """Show the padded sequence, its three shifted slices, and their weighted sum."""
    picture = Drawing(
        width=720,
        height=470,
        title="Three slices of the padded films, each times its tap, add up to the output",
        description=(
            "Two zeros stand in front of the films 2, 3, 5, 6. The slice of four that begins at "
            "the first zero, 0, 0, 2, 3, is multiplied by tap T_0, -1. The slice that begins one "
            "place later, 0, 2, 3, 5, is multiplied by T_1, 0. The slice that begins two places "
            "later, the films themselves, is multiplied by T_2, 1. The column sums are the causal "
            "outputs 2, 3, 3, 3."
        ),
    )
    x = 330
    picture.sequence(x, 84, ["2", "3", "5", "6"], before=2, cell=CELL)
    picture.text(LABELS, 84, "padded films", anchor="start", bold=True)
    picture.text(505, 84, "two zeros in front", size=13, anchor="start", ink="#555555")

    slices = [
        ("−1", ["0", "0", "2", "3"], 2),
        ("0", ["0", "2", "3", "5"], 1),
        ("1", ["2", "3", "5", "6"], 0),
    ]
    outputs_x = x + STEP  # the slices stand under the four films
    for number, (tap, values, n_zeros) in enumerate(slices):
        y = 168 + 62 * number
        cells = picture.sequence(outputs_x, y, values[n_zeros:], before=n_zeros, cell=CELL)
        picture.text(LABELS, y, f"places {number} to {number + 3}", anchor="start")
        times = picture.operator(545, y, "×")
        weight = picture.box(640, y, 104, 42, f"$T_{number}$ = {tap}", role="weights")
        picture.arrow(cells[-1].right, times.left, role="signal")
        picture.arrow(weight.left, times.right, role="weights")

    sums = picture.sequence(
        outputs_x,
        388,
        ["2", "3", "3", "3"],
        role="attention",
        cell=CELL,
        positions=["$t$ = 1", "2", "3", "4"],
    )
    picture.text(LABELS, 388, "outputs", anchor="start", bold=True)
    for cell in sums:
        picture.arrow((cell.x, 168 + 2 * 62 + CELL / 2), cell.top)
    picture.text(
        505, 388, "column 3, tap by tap:\n−1 · 2 + 0 · 3 + 1 · 5 = 3", size=13, anchor="start"
    )
    picture.caption("No column waits for another: all outputs are computed at once.")
    return picture


@drawing
def full_depthwise() -> Drawing:
    """Show one tap of a full and of a depthwise convolution, as channels and as a matrix."""
    picture = Drawing(
        width=740,
        height=330,
        title="A full tap mixes the channels, a depthwise tap keeps them apart",
        description=(
            "One tap with three channels. Full: every input channel leads to every output channel, "
            "and the tap is a matrix of 3 by 3 weights. Depthwise: each input channel leads to the "
            "output channel of its own number only, and of the matrix only the diagonal is left, 3 "
            "weights; the rest is zero."
        ),
    )
    _tap(picture, 190, "full", everywhere=True, count="$d^2$ = 9 weights per tap")
    _tap(picture, 550, "depthwise", everywhere=False, count="$d$ = 3 weights per tap")
    picture.caption("A kernel of size $k$ has $k$ such taps, one for each place in the window.")
    return picture


def _tap(picture: Drawing, x: float, name: str, everywhere: bool, count: str) -> None:
    """Draw the channels of one tap, the lines between them, and the tap's matrix."""
    picture.text(x, 68, name, bold=True)
    inputs = [
        picture.box(x - 148, 118 + 50 * number, 44, 34, f"$x_{number + 1}$", role="signal")
        for number in range(N_CHANNELS)
    ]
    outputs = [
        picture.box(x - 6, 118 + 50 * number, 44, 34, f"$y_{number + 1}$", role="signal")
        for number in range(N_CHANNELS)
    ]
    for i, output in enumerate(outputs):
        for j, given in enumerate(inputs):
            if everywhere or i == j:
                # Lines fan out and in, so that no two meet at a box.
                start = (given.right[0], given.y + 10 * (i - j))
                end = (output.left[0], output.y + 10 * (j - i))
                picture.arrow(start, end, role="weights")
    rows = [
        [f"$t_{{{i + 1}{j + 1}}}$" if everywhere or i == j else "0" for j in range(N_CHANNELS)]
        for i in range(N_CHANNELS)
    ]
    zeros = {
        (i, j): "padding"
        for i in range(N_CHANNELS)
        for j in range(N_CHANNELS)
        if not everywhere and i != j
    }
    picture.matrix(x + 98, 168, rows, role="weights", roles=zeros, cell=42)
    picture.text(x - 10, 262, count)
