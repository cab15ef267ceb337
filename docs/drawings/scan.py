"""The scan of a linear recurrence: trees with their pairs, chunks, the walk back (lesson 10).

A pair (a, b) is the step h -> a h + b. The numbers are the lesson's toy, eight steps; those in the
trees are computed here, by the rule for two steps that the lesson derives.
"""

from fractions import Fraction
from typing import NamedTuple

from style import SMALL_SIZE, SOFT_INK, Drawing, Shape, drawing

Pair = tuple[Fraction, Fraction]

TOY: list[Pair] = [
    (Fraction(5), Fraction(1)),
    (Fraction(2), Fraction(3)),
    (Fraction(1, 2), Fraction(1)),
    (Fraction(4), Fraction(-2)),
    (Fraction(1, 4), Fraction(1)),
    (Fraction(3), Fraction(-2)),
    (Fraction(1, 2), Fraction(-2)),
    (Fraction(4), Fraction(1)),
]
FIRST_COLUMN = 102
COLUMN = 85  # from one position to the next
BOX = 81  # width of a pair's box; the longest pair just fits
BOX_HEIGHT = 44
FIRST_ROW = 84
ROW = 104  # from one round to the next, and more where lines lie flat
SIDE = 10  # from a box's middle to where lines from two boxes meet it
CLEAR_OF_BOX = 5  # where lines begin and end, so that the gap of a slanting one spares the outline


# --- Why a sum need not be a chain ---


@drawing
def scan_chain_or_tournament() -> Drawing:
    """Show eight numbers added one after the other, and in pairs."""
    picture = Drawing(
        width=740,
        height=440,
        title="Seven additions either way: seven turns, or three",
        description=(
            "Eight numbers, 3 1 7 0 4 1 6 3. Left: each is added to the sum of those before it, so "
            "the seven additions wait for each other: 4, 11, 11, 15, 16, 22, 25. Right: neighbours "
            "are added in the first turn, 4, 7, 5, 9; their sums in the second, 11 and 14; these "
            "in the third, 25."
        ),
    )
    numbers = [3, 1, 7, 0, 4, 1, 6, 3]
    _chain(picture, numbers, left=48)
    _tournament(picture, numbers, left=402)
    picture.caption("Beside an addition: the turn in which it can be made.")
    return picture


def _chain(picture: Drawing, numbers: list[int], left: float) -> None:
    """Draw additions one after the other, from upper left to lower right."""
    places = _numbers(picture, numbers, left)
    before = places[0]
    for turn, number in enumerate(places[1:], 1):
        plus = picture.operator(number.x, 82 + 42 * turn, "+", role="state")
        picture.arrow(number.bottom, plus.top, role="signal")
        picture.arrow(before.bottom, (before.x, plus.y), plus.left, role="state")
        picture.text(plus.x + 25, plus.y + 10, str(turn), size=SMALL_SIZE, ink=SOFT_INK)
        before = plus


def _tournament(picture: Drawing, numbers: list[int], left: float) -> None:
    """Draw additions of neighbours, of their sums, and so on."""
    places = _numbers(picture, numbers, left)
    turn = 0
    while len(places) > 1:
        turn += 1
        sums = []
        for first, second in zip(places[0::2], places[1::2], strict=True):
            plus = picture.operator(second.x, 82 + 86 * turn, "+", role="state")
            role = "signal" if turn == 1 else "state"
            picture.arrow(second.bottom, plus.top, role=role)
            picture.arrow(first.bottom, (first.x, plus.y), plus.left, role=role)
            picture.text(plus.x + 25, plus.y + 10, str(turn), size=SMALL_SIZE, ink=SOFT_INK)
            sums.append(plus)
        places = sums


def _numbers(picture: Drawing, numbers: list[int], left: float) -> list[Shape]:
    places = []
    for position, number in enumerate(numbers):
        places.append(picture.box(left + 42 * position, 72, 32, 30, str(number), role="signal"))
    return places


