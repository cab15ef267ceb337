"""Where the lines of a drawing run: bent and curved paths, and the middle of a line."""

import itertools
import math
from collections.abc import Sequence

from lettering import as_number

Point = tuple[float, float]

CORNER = 8  # radius of bent arrows


def point_before(origin: Point, end: Point, distance: float) -> Point:
    """Return the point that lies `distance` before the end on the way from origin."""
    dx = end[0] - origin[0]
    dy = end[1] - origin[1]
    length = math.hypot(dx, dy)
    share = min(1.0, distance / length)
    return (end[0] - share * dx, end[1] - share * dy)


def rounded(points: Sequence[Point]) -> str:
    """Return the path through the points, with its corners rounded."""
    path = f"M {pair(points[0])}"
    for last, corner, following in zip(points, points[1:], points[2:], strict=False):
        # No arc takes more than half of a side, so that two of them fit on it.
        room = min(math.dist(last, corner), math.dist(corner, following)) / 2
        radius = min(CORNER, room)
        start = point_before(last, corner, radius)
        end = point_before(following, corner, radius)
        path += f" L {pair(start)} Q {pair(corner)} {pair(end)}"
    return path + f" L {pair(points[-1])}"


def along(points: Sequence[Point], at: float) -> tuple[Point, Point]:
    """Return the point at a share of a polyline's length, and the side (dx, dy) it lies on."""
    sides = list(itertools.pairwise(points))
    left_to_go = at * sum(math.dist(start, end) for start, end in sides)
    for start, end in sides:
        length = math.dist(start, end)
        if left_to_go <= length or (start, end) == sides[-1]:
            break
        left_to_go -= length
    share = left_to_go / length
    dx = end[0] - start[0]
    dy = end[1] - start[1]
    return (start[0] + share * dx, start[1] + share * dy), (dx, dy)


def pair(point: Point) -> str:
    """Return a point as paths write it."""
    return f"{as_number(point[0])} {as_number(point[1])}"
