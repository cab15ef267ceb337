r"""The one visual language of the course's drawings: shapes, colours and arrows, as SVG.

A drawing is a function without parameters that returns a `Drawing`; `@drawing` registers it under
the function's name, and `build.py` writes it to `docs/drawings/NAME.svg`:

    from style import Drawing, drawing

    @drawing
    def embed_one_film():
        picture = Drawing(
            width=460,
            height=150,
            title="A film's number becomes a vector",
            description="An item id leads to a row of the embedding table, the film's vector.",
        )
        film = picture.box(80, 90, 110, 44, "item id", role="signal")
        table = picture.box(350, 90, 150, 56, "embeddings\n$E$", role="weights")
        picture.arrow(film.right, table.left, shape="[B, N]")
        return picture

The grammar:

- **Places** are pixels, x to the right and y downwards, and always those of a thing's *centre*.
- **Things** are returned as a `Shape`, whose `left`, `right`, `top` and `bottom` are where arrows
  begin and end. `box` is a computation or a tensor with a name, `operator` a circle with +, ×, σ,
  `matrix` a grid of numbers, `strip` one row of them, `sequence` the films of a history.
- **Arrows** go through any list of points and have rounded corners; `curve` bends. What flows is
  written beside the line: its `shape` in grey, its `value` in bold.
- **Colours** are roles (`ROLES`), one for each kind of thing, and never the only hint: every thing
  also carries its name.
- **Text** may hold mathematics between dollars: "$h_{t-1}$", "$W^T$", "$h̃_t$"; letters become
  italic there. Hats are combining characters: h̃ is h and U+0303. A newline starts a line.

The file is plain SVG: no script, no style sheet, no font file, no id, nothing fetched. So it looks
the same as a picture in JupyterLab, on GitHub and in a browser, on dark pages too: it brings its
own white ground. It is written by the standard library; what the course draws is four elements
(rect, circle, path, text), and a library for SVG would bring bytes that change with its version.
"""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lettering import as_attributes, as_number, fill_line
from lines import CORNER, Point, along, pair, point_before, rounded

from minirec.plotting import PALETTE

# Helvetica and Arial are about as wide as each other; DejaVu Sans, the widest, comes last.
FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
TEXT_SIZE = 15
SMALL_SIZE = 13  # of shapes and captions; only an index is smaller
HEADING_SIZE = 16
LINE_SPACING = 1.28  # between baselines
BASELINE = 0.35  # from the middle of a line of text down to its baseline

WIDEST = 760  # what fits a notebook's column without being scaled down
MARGIN = 20
LINE_WIDTH = 1.8
DASHES = "5 3"
HEAD = 9  # length of an arrow's head
GAP = 7  # between an arrow and the text beside it
CLEAR = 5  # how far from the things at its ends a line begins to cut gaps into others

INK = "#1F1F1F"
SOFT_INK = "#555555"  # 7:1 on white


def _mixed(colour: str, other: str, share: float) -> str:
    """Return the colour with a share of another mixed in, both as #RRGGBB."""
    mixed = []
    for start in (1, 3, 5):
        own = int(colour[start : start + 2], 16)
        others = int(other[start : start + 2], 16)
        mixed.append(round((1 - share) * own + share * others))
    return "#{:02X}{:02X}{:02X}".format(*mixed)


class Role(NamedTuple):
    """How one kind of thing looks."""

    meaning: str
    fill: str
    stroke: str
    dashes: str | None = None


def _tinted(meaning: str, colour: str, tint: float, shade: float) -> Role:
    """Return a light fill and a dark stroke of one colour, far enough from it for dark text."""
    return Role(meaning, _mixed(colour, "#FFFFFF", tint), _mixed(colour, "#000000", shade))


ROLES = {
    "signal": _tinted("inputs, outputs, what flows", PALETTE["sky"], 0.80, 0.42),
    "state": _tinted("a state, carried on", PALETTE["blue"], 0.62, 0.30),
    "gate": _tinted("a gate", PALETTE["orange"], 0.66, 0.42),
    "weights": _tinted("trained weights", PALETTE["purple"], 0.72, 0.45),
    "attention": _tinted("attention: weights, tables", PALETTE["green"], 0.72, 0.38),
    "loss": _tinted("a loss, or a look ahead", PALETTE["red"], 0.74, 0.25),
    "padding": Role("a zero where there is no film", "#F0F0F0", "#707070", DASHES),
    "plain": Role("everything else", "#FFFFFF", INK),
}