# --- Two steps are one ---


@drawing
def scan_two_steps_are_one() -> Drawing:
    """Show that two steps, one after the other, do what a single step does."""
    picture = Drawing(
        width=740,
        height=270,
        title="Two steps do what one step does, whatever $h$ is",
        description=(
            "Above: h goes through the step (5, 1), times 5 plus 1, and becomes 5 h + 1; through "
            "the step (2, 3), times 2 plus 3, it becomes 2 (5 h + 1) + 3 = 10 h + 5. Below: the "
            "single step (10, 5), times 10 plus 5, takes h there at once."
        ),
    )
    upper = 100
    lower = 196
    h = picture.box(60, upper, 56, 44, "$h$", role="state")
    first = picture.box(215, upper, 120, 50, "step (5, 1)\n× 5, + 1", role="signal")
    second = picture.box(445, upper, 120, 50, "step (2, 3)\n× 2, + 3", role="signal")
    end = picture.box(660, upper, 110, 44, "$10 h + 5$", role="state")
    picture.arrow(h.right, first.left, role="state")
    picture.arrow(first.right, second.left, value="$5 h + 1$", role="state")
    picture.arrow(second.right, end.left, role="state")

    h = picture.box(60, lower, 56, 44, "$h$", role="state")
    both = picture.box(330, lower, 160, 50, "step (10, 5)\n× 10, + 5", role="attention")
    end = picture.box(660, lower, 110, 44, "$10 h + 5$", role="state")
    picture.arrow(h.right, both.left, role="state")
    picture.arrow(both.right, end.left, role="state")
    picture.caption("(5, 1) ⊕ (2, 3) = (2 × 5, 2 × 1 + 3) = (10, 5)")
    return picture


# --- The trees ---


class _Array(NamedTuple):
    """The pair that each position holds, and the first of the steps that it joins."""

    pairs: list[Pair]
    starts: list[int]


def _joined(array: _Array, ends: range, reach: int) -> _Array:
    """Let the positions in `ends`, from 0, take in what ends `reach` before them."""
    pairs = list(array.pairs)
    starts = list(array.starts)
    for end in ends:
        a_left, b_left = array.pairs[end - reach]
        a, b = array.pairs[end]
        pairs[end] = (a_left * a, a * b_left + b)
        starts[end] = array.starts[end - reach]
    return _Array(pairs, starts)


def _after_the_way_up() -> _Array:
    """Return what the first three rounds of the up-sweep leave."""
    array = _Array(list(TOY), list(range(1, len(TOY) + 1)))
    for reach in (1, 2, 4):
        array = _joined(array, range(2 * reach - 1, len(TOY), 2 * reach), reach)
    return array


