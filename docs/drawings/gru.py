"""The GRU's step in three pictures, and its states along a sequence (lesson 02).

The numbers on the arrows are the lesson's toy: x = 1, h = 1/2, all biases 0.
"""

from style import ROLES, Drawing, Shape, drawing


@drawing
def gru_step_gates() -> Drawing:
    """Show that both gates read the input and the old state, and nothing else."""
    picture = Drawing(
        width=740,
        height=400,
        title="1. Both gates read the input and the old state",
        description=(
            "The input x_t, 1, and the old state h_{t-1}, 1/2, both go to the reset gate and to "
            "the update gate. Reset gate: ln 3 times 1 plus -4 ln 3 times 1/2 is -ln 3, and its "
            "sigmoid is r_t = 1/4. Update gate: 2 ln 3 times 1 plus -2 ln 3 times 1/2 is ln 3, "
            "and its sigmoid is z_t = 3/4."
        ),
    )
    x = picture.box(80, 112, 100, 58, "input $x_t$\n1", role="signal")
    h = picture.box(80, 284, 100, 58, "old state\n$h_{t-1}$ = 1/2", role="state")
    picture.note(x, "[d_input]")
    picture.note(h, "[d_state]")

    # Each input's line divides: to the reset gate above, to the update gate below.
    w_r = picture.box(265, 84, 90, 48, "$W_r$\nln 3", role="weights")
    u_r = picture.box(265, 160, 90, 48, "$U_r$\n−4 ln 3", role="weights")
    w_z = picture.box(265, 248, 90, 48, "$W_z$\n2 ln 3", role="weights")
    u_z = picture.box(265, 324, 90, 48, "$U_z$\n−2 ln 3", role="weights")
    x_fork = picture.fork(x.right, (192, x.y), role="signal")
    picture.arrow(x_fork, (192, w_z.y), w_z.left, role="signal")
    picture.arrow(x_fork, (192, w_r.y), w_r.left, role="signal")
    h_fork = picture.fork(h.right, (165, h.y), role="state")
    picture.arrow(h_fork, (165, u_r.y), u_r.left, role="state")
    picture.arrow(h_fork, (165, u_z.y), u_z.left, role="state")

    _gate(picture, w_r, u_r, "ln 3", "−2 ln 3", "−ln 3", "1/4", "reset gate\n$r_t$", "$b_r$ = 0")
    _gate(picture, w_z, u_z, "2 ln 3", "−ln 3", "ln 3", "3/4", "update gate\n$z_t$", "$b_z$ = 0")
    picture.caption(
        "Neither gate waits for the other. Each unit of the state has gates of its own."
    )
    return picture


def _gate(
    picture: Drawing,
    from_input: Shape,
    from_state: Shape,
    input_part: str,
    state_part: str,
    total: str,
    result: str,
    name: str,
    bias: str,
) -> None:
    """Draw the sum of a gate's two products, its sigmoid and the gate."""
    middle = (from_input.y + from_state.y) / 2
    plus = picture.operator(430, middle, "+")
    sigmoid = picture.operator(530, middle, "σ")
    gate = picture.box(655, middle, 118, 54, name, role="gate")
    upper = from_input.right
    lower = from_state.right
    picture.arrow(upper, (plus.x, upper[1]), plus.top, value=input_part, at=0.3)
    picture.arrow(lower, (plus.x, lower[1]), plus.bottom, value=state_part, side="below", at=0.3)
    picture.note(plus, bias, side="left")
    picture.arrow(plus.right, sigmoid.left, value=total)
    picture.arrow(sigmoid.right, gate.left, value=result, role="gate")
    picture.note(gate, "[d_state]")


@drawing
def gru_step_candidate() -> Drawing:
    """Show that the candidate sees the old state through the reset gate."""
    picture = Drawing(
        width=740,
        height=330,
        title="2. The reset gate decides what the candidate sees of the old state",
        description=(
            "The old state 1/2 is multiplied by the reset gate 1/4, which leaves 1/8. Times U, "
            "4 ln 2, this is half of ln 2. The input 1 times W, half of ln 2, is added: ln 2. Its "
            "tanh is the candidate, 0.6."
        ),
    )
    r = picture.box(230, 84, 118, 52, "reset gate\n$r_t$ = 1/4", role="gate")
    h = picture.box(80, 170, 100, 58, "old state\n$h_{t-1}$ = 1/2", role="state")
    x = picture.box(80, 252, 100, 58, "input $x_t$\n1", role="signal")
    times = picture.operator(230, h.y, "×")
    u = picture.box(340, h.y, 84, 48, "$U$\n4 ln 2", role="weights")
    w = picture.box(340, x.y, 84, 48, "$W$\n½ ln 2", role="weights")
    plus = picture.operator(470, h.y, "+")
    tanh = picture.operator(560, h.y, "tanh")
    candidate = picture.box(668, h.y, 104, 58, "candidate\n$h̃_t$ = 0.6", role="state")

    picture.arrow(r.bottom, times.top, value="1/4", role="gate")
    picture.arrow(h.right, times.left, value="1/2", role="state")
    picture.arrow(times.right, u.left, value="1/8", role="state")
    picture.arrow(u.right, plus.left, value="½ ln 2")
    picture.arrow(x.right, w.left, value="1", role="signal")
    picture.arrow(w.right, (plus.x, w.y), plus.bottom, value="½ ln 2", side="below", at=0.3)
    picture.arrow(plus.right, tanh.left, value="ln 2")
    picture.arrow(tanh.right, candidate.left)
    picture.note(candidate, "[d_state]")
    picture.caption("The bias $b$ is 0 here. The update gate has no part in this step.")
    return picture


