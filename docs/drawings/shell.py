"""The shell in which lessons 02 to 05 compare layers, and what it is trained on (lesson 02)."""

from style import Drawing, drawing


@drawing
def one_layer_shell() -> Drawing:
    """Show what surrounds the layer that changes from lesson to lesson."""
    picture = Drawing(
        width=740,
        height=345,
        title="One shell for lessons 02 to 05: only the layer in the dotted frame changes",
        description=(
            "Items, [B, N], become embeddings, [B, N, d], and pass dropout. From there one path "
            "goes through the layer and dropout, another goes around the layer; the two are "
            "added. LayerNorm and a linear map give the representations, [B, N, d]. Multiplied "
            "by the transposed embedding table they are scores, [B, N, n_items], which the "
            "softmax turns into probabilities."
        ),
    )
    items = picture.box(62, 142, 84, 48, "items", role="signal")
    picture.note(items, "[B, N]")
    table = picture.box(186, 142, 104, 54, "embeddings\n$E$", role="weights")
    first_dropout = picture.box(308, 142, 80, 44, "dropout")
    picture.frame(424, 148, 108, 92, "the layer")
    layer = picture.box(424, 142, 84, 44, "GRU", role="weights")
    second_dropout = picture.box(540, 142, 80, 44, "dropout")
    plus = picture.operator(640, 142, "+")

    picture.arrow(items.right, table.left, role="signal")
    picture.arrow(table.right, first_dropout.left, role="signal")
    fork = picture.fork(first_dropout.right, (358, 142), role="signal")
    picture.arrow(fork, (layer.left[0], 142), role="signal")
    picture.arrow((layer.right[0], 142), second_dropout.left, role="state")
    picture.arrow(second_dropout.right, plus.left, role="state")
    picture.arrow(
        fork, (358, 76), (plus.x, 76), plus.top, value="residual connection", role="signal"
    )

    norm = picture.box(640, 250, 98, 44, "LayerNorm", role="weights")
    output = picture.box(506, 250, 88, 44, "linear", role="weights")
    times = picture.box(352, 250, 96, 48, "products\nwith $E^T$", role="weights")
    softmax = picture.box(218, 250, 80, 44, "softmax")
    result = picture.box(82, 250, 116, 48, "probability of\nevery film", role="signal")
    picture.arrow(plus.bottom, norm.top, shape="[B, N, d]", role="signal", side="left")
    picture.arrow(norm.left, output.right, role="signal")
    picture.arrow(output.left, times.right, value="$R$", role="signal")
    picture.arrow(times.left, softmax.right, role="signal")
    picture.arrow(softmax.left, result.right, role="signal")
    picture.note(output, "[B, N, d]")
    picture.note(times, "[B, N, n_items]")
    picture.caption(
        "Two paths lead to the sum: through the layer, and around it. "
        "Dropout works in training only."
    )
    return picture


@drawing
def next_film_targets() -> Drawing:
    """Show the questions of one padded history: the targets are its films, one place on."""
    picture = Drawing(
        width=740,
        height=375,
        title="Every position asks for the film that comes next",
        description=(
            "A history of five films, A to E, padded to six places. The model reads A, B, C, D "
            "and two zeros. The targets below are B, C, D, E and two zeros: the same films, one "
            "place on. Position 3 sees A, B and C and has to predict D. The zeros ask nothing."
        ),
    )
    middle = 430
    picture.text(36, 128, "read", anchor="start")
    read = picture.sequence(middle, 128, "ABCD", after=2, cell=46, gap=44)
    first = read[0]
    third = read[2]
    picture.bracket(
        first.left[0] - 6, third.right[0] + 6, 92, "what position 3 sees", role="signal"
    )
    picture.text(36, 210, "the model", anchor="start")
    model = picture.box(middle, 210, 540, 44, "embeddings, layer, scores", role="weights")
    picture.text(36, 292, "predict", anchor="start")
    positions = ["position 1", *"23456"]
    target = picture.sequence(middle, 292, "BCDE", after=2, cell=46, gap=44, positions=positions)
    for film, following in list(zip(read, target, strict=True))[:4]:
        picture.arrow(film.bottom, (film.x, model.top[1]), role="signal")
        picture.arrow((film.x, model.bottom[1]), following.top, role="signal")
    picture.caption("Five films ask four questions. A target of 0 asks nothing and has no loss.")
    return picture
