"""The scan as a kernel: a walk per lane, and chunks of time in three stages (lesson 12).

The numbers are the lesson's toys.
"""

from style import Drawing, drawing


@drawing
def scan_kernel_walk() -> Drawing:
    """Show a program of four lanes, two of them live, that walks over three positions."""
    picture = Drawing(
        width=740,
        height=400,
        title="A program walks along time, its states in registers",
        description=(
            "Four lanes, one above the other, and three positions from left to right. The first "
            "lane begins with 0, and becomes 4, 4 and 9: each time it is multiplied by a and b "
            "is added. The second lane becomes 1, 3 and 6. The other two lanes are masked. At "
            "each position two numbers of a and two of b are loaded, and two of h stored."
        ),
    )
    columns = (130, 305, 480, 655)
    for t, x in enumerate(columns):
        picture.text(x, 75, f"$h_{t}$" if t == 0 else f"position {t}, $h_{t}$")
    walks = (
        (("0", "4", "4", "9"), ("× 1/2 + 4", "× 1/2 + 2", "× 2 + 1")),
        (("0", "1", "3", "6"), ("× 1 + 1", "× 1 + 2", "× 1 + 3")),
    )
    for lane, (states, steps) in enumerate(walks):
        y = 125 + 62 * lane
        picture.text(20, y, f"lane {lane}", anchor="start")
        boxes = [
            picture.box(x, y, 58, 40, state, role="state")
            for x, state in zip(columns, states, strict=True)
        ]
        for before, after, step in zip(boxes, boxes[1:], steps, strict=False):
            picture.arrow(before.right, after.left, value=step)
    for lane in (2, 3):
        y = 125 + 62 * lane
        picture.text(20, y, f"lane {lane}", anchor="start")
        for x in columns:
            picture.box(x, y, 74, 34, "masked", role="padding", size=13)
    for x in columns[1:]:
        picture.text(x, 352, "load 2 a, 2 b\nstore 2 h", size=13)
    return picture


@drawing
def gpu_chunks() -> Drawing:
    """Show the three stages of a scan in chunks, with the toy's numbers."""
    picture = Drawing(
        width=760,
        height=530,
        title="Local walks, carries, and the walk again",
        description=(
            "Six positions in three chunks of two. In the first stage each chunk walks from zero: "
            "it ends at E = 4, 1.5 and 5, and its product of a is P = 1/4, 1 and 2. In the second "
            "stage the ends are joined: 4, then 1 times 4 plus 1.5 is 5.5, then 2 times 5.5 plus 5 "
            "is 16. In the third stage each chunk walks again from what enters it, 0, 4 and 5.5, "
            "and writes the states 4, 4, 9, 5.5, 14 and 16."
        ),
    )
    columns = (240, 440, 640)
    inputs = (
        ("$a$ = 1/2, 1/2", "$b$ = 4, 2"),
        ("$a$ = 2, 1/2", "$b$ = 1, 1"),
        ("$a$ = 2, 1", "$b$ = 3, 2"),
    )
    local = ("4", "1.5", "5"), ("1/4", "1", "2")
    carried = ("4", "5.5", "16")
    entering = ("0", "4", "5.5")
    states = ("4, 4", "9, 5.5", "14, 16")

    picture.text(20, 85, "from memory", anchor="start")
    picture.text(20, 180, "1. local walk\nfrom zero", anchor="start", bold=True)
    picture.text(20, 290, "2. carries", anchor="start", bold=True)
    picture.text(20, 420, "3. second walk", anchor="start", bold=True)
    last = None
    for number, x in enumerate(columns):
        memory = picture.box(x, 85, 130, 54, "\n".join(inputs[number]), role="signal")
        ends = f"$E$ = {local[0][number]}\n$P$ = {local[1][number]}"
        walk = picture.box(x, 180, 130, 56, ends, role="state")
        picture.arrow(memory.bottom, walk.top)
        carry = picture.box(x, 290, 58, 40, carried[number], role="gate")
        picture.arrow(walk.bottom, carry.top)
        if last is not None:
            step = f"× {local[1][number]} + {local[0][number]}"
            picture.arrow(last.right, carry.left, value=step)
        words = f"enters {entering[number]}\n$h$ = {states[number]}"
        again = picture.box(x, 420, 130, 56, words, role="state")
        if last is not None:
            corner = (last.x, 350)
            picture.arrow(last.bottom, corner, (x, 350), again.top, role="gate")
        last = carry
    picture.caption(
        "Stage 1 reads 8 bytes per element. Stage 3 reads them again and writes the states: 12."
    )
    return picture
