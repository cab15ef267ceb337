"""How a convolution is computed, and which channels it mixes (lesson 03).

The numbers are the lesson's toy: films 2, 3, 5, 6 and the taps -1, 0, 1, causal.
"""

from style import Drawing, drawing

CELL = 46
STEP = 54  # from the middle of a cell of a sequence to that of the next
FIRST_ROW = 164  # the middle of the first slice
ROW_STEP = 72  # from a slice to the next
N_CHANNELS = 3


@drawing
def conv_shifted_products() -> Drawing:
    """Show the padded sequence, its three slices, their products with the taps, and the sum."""
    picture = Drawing(
        width=740,
        height=500,
        title="Three slices of the padded films, each times its tap, add up to the outputs",
        description=(
            "Two zeros stand in front of the films 2, 3, 5, 6. The slice of four that begins at "
            "the first zero, 0, 0, 2, 3, times tap T_0, -1, gives 0, 0, -2, -3. The slice that "
            "begins one place later, 0, 2, 3, 5, times T_1, 0, gives four zeros. The slice that "
            "begins two places later, the films themselves, times T_2, 1, gives 2, 3, 5, 6. The "
            "three rows of products, added column by column, are the causal outputs 2, 3, 3, 3."
        ),
    )
    slices_x = 300
    products_x = 590
    picture.sequence(
        slices_x - STEP,
        76,
        ["2", "3", "5", "6"],
        before=2,
        cell=CELL,
        positions=["place 0", "1", "2", "3", "4", "5"],
    )
    picture.text(428, 76, "padded films", anchor="start", bold=True)
    picture.text(products_x, 120, "products", bold=True)

    rows = [
        ("−1", ["0", "0", "2", "3"], ["0", "0", "−2", "−3"], 2),
        ("0", ["0", "2", "3", "5"], ["0", "0", "0", "0"], 1),
        ("1", ["2", "3", "5", "6"], ["2", "3", "5", "6"], 0),
    ]
    for number, (tap, values, products, n_zeros) in enumerate(rows):
        y = FIRST_ROW + ROW_STEP * number
        weight = picture.box(70, y, 96, 40, f"$T_{number}$ = {tap}", role="weights")
        picture.note(weight, f"places {number} to {number + 3}")
        picture.text(152, y, "×", size=20)
        picture.sequence(slices_x, y, values[n_zeros:], before=n_zeros, cell=CELL)
        picture.text((slices_x + products_x) / 2, y, "=", size=20)
        cells = picture.sequence(products_x, y, products, role="plain", cell=CELL)
        if number:
            for cell in cells:
                picture.text(cell.x, y - ROW_STEP / 2, "+", size=18)

    last_row = FIRST_ROW + 2 * ROW_STEP
    sums = picture.sequence(
        products_x,
        last_row + 92,
        ["2", "3", "3", "3"],
        role="attention",
        cell=CELL,
        positions=["$t$ = 1", "2", "3", "4"],
    )
    for cell in sums:
        picture.arrow((cell.x, last_row + CELL / 2), cell.top)
    picture.text(sums[0].left[0] - 16, last_row + 92, "outputs", anchor="end", bold=True)
    picture.text(300, last_row + 92, "column 3: −2 + 0 + 5 = 3", anchor="middle", size=13)
    picture.caption("No column waits for another: all outputs are computed at once.")
    return picture


@drawing
def full_depthwise() -> Drawing:
    """Show one tap of a full and of a depthwise convolution, as channels and as a matrix."""
    picture = Drawing(
        width=740,
        height=344,
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
    picture.caption(
        "The numbered boxes are channels. A kernel of size $k$ has $k$ such taps, one per place."
    )
    return picture


def _tap(picture: Drawing, x: float, name: str, everywhere: bool, count: str) -> None:
    """Draw the channels of one tap, the lines between them, and the tap's matrix."""
    picture.text(x, 68, name, bold=True)
    inputs, outputs = (
        [
            picture.box(column, 132 + 50 * number, 44, 34, f"{number + 1}", role="signal")
            for number in range(N_CHANNELS)
        ]
        for column in (x - 148, x - 6)
    )
    picture.note(inputs[0], "input", side="above")
    picture.note(outputs[0], "output", side="above")
    for i, output in enumerate(outputs):
        for j, given in enumerate(inputs):
            if everywhere or i == j:
                # Lines fan out and in, so that no two meet at a box. They cut no gaps into each
                # other: nine lines that cross would be nine broken ones.
                start = (given.right[0], given.y + 10 * (i - j))
                end = (output.left[0], output.y + 10 * (j - i))
                picture.curve(start, end, bend=0, role="weights", gaps=False)
    rows = [
        [f"$w_{{{i + 1}{j + 1}}}$" if everywhere or i == j else "0" for j in range(N_CHANNELS)]
        for i in range(N_CHANNELS)
    ]
    zeros = {
        (i, j): "padding"
        for i in range(N_CHANNELS)
        for j in range(N_CHANNELS)
        if not everywhere and i != j
    }
    picture.matrix(x + 98, 182, rows, role="weights", roles=zeros, cell=42)
    picture.text(x - 10, 276, count)
