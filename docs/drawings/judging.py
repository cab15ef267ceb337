"""What lesson 01 shows: a log as two arrays, what is held out of it, and the rank of a target."""

from style import Drawing, drawing

# The lesson's toy: what four people watched, oldest first, and the colour of each.
SEQUENCES = {
    "ana": ([1, 2, 3, 4], "signal"),
    "ben": ([2, 3, 1], "gate"),
    "cleo": ([4, 1, 5, 2], "attention"),
    "dan": ([3, 5], "weights"),
}


@drawing
def rank_of_the_target() -> Drawing:
    """From a history to scores, and from the scores to the place of the film that came next."""
    picture = Drawing(
        width=740,
        height=290,
        title="The film that Ana really watched next, Dune, has rank 3",
        description=(
            "Ana's films Alien, Brazil and Casablanca lead into a recommender. It scores all five "
            "films. Sorted by score they are: 1 Emma 0.9, 2 Brazil 0.6, 3 Dune 0.5, "
            "4 Casablanca 0.2, 5 Alien 0.1. Dune, the target, is the third."
        ),
    )
    watched = [
        picture.box(78 + 122 * number, 98, 104, 42, film, role="signal")
        for number, film in enumerate(("Alien", "Brazil", "Casablanca"))
    ]
    picture.arrow(watched[0].right, watched[1].left)
    picture.arrow(watched[1].right, watched[2].left)
    picture.note(watched[0], "oldest first", side="above")
    hidden = picture.box(444, 98, 104, 42, "?", role="loss", bold=True)
    picture.arrow(watched[2].right, hidden.left)
    picture.note(hidden, "hidden: Dune", side="above")

    model = picture.box(200, 205, 150, 62, "recommender", role="weights", bold=True)
    below = watched[1].bottom[1] + 12
    picture.bracket(watched[0].left[0], watched[-1].right[0], below, "", below=True)
    picture.arrow((200, below), model.top)
    picture.arrow(model.right, (548, 205), shape="a score for every film")
    rows = [("Emma", "0.9"), ("Brazil", "0.6"), ("Dune", "0.5"), ("Casablanca", "0.2")]
    rows.append(("Alien", "0.1"))
    for place, (film, score) in enumerate(rows, 1):
        y = 80 + 36 * place - 18
        picture.text(566, y, f"{place}.", anchor="end")
        role = "loss" if film == "Dune" else "plain"
        picture.box(626, y, 104, 30, film, role=role, bold=film == "Dune")
        picture.text(690, y, score, anchor="start")
    picture.text(626, 66, "sorted by score", size=13)
    return picture


@drawing
def flat_arrays() -> Drawing:
    """Four histories in two flat arrays, and as the padded rows of a batch."""
    picture = Drawing(
        width=740,
        height=480,
        title="Two flat arrays hold every history; a batch pads them on the right",
        description=(
            "The array items has 13 entries: ana's films 1 2 3 4, ben's 2 3 1, cleo's 4 1 5 2, and "
            "dan's 3 5, one after the other. Below it the array offsets has the entries 0, 4, 7, "
            "11, 13: an arrow leads from each to the border in items where a person's films begin, "
            "the last to the end. At the bottom the same histories as four rows of four: ben's row "
            "ends with one zero, dan's with two."
        ),
    )
    left = 150
    cell = 40
    y = 118
    place = 0
    offsets = [0]
    for name, (films, role) in SEQUENCES.items():
        middle = left + (place + len(films) / 2) * cell
        picture.strip(middle, y, [str(film) for film in films], role=role, cell=cell)
        picture.text(middle, y - 36, name)
        place += len(films)
        offsets.append(place)
    picture.text(left - 40, y, "items\n[13]", anchor="end")
    picture.text(left - 40, 205, "offsets\n[4 + 1]", anchor="end")
    for offset in offsets:
        x = left + offset * cell
        start = picture.box(x, 205, 40, 34, str(offset))
        picture.arrow(start.top, (x, y + cell / 2 + 2))

    rows = []
    roles = {}
    for number, (films, role) in enumerate(SEQUENCES.values()):
        rows.append([str(film) for film in films] + ["0"] * (4 - len(films)))
        for position in range(4):
            roles[number, position] = role if position < len(films) else "padding"
    batch = picture.matrix(
        390, 345, rows, roles=roles, cell=cell, row_labels=list(SEQUENCES), cell_height=36
    )
    picture.text(left - 40, 345, "a batch\n[4, 4]", anchor="end")
    picture.arrow((390, 232), (390, batch.top[1] - 6), shape="padded on the right")
    picture.caption("0 is no film: it fills up the rows. Position t of a row is the t-th film.")
    return picture


