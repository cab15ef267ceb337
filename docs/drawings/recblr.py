"""RecBLR: the whole model, its gated recurrent layer, a step of serving, a fault (lesson 13).

The toy's numbers: one channel, three films u = (0, 1, 1), a window of two with weights 1 and -1
and bias 1, and SiLU(1) = 0.731.
"""

import itertools

from style import ROLES, Drawing, Shape, drawing


@drawing
def recblr_architecture() -> Drawing:
    """Show the stack of layers, and one layer opened."""
    picture = Drawing(
        width=760,
        height=398,
        title="RecBLR: an embedding, two layers of one kind, and the scores",
        description=(
            "Above, from left to right: films, embedding with dropout and LayerNorm (Eq. 1), "
            "layer 1, layer 2, products with all embeddings, softmax (Eq. 2). Below, one layer "
            "opened: its input goes through the gated recurrent layer (Algorithm 1) and around "
            "it, the two are added and normalised; then through the feed-forward (Eq. 4) and "
            "around it, added and normalised again. Only the gated recurrent layer looks at "
            "other positions."
        ),
    )
    top = 88
    films = picture.box(62, top, 76, 46, "films", role="signal")
    embedding = picture.box(190, top, 124, 46, "embedding,\nLayerNorm", role="weights")
    first = picture.box(325, top, 90, 46, "layer 1", role="state")
    second = picture.box(445, top, 90, 46, "layer 2", role="state")
    products = picture.box(565, top, 94, 46, "products\nwith $E^T$", role="weights")
    result = picture.box(688, top, 108, 46, "softmax:\nprobabilities", role="signal")
    row = [films, embedding, first, second, products, result]
    for place, following in itertools.pairwise(row):
        picture.arrow(place.right, following.left, role="signal")
    shapes = ["[B, N]", "[B, N, d]", "[B, N, d]", "[B, N, d]", "", "[B, N, n_items]"]
    for place, shape in zip(row, shapes, strict=True):
        picture.note(place, shape)
    picture.text(190, 146, "Eq. 1", size=13)
    picture.text(565, 124, "Eq. 2", size=13)

    _open_layer(picture, 266)
    picture.caption(
        "Only the gated recurrent layer looks at other positions. "
        "Dropout, in training, is left out."
    )
    return picture


def _open_layer(picture: Drawing, middle: float) -> None:
    """Draw what stands in one layer, from left to right."""
    picture.frame(380, middle, 730, 176, "one layer")
    start = picture.box(56, middle, 46, 40, "$u$", role="signal")
    recurrent = picture.box(188, middle, 138, 54, "gated recurrent\nlayer", role="state")
    plus = picture.operator(294, middle, "+")
    norm = picture.box(373, middle, 92, 44, "LayerNorm", role="weights")
    forward = picture.box(518, middle, 118, 54, "feed-forward\n$d$ to $4d$ to $d$", role="weights")
    second_plus = picture.operator(607, middle, "+")
    second_norm = picture.box(686, middle, 92, 44, "LayerNorm", role="weights")
    picture.note(recurrent, "Algorithm 1")
    picture.note(forward, "Eq. 4")

    above = middle - 56
    fork = picture.fork(start.right, (98, middle), role="signal")
    picture.arrow(fork, recurrent.left, role="signal")
    picture.arrow(
        fork, (98, above), (plus.x, above), plus.top, value="residual connection", role="signal"
    )
    picture.arrow(recurrent.right, plus.left, value="$y$", role="signal")
    picture.arrow(plus.right, norm.left, role="signal")
    second_fork = picture.fork(norm.right, (439, middle), role="signal")
    picture.arrow(second_fork, forward.left, role="signal")
    picture.arrow(
        second_fork,
        (439, above),
        (second_plus.x, above),
        second_plus.top,
        value="residual connection",
        role="signal",
    )
    picture.arrow(forward.right, second_plus.left, role="signal")
    picture.arrow(second_plus.right, second_norm.left, role="signal")


