"""What a drawing must keep: each rule takes the SVG's text and returns its complaints.

The rules know nothing of the code that draws: they read the file. How wide a text is they estimate
from DejaVu Sans, which comes with matplotlib and is wider than the fonts that browsers use here.
"""

import itertools
import math
import re
import unicodedata
import xml.etree.ElementTree as ElementTree
from functools import cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
from PIL import ImageFont

SVG = "{http://www.w3.org/2000/svg}"
ELEMENTS = {"svg", "title", "desc", "rect", "circle", "path", "text", "tspan"}
WIDEST = 760  # what a notebook shows unscaled
SMALLEST_TEXT = 13
SMALLEST_INDEX = 10
LEAST_CONTRAST = 4.5  # of text, by the WCAG
FROM_THE_EDGE = 6

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


class Box(NamedTuple):
    """Where a text lies, by estimate."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def holds(self, x: float, y: float, margin: float = 0.0) -> bool:
        across = self.left + margin < x < self.right - margin
        return across and self.top + margin < y < self.bottom - margin


# --- Reading ---


def read(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def tag(element: ElementTree.Element) -> str:
    return element.tag.removeprefix(SVG)


def number(element: ElementTree.Element, name: str) -> float:
    return float(element.get(name, "0"))


@cache
def font(is_bold: bool) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if is_bold else "DejaVuSans.ttf"
    return ImageFont.truetype(FONTS / name, 100)


def width(text: str, size: float, is_bold: bool) -> float:
    """How many pixels wide a text is; hats, which stand on letters, have no width."""
    letters = "".join(letter for letter in text if not unicodedata.combining(letter))
    return font(is_bold).getlength(letters) * size / 100


def text_box(element: ElementTree.Element) -> Box:
    """Where a text lies, with its indices."""
    size = number(element, "font-size")
    is_bold = element.get("font-weight") == "bold"
    pieces = [(element.text or "", size, 0.0)]
    y = 0.0
    for span in element:
        y += number(span, "dy")
        pieces.append((span.text or "", float(span.get("font-size", size)), y))

    total = sum(width(text, its_size, is_bold) for text, its_size, _ in pieces)
    # Letters reach about three quarters of their size up from the line, and a fifth down.
    up = min(shift - 0.75 * its_size for text, its_size, shift in pieces if text)
    down = max(shift + 0.2 * its_size for text, its_size, shift in pieces if text)
    x = number(element, "x")
    left = {"start": x, "middle": x - total / 2, "end": x - total}[element.get("text-anchor")]
    baseline = number(element, "y")
    whole = "".join(text for text, _, _ in pieces)
    return Box(whole, left, baseline + up, left + total, baseline + down)


def text_boxes(root: ElementTree.Element) -> list[Box]:
    return [text_box(element) for element in root.iter(f"{SVG}text")]


def outline(element: ElementTree.Element) -> list[tuple[float, float]]:
    """Points along what an element draws, close together; none for what is not seen."""
    if element.get("stroke", "none") in ("none", "#FFFFFF"):
        return []
    if tag(element) == "rect":
        return rectangle(element)
    if tag(element) == "circle":
        return circle(element)
    if tag(element) == "path":
        return path(element.get("d", ""))
    return []


def rectangle(element: ElementTree.Element) -> list[tuple[float, float]]:
    left, top = number(element, "x"), number(element, "y")
    right, bottom = left + number(element, "width"), top + number(element, "height")
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return polyline(corners)


def circle(element: ElementTree.Element) -> list[tuple[float, float]]:
    x, y, radius = (number(element, name) for name in ("cx", "cy", "r"))
    angles = [2 * math.pi * step / 60 for step in range(60)]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]


def path(commands: str) -> list[tuple[float, float]]:
    """Points along a path of M, L and Q, the only commands that the drawings use."""
    points = []
    here = (0.0, 0.0)
    for command, numbers in re.findall(r"([A-Z])([^A-Z]*)", commands):
        values = [float(value) for value in NUMBER.findall(numbers)]
        if command == "M":
            here = (values[0], values[1])
        elif command == "L":
            points += polyline([here, (values[0], values[1])])
            here = (values[0], values[1])
        elif command == "Q":
            points += quadratic(here, (values[0], values[1]), (values[2], values[3]))
            here = (values[2], values[3])
        elif command != "Z":
            raise ValueError(f"a path with the command {command!r}, which the rules cannot follow")
    return points


def polyline(corners: list[tuple[float, float]]) -> list[tuple[float, float]]:
    points = []
    for (x, y), (x_end, y_end) in itertools.pairwise(corners):
        steps = max(1, round(math.dist((x, y), (x_end, y_end)) / 2))
        for step in range(steps + 1):
            share = step / steps
            points.append((x + share * (x_end - x), y + share * (y_end - y)))
    return points


def quadratic(start, control, end) -> list[tuple[float, float]]:
    points = []
    for step in range(41):
        t = step / 40
        weights = ((1 - t) ** 2, 2 * t * (1 - t), t**2)
        places = (start, control, end)
        x = sum(weight * place[0] for weight, place in zip(weights, places, strict=True))
        y = sum(weight * place[1] for weight, place in zip(weights, places, strict=True))
        points.append((x, y))
    return points


# --- Rules ---


def is_a_plain_picture(svg: str) -> list[str]:
    """Only shapes and text: nothing that runs, nothing that is fetched, nothing that has an id."""
    complaints = []
    for element in read(svg).iter():
        if tag(element) not in ELEMENTS:
            complaints.append(f"a <{tag(element)}> element")
        for name, value in element.attrib.items():
            if name in ("id", "style", "class") or "href" in name or name.startswith("on"):
                complaints.append(f"an attribute {name} of <{tag(element)}>")
            if "url(" in value or "://" in value:
                complaints.append(f"{name}={value!r} leads elsewhere")
    return complaints


def says_what_it_shows(svg: str) -> list[str]:
    """A title and a description come first, for screen readers."""
    complaints = []
    root = read(svg)
    first = [tag(element) for element in root][:2]
    if first != ["title", "desc"]:
        complaints.append("it does not begin with a title and a description")
    for element in root:
        if tag(element) in ("title", "desc") and not (element.text or "").strip():
            complaints.append(f"its <{tag(element)}> is empty")
    return complaints


def fits_a_notebook(svg: str) -> list[str]:
    root = read(svg)
    size = f"0 0 {root.get('width')} {root.get('height')}"
    complaints = []
    if root.get("viewBox") != size:
        complaints.append(f"its viewBox is {root.get('viewBox')}, its size {size}")
    if number(root, "width") > WIDEST:
        complaints.append(f"it is {root.get('width')} pixels wide, more than {WIDEST}")
    return complaints


def has_its_own_ground(svg: str) -> list[str]:
    """White behind everything, so that it can be read on a dark page."""
    root = read(svg)
    for element in root:
        if tag(element) not in ("title", "desc"):
            covers = number(element, "width") >= number(root, "width") - 2
            covers = covers and number(element, "height") >= number(root, "height") - 2
            is_white = element.get("fill") == "#FFFFFF"
            return [] if covers and is_white else ["its first shape is no white ground"]
    return ["nothing is drawn"]


def text_is_large_enough(svg: str) -> list[str]:
    complaints = []
    for element in read(svg).iter(f"{SVG}text"):
        words = "".join(element.itertext())
        if number(element, "font-size") < SMALLEST_TEXT:
            complaints.append(f"{words!r} has {element.get('font-size')} pixels")
        for span in element:
            if float(span.get("font-size", SMALLEST_INDEX)) < SMALLEST_INDEX:
                complaints.append(f"an index of {words!r} has {span.get('font-size')} pixels")
    return complaints


def text_lies_inside(svg: str) -> list[str]:
    root = read(svg)
    right = number(root, "width") - FROM_THE_EDGE
    bottom = number(root, "height") - FROM_THE_EDGE
    complaints = []
    for box in text_boxes(root):
        fits_across = box.left >= FROM_THE_EDGE and box.right <= right
        fits_down = box.top >= FROM_THE_EDGE and box.bottom <= bottom
        if not (fits_across and fits_down):
            complaints.append(f"{box.text!r} leaves the picture")
    return complaints


def texts_do_not_overlap(svg: str) -> list[str]:
    boxes = text_boxes(read(svg))
    complaints = []
    for index, box in enumerate(boxes):
        for other in boxes[index + 1 :]:
            if box.overlaps(other):
                complaints.append(f"{box.text!r} and {other.text!r} overlap")
    return complaints


def no_line_runs_through_text(svg: str) -> list[str]:
    """Neither an arrow nor the outline of a shape: a text lies within a shape, or beside it."""
    root = read(svg)
    lines = [outline(element) for element in root]
    complaints = []
    for box in text_boxes(root):
        for line in lines:
            if any(box.holds(x, y, margin=0.0) for x, y in line):
                complaints.append(f"a line runs through {box.text!r}")
    return complaints


def text_stands_out(svg: str) -> list[str]:
    """By the contrast with the last shape that was filled behind it."""
    root = read(svg)
    grounds = []
    complaints = []
    for element in root:
        if tag(element) == "text":
            box = text_box(element)
            x = (box.left + box.right) / 2
            y = (box.top + box.bottom) / 2
            behind = [colour for ground, colour in grounds if ground.holds(x, y)]
            ink = element.get("fill", "#000000")
            reached = contrast(ink, behind[-1]) if behind else 0.0
            if reached < LEAST_CONTRAST:
                complaints.append(f"{box.text!r} has a contrast of {reached:.1f} only")
        elif filled(element):
            grounds.append((extent(element), element.get("fill")))
    return complaints


def filled(element: ElementTree.Element) -> bool:
    return tag(element) in ("rect", "circle") and element.get("fill") != "none"


def extent(element: ElementTree.Element) -> Box:
    xs, ys = zip(*(rectangle if tag(element) == "rect" else circle)(element), strict=True)
    return Box("", min(xs), min(ys), max(xs), max(ys))


def contrast(one: str, other: str) -> float:
    """The contrast of two colours as the WCAG define it, from 1 to 21."""
    darker, lighter = sorted([luminance(one), luminance(other)])
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    channels = []
    for start in (1, 3, 5):
        share = int(colour[start : start + 2], 16) / 255
        linear = share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
        channels.append(linear)
    red, green, blue = channels
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


RULES = [
    is_a_plain_picture,
    says_what_it_shows,
    fits_a_notebook,
    has_its_own_ground,
    text_is_large_enough,
    text_lies_inside,
    texts_do_not_overlap,
    no_line_runs_through_text,
    text_stands_out,
]
