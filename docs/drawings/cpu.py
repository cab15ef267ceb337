"""A CPU core: memory levels, lines, layouts, vectors, the roofline, fusing (lesson 11).

Sizes and times of the levels are round figures of processors of recent years.
"""

from style import SMALL_SIZE, SOFT_INK, Drawing, drawing

PER_LINE = 4  # numbers in a drawn line; a line of 64 bytes holds 16 of float32
POSITIONS = 3
CHANNELS = 8


@drawing
def cpu_memory_levels() -> Drawing:
    """Show registers, three caches and memory: the larger, the farther."""
    picture = Drawing(
        width=740,
        height=430,
        title="The farther a number lies, the longer it takes to come",
        description=(
            "Five boxes from top to bottom. Registers: about 2 KB in each core, there at once. L1 "
            "cache: 32 to 48 KB in each core, about 1 nanosecond. L2 cache: half a megabyte to 2 "
            "MB in each core, about 4 nanoseconds. L3 cache: tens of megabytes or more for all "
            "cores, about 20 nanoseconds. Memory: gigabytes, about 100 nanoseconds. Between the "
            "caches and memory travel whole lines of 64 bytes."
        ),
    )
    levels = (
        ("registers", 130, "about 2 KB in each core", "at once", "state"),
        ("L1 cache", 170, "32 to 48 KB in each core", "1 ns", "signal"),
        ("L2 cache", 220, "0.5 to 2 MB in each core", "4 ns", "signal"),
        ("L3 cache", 280, "tens of MB or more, for all", "20 ns", "signal"),
        ("memory", 350, "GBs, for all", "100 ns", "plain"),
    )
    above = None
    for number, (name, width, size, time, role) in enumerate(levels):
        y = 82 + 70 * number
        box = picture.box(200, y, width, 40, name, role=role)
        picture.text(400, y, size, size=14, anchor="start")
        picture.text(640, y, time, size=14, anchor="start", bold=True)
        if above is not None:
            line = "64 bytes" if number > 1 else ""
            picture.arrow((185, box.top[1]), (185, above.bottom[1]))
            picture.arrow((215, above.bottom[1]), (215, box.top[1]), shape=line)
        above = box
    picture.caption("Round figures. The time is that from asking for one number until it is there.")
    return picture


@drawing
def cpu_write_allocate() -> Drawing:
    """Show that a write into a line reads the line first, and writes it back later."""
    picture = Drawing(
        width=740,
        height=310,
        title="To write four bytes, the whole line comes in first",
        description=(
            "Three stages of a line of numbers in memory and its copy in the cache. First the "
            "whole line is read from memory into the cache. Then the program changes a number in "
            "the cache. Later, when the cache needs the room, the whole line is written back."
        ),
    )
    stages = (
        ("1. the line comes in", "64 bytes read", (), True),
        ("2. the program writes", "in the cache", (1,), None),
        ("3. later, it goes back", "64 bytes written", (1,), False),
    )
    for number, (name, moved, changed, inwards) in enumerate(stages):
        x = 175 + 215 * number
        picture.text(x, 68, name)
        values = ["5" if place in changed else "0" for place in range(PER_LINE)]
        roles = {(0, place): "gate" for place in changed}
        cached = picture.matrix(x, 120, [values], roles=roles, role="signal", cell=38)
        in_memory = ["5" if place in changed and inwards is False else "0" for place in range(4)]
        memory = picture.matrix(x, 230, [in_memory], role="plain", cell=38)
        if inwards is None:
            picture.text(x, 175, moved, size=SMALL_SIZE, ink=SOFT_INK)
        elif inwards:
            picture.arrow(memory.top, cached.bottom, shape=moved)
        else:
            picture.arrow(cached.bottom, memory.top, shape=moved, side="left")
    picture.text(20, 120, "cache", anchor="start", size=14)
    picture.text(20, 230, "memory", anchor="start", size=14)
    picture.caption("A line is drawn with four numbers; it holds 16 of float32.")
    return picture