@dataclass(frozen=True)
class Shape:
    """A thing's place: its centre, width and height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> Point:
        """The middle of the left side, where an arrow may begin or end."""
        return (self.x - self.width / 2, self.y)

    @property
    def right(self) -> Point:
        """The middle of the right side."""
        return (self.x + self.width / 2, self.y)

    @property
    def top(self) -> Point:
        """The middle of the upper side."""
        return (self.x, self.y - self.height / 2)

    @property
    def bottom(self) -> Point:
        """The middle of the lower side."""
        return (self.x, self.y + self.height / 2)


@dataclass(frozen=True)
class Grid(Shape):
    """The place of a matrix, with those of its cells."""

    cells: tuple[tuple[Shape, ...], ...]

    def cell(self, row: int, column: int) -> Shape:
        """Return the place of one cell; rows and columns count from 0."""
        return self.cells[row][column]


class Drawing:
    """A picture that is drawn on, thing by thing; later things lie on earlier ones.

    Parameters
    ----------
    width, height : float
        In pixels; at most 760 wide, so that a notebook shows it unscaled.
    title : str
        One sentence that says what to see. It stands above the picture, and screen readers say it.
    description : str
        What the picture shows, for those who cannot see it.

    Raises
    ------
    ValueError
        If the picture is too wide, or has no title or no description.
    """

    def __init__(self, width: float, height: float, title: str, description: str):
        if width > WIDEST:
            raise ValueError(
                f"{title!r} is {width} pixels wide; a notebook shows at most {WIDEST} unscaled."
            )
        if not title.strip() or not description.strip():
            raise ValueError("A drawing needs a title and a description: screen readers say them.")
        self.width = width
        self.height = height
        self.title = title
        self._elements: list[ElementTree.Element] = []

        self._add("title").text = title.replace("$", "")
        self._add("desc").text = description
        self._add(
            "rect",
            x=0.5,
            y=0.5,
            width=width - 1,
            height=height - 1,
            rx=12,
            fill="#FFFFFF",
            stroke="#D0D0D0",
        )
        self.text(MARGIN, 28, title, size=HEADING_SIZE, anchor="start", bold=True)

    # --- Things ---

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        text: str,
        *,
        role: str = "plain",
        size: float = TEXT_SIZE,
        bold: bool = False,
        dashed: bool = False,
    ) -> Shape:
        """Draw a rounded box with text in its middle; dashed, where it is an extra or a variant."""
        shape = Shape(x, y, width, height)
        self._rectangle(shape, role, radius=CORNER, dashed=dashed)
        self.text(x, y, text, size=size, bold=bold)
        return shape

    def operator(
        self, x: float, y: float, symbol: str, *, role: str = "plain", dashed: bool = False
    ) -> Shape:
        """Draw a circle with an operation in it: "+", "×", "σ", "1 −"; a longer one widens it."""
        radius = 17 if len(symbol) == 1 else 23
        self._add("circle", cx=x, cy=y, r=radius, **_look(role, dashed))
        size = 20 if len(symbol) == 1 else TEXT_SIZE
        self.text(x, y, symbol, size=size)
        return Shape(x, y, 2 * radius, 2 * radius)

    def matrix(
        self,
        x: float,
        y: float,
        rows: Sequence[Sequence[str]],
        *,
        role: str = "signal",
        roles: Mapping[tuple[int, int], str] | None = None,
        cell: float = 38,
        cell_height: float | None = None,
        size: float = TEXT_SIZE,
        row_labels: Sequence[str] = (),
        column_labels: Sequence[str] = (),
    ) -> Grid:
        """Draw a grid of cells, each with its text.

        Parameters
        ----------
        x, y : float
            The grid's centre; labels stand outside the grid.
        rows : sequence of sequences of str
            The text of each cell, "" for none; all rows equally long.
        role : str
            Of the cells.
        roles : mapping, optional
            The role of single cells, by (row, column) from 0.
        cell, cell_height : float
            A cell's width, and its height if it is not a square.
        size : float
            Of the text in the cells and of the labels.
        row_labels, column_labels : sequence of str
            Left of the rows, above the columns.

        Returns
        -------
        Grid
            The grid's place, and by `cell(row, column)` that of each cell.

        Raises
        ------
        ValueError
            If the rows differ in length.
        """
        n_columns = len(rows[0])
        if any(len(row) != n_columns for row in rows):
            raise ValueError(f"The rows of a matrix differ in length: {rows}.")
        tall = cell if cell_height is None else cell_height
        left = x - n_columns * cell / 2
        top = y - len(rows) * tall / 2

        cells = []
        for i, row in enumerate(rows):
            places = []
            for j, text in enumerate(row):
                place = Shape(left + (j + 0.5) * cell, top + (i + 0.5) * tall, cell, tall)
                self._rectangle(place, (roles or {}).get((i, j), role), stroke_width=1.2)
                self.text(place.x, place.y, text, size=size)
                places.append(place)
            cells.append(tuple(places))

        for place, label in zip([row[0] for row in cells], row_labels, strict=False):
            self.text(place.left[0] - GAP, place.y, label, size=size, anchor="end")
        for place, label in zip(cells[0], column_labels, strict=False):
            self.text(place.x, place.top[1] - GAP - size / 2, label, size=size)
        return Grid(x, y, n_columns * cell, len(rows) * tall, tuple(cells))

    def strip(
        self,
        x: float,
        y: float,
        values: Sequence[str],
        *,
        role: str = "signal",
        upright: bool = False,
        cell: float = 38,
        cell_height: float | None = None,
        size: float = TEXT_SIZE,
    ) -> Grid:
        """Draw a vector: one row of cells, or one column if it stands upright."""
        rows = [[value] for value in values] if upright else [list(values)]
        return self.matrix(x, y, rows, role=role, cell=cell, cell_height=cell_height, size=size)

    def sequence(
        self,
        x: float,
        y: float,
        films: Sequence[str],
        *,
        before: int = 0,
        after: int = 0,
        role: str = "signal",
        roles: Mapping[int, str] | None = None,
        cell: float = 46,
        gap: float = 8,
        positions: Sequence[str] = (),
    ) -> list[Shape]:
        """Draw a history, one cell a position, with dashed zeros where there is no film.

        Parameters
        ----------
        x, y : float
            The centre of the row of cells, zeros included.
        films : sequence of str
            What stands in the cells of the films.
        before, after : int
            How many zeros stand on either side.
        role : str
            Of the films.
        roles : mapping, optional
            The role of single cells, by their number in the row, zeros counted.
        cell, gap : float
            The size of a cell and the distance to the next.
        positions : sequence of str
            Labels below the cells, zeros counted.

        Returns
        -------
        list of Shape
            The places of all cells, zeros included, from left to right.
        """
        texts = ["0"] * before + list(films) + ["0"] * after
        first = x - (len(texts) - 1) * (cell + gap) / 2
        places = []
        for number, text in enumerate(texts):
            is_film = before <= number < before + len(films)
            its_role = (roles or {}).get(number, role if is_film else "padding")
            place = self.box(first + number * (cell + gap), y, cell, cell, text, role=its_role)
            places.append(place)
        for place, label in zip(places, positions, strict=False):
            self.text(place.x, place.bottom[1] + 13, label, size=SMALL_SIZE, ink=SOFT_INK)
        return places

    # --- Lines ---

    def arrow(
        self,
        *points: Point,
        shape: str = "",
        value: str = "",
        role: str = "plain",
        side: str = "",
        at: float = 0.5,
        head: bool = True,
        dashed: bool = False,
    ) -> None:
        """Draw an arrow through points, with rounded corners and text beside it.

        Where it crosses an earlier line, a small gap shows that the two do not meet.

        Parameters
        ----------
        *points : (x, y)
            From start to end, with every corner between them.
        shape, value : str
            What flows: its shape ("[B, N, d]", grey) and its value ("1/4", bold).
        role : str
            Whose colour the line has.
        side : {"above", "below", "left", "right"}
            Where the text stands; above or to the right of the line unless given. With both
            texts, the shape stands there and the value opposite.
        at : float
            Where along the arrow the text stands, from 0 to 1.
        head : bool
            Whether there is a head; a line without one leads on into others.
        dashed : bool
            Whether the line is dashed.

        Raises
        ------
        ValueError
            If there are fewer than two points.
        """
        if len(points) < 2:
            raise ValueError(f"An arrow needs two points or more; got {points}.")
        end = points[-1]
        stop = point_before(points[-2], end, HEAD - 1) if head else end
        # The gap that it cuts must not reach into the things at its two ends.
        clear = [
            point_before(points[1], points[0], CLEAR),
            *points[1:-1],
            point_before(points[-2], end, CLEAR),
        ]
        self._line(rounded([*points[:-1], stop]), rounded(clear), role, dashed)
        if head:
            self._head(points[-2], end, role)
        self._label_line(points, shape, value, role, side, at)

    def curve(
        self,
        start: Point,
        end: Point,
        *,
        bend: float = 40,
        shape: str = "",
        value: str = "",
        role: str = "plain",
        side: str = "",
        dashed: bool = False,
        gaps: bool = True,
    ) -> None:
        """Draw a curved arrow that bulges by `bend` pixels to its left; negative: to its right.

        It cuts a small gap into the lines it crosses, unless `gaps` is false: where many curves
        cross, gaps leave nothing of them.
        """
        dx = end[0] - start[0]
        dy = end[1] - start[1]
        length = math.hypot(dx, dy)
        # A quadratic curve comes halfway to its control point.
        across = (2 * bend * dy / length, -2 * bend * dx / length)
        control = ((start[0] + end[0]) / 2 + across[0], (start[1] + end[1]) / 2 + across[1])
        stop = point_before(control, end, HEAD - 1)
        path = f"M {pair(start)} Q {pair(control)} {pair(stop)}"
        clear_start = point_before(control, start, CLEAR)
        clear_stop = point_before(control, end, CLEAR)
        clear = f"M {pair(clear_start)} Q {pair(control)} {pair(clear_stop)}"
        self._line(path, clear if gaps else "", role, dashed)
        self._head(control, end, role)

        # The text stands beside the middle of the curve, as beside a straight line there.
        middle = ((start[0] + end[0]) / 2 + across[0] / 2, (start[1] + end[1]) / 2 + across[1] / 2)
        tangent = (middle[0] + dx / 100, middle[1] + dy / 100)
        self._label_line((middle, tangent), shape, value, role, side, at=0)

    def fork(self, start: Point, end: Point, *, role: str = "plain") -> Point:
        """Draw a line to the dot at which it divides, and return the dot's place.

        Draw the arrows that go on from there next.
        """
        self.arrow(start, end, role=role, head=False)
        return self.dot(end, role=role)

    def dot(self, point: Point, *, role: str = "plain") -> Point:
        """Mark the place on a line from which another leads on, and return it."""
        self._add("circle", cx=point[0], cy=point[1], r=3.5, fill=_role(role).stroke)
        return point

    def bracket(
        self,
        left: float,
        right: float,
        y: float,
        text: str,
        *,
        role: str = "plain",
        below: bool = False,
    ) -> None:
        """Draw a bracket over (or below) everything from left to right, with text outside it.

        y is where its bar lies; its ends point towards what it spans.
        """
        inward = -8 if below else 8
        points = [(left, y + inward), (left, y), (right, y), (right, y + inward)]
        self._line(rounded(points), "", role, dashed=False)
        outward = -math.copysign(GAP + TEXT_SIZE / 2, inward)
        ink = _role(role).stroke
        self.text((left + right) / 2, y + outward, text, ink=ink)

    def parentheses(self, x: float, y: float, width: float, height: float) -> None:
        """Draw a pair of round brackets around what is `width` wide, as tall as `height`."""
        for way in (-1, 1):
            inner = x + way * (width / 2 + 5)
            outer = x + way * (width / 2 + 23)
            path = f"M {pair((inner, y - height / 2))} Q {pair((outer, y))} "
            path += pair((inner, y + height / 2))
            self._line(path, "", "plain", dashed=False)

    def frame(self, x: float, y: float, width: float, height: float, text: str) -> Shape:
        """Draw a dotted frame around a group of things, its name in the lower right corner.

        Draw it before what stands in it.
        """
        self._add(
            "rect",
            x=x - width / 2,
            y=y - height / 2,
            width=width,
            height=height,
            rx=12,
            fill="none",
            stroke=SOFT_INK,
            stroke_width=1.2,
            stroke_dasharray="2 4",
        )
        right = x + width / 2
        bottom = y + height / 2
        self.text(right - 12, bottom - 16, text, size=SMALL_SIZE, anchor="end", ink=SOFT_INK)
        return Shape(x, y, width, height)

    # --- Text ---

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = TEXT_SIZE,
        anchor: str = "middle",
        ink: str = INK,
        bold: bool = False,
    ) -> None:
        """Write text whose lines, together, have their middle at y.

        Parameters
        ----------
        x, y : float
            Where the text begins, has its middle or ends, by `anchor`; y is the middle of it all.
        text : str
            With mathematics between dollars, and newlines.
        size : float
            In pixels, 13 or more.
        anchor : {"start", "middle", "end"}
            Which part of the text is at x.
        ink : str
            Its colour.
        bold : bool
            Whether it is bold.

        Raises
        ------
        ValueError
            If the text is too small to read, or a dollar is left over.
        """
        if not text:
            return
        if size < SMALL_SIZE:
            raise ValueError(f"{text!r}: text of {size} pixels is too small; {SMALL_SIZE} or more.")
        lines = text.split("\n")
        first = y - (len(lines) - 1) / 2 * LINE_SPACING * size
        for number, line in enumerate(lines):
            element = self._add(
                "text",
                x=x,
                y=first + number * LINE_SPACING * size + BASELINE * size,
                font_size=size,
                text_anchor=anchor,
                fill=ink,
                font_weight="bold" if bold else None,
            )
            fill_line(element, line, size)

    def note(self, shape: Shape, text: str, *, side: str = "below") -> None:
        """Write small grey text beside a thing: its shape, or a short remark."""
        edges = {
            "above": shape.top,
            "below": shape.bottom,
            "left": shape.left,
            "right": shape.right,
        }
        x, y = edges[side]
        self._beside(x, y, side, text, SMALL_SIZE, SOFT_INK, bold=False)

    def caption(self, text: str) -> None:
        """Write a line of explanation, or more than one, along the lower edge."""
        n_lines = text.count("\n") + 1
        y = self.height - MARGIN - (n_lines - 1) / 2 * LINE_SPACING * SMALL_SIZE
        self.text(MARGIN, y, text, size=SMALL_SIZE, anchor="start", ink=SOFT_INK)

    # --- Writing it ---

    def svg(self) -> str:
        """Return the file's text; the same drawing always gives the same bytes."""
        root = ElementTree.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "width": as_number(self.width),
                "height": as_number(self.height),
                "viewBox": f"0 0 {as_number(self.width)} {as_number(self.height)}",
                "role": "img",
                "font-family": FONTS,
            },
        )
        root.text = "\n"
        for element in self._elements:
            element.tail = "\n"  # one element a line, so that changes can be read
        root.extend(self._elements)
        return ElementTree.tostring(root, encoding="unicode") + "\n"

    # --- What the things are made of ---

    def _add(self, tag: str, **attributes: float | str | None) -> ElementTree.Element:
        """Put an element on the picture; stroke_width stands for stroke-width, None is left out."""
        element = ElementTree.Element(tag, as_attributes(attributes))
        self._elements.append(element)
        return element

    def _rectangle(
        self,
        shape: Shape,
        role: str,
        *,
        radius: float | None = None,
        stroke_width: float = LINE_WIDTH,
        dashed: bool = False,
    ) -> None:
        look = _look(role, dashed)
        look["stroke_width"] = stroke_width
        self._add(
            "rect",
            x=shape.x - shape.width / 2,
            y=shape.y - shape.height / 2,
            width=shape.width,
            height=shape.height,
            rx=radius,
            **look,
        )

    def _line(self, path: str, clear: str, role: str, dashed: bool) -> None:
        """Draw a line, over a broader white one that cuts gaps into the lines it crosses."""
        if clear:
            self._add("path", d=clear, fill="none", stroke="#FFFFFF", stroke_width=8)
        self._add(
            "path",
            d=path,
            fill="none",
            stroke=_role(role).stroke,
            stroke_width=LINE_WIDTH,
            stroke_dasharray=DASHES if dashed else None,
        )

    def _head(self, origin: Point, tip: Point, role: str) -> None:
        """Draw an arrow's head at tip, for a line that comes from the side of origin."""
        angle = math.atan2(tip[1] - origin[1], tip[0] - origin[0])
        corners = [tip]
        for turn in (-1, 1):
            back = angle + math.pi + turn * 0.42
            corners.append((tip[0] + HEAD * math.cos(back), tip[1] + HEAD * math.sin(back)))
        path = f"M {pair(corners[0])} L {pair(corners[1])} L {pair(corners[2])} Z"
        self._add("path", d=path, fill=_role(role).stroke)

    def _label_line(
        self,
        points: Sequence[Point],
        shape: str,
        value: str,
        role: str,
        side: str,
        at: float,
    ) -> None:
        """Write a line's shape beside it, and its value, opposite if there are both."""
        (x, y), (dx, dy) = along(points, at)
        side = side or ("right" if abs(dy) > abs(dx) else "above")
        if side not in OPPOSITE:
            raise ValueError(f"side must be one of {', '.join(OPPOSITE)}; got {side!r}.")
        if side in ("left", "right") and dy:
            # A slanting line comes nearer to the text above or below the text's middle.
            slant = 0.4 * TEXT_SIZE * abs(dx / dy)
            x += slant if side == "right" else -slant
        value_side = OPPOSITE[side] if shape else side
        self._beside(x, y, side, shape, SMALL_SIZE, SOFT_INK, bold=False)
        self._beside(x, y, value_side, value, TEXT_SIZE, _role(role).stroke, bold=True)

    def _beside(
        self, x: float, y: float, side: str, text: str, size: float, ink: str, bold: bool
    ) -> None:
        """Write text next to the point of a line."""
        extra = text.count("\n") / 2 * LINE_SPACING * size  # from its middle to its outer lines
        anchor = "middle"
        if side == "above":
            y -= GAP + size * 0.45 + extra
        elif side == "below":
            y += GAP + size * 0.5 + extra
        elif side == "left":
            x -= GAP
            anchor = "end"
        else:
            x += GAP
            anchor = "start"
        self.text(x, y, text, size=size, ink=ink, anchor=anchor, bold=bold)


OPPOSITE = {"above": "below", "below": "above", "left": "right", "right": "left"}

DRAWINGS: dict[str, Callable[[], Drawing]] = {}


def drawing(function: Callable[[], Drawing]) -> Callable[[], Drawing]:
    """Register a function that returns a Drawing, to be written as docs/drawings/ITS-NAME.svg.

    Raises
    ------
    ValueError
        If there is a drawing of this name already.
    """
    name = function.__name__
    if name in DRAWINGS:
        raise ValueError(f"There are two drawings named {name}; rename one of the functions.")
    DRAWINGS[name] = function
    return function


def _role(name: str) -> Role:
    """Return the role of this name."""
    if name not in ROLES:
        raise ValueError(f"There is no role {name!r}; the roles are {', '.join(ROLES)}.")
    return ROLES[name]


def _look(role: str, dashed: bool = False) -> dict[str, float | str | None]:
    """Return the attributes of a role's shapes."""
    look = _role(role)
    return {
        "fill": look.fill,
        "stroke": look.stroke,
        "stroke_width": LINE_WIDTH,
        "stroke_dasharray": DASHES if dashed else look.dashes,
    }
