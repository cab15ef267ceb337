"""How a part is judged, and how two models are compared over seeds (lesson 07)."""

from style import Drawing, Shape, drawing

# The toy of lesson 07: NDCG@10 in thousandths, for seeds 0 to 3.
WHOLE = [282, 264, 290, 284]
WITHOUT = [270, 260, 286, 280]


@drawing
def knocked_out_left_out() -> Drawing:
    """Show the whole model, one that lost a part after training, one trained without it."""
    picture = Drawing(
        width=740,
        height=345,
        title="Two ways to ask what a part is worth",
        description=(
            "Three models side by side. The whole one is trained with attention and the recurrent "
            "expert, and everything behind them expects both. Knocked out: the same trained "
            "weights, but the output of attention is set to zero, and nothing is trained again. "
            "Left out: attention is missing from the start and the rest is trained anew. The "
            "second asks whether the part is used, the third whether it is needed."
        ),
    )
    columns = (
        (130, "whole", "trained with both", "", ""),
        (370, "knocked out", "the same weights,\none output set to 0", "0", "Is it used?"),
        (610, "left out", "trained again\nwithout it", "none", "Is it needed?"),
    )
    for x, name, training, attention, question in columns:
        picture.text(x, 66, name, bold=True)
        _model(picture, x, attention)
        picture.text(x, 270, training, size=14)
        picture.text(x, 318, question, bold=True)
    return picture


def _model(picture: Drawing, x: float, attention: str) -> None:
    """Draw two experts and what reads them; attention whole, silenced ("0") or absent ("none")."""
    rest = picture.box(x, 220, 150, 38, "all that follows", role="weights")
    recurrent = picture.box(x + 55, 115, 100, 46, "recurrent\nexpert", role="state", size=14)
    if attention == "none":
        picture.box(x - 55, 115, 100, 46, "nothing", role="padding", size=14)
        picture.arrow(recurrent.bottom, (x + 55, rest.top[1]))
        return
    place = Shape(x - 55, 115, 100, 46)
    expert = picture.box(place.x, place.y, 100, 46, "attention", role="attention", size=14)
    picture.arrow(recurrent.bottom, (x + 55, rest.top[1]))
    if attention == "0":
        silenced = picture.operator(x - 55, 163, "0", role="loss")
        picture.arrow(silenced.bottom, (x - 55, rest.top[1]), dashed=True)
    else:
        picture.arrow(expert.bottom, (x - 55, rest.top[1]))


@drawing
def two_ways_over_seeds() -> Drawing:
    """Show the toy's four seeds, compared seed by seed and as two groups."""
    picture = Drawing(
        width=740,
        height=390,
        title="The same eight runs, compared in pairs and as two groups",
        description=(
            "A table of four seeds: NDCG@10 in thousandths of the whole model, 282, 264, 290, "
            "284, of the model without a part, 270, 260, 286, 280, and the difference in each "
            "row, 12, 4, 4, 4. In pairs: the differences have mean 6 and standard deviation 4, so "
            "the standard error is 2. As two groups: both columns scatter by about 11, and the "
            "standard error of the difference of their means is 8."
        ),
    )
    rows = [[str(a), str(b)] for a, b in zip(WHOLE, WITHOUT, strict=True)]
    groups = picture.matrix(
        180,
        170,
        rows,
        cell=84,
        cell_height=34,
        role="signal",
        row_labels=[f"seed {seed}" for seed in range(4)],
        column_labels=["whole", "without"],
    )
    differences = picture.strip(
        440,
        170,
        [str(a - b) for a, b in zip(WHOLE, WITHOUT, strict=True)],
        upright=True,
        cell=84,
        cell_height=34,
        role="state",
    )
    picture.text(440, 87, "difference")
    picture.arrow(groups.right, differences.left, value="row by row", side="above")

    pairs = picture.box(
        635, 170, 170, 76, "in pairs:\nmean 6, spread 4,\nstandard error 2", role="state", size=14
    )
    picture.arrow(differences.right, pairs.left)
    apart = picture.box(
        180,
        305,
        330,
        56,
        "as two groups: means 280 and 274,\nspreads 11.2 and 11.4, standard error 8",
        role="signal",
        size=14,
    )
    picture.arrow(groups.bottom, apart.top)
    picture.caption("NDCG@10 in thousandths; made-up numbers. Spread: the standard deviation.")
    return picture
