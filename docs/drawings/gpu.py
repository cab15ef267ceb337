"""A GPU: memory levels, lanes, a warp's load, occupancy, fusing, launches (lesson 12).

Sizes and bandwidth are an H200's; times are round.
"""

from style import SMALL_SIZE, SOFT_INK, Drawing, Shape, drawing

LANES_DRAWN = 8  # of the 32 of a warp


@drawing
def gpu_memory_levels() -> Drawing:
    """Show the levels of a GPU's memory: the further down, the slower."""
    picture = Drawing(
        width=740,
        height=390,
        title="Each level is slower than the one above",
        description=(
            "Four boxes from top to bottom. Registers: 256 KB in each multiprocessor, there at "
            "once. Shared memory and L1 cache: 256 KB in each multiprocessor, about 30 cycles. "
            "L2 cache: about 50 MB for all, about 250 cycles. Device memory: 141 GB, 4.8 TB per "
            "second, about a thousand cycles when it is busy."
        ),
    )
    levels = (
        ("registers", 150, "256 KB per multiprocessor\nat once", "state"),
        ("shared memory, L1 cache", 220, "256 KB per multiprocessor\nabout 30 cycles", "signal"),
        ("L2 cache, for all", 290, "about 50 MB\nabout 250 cycles", "signal"),
        ("device memory", 360, "141 GB, 4.8 TB per second\na thousand cycles, or 0.6 µs", "plain"),
    )
    above = None
    for number, (name, width, facts, role) in enumerate(levels):
        y = 90 + 78 * number
        box = picture.box(225, y, width, 46, name, role=role)
        picture.text(450, y, facts, size=14, anchor="start")
        if above is not None:
            picture.arrow((205, box.top[1]), (205, above.bottom[1]))
            picture.arrow((245, above.bottom[1]), (245, box.top[1]))
        above = box
    picture.caption("A large GPU has 132 multiprocessors. Times are round, under load.")
    return picture