@drawing
def bd_lru_block() -> Drawing:
    """Show Algorithm 1, with what it keeps of the past and what the gates read."""
    picture = Drawing(
        width=760,
        height=430,
        title="The gated recurrent layer: the gates read the film, never the state",
        description=(
            "Algorithm 1 at position t. The input u_t goes through two linear maps, to x and to "
            "z, each d_state wide. x is convolved with the three inputs before it and goes through "
            "SiLU. From the result alone come the gates r_t and i_t. The BD-LRU multiplies the "
            "old state by alpha_t and adds beta_t times x_t. The new state is multiplied by "
            "SiLU of z, and a linear map leads back to d numbers. No arrow leads from a state "
            "to a gate."
        ),
    )
    main = 190
    u = picture.box(55, 255, 62, 48, "input\n$u_t$", role="signal")
    to_x = picture.box(172, main, 86, 48, "linear\nto $x$", role="weights")
    to_z = picture.box(172, 330, 86, 48, "linear\nto $z$", role="weights")
    conv = picture.box(318, main, 118, 52, "convolution,\nSiLU", role="weights")
    gates = picture.box(530, 96, 150, 50, "gates $r_t$, $i_t$\ngive $α_t$, $β_t$", role="gate")
    unit = picture.box(530, main, 160, 52, "BD-LRU\n$h_t = α_t h_{t-1} + β_t x_t$", role="state")
    gate_z = picture.box(400, 330, 110, 48, "SiLU$(z_t)$", role="gate")
    times = picture.operator(652, main, "×")
    back = picture.box(711, main, 58, 48, "linear", role="weights")
    y = picture.box(711, 290, 58, 48, "output\n$y_t$", role="signal")

    fork = picture.fork(u.right, (106, u.y), role="signal")
    picture.arrow(fork, (106, main), to_x.left, role="signal")
    picture.arrow(fork, (106, to_z.y), to_z.left, role="signal")
    picture.arrow(to_x.right, conv.left, role="signal")
    second_fork = picture.fork(conv.right, (412, main), role="signal")
    picture.arrow(second_fork, unit.left, value="$x_t$", side="below", role="signal")
    picture.arrow(second_fork, (412, gates.y), gates.left, role="signal")
    picture.arrow(gates.bottom, unit.top, role="gate")
    picture.arrow(to_z.right, gate_z.left, role="signal")
    picture.arrow(gate_z.right, (times.x, gate_z.y), times.bottom, role="gate")
    picture.arrow(unit.right, times.left, role="state")
    picture.arrow(times.right, back.left, role="state")
    picture.arrow(back.bottom, y.top, role="signal")
    _past_of_the_block(picture, conv, unit)

    for place, line, side in (
        (to_x, "line 1", "above"),
        (to_z, "line 2", "below"),
        (conv, "line 4", "above"),
        (gates, "Eqs. 6 to 8", "above"),
        (gate_z, "[B, N, d_state]", "below"),
        (times, "line 6", "above"),
        (back, "line 7", "above"),
        (u, "[B, N, d]", "below"),
        (y, "[B, N, d]", "below"),
    ):
        picture.note(place, line, side=side)
    picture.caption(
        "Lines are those of Algorithm 1; the BD-LRU is its line 5. Inside, d_state = 2$d$."
    )
    return picture


def _past_of_the_block(picture: Drawing, conv: Shape, unit: Shape) -> None:
    """Draw the two places at which the past comes in."""
    window = picture.box(conv.x, 264, 130, 44, "three inputs\nbefore it", role="state", dashed=True)
    old = picture.box(unit.x, 264, 110, 44, "old state\n$h_{t-1}$", role="state", dashed=True)
    picture.arrow(window.top, conv.bottom, role="state")
    picture.arrow(old.top, unit.bottom, role="state")


