"""What becomes of one film behind the two experts of GLINT-RU, with the toy's numbers (lesson 06).

The toy: A' = (2, 0), Y = (-2, 4), x = (2, 1), mixing weights 3/4 and 1/4, and u = 0.841 = GeLU(1).
"""

from style import Drawing, Grid, Shape, drawing

ABOVE = 185  # the row of the signal
BELOW = 340  # the row of the gate that is made from x
BETWEEN = 270  # of the gate that is made from Z: higher, as nothing leads from the first gate to it
GATE = ["0.841", "\u22120.159"]  # GeLU of (1, -1), twice


@drawing
def glint_ru_toy() -> Drawing:
    """Show the mixture, the data-aware gate and the gated MLP with numbers on the way."""
    picture = Drawing(
        width=760,
        height=440,
        title="One film on its way through Eqs. 10 to 12",
        description=(
            "Two vectors, A' = (2, 0) and Y = (-2, 4), are multiplied by 3/4 and 1/4 and added: "
            "M = (1, 1). A gate made from the film's embedding x = (2, 1) by a linear map and "
            "GeLU is (0.841, -0.159); times M it gives Z. A second gate is made from Z itself, "
            "with the same values; times Z it gives P = (0.708, 0.025). A linear map gives "
            "R = (0.708, 0.050)."
        ),
    )
    picture.bracket(20, 268, 80, "Eq. 10: mixture")
    picture.bracket(286, 434, 80, "Eq. 11: data-aware gate")
    picture.bracket(478, 745, 80, "Eq. 12: gated MLP")
    mixture = _mixture(picture)
    z = _data_aware_gate(picture, mixture)
    _gated_mlp(picture, z)
    picture.caption(
        "A column is the vector of one film, [d] = [2]. Every circle works entry by entry;\n"
        "nothing here looks at another film."
    )
    return picture


def _column(picture: Drawing, x: float, y: float, values: list[str], name: str, role: str) -> Grid:
    """Draw one film's vector, upright, with its name above it."""
    grid = picture.strip(x, y, values, role=role, upright=True, cell=54, cell_height=27, size=14)
    picture.text(x, y - 40, name)
    return grid


def _mixture(picture: Drawing) -> Grid:
    """Draw Eq. 10 and return M."""
    attended = _column(picture, 50, ABOVE - 43, ["2", "0"], "$A\u2032$", "attention")
    recurred = _column(picture, 50, ABOVE + 55, ["\u22122", "4"], "$Y$", "state")
    plus = picture.operator(170, ABOVE, "+")
    for expert, weight, place in (
        (attended, "3/4", ABOVE - 43),
        (recurred, "1/4", ABOVE + 55),
    ):
        times = picture.operator(115, place, "×")
        beyond = -30 if expert is attended else 30
        picture.text(times.x, times.y + beyond, weight, bold=True)
        picture.arrow(expert.right, times.left)
        corner = (plus.x, place)
        end = plus.top if expert is attended else plus.bottom
        picture.arrow(times.right, corner, end)

    mixture = _column(picture, 237, ABOVE, ["1", "1"], "$M$", "signal")
    picture.arrow(plus.right, mixture.left)
    return mixture


def _data_aware_gate(picture: Drawing, mixture: Grid) -> Grid:
    """Draw Eq. 11 and return Z."""
    x = _column(picture, 50, BELOW, ["2", "1"], "$x$", "signal")
    gate = _gate(picture, x.right, Shape(165, BELOW, 100, 46), 315, "gate from $x$")
    return _multiply(picture, mixture, gate, 403, GATE, "$Z$")


def _gated_mlp(picture: Drawing, z: Grid) -> None:
    """Draw Eq. 12 up to R."""
    gate = _gate(picture, z.bottom, Shape(z.x, BETWEEN, 100, 46), 507, "gate from $Z$")
    p = _multiply(picture, z, gate, 580, ["0.708", "0.025"], "$P$")
    linear = picture.box(650, ABOVE, 56, 46, "$W_o$", role="weights")
    picture.arrow(p.right, linear.left)
    r = _column(picture, 717, ABOVE, ["0.708", "0.050"], "$R$", "signal")
    picture.arrow(linear.right, r.left)


def _gate(picture: Drawing, start: tuple[float, float], place: Shape, x: float, note: str) -> Grid:
    """Draw a linear map with GeLU and, at x, the gate that it makes, with a note below it."""
    box = picture.box(
        place.x, place.y, place.width, place.height, "linear, GeLU", role="gate", size=14
    )
    picture.arrow(start, box.left if start[1] == place.y else box.top)
    gate = picture.strip(
        x, place.y, GATE, role="gate", upright=True, cell=54, cell_height=27, size=14
    )
    picture.note(gate, note)
    picture.arrow(box.right, gate.left)
    return gate


def _multiply(
    picture: Drawing, signal: Grid, gate: Grid, x: float, values: list[str], name: str
) -> Grid:
    """Multiply a signal by a gate that stands below; draw the product at x and return it."""
    times = picture.operator(gate.x, ABOVE, "×")
    picture.arrow(signal.right, times.left)
    picture.arrow(gate.top, times.bottom, role="gate")
    product = _column(picture, x, ABOVE, values, name, "signal")
    picture.arrow(times.right, product.left)
    return product
