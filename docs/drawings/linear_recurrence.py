"""The GRU's step beside a linear one, two linear steps joined, and the BD-LRU's (lesson 09).

The numbers are the lesson's toys.
"""

from style import ROLES, Drawing, Shape, drawing


@drawing
def gru_and_linear_step() -> Drawing:
    """Show which arrows go away when gates and candidate no longer read the state."""
    picture = Drawing(
        width=740,
        height=330,
        title="What goes away: the arrow from the state to the gates",
        description=(
            "Two steps side by side. Left, the GRU: gates and candidate are computed from the "
            "input x_t and, by a red arrow, from the old state h_{t-1}; they mix into the new "
            "state h_t. Right, the linear step: the factor a_t and the addend b_t are computed "
            "from the input alone, there is no red arrow, and the new state is a_t times the old "
            "state plus b_t."
        ),
    )
    picture.text(190, 66, "GRU (Eq. 1)", bold=True)
    gates, old = _step(picture, 190, "gates,\ncandidate", "mix")
    fork = picture.dot((125, old.y), role="loss")
    picture.arrow(fork, (125, 182), (168, 182), (168, gates.bottom[1]), role="loss")
    picture.text(70, 182, "reads the\nstate", ink=ROLES["loss"].stroke, size=13)

    picture.text(555, 66, "linear recurrence", bold=True)
    _step(picture, 555, "$a_t$ and $b_t$", "$a_t h + b_t$")
    picture.caption(
        "Right: all $a_t$ and $b_t$ of a history can be computed at once, before the first state "
        "is known."
    )
    return picture


def _step(picture: Drawing, x: float, computed: str, mixing: str) -> tuple[Shape, Shape]:
    """Draw input, old state, what is computed from them, and the new state."""
    film = picture.box(x - 118, 122, 78, 44, "input $x_t$", role="signal")
    old = picture.box(x - 118, 248, 78, 44, "$h_{t-1}$", role="state")
    gates = picture.box(x, 122, 112, 52, computed, role="gate")
    mix = picture.box(x, 248, 112, 44, mixing)
    new = picture.box(x + 122, 248, 70, 44, "$h_t$", role="state")
    picture.arrow(film.right, gates.left, role="signal")
    picture.arrow(old.right, mix.left, role="state")
    picture.arrow((x + 22, gates.bottom[1]), (x + 22, mix.top[1]), role="gate")
    picture.arrow(mix.right, new.left, role="state")
    return gates, old


@drawing
def two_linear_steps_joined() -> Drawing:
    """Show that two linear steps do to a state what one step with two other numbers does."""
    picture = Drawing(
        width=740,
        height=330,
        title="Two linear steps are one linear step",
        description=(
            "Above, the state 8 goes through a first step, times 1/2 plus 3, which gives 7, and a "
            "second, times 1/4 plus 1, which gives 2.75. Below, the same 8 goes through one "
            "joined step, times 1/8 plus 7/4, and gives 2.75 as well. The joined factor is a_2 "
            "a_1, the joined addend is a_2 b_1 + b_2."
        ),
    )
    first = _affine(picture, 200, 110, 150, "$a_1$ = ½, $b_1$ = 3", "8", "× ½, + 3")
    second = _affine(picture, 450, 110, 150, "$a_2$ = ¼, $b_2$ = 1", "", "× ¼, + 1")
    picture.arrow(first.right, second.left, value="7", role="state")
    end = picture.box(650, 110, 70, 44, "2.75", role="state")
    picture.arrow(second.right, end.left, role="state")

    text = "$a_2 a_1$ = ¼ · ½ = 1/8,    $a_2 b_1 + b_2$ = ¼ · 3 + 1 = 7/4"
    joined = _affine(picture, 325, 225, 400, text, "8", "× 1/8, + 7/4")
    end = picture.box(650, 225, 70, 44, "2.75", role="state")
    picture.arrow(joined.right, end.left, role="state")
    picture.caption(
        "The joined pair is known before the 8 is. What the first step adds decays in the second."
    )
    return picture


def _affine(
    picture: Drawing, x: float, y: float, width: float, names: str, start: str, text: str
) -> Shape:
    """Draw one step, its two numbers below it, and the state before it unless there is none."""
    step = picture.box(x, y, width, 50, text, role="gate")
    picture.note(step, names)
    if start:
        before = picture.box(60, y, 60, 44, start, role="state")
        picture.arrow(before.right, step.left, role="state")
    return step


@drawing
def bd_lru_step() -> Drawing:
    """Show the second step of the toy: two gates, a decay, a scale, and the new state."""
    picture = Drawing(
        width=740,
        height=400,
        title="One step of the BD-LRU: the item decides what decays and what comes in",
        description=(
            "The input x_t, 1, gives the recurrence gate r_t, 1/2, and the input gate i_t, 3/4. "
            "The recurrence gate and the channel's Lambda give the decay alpha_t, 3/5. The old "
            "state 0.6 times the decay is 0.36. The input times the input gate times the square "
            "root of one minus alpha squared, 4/5, is 0.6. Their sum is the new state, 0.96. "
            "No arrow leads from the old state to a gate."
        ),
    )
    old = picture.box(78, 90, 96, 54, "old state\n0.6", role="state")
    film = picture.box(78, 270, 96, 54, "input $x_t$\n1", role="signal")
    r = picture.box(230, 190, 110, 54, "gate $r_t$\n1/2", role="gate")
    i = picture.box(230, 330, 110, 54, "gate $i_t$\n3/4", role="gate")
    alpha = picture.box(400, 190, 110, 54, "decay $α_t$\n3/5", role="gate")
    weights = picture.box(230, 120, 60, 34, "$Λ$", role="weights")
    keep = picture.operator(400, 90, "×")
    scale = picture.box(520, 190, 96, 54, "√(1 − $α_t^2$)\n4/5", role="gate")
    enter = picture.operator(520, 270, "×")
    plus = picture.operator(640, 90, "+")
    new = picture.box(640, 190, 104, 54, "new state\n0.96", role="state")

    fork = picture.fork(film.right, (150, 270), role="signal")
    picture.arrow(fork, (150, 190), r.left, role="signal")
    picture.arrow(fork, (150, 330), i.left, role="signal")
    picture.arrow(fork, enter.left, value="1", role="signal", at=0.85)
    picture.arrow(r.right, alpha.left, role="gate")
    picture.arrow(weights.right, (372, 120), (372, alpha.top[1]), role="weights")
    picture.arrow(alpha.top, keep.bottom, value="3/5", role="gate")
    picture.arrow(old.right, keep.left, role="state")
    picture.arrow(alpha.right, scale.left, role="gate")
    picture.arrow(scale.bottom, enter.top, role="gate")
    picture.arrow(i.right, (520, 330), enter.bottom, role="gate")
    picture.arrow(keep.right, plus.left, value="0.36", role="state")
    picture.arrow(enter.right, (718, 270), (718, 90), plus.right, value="0.6", at=0.15)
    picture.arrow(plus.bottom, new.top, role="state")
    picture.caption("No arrow leads from the old state to a gate: the step is linear in the state.")
    return picture
