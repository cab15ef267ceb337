"""The selective gate: where it stands, its toy numbers, its range, its task and a swap (lesson 04).

The toy is the lesson's: c = (1, −1), h = (1/2, 1/4), and the weights of its section 3.
"""

from style import SMALL_SIZE, Drawing, drawing


@drawing
def gate_place() -> Drawing:
    """Show that the gate reads the input and multiplies what is made from the state."""
    picture = Drawing(
        width=740,
        height=330,
        title="The gate reads the input; what it multiplies comes from the state",
        description=(
            "The input c_t goes two ways. Up: into the GRU, which also reads the state before, "
            "h_{t-1}, and gives the new state h_t, which is carried on and goes to the feature "
            "crossing. Along the bottom: into the selective gate. Gate values and crossed "
            "features, d numbers each, are multiplied entry by entry; that is the output."
        ),
    )
    before = picture.box(70, 110, 92, 46, "$h_{t-1}$", role="state")
    cell = picture.box(230, 110, 104, 54, "GRU cell", role="weights")
    crossing = picture.box(460, 110, 132, 54, "crossing\n$Φ$, Eq. 7", role="weights")
    c = picture.box(70, 236, 92, 46, "input $c_t$", role="signal")
    gate = picture.box(460, 236, 132, 54, "selective gate\nEq. 9", role="gate")
    times = picture.operator(600, 172, "×")
    output = picture.box(684, 172, 72, 46, "output", role="signal")

    picture.arrow(before.right, cell.left, shape="[d]", role="state")
    fork = picture.fork(c.right, (230, c.y), role="signal")
    picture.arrow(fork, cell.bottom, shape="[d]", role="signal")
    picture.arrow(fork, gate.left, shape="[d]", role="signal")
    state = picture.fork(cell.right, (336, cell.y), role="state")
    picture.arrow(state, crossing.left, role="state", shape="[d]", value="$h_t$")
    picture.arrow(state, (336, 62), (430, 62), role="state")
    picture.text(440, 62, "carried on to the next step", size=SMALL_SIZE, anchor="start")
    picture.arrow(crossing.right, (times.x, crossing.y), times.top, shape="[d]", at=0.25)
    picture.arrow(
        gate.right, (times.x, gate.y), times.bottom, shape="[d]", role="gate", side="below", at=0.25
    )
    picture.arrow(times.right, output.left)
    picture.note(output, "[d]")
    picture.caption("One position is drawn. Nothing in gate and crossing looks at another one.")
    return picture