class _Tree:
    """A picture with a column for each position and a row for each round."""

    def __init__(self, picture: Drawing, given: "_Array | None" = None):
        self.picture = picture
        self.array = given or _Array(list(TOY), list(range(1, len(TOY) + 1)))
        self.boxes: list[Shape] = []
        self.y = float(FIRST_ROW)  # of the row drawn last
        for position in range(len(TOY)):
            self.boxes.append(self._box(position, is_given=given is None))
        self._name_row("after\nthe up-\nsweep" if given else "steps")

    def round(self, ends: range, reach: int, name: str, *, all_boxes: bool = False) -> None:
        """Draw the next row: the positions in `ends`, from 0, take in what ends `reach` before."""
        self.y += ROW + 10 * (reach - 1)
        before = list(self.boxes)
        self.array = _joined(self.array, ends, reach)
        for position in range(len(TOY)):
            if position in ends or all_boxes:
                box = self._box(position, is_old=position not in ends)
                self.boxes[position] = box
                x = box.x + (SIDE if position in ends else 0)
                start = before[position].bottom[1] + CLEAR_OF_BOX
                self._line((x, start), (x, box.top[1] - CLEAR_OF_BOX / 2))
        for end in ends:
            x, y = before[end - reach].bottom
            tip = self.boxes[end].top
            self._line((x + SIDE, y + CLEAR_OF_BOX), (tip[0] - SIDE, tip[1] - CLEAR_OF_BOX / 2))
        self._name_row(f"{name}\nreach {reach}")

    def states(self) -> None:
        """Draw the second numbers, the states, in a last row."""
        self.y += ROW - 14
        for position, (_, b) in enumerate(self.array.pairs):
            x = FIRST_COLUMN + COLUMN * position
            text = f"$h_{position + 1}$ = {_decimal(b)}"
            box = self.picture.box(x, self.y, BOX, 32, text, role="state", size=14)
            self._line(self.boxes[position].bottom, box.top)
        self._name_row("states")

    def _line(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.picture.arrow(start, end, role="state")

    def _box(self, position: int, *, is_given: bool = False, is_old: bool = False) -> Shape:
        a, b = self.array.pairs[position]
        start = self.array.starts[position]
        x = FIRST_COLUMN + COLUMN * position
        y = self.y
        role = "state" if start == 1 else "attention"
        role = "signal" if is_given else role
        box = self.picture.box(x, y, BOX, BOX_HEIGHT, "", role=role, dashed=is_old)
        self.picture.text(x, y - 9, f"({_decimal(a)}, {_decimal(b)})", size=SMALL_SIZE)
        span = str(start) if start == position + 1 else f"{start} to {position + 1}"
        self.picture.text(x, y + 11, span, size=SMALL_SIZE)
        return box

    def _name_row(self, name: str) -> None:
        self.picture.text(8, self.y, name, size=SMALL_SIZE, anchor="start", ink=SOFT_INK)


def _decimal(number: Fraction) -> str:
    return f"{float(number):g}".replace("-", "−")


@drawing
def scan_hillis_steele() -> Drawing:
    """Show three rounds over eight steps, in which all positions work."""
    picture = Drawing(
        width=760,
        height=FIRST_ROW + 3 * ROW + 124,
        title="Hillis and Steele: in three rounds all eight prefixes",
        description=(
            "Eight columns, one for each step. In round 1 every position takes in the pair one to "
            "its left: 7 combinations, among them (10, 5) at position 2 and (2, 2) at position 4. "
            "In round 2 it takes in what stands two to its left, 6 combinations: position 4 now "
            "holds (20, 12), steps 1 to 4. In round 3 four to its left, 4 combinations. Position 8 "
            "ends with (30, 13), steps 1 to 8."
        ),
    )
    tree = _Tree(picture)
    for number, reach in enumerate((1, 2, 4), 1):
        tree.round(range(reach, len(TOY)), reach, f"round {number}", all_boxes=True)
    picture.caption(
        "In a box: the pair, and which steps it joins. Blue: it begins at step 1, so its second "
        "number is a state.\nGreen: it begins later. Dashed: finished before this round."
    )
    return picture


@drawing
def scan_up_sweep() -> Drawing:
    """Show neighbours joined to pairs, and pairs to larger ones, until one holds all."""
    picture = Drawing(
        width=760,
        height=FIRST_ROW + 3 * ROW + 110,
        title="Up: neighbours are joined, then their pairs, until one holds all",
        description=(
            "Eight steps. Round 1 joins neighbours: (10, 5) at position 2, (2, 2) at 4, (0.75, 1) "
            "at 6, (2, -7) at 8. Round 2 joins those: (20, 12) at position 4 and (1.5, -5) at 8. "
            "Round 3 joins these two: (30, 13) at position 8. Other positions do not work."
        ),
    )
    tree = _Tree(picture)
    for number, reach in enumerate((1, 2, 4), 1):
        tree.round(range(2 * reach - 1, len(TOY), 2 * reach), reach, f"round {number}")
    picture.caption("4 + 2 + 1 = 7 combinations. Positions 1, 2, 4 and 8 hold their prefix.")
    return picture


@drawing
def scan_down_sweep() -> Drawing:
    """Show the positions that were passed over being filled in from finished prefixes."""
    picture = Drawing(
        width=760,
        height=FIRST_ROW + 3 * ROW + 68,
        title="Down: whoever was passed over takes in a finished prefix",
        description=(
            "The array after the way up. Round 4: position 6, which holds (0.75, 1), takes in the "
            "prefix (20, 12) of position 4 and becomes (15, 10). Round 5: positions 3, 5 and 7 "
            "take in the prefixes of 2, 4 and 6: (5, 3.5), (5, 4) and (7.5, 3). Now every second "
            "number is a state: 1, 5, 3.5, 12, 4, 10, 3, 13."
        ),
    )
    tree = _Tree(picture, _after_the_way_up())
    tree.round(range(5, len(TOY), 4), 2, "round 4")
    tree.round(range(2, len(TOY), 2), 1, "round 5")
    tree.states()
    picture.caption(
        "1 + 3 = 4 combinations. Blue: the pair begins at step 1. Green: it begins later."
    )
    return picture


# --- The paper's trees ---


@drawing
def scan_paper_trees() -> Drawing:
    """Show RecBLR's Figure 3 for four steps, in the order of time, with the toy's pairs."""
    picture = Drawing(
        width=740,
        height=410,
        title="The paper's trees: Tree 2 holds what comes before each node's own steps",
        description=(
            "Two trees over four steps. Tree 1, upwards: the steps (5, 1), (2, 3), (0.5, 1), "
            "(4, -2) are joined to (10, 5) and (2, 2), and these to (20, 12). Tree 2, downwards: "
            "the root holds (1, 0). Its earlier child copies (1, 0), its later child takes in the "
            "earlier child of Tree 1 and holds (10, 5). The leaves hold (1, 0), (5, 1), (10, 5) "
            "and (5, 3.5), whose second numbers are the states h_0 to h_3."
        ),
    )
    four = _Array(list(TOY[:4]), [1, 2, 3, 4])
    pairs = _joined(four, range(1, 4, 2), 1).pairs
    root = _joined(_Array(pairs, [1, 1, 3, 3]), range(3, 4), 2).pairs[3]
    tree_1 = (four.pairs, [pairs[1], pairs[3]], [root])
    nothing = (Fraction(1), Fraction(0))
    prefixes = [nothing, four.pairs[0], pairs[1]]
    prefixes.append(_joined(_Array([pairs[1], four.pairs[2]], [1, 3]), range(1, 2), 1).pairs[1])
    tree_2 = (prefixes, [nothing, pairs[1]], [nothing])

    _paper_tree(picture, 52, tree_1, "Tree 1, upwards", [f"step {t}" for t in range(1, 5)])
    how = ["copy", f"⊕ {_pair_text(TOY[0])}", "copy", f"⊕ {_pair_text(TOY[2])}"]
    labels = []
    for t, pair in enumerate(prefixes):
        labels.append(f"{how[t]}\n$h_{t}$ = {_decimal(pair[1])}")
    _paper_tree(picture, 424, tree_2, "Tree 2, downwards", labels, joined=_pair_text(pairs[1]))
    picture.caption(
        "Time runs to the right; the paper draws it to the left. ⊕: what the later child takes in, "
        "from Tree 1."
    )
    return picture


def _paper_tree(
    picture: Drawing,
    left: float,
    levels: tuple[list[Pair], ...],
    name: str,
    labels: list[str],
    joined: str = "",
) -> None:
    """Draw a tree of three levels, the leaves first; with `joined`, its arrows run down."""
    step = 88
    centres = ([0.0, 1.0, 2.0, 3.0], [0.5, 2.5], [1.5])
    role = "state" if joined else "attention"
    rows = []
    for level, pairs in enumerate(levels):
        row = []
        for place, pair in zip(centres[level], pairs, strict=True):
            x = left + step * place
            its_role = "signal" if level == 0 and not joined else role
            box = picture.box(x, 306 - 102 * level, 76, 34, _pair_text(pair), role=its_role)
            row.append(box)
        rows.append(row)
    picture.text(left + 1.5 * step, 66, name, size=SMALL_SIZE, ink=SOFT_INK)
    for box, label in zip(rows[0], labels, strict=True):
        y = box.bottom[1] + (23 if "\n" in label else 14)
        picture.text(box.x, y, label, size=SMALL_SIZE)
    for level in (0, 1):
        for number, child in enumerate(rows[level]):
            parent = rows[level + 1][number // 2]
            side = -SIDE if number % 2 == 0 else SIDE
            middle = (parent.x + side, parent.bottom[1])
            if not joined:
                picture.arrow(child.top, middle, role=role)
            elif level == 0:
                picture.arrow(middle, child.top, role=role)
            elif number == 0:
                picture.arrow(middle, child.top, role=role, value="copy", side="left")
            else:
                picture.arrow(middle, child.top, role=role, value=f"⊕ {joined}", side="right")


def _pair_text(pair: Pair) -> str:
    return f"({_decimal(pair[0])}, {_decimal(pair[1])})"


# --- Chunks ---

INSIDE_Y = 128
CARRY_Y = 226
FINAL_Y = 360


@drawing
def scan_chunks() -> Drawing:
    """Show the toy in four chunks of two: inside each, over their ends, and added back."""
    picture = Drawing(
        width=760,
        height=450,
        title="Chunks of two: walk inside, walk over the ends, add back",
        description=(
            "Eight steps in four chunks of two. Stage 1, all chunks at once: each walks from a "
            "zero state. The running products of a and the states are (5, 1), (10, 5); (0.5, 1), "
            "(2, 2); (0.25, 1), (0.75, 1); (0.5, -2), (2, -7). Stage 2 walks over the chunks' last "
            "pairs: the states that leave them are 5, 12, 10 and 13. Stage 3: every position adds "
            "its product times the state that entered its chunk: 1, 5, 3.5, 12, 4, 10, 3, 13."
        ),
    )
    carry = None
    entering = Fraction(0)
    for chunk in range(4):
        pairs = _pairs_inside(chunk)
        first = float(FIRST_COLUMN + COLUMN * 2 * chunk)
        places = [first, first + COLUMN]
        end = _inside_a_chunk(picture, chunk, pairs, places)
        product, state = pairs[1]
        leaving = product * entering + state
        left_by = picture.box(places[1], CARRY_Y, 56, 34, _decimal(leaving), role="state")
        picture.arrow(end.bottom, left_by.top, role="attention")
        for x, (product, state) in zip(places, pairs, strict=True):
            _final_state(picture, x, state, product * entering)
        if carry:
            picture.arrow(carry.right, left_by.left, role="state")
            turn = CARRY_Y + 64
            picture.arrow(
                carry.bottom, (carry.x, turn), (places[1], turn), (places[1], FINAL_Y - 22),
                role="state",
            )  # fmt: skip
            picture.arrow((places[0], turn), (places[0], FINAL_Y - 22), role="state")
            picture.dot((places[0], turn), role="state")
        carry = left_by
        entering = leaving
    for y, name in ((INSIDE_Y, "inside"), (CARRY_Y, "ends"), (FINAL_Y, "add")):
        stage = 1 + (INSIDE_Y, CARRY_Y, FINAL_Y).index(y)
        text = f"stage {stage}\n{name}"
        picture.text(8, y, text, size=SMALL_SIZE, anchor="start", ink=SOFT_INK)
    picture.caption(
        "Stage 1: (running product of $a$, state from zero). Stage 2: the state that leaves the "
        "chunk.\nStage 3: state from zero + product × the state that entered, such as "
        "1 + 0.25 × 12 = 1 + 3."
    )
    return picture


def _pairs_inside(chunk: int) -> list[Pair]:
    """Return what the two positions of a chunk hold after stage 1."""
    steps = TOY[2 * chunk : 2 * chunk + 2]
    return _joined(_Array(steps, [0, 1]), range(1, 2), 1).pairs


def _inside_a_chunk(picture: Drawing, chunk: int, pairs: list[Pair], places: list[float]) -> Shape:
    """Draw a chunk's two pairs in a frame, and return the place of the last."""
    middle = sum(places) / 2
    picture.frame(middle, INSIDE_Y, 2 * COLUMN - 4, 56, "")
    picture.text(middle, INSIDE_Y - 42, f"chunk {chunk + 1}", size=SMALL_SIZE)
    boxes = []
    for x, (product, state) in zip(places, pairs, strict=True):
        text = f"({_decimal(product)}, {_decimal(state)})"
        boxes.append(picture.box(x, INSIDE_Y, 72, 34, text, role="attention", size=SMALL_SIZE))
    picture.arrow(boxes[0].right, boxes[1].left, role="attention")
    return boxes[1]


def _final_state(picture: Drawing, x: float, state: Fraction, added: Fraction) -> None:
    """Draw a state of stage 3 and the sum that it is."""
    picture.box(x, FINAL_Y, BOX, BOX_HEIGHT, "", role="state")
    picture.text(x, FINAL_Y - 9, _decimal(state + added), bold=True)
    picture.text(x, FINAL_Y + 11, f"{_decimal(state)} + {_decimal(added)}", size=SMALL_SIZE)


# --- The gradient ---


@drawing
def scan_backward() -> Drawing:
    """Show the states walking to the right, and the gradients to the left."""
    picture = Drawing(
        width=740,
        height=350,
        title="The gradient runs from the end, by the factor of the step to its right",
        description=(
            "Above: the states 0, 1, 5, 3.5, 12 from left to right, with the factors 5, 2, 0.5 and "
            "4 on the arrows between them. Below, from right to left: the gradients g_4 = 1, "
            "g_3 = 1 + 4 x 1 = 5, g_2 = 1 + 0.5 x 5 = 3.5, g_1 = 1 + 2 x 3.5 = 8. Each receives 1 "
            "from its own state's place in the loss. The factor between h_t and h_{t+1}, a_{t+1}, "
            "is also the one between g_{t+1} and g_t. From g_1 the start gets 5 x 8 = 40."
        ),
    )
    states = ("0", "1", "5", "3.5", "12")
    factors = ("5", "2", "0.5", "4")
    gradients = ("40", "8", "3.5", "5", "1")
    upper = 92
    lower = 186
    forward = []
    backward = []
    for t in range(5):
        x = 64 + 153 * t
        text = f"$h_{t}$ = {states[t]}"
        forward.append(picture.box(x, upper, 84, 40, text, role="state"))
        text = f"$g_{t}$ = {gradients[t]}"
        backward.append(picture.box(x, lower, 84, 40, text, role="loss", dashed=t == 0))
    for t in range(4):
        picture.arrow(
            forward[t].right, forward[t + 1].left, value=f"× {factors[t]}",
            shape=f"$a_{t + 1}$", role="state",
        )  # fmt: skip
        picture.arrow(
            backward[t + 1].left, backward[t].right, value=f"× {factors[t]}",
            shape=f"$a_{t + 1}$", role="loss",
        )  # fmt: skip
    for t in range(1, 5):
        below = backward[t].x
        start = (below, 252)
        picture.arrow(start, backward[t].bottom, role="loss", value="+ 1", side="right")
        picture.text(below, 268, f"$grad_{t}$ = 1", size=14)
    picture.caption(
        "Gradient of $b_t$: $g_t$. Gradient of $a_t$: $g_t$ times the state left of it, "
        "$h_{t-1}$: 0, 3.5, 25, 3.5."
    )
    return picture
