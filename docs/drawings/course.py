"""What lesson 00 shows: a recommender in one picture, and the map of the course."""

from lines import Point
from style import Drawing, drawing

HISTORY = ("noir-03", "noir-14", "noir-20", "comedy-08", "comedy-09")
SCORES = {"comedy-10": 0.92, "romance-25": 0.71, "noir-07": 0.42, "western-31": 0.06}


@drawing
def recommender() -> Drawing:
    """From a history to a score for every film."""
    picture = Drawing(
        width=740,
        height=360,
        title="A recommender turns a history into a score for every film",
        description=(
            "Five films that one person has watched stand in a row, oldest first: noir-03, "
            "noir-14, noir-20, comedy-08, comedy-09. A box with a question mark follows. An arrow "
            "leads from the films into a recommender, and another from there to a list of films "
            "with a bar for the score of each: comedy-10 .92, romance-25 .71, noir-07 .42, "
            "western-31 .06, and so on for all 500."
        ),
    )
    step = 112
    films = [
        picture.box(76 + step * number, 112, 96, 42, name, role="signal")
        for number, name in enumerate(HISTORY)
    ]
    unknown = picture.box(76 + step * len(HISTORY), 112, 96, 42, "?", role="padding", bold=True)
    for before, after in zip(films, [*films[1:], unknown], strict=True):
        picture.arrow(before.right, after.left)
    picture.bracket(films[0].left[0], films[-1].right[0], 78, "history, oldest film first")

    below = films[0].bottom[1] + 12
    picture.bracket(films[0].left[0], films[-1].right[0], below, "", below=True)
    middle = films[2].x
    picture.arrow((middle, below), (middle, below + 20), (150, below + 20), (150, 201))
    model = picture.box(150, 232, 150, 62, "recommender", role="weights", bold=True)
    picture.arrow(model.right, (300, 232))
    top = 184
    picture.text(422, top - 22, "score", size=13, anchor="start")
    for number, (name, score) in enumerate(SCORES.items()):
        y = top + 32 * number
        length = 200 * score
        picture.text(410, y, name, anchor="end")
        picture.box(422 + length / 2, y, length, 20, "", role="gate" if number == 0 else "signal")
        picture.text(422 + length + 10, y, f"{score:.2f}", anchor="start")
    rest = 500 - len(SCORES)
    picture.text(422, top + 32 * len(SCORES), f"... and the {rest} others", anchor="start", size=13)
    picture.caption(
        "The films with the highest scores are recommended. (The four scores are made up.)"
    )
    return picture


# The lessons by number: name, place, and the role that lends its colour, which tells what the
# lesson leads to.
MAP = {
    "00": ("Start here", (92, 84), "plain"),
    "01": ("Sequences, splits,\nmetrics", (276, 84), "plain"),
    "02": ("The GRU cell", (460, 84), "plain"),
    "A": ("PyTorch in an hour", (650, 84), "plain"),
    "03": ("Temporal\nconvolution", (460, 180), "plain"),
    "05": ("Linear attention", (170, 180), "state"),
    "04": ("The selective gate", (460, 268), "plain"),
    "06": ("GLINT-RU", (170, 356), "state"),
    "09": ("Linear recurrence", (560, 356), "gate"),
    "07": ("Auditing\nGLINT-RU", (92, 448), "state"),
    "08": ("Every prefix\nat once", (276, 448), "state"),
    "13": ("RecBLR", (460, 448), "gate"),
    "10": ("The parallel scan", (650, 448), "gate"),
    "14": ("Full training", (92, 552), "attention"),
    "11": ("The scan\non a CPU", (650, 536), "gate"),
    "16": ("Whose numbers\ncan you trust?", (92, 636), "attention"),
    "15": ("Profiling", (460, 636), "attention"),
    "12": ("The scan on a GPU", (650, 636), "gate"),
}
NOT_YET_WRITTEN = ("16", "A")

# Which lesson needs which, and how the arrow between them runs: the side or the point where
# it starts, its corners, and where it ends.
ARROWS: dict[tuple[str, str], tuple[str | Point, tuple[Point, ...], str | Point]] = {
    ("00", "01"): ("right", (), "left"),
    ("01", "02"): ("right", (), "left"),
    ("A", "02"): ("left", (), "right"),
    ("02", "03"): ("bottom", (), "top"),
    ("02", "05"): ((420, 111), ((420, 132), (170, 132)), "top"),
    ("03", "04"): ("bottom", (), "top"),
    ("04", "06"): ("left", ((222, 268),), (222, 329)),
    ("05", "06"): ("bottom", (), "top"),
    ("04", "09"): ("bottom", ((460, 312), (560, 312)), "top"),
    ("06", "07"): ((130, 383), ((130, 402), (92, 402)), "top"),
    ("06", "08"): ((210, 383), ((210, 402), (276, 402)), "top"),
    ("09", "13"): ((520, 383), ((520, 402), (460, 402)), "top"),
    ("09", "10"): ((600, 383), ((600, 402), (650, 402)), "top"),
    ("07", "14"): ("bottom", (), "top"),
    ("13", "14"): ((420, 475), ((420, 500), (130, 500)), (130, 525)),
    ("13", "15"): ("bottom", (), "top"),
    ("08", "15"): ("bottom", ((276, 636),), "left"),
    ("10", "11"): ("bottom", (), "top"),
    ("11", "12"): ("bottom", (), "top"),
    ("11", "15"): ("left", ((500, 536),), (500, 609)),
    ("14", "16"): ("bottom", (), "top"),
}


@drawing
def course_map() -> Drawing:
    """Draw the lessons of the course, and which needs which."""
    picture = Drawing(
        width=750,
        height=734,
        title="An arrow leads from a lesson to one that needs it",
        description=map_in_words(),
    )
    places = {}
    for number, (name, (x, y), role) in MAP.items():
        its_role = "padding" if number in NOT_YET_WRITTEN else role
        text = f"{number} · {name}" if "\n" in name else f"{number}\n{name}"
        places[number] = picture.box(x, y, 164, 54, text, role=its_role, size=14)

    for (before, after), (start, corners, end) in ARROWS.items():
        first = getattr(places[before], start) if isinstance(start, str) else start
        last = getattr(places[after], end) if isinstance(end, str) else end
        waits = {before, after} & set(NOT_YET_WRITTEN)
        picture.arrow(first, *corners, last, dashed=bool(waits))
    picture.caption(
        "White: both systems need it. Blue: GLINT-RU. Orange: RecBLR. Green: both are measured."
        "\nDashed and grey: not yet written."
    )
    return picture


def needed_by(lesson: str) -> list[str]:
    """Return the lessons that a lesson needs directly, in the order of their numbers."""
    return sorted(before for before, after in ARROWS if after == lesson)


def map_in_words() -> str:
    """Say each lesson's name and which lessons it needs, for those who cannot see the map."""
    sentences = []
    for number in sorted(MAP):
        name = " ".join(MAP[number][0].split())
        needed = " and ".join(needed_by(number)) or "nothing"
        waiting = " (not yet written)" if number in NOT_YET_WRITTEN else ""
        sentences.append(f"{number} {name}{waiting} needs {needed}.")
    return " ".join(sentences)
