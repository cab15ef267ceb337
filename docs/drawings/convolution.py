"""The temporal convolution's window, and the dense GRU that it is part of (lesson 03).

The numbers in the window are the lesson's toy: films 2, 3, 5, 6 and the taps -1, 0, 1.
"""

from typing import NamedTuple

from style import Drawing, drawing

LABELS = ["$t$ = 1", "2", "3", "4"]  # the positions of the four films


@drawing
def window_centred_causal() -> Drawing:
    """Show what the third output sees through a centred and through a causal window."""
    picture = Drawing(
        width=750,
        height=416,
        title="A centred window sees the next film, a causal window does not",
        description=(
            "The films 2, 3, 5, 6 with a window of three places, taps -1, 0 and 1. Centred: "
            "one zero stands before the films and one after them; the third output is the fourth "
            "film minus the second, 6 - 3 = 3, so it has seen the film that comes next. Causal: "
            "two zeros stand before the films and none after; the third output is the third film "
            "minus the first, 5 - 2 = 3, and nothing later is seen."
        ),
    )
    _window(
        picture,
        x=194,
        before=1,
        name="centred",
        outputs=["3", "3", "3", "−5"],
        sum_of_output="$y_3$ = 6 − 3 reads the next film",
    )
    _window(
        picture,
        x=556,
        before=2,
        name="causal",
        outputs=["2", "3", "3", "3"],
        sum_of_output="$y_3$ = 5 − 2 reads no later film",
    )
    picture.caption(
        "Taps −1, 0, 1: the newest input in the window minus the oldest. "
        "Dashed zeros stand where there is no film."
    )
    return picture


def _window(
    picture: Drawing, x: float, before: int, name: str, outputs: list[str], sum_of_output: str
) -> None:
    """Draw the films, the outputs and what the third output sees.

    before: the zeros before the first film, as many as places of the window lie left of position t.
    """
    after = 2 - before
    picture.text(x, 68, name, bold=True)

    # The third film stands after the zeros and two films; the window begins `before` places left.
    third = before + 2
    first = third - before
    roles = {}
    for place in range(before, before + 4):
        if place > third:
            roles[place] = "loss" if place < first + 3 else "plain"
        elif place < first:
            roles[place] = "plain"
    films = picture.sequence(
        x,
        276,
        ["2", "3", "5", "6"],
        before=before,
        after=after,
        roles=roles,
        positions=[""] * before + LABELS,
    )

    outputs_drawn = []
    for number, (value, film) in enumerate(zip(outputs, films[before:], strict=False)):
        role = "signal" if number == 2 else "plain"
        outputs_drawn.append(picture.box(film.x, 138, 46, 46, value, role=role))
    picture.note(outputs_drawn[0], "outputs $y_t$", side="left")
    picture.note(films[0], "inputs $x_t$", side="above")
    target = (films[third].x, 138 + 23)
    picture.text(x, 90, sum_of_output, size=13)

    for place, weight in enumerate(["−1", "0", "1"]):
        film = films[first + place]
        shift = 8 * (first + place - third)  # so that the heads do not lie on each other
        role = "loss" if first + place > third else "weights"
        side = "left" if first + place < third else "right"
        end = (target[0] + shift, target[1])
        picture.arrow(film.top, end, value=weight, role=role, side=side, at=0.3)
    left = films[first].left[0]
    right = films[first + 2].right[0]
    picture.bracket(left, right, 330, f"window of 3, {name}", below=True)


SEES = 540  # where the column begins that says what a position looks at
ALONE = "itself alone"
NEIGHBOURS = "itself and neighbours"
ALL_BEFORE = "itself and all before it"


class Part(NamedTuple):
    """One step of the dense GRU."""

    name: str
    role: str
    gives: str  # the symbol of its output
    equation: int = 0  # the paper's number; 0 if it has none
    formula: str = ""
    sees: str = ""  # what a position of its output depends on


@drawing
def dense_gru() -> Drawing:
    """Show the dense GRU's parts, one below the other, with what each position sees in them."""
    picture = Drawing(
        width=740,
        height=612,
        title="A convolution in front of the GRU and one behind it",
        description=(
            "From top to bottom: the films' vectors X; a dense layer, Eq. 5, which gives L; a "
            "convolution, Eq. 5, which gives C; the GRU, Eq. 6, which gives the states H; the "
            "crossing, Eq. 7; a second convolution, Eq. 8, which gives Y. Everything that flows "
            "is [B, N, d]. Dense layer and crossing look at each position by itself, the "
            "convolutions at its neighbours too, the GRU at all positions before. A frame holds "
            "the first three, which are the dense GRU."
        ),
    )
    parts = [
        Part("films' vectors", "signal", "$X$"),
        Part("dense layer", "weights", "$L$", 5, "$L = X W_0 + b_0$", ALONE),
        Part("convolution", "weights", "$C$", 5, "$C$ = conv($L$)", NEIGHBOURS),
        Part("GRU", "state", "$H$", 6, "$h_t$ = GRUCell($c_t$, $h_{t-1}$)", ALL_BEFORE),
        Part("crossing", "weights", "$G$", 7, "$Φ(H) = H W_H + b_H$", ALONE),
        Part("convolution", "weights", "$Y$", 8, "$Y$ = conv($G$)", NEIGHBOURS),
        Part("output", "signal", ""),
    ]
    picture.frame(270, 235.5, 500, 203, "")
    picture.text(508, 148, "dense GRU", anchor="end", bold=True)
    boxes = []
    for number, part in enumerate(parts):
        y = 84 + 76 * number
        boxes.append(picture.box(110, y, 140, 40, part.name, role=part.role))
        if part.equation:
            picture.text(222, y, f"Eq. {part.equation}", anchor="start")
            picture.text(284, y, part.formula, anchor="start")
            picture.text(SEES, y, part.sees, anchor="start")
    for above, below, part in zip(boxes, boxes[1:], parts, strict=False):
        picture.arrow(above.bottom, below.top, shape="[B, N, d]", value=part.gives)
    picture.text(SEES, 84, "a position looks at", anchor="start", bold=True)
    picture.caption(
        "The crossing is one more dense layer. Lesson 04 adds a gate, Eq. 9; until then $G = Φ(H)$."
    )
    return picture
