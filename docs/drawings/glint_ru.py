"""GLINT-RU as the paper prints it and as its authors released it (lesson 06).

Both drawings have two columns: on the left the two experts and their mixture, on the right what
comes after them. Numbers in parentheses are the paper's equations.
"""

from style import SOFT_INK, Drawing, Shape, drawing

EXPERT_1 = 104  # x of the attention's column
EXPERT_2 = 288  # of the column of convolutions and GRU
GATE_1 = 424  # of the selective gate
RAIL = 500  # of the line that leads the mixture to the right
AFTER = 578  # of what comes after the experts
GATE_2 = 688  # of its gates


@drawing
def glint_ru_paper() -> Drawing:
    """Show GLINT-RU as its equations have it."""
    picture = Drawing(
        width=760,
        height=600,
        title="GLINT-RU as the paper prints it: two experts, mixed, then gated twice",
        description=(
            "The embeddings X go to two experts. Expert one is linear attention, Eq. 2, which "
            "gives A′. Expert two is the dense selective GRU: a dense layer and a convolution, "
            "Eq. 5; the GRU, Eq. 6; the crossing, Eq. 7; times the selective gate, Eq. 9, which "
            "reads what the GRU reads; and a convolution, Eq. 8, which gives Y. They are mixed "
            "by two weights, Eq. 10, into M. The data-aware gate, Eq. 11, reads X and multiplies "
            "M, which gives Z. A gated MLP, Eq. 12, multiplies Z by a gate made from Z itself, "
            "and a linear layer gives R. R times all embeddings gives the scores, Eq. 13."
        ),
    )
    x = picture.box(196, 70, 170, 36, "embeddings $X$ (3, 4)", role="signal")
    _recurrent_expert(picture, gru="GRU (6)", gate="selective\ngate (9)")
    mix = _mixture(picture, "A′")
    attention = _attention(picture, x, "linear\nattention (2)")
    picture.arrow(attention.bottom, (EXPERT_1, mix.y), mix.left, value="$A′$", side="left", at=0.4)

    product = _data_gate(picture, x, mix)
    z = picture.fork(product.bottom, (AFTER, 206))
    times = picture.operator(AFTER, 272, "×")
    mlp_gate = picture.box(GATE_2, 272, 104, 50, "MLP's\ngate (12)", role="gate")
    picture.arrow(z, times.top, value="$Z$", side="left")
    picture.arrow(z, (GATE_2, z[1]), mlp_gate.top)
    picture.arrow(mlp_gate.left, times.right, role="gate")
    linear = picture.box(AFTER, 346, 120, 42, "linear (12)", role="weights")
    picture.arrow(times.bottom, linear.top, value="$P$", side="left")
    scores = _scores(picture, 424)
    picture.arrow(linear.bottom, scores.top, value="$R$", side="left")
    picture.caption(
        "Everything between $X$ and $R$ is [B, N, d]. "
        "Numbers in parentheses are the paper's equations."
    )
    return picture


@drawing
def glint_ru_released() -> Drawing:
    """Show GLINT-RU as its authors' code has it."""
    picture = Drawing(
        width=760,
        height=770,
        title="GLINT-RU as released: with residual paths, LayerNorms and dropout",
        description=(
            "The same skeleton as in the paper, with additions. After attention, which has 8 "
            "heads: a dense layer, dropout, the residual path from X and a LayerNorm. The GRU has "
            "no biases; the selective gate is d/2 wide inside and has dropout. After the "
            "data-aware gate: a dense layer, dropout, the residual path from X and a second "
            "LayerNorm, which gives Z. In the MLP the gate multiplies a second linear map of Z; "
            "after the MLP's linear layer come dropout, the residual path from Z and the same "
            "second LayerNorm once more, which gives R."
        ),
    )
    x = picture.box(196, 70, 170, 36, "embeddings $X$ (3, 4)", role="signal")
    _recurrent_expert(
        picture,
        gru="GRU (6)\nno biases",
        gate="selective gate\n(9), $d$/2 inside,\ndropout",
        dashed=True,
    )
    mix = _mixture(picture, "A")
    attention = _attention(picture, x, "attention (2),\n8 heads", dashed=True)
    dense = _dense(picture, attention)
    plus, norm = _residual(picture, dense, "LayerNorm 1")
    picture.arrow(x.left, (26, x.y), (26, plus.y), plus.left, role="signal")
    picture.arrow(norm.bottom, (EXPERT_1, mix.y), mix.left, value="$A$", side="left", at=0.3)

    product = _data_gate(picture, x, mix)
    dense = _dense(picture, product)
    plus, norm = _residual(picture, dense, "LayerNorm 2")
    branch = picture.dot((GATE_2, 96), role="signal")
    picture.arrow(branch, (742, branch[1]), (742, plus.y), plus.right, role="signal")
    z = picture.fork(norm.bottom, (AFTER, 376))
    value = picture.box(AFTER, 424, 104, 50, "second\nlinear", role="weights", dashed=True)
    mlp_gate = picture.box(GATE_2, 424, 90, 50, "MLP's\ngate (12)", role="gate")
    times = picture.operator(AFTER, 490, "×")
    picture.arrow(z, value.top, value="$Z$", side="left")
    branch = picture.fork(z, (GATE_2, z[1]))
    picture.arrow(branch, mlp_gate.top)
    picture.arrow(value.bottom, times.top)
    picture.arrow(mlp_gate.bottom, (GATE_2, times.y), times.right, role="gate")
    linear = picture.box(AFTER, 552, 120, 50, "linear (12),\ndropout", role="weights", dashed=True)
    picture.arrow(times.bottom, linear.top)
    plus, norm = _residual(picture, linear, "LayerNorm 2")
    picture.arrow(branch, (742, z[1]), (742, plus.y), plus.right)
    scores = _scores(picture, 724)
    picture.arrow(norm.bottom, scores.top, value="$R$", side="left")
    _differences(picture)
    return picture