@drawing
def recblr_serving_step() -> Drawing:
    """Show what is kept between two visits, and what one film does to it."""
    picture = Drawing(
        width=760,
        height=400,
        title="Serving: one film moves the window and the state on",
        description=(
            "The toy at its third film. Kept since the last visit: the window with x_2 = 1, and "
            "the state h_2 = 0.439. The film u_3 = 1 gives x_3 = 1. The convolution of x_2 and "
            "x_3 is 1, its SiLU 0.731. The gates give alpha = 0.6 and beta = 0.6. 0.6 times the "
            "old state is 0.263, 0.6 times the input 0.439, and their sum is the new state, "
            "0.702. Kept for the next visit: the window with x_3 = 1, and h_3 = 0.702."
        ),
    )
    picture.text(85, 62, "kept till now", size=13, ink=ROLES["state"].stroke)
    picture.text(690, 62, "kept from now on", size=13, ink=ROLES["state"].stroke)
    old_window = picture.box(85, 106, 116, 50, "window\n$x_2$ = 1", role="state")
    film = picture.box(85, 206, 116, 50, "new film\n$u_3$ = 1", role="signal")
    old_state = picture.box(85, 320, 116, 50, "state\n$h_2$ = 0.439", role="state")
    new_window = picture.box(690, 106, 108, 50, "window\n$x_3$ = 1", role="state")
    new_state = picture.box(690, 320, 108, 50, "state\n$h_3$ = 0.702", role="state")

    row = film.y
    linear = picture.box(195, row, 64, 44, "linear", role="weights")
    conv = picture.box(332, row, 96, 44, "convolve", role="weights")
    silu = picture.operator(424, row, "SiLU")
    scaled = picture.operator(540, row, "×")
    kept = picture.operator(400, old_state.y, "×")
    plus = picture.operator(610, old_state.y, "+")

    picture.arrow(film.right, linear.left, role="signal")
    fork = picture.fork(linear.right, (262, row), role="signal")
    picture.arrow(fork, conv.left, role="signal")
    picture.arrow(fork, (262, 84), (600, 84), (600, 106), new_window.left, role="signal")
    picture.text(250, 188, "$x_3$", anchor="end", ink=ROLES["signal"].stroke, bold=True)
    picture.arrow(
        old_window.right, (conv.x, old_window.y), conv.top, value="1", role="state", at=0.75
    )
    picture.arrow(conv.right, silu.left, role="signal")
    gates = picture.box(480, 266, 70, 44, "gates", role="gate")
    second_fork = picture.fork(silu.right, (480, row), role="signal")
    picture.arrow(second_fork, scaled.left, value="0.731", at=0.3, role="signal")
    picture.arrow(second_fork, gates.top, role="signal")
    picture.arrow(gates.left, (kept.x, gates.y), kept.top, role="gate")
    picture.text(390, 270, "$α$ = 0.6", anchor="end", ink=ROLES["gate"].stroke, bold=True)
    picture.arrow(gates.right, (scaled.x, gates.y), scaled.bottom, role="gate")
    picture.text(547, 250, "$β$ = 0.6", anchor="start", ink=ROLES["gate"].stroke, bold=True)
    picture.arrow(scaled.right, (plus.x, row), plus.top, value="0.439", at=0.4, role="signal")
    picture.arrow(old_state.right, kept.left, value="0.439", role="state")
    picture.arrow(kept.right, plus.left, value="0.263", role="state", side="below")
    picture.arrow(plus.right, new_state.left, role="state")
    picture.caption(
        "The same linear map also gives $z_3$ = 1; the output is SiLU$(z_3) h_3$ = 0.513."
    )
    return picture


@drawing
def left_padding_fault() -> Drawing:
    """Show a zero in front of a biased convolution, and the states that it changes."""
    picture = Drawing(
        width=760,
        height=466,
        title="A zero in front is not nothing: the convolution's bias enters the state",
        description=(
            "Two rows of the toy. Above, without padding: the state starts at 0 and becomes "
            "0.439, 0.439 and 0.702 after films 1 to 3. Below, one zero stands in front. The "
            "convolution gives its bias there, 1, and SiLU of it, 0.731, enters: the state is "
            "0.439 before the first film, then 0.702, 0.702 and 0.860."
        ),
    )
    films = [("film 1\n0", "0.731"), ("film 2\n1", "0"), ("film 3\n1", "0.731")]
    _history(picture, 106, [], films, ["0.439", "0.439", "0.702"])
    padding = [("padding\n0", "0.731")]
    _history(picture, 276, padding, films, ["0.439", "0.702", "0.702", "0.860"])
    picture.text(36, 84, "as it should be", anchor="start", bold=True)
    picture.text(36, 254, "padded", anchor="start", bold=True)
    picture.caption(
        "Beside each arrow upwards: what enters, SiLU of the convolution. At the padding it is\n"
        "SiLU of the bias, SiLU(1) = 0.731. In between: the states."
    )
    return picture


def _history(
    picture: Drawing,
    y: float,
    padding: list[tuple[str, str]],
    films: list[tuple[str, str]],
    states: list[str],
) -> None:
    """Draw a row of states, the first one h = 0, above the inputs they come from."""
    columns = [215 + 145 * number for number in range(4)]
    inputs = padding + films
    columns = columns[-len(inputs) :]
    before = picture.box(columns[0] - 125, y + 20, 64, 40, "$h$ = 0", role="state")
    for x, (text, entering), state in zip(columns, inputs, states, strict=True):
        is_padding = text.startswith("padding")
        source = picture.box(x, y + 98, 84, 46, text, role="padding" if is_padding else "signal")
        now = picture.box(x, y + 20, 78, 40, state, role="loss" if padding else "state")
        picture.arrow(before.right, now.left, role="state")
        picture.arrow(source.top, now.bottom, value=entering, role="signal")
        before = now