@drawing
def gpu_lanes() -> Drawing:
    """Show which program owns which pair of user and channel."""
    picture = Drawing(
        width=740,
        height=350,
        title="A lane for each user and channel, four lanes to a program",
        description=(
            "A table of three users and five channels holds the lanes 0 to 14, row by row. Below, "
            "the lanes stand in one row, in programs of four: 0 to 3, 4 to 7, 8 to 11, and 12 to "
            "14 with a sixteenth lane that is masked. The second program begins with the last "
            "channel of the first user."
        ),
    )
    owners = ("signal", "gate", "weights", "attention")
    table = [[str(5 * user + channel) for channel in range(5)] for user in range(3)]
    roles = {(lane // 5, lane % 5): owners[lane // 4] for lane in range(15)}
    picture.matrix(
        370,
        145,
        table,
        roles=roles,
        cell=62,
        cell_height=36,
        row_labels=[f"user {user}" for user in range(3)],
        column_labels=[
            f"channel {channel}" if channel == 0 else str(channel) for channel in range(5)
        ],
    )
    lanes = [[str(lane) for lane in range(16)]]
    roles = {(0, lane): owners[lane // 4] for lane in range(15)} | {(0, 15): "padding"}
    row = picture.matrix(370, 245, lanes, roles=roles, cell=42, cell_height=36)
    for program in range(4):
        left = row.cell(0, 4 * program).left[0] + 3
        right = row.cell(0, 4 * program + 3).right[0] - 3
        picture.bracket(left, right, 275, f"program {program}", below=True)
    picture.caption("Lane 15 does not exist: its mask switches it off.")
    return picture


@drawing
def gpu_coalescing() -> Drawing:
    """Show lanes that read neighbours in one line, and lanes that read from lines of their own."""
    picture = Drawing(
        width=740,
        height=430,
        title="Neighbours share a line; scattered lanes need one each",
        description=(
            "Above, eight lanes read eight neighbouring numbers, which lie in one line of memory: "
            "one transaction. Below, eight lanes read numbers that lie far apart, each in a line "
            "of its own: eight transactions, of which most is not used."
        ),
    )
    picture.text(20, 78, "coalesced", anchor="start", bold=True)
    lanes = _warp(picture, 95, apart=48)
    roles = {(0, number): "state" for number in range(LANES_DRAWN)}
    line = picture.matrix(
        454, 185, [[""] * LANES_DRAWN + ["..."]], roles=roles, role="plain", cell=48, cell_height=24
    )
    for number, lane in enumerate(lanes):
        cell = line.cell(0, number)
        picture.arrow(cell.top, (lane.x, lane.bottom[1]), role="state")
    picture.text(20, 185, "one line\nof 128 bytes", size=14, anchor="start")

    picture.text(20, 258, "scattered", anchor="start", bold=True)
    lanes = _warp(picture, 275, apart=74)
    for lane in lanes:
        own = picture.matrix(
            lane.x, 360, [["", "", "", ""]], roles={(0, 1): "state"}, role="plain", cell=15
        )
        cell = own.cell(0, 1)
        picture.arrow(cell.top, (lane.x, lane.bottom[1]), role="state")
    picture.text(20, 360, "a line\neach", size=14, anchor="start")
    picture.caption(
        "Eight of the 32 lanes of a warp are drawn. A line has 32 numbers; a part of each is drawn."
    )
    return picture


def _warp(picture: Drawing, y: float, apart: float) -> list[Shape]:
    """Draw the lanes that are drawn of a warp, in one row."""
    first = 430 - apart * (LANES_DRAWN - 1) / 2
    lanes = []
    for number in range(LANES_DRAWN):
        lanes.append(picture.box(first + apart * number, y, 36, 32, str(number), role="gate"))
    picture.text(first - 30, y, "lanes", size=14, anchor="end")
    return lanes


@drawing
def gpu_occupancy() -> Drawing:
    """Show the registers of a multiprocessor cut up for few and for many warps."""
    picture = Drawing(
        width=740,
        height=370,
        title="The more registers a lane needs, the fewer warps fit",
        description=(
            "The same register file of 65,536 registers, three times. Where a lane needs 32 "
            "registers, 64 warps fit, all that a multiprocessor can hold. Where it needs 64, 32 "
            "fit, an occupancy of one half. Where it needs 128, 16 fit, one quarter."
        ),
    )
    shares = {32: "all that there may be", 64: "occupancy one half", 128: "occupancy one quarter"}
    for number, (registers, share) in enumerate(shares.items()):
        warps = 65_536 // (32 * registers)
        y = 105 + 90 * number
        words = f"{registers} registers per lane: {warps} warps, {share}"
        picture.text(50, y - 32, words, anchor="start")
        picture.matrix(370, y, [[""] * warps], role="state", cell=640 / warps, cell_height=34)
    picture.caption(
        "Each cell is a warp: 32 lanes and their registers. All cells together are the 65,536\n"
        "registers of one multiprocessor."
    )
    return picture


@drawing
def gpu_fused_unfused() -> Drawing:
    """Show the gates and the scan as many kernels and as one, with the bytes that they move."""
    picture = Drawing(
        width=760,
        height=490,
        title="Unfused, everything passes through memory again and again",
        description=(
            "Above, seven boxes for 14 operators: sigmoid of r, alpha, beta, sigmoid of i, product "
            "with x, the scan, and SiLU of z times h. Each reads from device memory and writes "
            "to it; together 120 bytes per element. Below, one kernel reads r, i, x and z, "
            "16 bytes per element, and writes y and h, 8 bytes: 24 in all."
        ),
    )
    picture.text(20, 70, "unfused: 14 kernels, some drawn as one", anchor="start", bold=True)
    memory = picture.box(380, 205, 700, 40, "device memory: 120 bytes per element forwards")
    names = ("σ(r)", "α", "β", "σ(i)", "β σ(i) x", "scan", "SiLU(z) h")
    for number, name in enumerate(names):
        x = 80 + 100 * number
        role = "state" if name == "scan" else "gate"
        kernel = picture.box(x, 115, 84, 42, f"${name}$" if name != "scan" else name, role=role)
        picture.arrow((x - 16, memory.top[1]), (x - 16, kernel.bottom[1]))
        picture.arrow((x + 16, kernel.bottom[1]), (x + 16, memory.top[1]))

    picture.text(20, 275, "fused: one kernel", anchor="start", bold=True)
    kernel = picture.box(
        380, 325, 420, 50, "gates, scan and output gate, in registers", role="state"
    )
    memory = picture.box(380, 425, 700, 40, "device memory: 24 bytes per element forwards")
    for place, name in zip((200, 270, 340, 410), "rixz", strict=True):
        picture.arrow(
            (place, memory.top[1]), (place, kernel.bottom[1]), value=f"${name}$", side="left"
        )
    for place, name in zip((490, 560), "yh", strict=True):
        picture.arrow(
            (place, kernel.bottom[1]), (place, memory.top[1]), value=f"${name}$", side="right"
        )
    picture.caption("float32: each tensor that is read or written is 4 bytes per element.")
    return picture


@drawing
def gpu_launches() -> Drawing:
    """Show a GPU that waits for launches, and one that replays a graph."""
    picture = Drawing(
        width=740,
        height=400,
        title="Short kernels wait for their launches; a graph has one",
        description=(
            "Two timelines. Above, the host launches four kernels one after another; each kernel "
            "is shorter than its launch, so the GPU idles between them. Below, the host launches "
            "one graph, and the GPU runs the same four kernels without gaps, and is done sooner."
        ),
    )
    picture.text(20, 70, "one by one", anchor="start", bold=True)
    picture.text(20, 105, "host", anchor="start")
    picture.text(20, 180, "GPU", anchor="start")
    for number in range(4):
        launch = picture.box(145 + 120 * number, 105, 112, 36, "launch", role="gate")
        kernel = picture.box(launch.right[0] + 8, 180, 44, 36, str(number + 1), role="state")
        picture.arrow((kernel.left[0] + 6, launch.bottom[1]), (kernel.left[0] + 6, kernel.top[1]))
        if number < 3:
            picture.text(kernel.x + 60, 180, "idle", size=SMALL_SIZE, ink=SOFT_INK)

    picture.text(20, 245, "as a graph", anchor="start", bold=True)
    picture.text(20, 280, "host", anchor="start")
    picture.text(20, 345, "GPU", anchor="start")
    replay = picture.box(145, 280, 112, 36, "replay", role="gate")
    picture.arrow((193, replay.bottom[1]), (193, 327))
    for number in range(4):
        picture.box(209 + 46 * number, 345, 44, 36, str(number + 1), role="state")
    picture.arrow((390, 345), (700, 345), shape="the next step can begin", side="above")
    picture.caption("Time runs to the right.")
    return picture
