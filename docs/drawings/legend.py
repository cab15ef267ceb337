"""How to read the drawings: what shapes, colours and arrows mean."""

from style import ROLES, Drawing, drawing


@drawing
def legend() -> Drawing:
    """Show each colour and each kind of arrow with its meaning."""
    picture = Drawing(
        width=740,
        height=400,
        title="How to read the drawings",
        description=(
            "Each kind of thing has a colour: what flows is light blue, a state blue, a gate "
            "orange, trained weights pink, attention green, a loss red, padding grey and dashed, "
            "and everything else white. Beside an arrow stand the shape of what "
            "flows, in grey, and its value, in bold."
        ),
    )
    for number, (name, role) in enumerate(ROLES.items()):
        x = 80 + 350 * (number % 2)
        y = 76 + 50 * (number // 2)
        picture.box(x, y, 110, 36, name, role=name)
        picture.text(x + 70, y, role.meaning, anchor="start")

    product = picture.operator(150, 300, "×")
    picture.arrow((40, 300), product.left, shape="[B, N, d]", role="signal")
    picture.arrow(product.right, (250, 300), value="1/8", role="state")
    picture.text(290, 286, "grey: the shape of what flows; bold: its value", anchor="start")
    picture.text(290, 312, "in a circle: an operation, entry by entry", anchor="start")
    picture.caption(
        "B: sequences in a batch; N: positions in a sequence; d: numbers at a position.\n"
        "A dashed box that is not grey is an extra or a variant, which its drawing explains."
    )
    return picture