@drawing
def gate_toy() -> Drawing:
    """Show Eqs. 7 and 9 with the toy's numbers on the arrows."""
    picture = Drawing(
        width=740,
        height=350,
        title="Two layers with SiLU between give two gate values; each multiplies a feature",
        description=(
            "Lower row: the input (1, -1) through W_1 is (ln 3, -ln 3); SiLU makes it 3/4 ln 3 and "
            "-1/4 ln 3; through W_2 with its bias it becomes the gate (2, -1/2). Upper row: the "
            "state (1/2, 1/4) through W_H with its bias is the crossing (1/2, 1/2). Multiplied "
            "entry by entry they give the output (1, -1/4)."
        ),
    )
    upper = 108
    lower = 248
    h = picture.strip(75, upper, ["½", "¼"], role="state", upright=True, cell=56, cell_height=32)
    c = picture.strip(75, lower, ["1", "−1"], upright=True, cell=56, cell_height=32)
    picture.note(h, "state $h$  [d]")
    picture.note(c, "input $c$  [d]")
    w_h = picture.box(265, upper, 86, 56, "$W_H$, $b_H$\nEq. 7", role="weights")
    w_1 = picture.box(170, lower, 80, 56, "$W_1$, $b_1$\nlayer 1", role="weights")
    silu = picture.box(346, lower, 60, 44, "SiLU")
    w_2 = picture.box(504, lower, 80, 56, "$W_2$, $b_2$\nlayer 2", role="weights")
    hidden = picture.strip(
        259, lower, ["ln 3", "−ln 3"], role="plain", upright=True, cell=62, cell_height=32
    )
    bent = picture.strip(
        420, lower, ["¾ ln 3", "−¼ ln 3"], role="gate", upright=True, cell=64, cell_height=32
    )
    gate = picture.strip(
        590, lower, ["2", "−½"], role="gate", upright=True, cell=48, cell_height=32
    )
    crossing = picture.strip(
        590, upper, ["½", "½"], role="state", upright=True, cell=48, cell_height=32
    )
    times = picture.operator(590, 182, "×")
    output = picture.strip(
        690, 182, ["1", "−¼"], role="signal", upright=True, cell=52, cell_height=32
    )
    picture.note(hidden, "[d_hidden]")
    picture.note(bent, "[d_hidden]")
    picture.note(gate, "gate  [d]")
    picture.note(crossing, "crossing $Φ(h)$  [d]", side="above")
    picture.note(output, "output  [d]")

    picture.arrow(h.right, w_h.left, role="state")
    picture.arrow(w_h.right, crossing.left, role="state")
    for start, end in ((c, w_1), (w_1, hidden), (hidden, silu)):
        picture.arrow(start.right, end.left, role="signal")
    for start, end in ((silu, bent), (bent, w_2), (w_2, gate)):
        picture.arrow(start.right, end.left, role="gate")
    picture.arrow(crossing.bottom, times.top, role="state")
    picture.arrow(gate.top, times.bottom, role="gate")
    picture.arrow(times.right, output.left)
    picture.caption("Here $d$ = d_hidden = 2: nothing is narrowed inside the gate.")
    return picture


@drawing
def gate_range() -> Drawing:
    """Show what gate values do, and which of them a sigmoid can reach."""
    picture = Drawing(
        width=740,
        height=290,
        title="A sigmoid gate only damps; this one also amplifies and turns signs",
        description=(
            "A line of gate values from -1.5 to 2.5. At 0 a feature is shut off, at 1 it passes as "
            "it is, between them it is damped; above 1 it is amplified, below 0 its sign is "
            "turned. A sigmoid gate reaches what lies between 0 and 1 only. The selective gate "
            "reaches the whole line: the toy's gate values are -1/2, which turns the feature 1/2 "
            "into -1/4, and 2, which makes 1/2 into 1."
        ),
    )

    def place(value: float) -> float:
        """Return where a gate value stands, in pixels."""
        return 265 + 130 * value

    line = 150
    picture.box(place(0.5), 84, 130, 36, "sigmoid gate", role="padding")
    for left, right, name in ((-1.5, 0, "sign turned"), (0, 1, "damped"), (1, 2.5, "amplified")):
        picture.bracket(place(left) + 5, place(right) - 5, line + 62, name, below=True)
    picture.arrow((place(-1.5), line), (place(2.5) + 20, line), role="gate")
    picture.text(place(2.5) + 28, line, "gate\nvalue", size=SMALL_SIZE, anchor="start")
    for value, name in ((-1, "−1"), (0, "0\nshut"), (1, "1\nas it is"), (2, "2")):
        picture.arrow((place(value), line - 7), (place(value), line + 7), head=False)
        picture.text(place(value), line + 28, name, size=SMALL_SIZE)
    picture.arrow((place(0) + 2, 102), (place(0) + 2, line - 10), head=False, dashed=True)
    picture.arrow((place(1) - 2, 102), (place(1) - 2, line - 10), head=False, dashed=True)

    for middle, text, name in ((-0.5, "½ → −¼", "× −½"), (2, "½ → 1", "× 2")):
        mark = picture.box(place(middle), 84, 88, 36, text, role="gate")
        picture.arrow(mark.bottom, (place(middle), line - 3), role="gate")
        picture.text(place(middle) + 8, 117, name, size=SMALL_SIZE, anchor="start")
    picture.text(place(-0.5) - 54, 84, "toy:", size=SMALL_SIZE, anchor="end")
    picture.caption(
        "The toy's two gate values, −½ and 2, and what each makes of a crossed feature of ½.\n"
        "A gate value is not a share: it has no largest and no smallest value."
    )
    return picture