def _differences(picture: Drawing) -> None:
    """Write what the released drawing's dashes mean, and which boxes are one module."""
    notes = [
        "Dashed: not in the paper's equations, or not as printed there.",
        "Both boxes LayerNorm 2 are one module, with one scale and one shift.",
        "Numbers in parentheses are the paper's equations.",
    ]
    for number, note in enumerate(notes):
        picture.text(26, 636 + 26 * number, note, size=13, anchor="start", ink=SOFT_INK)


def _attention(picture: Drawing, x: Shape, name: str, dashed: bool = False) -> Shape:
    """Draw the lines from X to both experts, and the attention."""
    fork = picture.fork(x.bottom, (x.x, 106), role="signal")
    attention = picture.box(EXPERT_1, 155, 124, 50, name, role="attention", dashed=dashed)
    picture.arrow(fork, (EXPERT_1, 106), attention.top, role="signal")
    picture.arrow(fork, (EXPERT_2, 106), (EXPERT_2, 130), role="signal")
    return attention


def _recurrent_expert(picture: Drawing, gru: str, gate: str, dashed: bool = False) -> None:
    """Draw the dense selective GRU; dashed where a part is not as printed."""
    picture.frame(349, 291, 278, 354, "dense selective GRU")
    first = picture.box(EXPERT_2, 155, 124, 50, "dense layer,\nconvolution (5)", role="weights")
    fork = picture.fork(first.bottom, (EXPERT_2, 194))
    cell = picture.box(EXPERT_2, 242, 124, 50, gru, role="state", dashed=dashed)
    crossing = picture.box(EXPERT_2, 309, 124, 36, "crossing (7)", role="weights")
    times = picture.operator(EXPERT_2, 365, "×")
    last = picture.box(EXPERT_2, 427, 124, 36, "convolution (8)", role="weights")
    selective = picture.box(
        GATE_1, 252, 112, 32 + 18 * gate.count("\n"), gate, role="gate", size=14, dashed=dashed
    )
    picture.arrow(fork, cell.top, value="$C$", side="left")
    picture.arrow(fork, (GATE_1, fork[1]), selective.top)
    picture.arrow(cell.bottom, crossing.top, value="$H$", side="left")
    picture.arrow(crossing.bottom, times.top)
    picture.arrow(selective.bottom, (GATE_1, times.y), times.right, role="gate")
    picture.arrow(times.bottom, last.top, value="$G$", side="left")
    picture.arrow(last.bottom, (EXPERT_2, 488), value="$Y$", side="left", at=0.8)


def _mixture(picture: Drawing, attended: str) -> Shape:
    """Draw the mixture of the two experts; attended is the symbol of the first one's output."""
    return picture.box(
        EXPERT_2, 515, 170, 54, f"mixture (10)\n$M = α_1 {attended} + α_2 Y$", role="weights"
    )


def _data_gate(picture: Drawing, x: Shape, mix: Shape) -> Shape:
    """Draw the data-aware gate, which reads X and multiplies the mixture; return the product."""
    gate = picture.box(GATE_2, 148, 96, 50, "data-aware\ngate (11)", role="gate")
    product = picture.operator(AFTER, 148, "×")
    picture.arrow(x.right, (GATE_2, x.y), gate.top, shape="[B, N, d]", role="signal")
    picture.arrow(gate.left, product.right, role="gate")
    picture.arrow(
        mix.right,
        (RAIL, mix.y),
        (RAIL, product.y),
        product.left,
        shape="[B, N, d]",
        value="$M$",
        at=0.11,
    )
    return product


def _dense(picture: Drawing, start: Shape) -> Shape:
    """Draw the dense layer that the released code puts behind attention and data-aware gate."""
    dense = picture.box(start.x, 222, 120, 50, "dense layer,\ndropout", role="weights", dashed=True)
    picture.arrow(start.bottom, dense.top)
    return dense


def _residual(picture: Drawing, start: Shape, norm: str) -> tuple[Shape, Shape]:
    """Draw the end of a residual path below a thing; return the sum and the LayerNorm."""
    plus = picture.operator(start.x, start.y + 61, "+", dashed=True)
    normalised = picture.box(start.x, start.y + 116, 120, 34, norm, role="weights", dashed=True)
    picture.arrow(start.bottom, plus.top)
    picture.arrow(plus.bottom, normalised.top)
    return plus, normalised


def _scores(picture: Drawing, y: float) -> Shape:
    """Draw the last part."""
    return picture.box(AFTER, y, 120, 36, "scores (13)", role="signal")