@drawing
def cpu_layouts() -> Drawing:
    """Show which lines hold one position's channels in either layout."""
    picture = Drawing(
        width=740,
        height=415,
        title="Channels last: a position fills its lines. Time last: it is spread over all",
        description=(
            "Memory drawn as lines of four numbers, for three positions of eight channels. With "
            "channels last the eight numbers of position 1 fill two lines. With time last they "
            "lie three places apart, so that all six lines hold some of them."
        ),
    )
    blocks = (
        (190, "[N, D]: channels last", lambda place: (place // CHANNELS, place % CHANNELS)),
        (560, "[D, N]: time last", lambda place: (place % POSITIONS, place // POSITIONS)),
    )
    for x, name, owner in blocks:
        picture.text(x, 66, name, bold=True)
        texts = []
        roles = {}
        for line in range(POSITIONS * CHANNELS // PER_LINE):
            row = []
            for column in range(PER_LINE):
                t, channel = owner(line * PER_LINE + column)
                row.append(f"$t$={t + 1}, c{channel + 1}")
                if t == 0:
                    roles[line, column] = "gate"
            texts.append(row)
        grid = picture.matrix(
            x, 218, texts, roles=roles, role="plain", cell=70, cell_height=40, size=14
        )
        touched = len({line for line, _ in roles})
        picture.text(x, grid.bottom[1] + 22, f"position 1 lies in {touched} of 6 lines")
    picture.caption(
        "One row is one cache line, drawn with four numbers: position $t$ and channel c."
    )
    return picture


@drawing
def cpu_vector_lanes() -> Drawing:
    """Show that steps along time wait, and that channels go side by side in one instruction."""
    picture = Drawing(
        width=740,
        height=370,
        title="Along time each step waits; across channels one instruction takes all",
        description=(
            "A grid of four channels and four positions. Along each row, from position to "
            "position, arrows show that a state waits for the one before. A frame around one "
            "column shows the four channels of a position, which one vector instruction computes "
            "together."
        ),
    )
    first = 190
    step = 135
    for position in range(4):
        x = first + step * position
        picture.frame(x, 205, 76, 232, "")
        picture.text(x, 72, f"$t$ = {position + 1}")
    before: list = [None] * 4
    for channel in range(4):
        y = 121 + 56 * channel
        picture.text(20, y, f"channel {channel + 1}", size=14, anchor="start")
        for position in range(4):
            state = picture.box(first + step * position, y, 50, 38, "$h$", role="state")
            if before[channel] is not None:
                value = "$a h + b$" if channel == 0 else ""
                picture.arrow(before[channel].right, state.left, role="state", shape=value)
            before[channel] = state
    picture.text(
        first + step * 3 + 48, 205, "each frame:\none vector\ninstruction", size=14, anchor="start"
    )
    picture.caption("A dotted frame: 4, 8 or 16 numbers of float32, by the processor.")
    return picture


@drawing
def cpu_roofline() -> Drawing:
    """Show slope, ridge and roof, and the point that fusing moves to the right."""
    picture = Drawing(
        width=740,
        height=400,
        title="Left of the ridge bytes set the limit: fewer move a point right, and up",
        description=(
            "Axes: operations per byte to the right, operations per second upwards, both "
            "logarithmic. A slope, bandwidth times intensity, rises to the ridge and ends in a "
            "flat roof, the peak. The scan lies far left on the slope. The unfused BD-LRU lies "
            "to its right; fused it lies further right and higher, but below the slope."
        ),
    )
    left = 90
    bottom = 320
    ridge = (470, 110)
    picture.arrow((left, bottom), (left, 70))
    picture.arrow((left, bottom), (700, bottom))
    picture.text(390, 345, "operations per byte (arithmetic intensity)", size=14)
    picture.text(20, 62, "operations per second", size=14, anchor="start")
    picture.arrow((130, 280), ridge, (690, 110), head=False)
    picture.arrow((470, bottom), ridge, head=False, dashed=True)
    picture.text(480, 240, "ridge", size=14, anchor="start", ink=SOFT_INK)
    picture.text(585, 92, "roof: the peak", size=14)
    picture.text(190, 120, "slope: bandwidth\ntimes intensity", size=14)
    for x, y, name, role in (
        (150, 270, "scan", "state"),
        (235, 228, "BD-LRU, unfused", "loss"),
        (340, 206, "BD-LRU, fused", "attention"),
    ):
        picture.box(x, y, 22, 22, "", role=role)
        picture.text(x + 22, y + 18, name, size=14, anchor="start")
    picture.arrow((248, 226), (327, 208), role="attention")
    picture.caption("Both axes are logarithmic.")
    return picture


UNFUSED = (
    ("$σ(r_t)$", 8),
    ("$-δ_t$", 8),
    ("$-2 δ_t$", 8),
    ("expm1", 8),
    ("minus", 8),
    ("root: $s_t$", 8),
    ("$α_t$", 8),
    ("$σ(i_t)$", 8),
    ("$s_t σ(i_t)$", 12),
    ("times $x_t$", 12),
    ("scan: $h_t$", 12),
    ("SiLU$(z_t)$", 8),
    ("$y_t$", 12),
)


@drawing
def cpu_fusion_bytes() -> Drawing:
    """Show thirteen operations that each go to memory and back, and one that does all."""
    total = sum(count for _, count in UNFUSED)
    picture = Drawing(
        width=740,
        height=470,
        title=f"Unfused, {total} bytes per element go to memory and back; fused, 24",
        description=(
            "Above, thirteen operations of the gates and the recurrence in two rows, each with "
            "an arrow from memory and one back, and its bytes per element: 8 where one number "
            f"is read and one written, 12 where two are read; together {total}. Below, one "
            "operation that reads r, i, x and z, 16 bytes, and writes y and h, 8 bytes."
        ),
    )
    for row, operations in enumerate((UNFUSED[:7], UNFUSED[7:])):
        memory = picture.box(370, 140 + 125 * row, 690, 26, "memory", size=14)
        for number, (name, count) in enumerate(operations):
            x = 74 + 99 * number
            box = picture.box(x, memory.y - 66, 88, 34, name, role="gate", size=14)
            picture.arrow((x - 12, memory.top[1]), (x - 12, box.bottom[1]))
            picture.arrow((x + 12, box.bottom[1]), (x + 12, memory.top[1]), shape=f"{count} B")
    memory = picture.box(370, 410, 690, 26, "memory", size=14)
    kernel = picture.box(370, 330, 380, 40, "gates, recurrence and output in one", role="state")
    picture.arrow(
        (250, memory.top[1]), (250, kernel.bottom[1]),
        shape="$r_t$, $i_t$, $x_t$, $z_t$: 16 B", side="left",
    )  # fmt: skip
    picture.arrow((490, kernel.bottom[1]), (490, memory.top[1]), shape="$y_t$, $h_t$: 8 B")
    picture.caption("B: bytes per element of [B, N, D] in float32, read and written.")
    return picture