@drawing
def gate_task() -> Drawing:
    """Show the diagnostic task: the last item says which film of the sum is asked for."""
    picture = Drawing(
        width=740,
        height=330,
        title="The label at the end says which film counts; the others are noise",
        description=(
            "A history of four films, one of each genre: C-5, A-3, D-5, B-1; then the label B?. "
            "A running sum holds all four films. The gate reads the label B? only. The product of "
            "gate and crossed sum is to give 1, the number of the film of genre B."
        ),
    )
    films = picture.sequence(
        185, 96, ["C-5", "A-3", "D-5", "B-1", "B?"], roles={4: "gate"}, cell=56, gap=14
    )
    total = picture.box(520, 96, 150, 54, "running sum\n$h$ = all that came", role="state")
    gate = picture.box(325, 236, 110, 54, "gate of\nB?", role="gate")
    times = picture.operator(520, 236, "×")
    answer = picture.box(650, 236, 100, 54, "answer\n1", role="signal")
    picture.bracket(
        films[0].left[0], films[3].right[0], 140, "four films, one of each genre", below=True
    )
    picture.arrow(films[4].right, total.left, role="state", shape="all five")
    picture.arrow(films[4].bottom, gate.top, role="gate")
    picture.arrow(total.bottom, times.top, shape="crossing", role="state")
    picture.arrow(gate.right, times.left, role="gate")
    picture.arrow(times.right, answer.left)
    picture.caption(
        "C-5 is film 5 of genre C. The sum holds all four; only the label says which is asked for."
    )
    return picture


@drawing
def gate_swap() -> Drawing:
    """Show the swap: the state of one history with the gate of another film."""
    picture = Drawing(
        width=740,
        height=330,
        title="The swap: keep the state, put in the gate of another film",
        description=(
            "A history of twenty films ends in film 20 of this user. Its state h, which has read "
            "all of them, goes to the crossing. In the first run the gate is computed from the "
            "user's own last film. In the second run it is computed from the last film of "
            "somebody else. Everything else stays the same, so what the output loses is what the "
            "right gate let through."
        ),
    )
    history = picture.sequence(160, 100, ["$x_1$", "…", "$x_{19}$", "$x_{20}$"], roles={3: "gate"})
    state = picture.box(385, 100, 96, 46, "state $h$", role="state")
    crossing = picture.box(530, 100, 96, 46, "$Φ(h)$", role="state")
    times = picture.operator(600, 178, "×")
    output = picture.box(684, 178, 72, 46, "output", role="signal")
    own = picture.box(420, 178, 150, 46, "its own gate", role="gate")
    other_film = picture.box(
        247, 264, 120, 46, "another user's\nlast film", dashed=True, size=SMALL_SIZE
    )
    other = picture.box(420, 264, 150, 46, "another film's gate", dashed=True)
    picture.arrow(history[3].right, state.left, role="state", shape="all 20")
    picture.arrow(state.right, crossing.left, role="state")
    picture.arrow(crossing.right, (times.x, crossing.y), times.top, role="state")
    picture.arrow(history[3].bottom, (history[3].x, own.y), own.left, role="gate")
    picture.arrow(own.right, times.left, role="gate")
    picture.arrow(other_film.right, other.left, dashed=True)
    picture.arrow(other.right, (times.x, other.y), times.bottom, dashed=True)
    picture.arrow(times.right, output.left)
    picture.caption(
        "Solid: as trained. Dashed: the swap, in which this gate takes the other's place."
    )
    return picture