@drawing
def gru_step_state() -> Drawing:
    """Show the update gate mixing candidate and old state."""
    picture = Drawing(
        width=740,
        height=390,
        title="3. The update gate mixes the candidate and the old state",
        description=(
            "The candidate 0.6 is multiplied by the update gate 3/4, which gives 0.45. The old "
            "state 1/2 is multiplied by one minus the update gate, 1/4, which gives 0.125. Their "
            "sum is the new state, 0.575."
        ),
    )
    candidate = picture.box(85, 90, 108, 58, "candidate\n$h̃_t$ = 0.6", role="state")
    z = picture.box(85, 190, 118, 58, "update gate\n$z_t$ = 3/4", role="gate")
    h = picture.box(85, 310, 108, 58, "old state\n$h_{t-1}$ = 1/2", role="state")
    upper = picture.operator(320, candidate.y, "×")
    one_minus = picture.operator(320, 242, "1 −")
    lower = picture.operator(320, h.y, "×")
    plus = picture.operator(480, 200, "+")
    new = picture.box(650, 200, 110, 58, "new state\n$h_t$ = 0.575", role="state")

    picture.arrow(candidate.right, upper.left, value="0.6", role="state")
    z_fork = picture.fork(z.right, (320, z.y), role="gate")
    picture.arrow(z_fork, upper.bottom, value="3/4", role="gate")
    picture.arrow(z_fork, one_minus.top, role="gate")
    picture.arrow(one_minus.bottom, lower.top, value="1/4", role="gate")
    picture.arrow(h.right, lower.left, value="1/2", role="state")
    picture.arrow(upper.right, (plus.x, upper.y), plus.top, value="0.45", role="state", at=0.3)
    picture.arrow(lower.right, (plus.x, lower.y), plus.bottom, value="0.125", role="state", at=0.3)
    picture.arrow(plus.right, new.left, value="0.575", role="state")
    picture.note(new, "[d_state]")
    picture.caption(
        "The two shares sum to 1, so the new state lies between candidate and old state."
    )
    return picture


@drawing
def gru_unrolled() -> Drawing:
    """Show one cell at every position, and the state that is carried on."""
    picture = Drawing(
        width=740,
        height=400,
        title="The same cell at every position; only the state is carried on",
        description=(
            "Four positions from left to right. At each, the same GRU cell reads the input x_n "
            "from below and the state before it from the left, and gives the new state, which "
            "goes up as the output and right to the next cell. The first state h_0 is zero. So "
            "step 4 waits for step 3, which waits for step 2, which waits for step 1."
        ),
    )
    start = picture.box(66, 200, 76, 44, "$h_0$ = 0", role="padding")
    before = start
    for number in range(1, 5):
        x = 50 + 150 * number
        cell = picture.box(x, 200, 88, 54, "GRU cell", role="weights")
        film = picture.box(x, 292, 60, 40, f"$x_{number}$", role="signal")
        state = picture.box(x, 112, 60, 40, f"$h_{number}$", role="state")
        picture.arrow(film.top, cell.bottom, role="signal")
        picture.arrow(cell.top, state.bottom, role="state")
        carried = "" if before is start else f"$h_{number - 1}$"
        picture.arrow(before.right, cell.left, value=carried, role="state")
        before = cell
    picture.bracket(170, 680, 78, "$H$: [B, N, d_state]", role="state")
    picture.bracket(170, 680, 328, "$X$: [B, N, d_input]", role="signal", below=True)
    picture.caption("Each step waits for the one before it: a GRU is sequential in time.")
    return picture


@drawing
def gru_reset_before_after() -> Drawing:
    """Show that the reset gate scales columns of U in one form and rows in the other."""
    picture = Drawing(
        width=740,
        height=275,
        title="Before the product $r$ scales the columns of $U$, after it the rows",
        description=(
            "Three 2 x 2 matrices. In the middle U, with rows (1, 2) and (3, 4). Left, Eq. 1: the "
            "reset gate, 1/2 and 1, multiplies the columns, which gives (1/2, 2) and (3/2, 4). "
            "Right, PyTorch: it multiplies the rows, which gives (1/2, 1) and (3, 4). The "
            "diagonals agree, the other entries do not."
        ),
    )
    cell = 58
    centre = picture.matrix(370, 165, [["1", "2"], ["3", "4"]], role="weights", cell=cell)
    picture.text(370, 88, "$U$", bold=True)

    differs = {(0, 1): "gate", (1, 0): "gate"}
    before = picture.matrix(
        130, 165, [["½", "2"], ["3/2", "4"]], role="weights", roles=differs, cell=cell
    )
    picture.text(130, 62, "Eq. 1: $U (r * h)$", bold=True)
    for column, share in enumerate(("× ½", "× 1")):
        place = before.cell(0, column)
        picture.text(place.x, place.top[1] - 14, share, ink=ROLES["gate"].stroke, bold=True)

    after = picture.matrix(
        600, 165, [["½", "1"], ["3", "4"]], role="weights", roles=differs, cell=cell
    )
    picture.text(600, 62, "PyTorch: $r * (U h)$", bold=True)
    for row, share in enumerate(("× ½", "× 1")):
        place = after.cell(row, 0)
        x = place.left[0] - 10
        picture.text(x, place.y, share, anchor="end", ink=ROLES["gate"].stroke, bold=True)

    picture.text(370, 62, "reset gate $r$ = (½, 1)", ink=ROLES["gate"].stroke, bold=True)
    picture.arrow(centre.left, before.right, value="$r$", role="gate")
    picture.arrow(centre.right, (after.left[0] - 52, after.y), value="$r$", role="gate")
    picture.caption(
        "Row $i$ is what unit $i$ hears; column $j$ is what unit $j$ says. "
        "Orange: where the two forms differ."
    )
    return picture