@drawing
def leave_one_out() -> Drawing:
    """Draw what is held out: the last film for the test, the one before it for validation."""
    picture = Drawing(
        width=740,
        height=370,
        title="Leave-one-out holds out everybody's last two films: valid and test",
        description=(
            "One row for each person. Ana's films 1 and 2 are for training, 3 is the valid target "
            "and 4 the test target. Ben's film 2 is for training, 3 valid, 1 test. Cleo's 4 and 1 "
            "are for training, 5 valid, 2 test. Dan has two films only, 3 and 5: both are for "
            "training. On the right, for Ana, what a model reads when it is judged: 1 2 for the "
            "valid target 3, and 1 2 3 for the test target 4."
        ),
    )
    step = 54
    for number, (name, (films, _)) in enumerate(SEQUENCES.items()):
        y = 112 + 60 * number
        picture.text(92, y, name, anchor="end")
        for position, film in enumerate(films):
            role = "signal"
            if len(films) >= 3 and position >= len(films) - 2:
                role = "loss" if position == len(films) - 1 else "gate"
            # The targets stand below each other; who has none has films in the first columns.
            x = 130 + step * (position + (4 - len(films) if len(films) >= 3 else 0))
            picture.box(x, y, 46, 40, str(film), role=role)
    picture.bracket(107, 207, 78, "training")
    picture.text(238, 64, "valid")
    picture.text(292, 64, "test")

    picture.text(400, 64, "what the model reads for Ana", anchor="start")
    for y, read, target, role, when in (
        (142, ["1", "2"], "3", "gate", "valid"),
        (232, ["1", "2", "3"], "4", "loss", "test"),
    ):
        picture.text(400, y, when, anchor="start")
        held_out = {2: "gate"}  # the valid film, which the model reads before the test target
        roles = held_out if when == "test" else None
        places = picture.sequence(444 + 27 * len(read), y, read, cell=46, gap=8, roles=roles)
        goal = picture.box(696, y, 46, 40, target, role=role)
        picture.arrow(places[-1].right, goal.left, shape="predicts")
    picture.caption("Dan has too few films to be judged: both of his are for training.")
    return picture


@drawing
def full_and_sampled_rank() -> Drawing:
    """Draw the same scores, ranked among all films and among a few that were drawn."""
    n_films = 20
    rank = 9
    drawn = (3, 7, 12, 16, 19)
    among_drawn = 1 + sum(place < rank for place in drawn)
    picture = Drawing(
        width=740,
        height=310,
        title=f"The same scores: rank {rank} among all films, rank {among_drawn} among a sample",
        description=(
            f"Upper row: {n_films} films in the order of their scores, the target at place {rank}. "
            f"The films at the places {', '.join(map(str, drawn))} are drawn. Lower row: the "
            f"target and the drawn films only, in the same order; the target is number "
            f"{among_drawn} of {len(drawn) + 1}."
        ),
    )
    step = 34
    left = 38 + step / 2
    picture.text(20, 70, "all films, sorted by score: the full ranking", anchor="start")
    upper = {}
    for place in range(1, n_films + 1):
        role = "loss" if place == rank else "gate" if place in drawn else "plain"
        upper[place] = picture.box(
            left + step * (place - 1), 110, 30, 38, str(place), role=role, bold=place == rank
        )
    picture.text(20, 256, "the target and the films drawn: the sampled ranking", anchor="start")
    for number, place in enumerate(sorted((rank, *drawn)), 1):
        role = "loss" if place == rank else "gate"
        lower = picture.box(upper[place].x, 212, 30, 38, str(number), role=role, bold=place == rank)
        picture.arrow(upper[place].bottom, lower.top, role=role)
    picture.caption(
        "Red: the target. Orange: drawn. Of the 8 better films only 2 are in the sample."
    )
    return picture
