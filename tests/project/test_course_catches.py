"""Each rule of course_rules.py fires: a good lesson keeps them all, and each break is caught."""

import copy

import course_rules as rules
import nbformat.v4 as v4
import pytest
from good_lesson import code, shown, stdout

from minirec.exercises import Exercise

SOURCES = [
    "https://arxiv.org/abs/1406.1078",
    "https://doi.org/10.1145/2827872",
    "https://arxiv.org/abs/1511.06939",
]


def exercise(title, minutes=5):
    def solution(x):
        return x

    return Exercise(
        solution=solution,
        cases=((1,),),
        mistakes=(),
        title=title,
        stars=1,
        minutes=minutes,
        kind="fill in",
    )


EXERCISES = {f"02.{i}": exercise(f"Title {i}") for i in (1, 2, 3)}

HEAD = """\
# 02 · A lesson

**Time.** Reading 10 minutes, exercises 15 minutes; the cells take 3 seconds on a laptop."""


def exercise_text(i):
    return f"#### Exercise 02.{i} · Title {i}\n★☆☆ · 5 minutes · fill in\n\nAdd."


def exercise_cell(i):
    source = f'def add(x):\n    return ...\n\ncheck("02.{i}", add)\n# hint("02.{i}")'
    return code(source, stdout(f"02.{i}: not attempted."), tags=["exercise"])


DRAWING = "plt.plot(values)\nassert values\nplt.show()"


def good():
    figure = code(DRAWING, shown("image/png", "iVBORw0KGgo="))
    figure.metadata["jupyter"] = {"source_hidden": True}
    links = "\n".join(f"- [a source]({link})" for link in SOURCES)
    cells = [
        v4.new_markdown_cell(HEAD),
        v4.new_markdown_cell("## The question\n\n" + "An **embedding** is a vector. " * 180),
        v4.new_markdown_cell(
            "![one](../docs/drawings/one.svg)\n\n![two](../docs/drawings/two.svg)"
        ),
        code("values = [1, 2]\nprint(values)", stdout("[1, 2]\n")),
        code('check("equal", 1, 1)', stdout("equal: True\n")),
        figure,
        v4.new_markdown_cell(exercise_text(1)),
        exercise_cell(1),
        v4.new_markdown_cell(exercise_text(2)),
        exercise_cell(2),
        v4.new_markdown_cell("## More exercises\n\n" + exercise_text(3)),
        exercise_cell(3),
        v4.new_markdown_cell("## Read next\n\n" + links),
    ]
    return v4.new_notebook(cells=cells)


TEXT, DRAWINGS, SHOWS, VERDICT, FIGURE, FIRST, FIRST_CELL = 1, 2, 3, 4, 5, 6, 7
LAST, READ_NEXT = 10, 12


def solved_with(source):
    return v4.new_notebook(cells=[code(source, tags=["exercise"])])


SOLVED = solved_with("def add(x, y):\n    total = x * y + 3\n    return total - y")


def complaints(notebook):
    """{rule's name: what it complains of}, for every rule that complains."""
    found = {rule.__name__: rule(notebook) for rule in rules.RULES}
    for rule in rules.RULES_ON_EXERCISES:
        found[rule.__name__] = rule(notebook, EXERCISES)
    found["gives_no_answer_away"] = rules.gives_no_answer_away(notebook, SOLVED)
    found["names_sources_to_read_next"] = rules.names_sources_to_read_next(notebook, set(SOURCES))
    return {name: said for name, said in found.items() if said}


def test_a_good_lesson_keeps_every_rule():
    assert complaints(good()) == {}


def only_verdicts(notebook):
    notebook.cells[SHOWS].outputs = [stdout("so it is: True\n")]


def one_drawing(notebook):
    notebook.cells[DRAWINGS].source = "![one](../docs/drawings/one.svg)"


def drawing_without_alt_text(notebook):
    cell = notebook.cells[DRAWINGS]
    cell.source = cell.source.replace("![two]", "![]")


def figure_not_collapsed(notebook):
    notebook.cells[FIGURE].metadata.pop("jupyter")


def leaning_on_a_collapsed_cell(notebook):
    notebook.cells[FIGURE].source = "height = 3\n" + DRAWING
    notebook.cells.append(code("print(height)", stdout("3\n")))


def wide_code(notebook):
    notebook.cells[SHOWS].source += "  # " + "x" * 80


def too_many_words(notebook):
    notebook.cells[TEXT].source *= 10


def epochs_called_readings(notebook):
    notebook.cells[TEXT].source += " After five readings."


def a_default_that_stays(notebook):
    notebook.cells[SHOWS].source += "\ntorch.set_default_dtype(torch.float64)"


def a_legend_outside(notebook):
    notebook.cells[FIGURE].source += "\nplt.legend(bbox_to_anchor=(1.02, 1))"


def minutes_of_reading_made_up(notebook):
    notebook.cells[0].source = HEAD.replace("10 minutes", "30 minutes")


def minutes_of_exercises_made_up(notebook):
    notebook.cells[0].source = HEAD.replace("15 minutes", "20 minutes")


def no_minutes(notebook):
    notebook.cells[0].source = "# 02 · A lesson"


def other_stars_than_in_the_module(notebook):
    cell = notebook.cells[FIRST]
    cell.source = cell.source.replace("★☆☆", "★★☆")


def exercise_without_a_rating(notebook):
    cell = notebook.cells[FIRST]
    cell.source = cell.source.replace("★☆☆ · 5 minutes · fill in\n", "")


def exercise_without_a_cell(notebook):
    notebook.cells[FIRST_CELL].source = "answer = 3"


def exercise_without_a_hint(notebook):
    cell = notebook.cells[FIRST_CELL]
    cell.source = cell.source.replace('# hint("02.1")', "")


def exercises_at_the_end(notebook):
    notebook.cells[FIRST].source = "## Exercises\n\n" + exercise_text(1)
    notebook.cells[LAST].source = exercise_text(3)


def the_answer_in_a_cell(notebook):
    source = "def other(a, b):\n    c = a * b + 3\n    return c - b"
    notebook.cells.append(code(source))


def no_sources(notebook):
    notebook.cells[READ_NEXT].source = "## The end"


def two_sources(notebook):
    lines = notebook.cells[READ_NEXT].source.splitlines()
    notebook.cells[READ_NEXT].source = "\n".join(lines[:-1])


def a_source_that_may_move(notebook):
    cell = notebook.cells[READ_NEXT]
    cell.source = cell.source.replace(SOURCES[0], "http://example.com/gru")


def a_source_outside_the_bibliography(notebook):
    cell = notebook.cells[READ_NEXT]
    cell.source = cell.source.replace(SOURCES[0], "https://arxiv.org/abs/1706.03762")


BREAKS = [
    ("shows_more_than_verdicts", only_verdicts),
    ("shows_drawings", one_drawing),
    ("shows_drawings", drawing_without_alt_text),
    ("hides_what_only_draws", figure_not_collapsed),
    ("hides_what_only_draws", leaning_on_a_collapsed_cell),
    ("has_narrow_code", wide_code),
    ("is_not_too_long", too_many_words),
    ("uses_the_fields_words", epochs_called_readings),
    ("leaves_no_state_behind", a_default_that_stays),
    ("keeps_legends_inside", a_legend_outside),
    ("states_honest_minutes", minutes_of_reading_made_up),
    ("states_honest_minutes", minutes_of_exercises_made_up),
    ("states_honest_minutes", no_minutes),
    ("rates_its_exercises", other_stars_than_in_the_module),
    ("rates_its_exercises", exercise_without_a_rating),
    ("has_all_its_exercises", exercise_without_a_cell),
    ("has_all_its_exercises", exercise_without_a_hint),
    ("places_exercises_where_they_arise", exercises_at_the_end),
    ("gives_no_answer_away", the_answer_in_a_cell),
    ("names_sources_to_read_next", no_sources),
    ("names_sources_to_read_next", two_sources),
    ("names_sources_to_read_next", a_source_that_may_move),
    ("names_sources_to_read_next", a_source_outside_the_bibliography),
]


@pytest.mark.parametrize("rule, break_it", BREAKS, ids=[f.__name__ for _, f in BREAKS])
def test_a_lesson_broken_in_one_way_is_caught(rule, break_it):
    notebook = copy.deepcopy(good())
    break_it(notebook)
    assert rule in complaints(notebook)


def test_every_rule_is_seen_to_fire():
    all_rules = rules.RULES + rules.RULES_ON_EXERCISES
    names = {rule.__name__ for rule in all_rules}
    names |= {"gives_no_answer_away", "names_sources_to_read_next"}
    assert {name for name, _ in BREAKS} == names


# Solved twins.


def twin(*verdicts):
    cells = [v4.new_markdown_cell("# 02 · A lesson: solutions")]
    cells += [code("check(...)", stdout(verdict + "\n")) for verdict in verdicts]
    return v4.new_notebook(cells=cells)


@pytest.mark.parametrize(
    "verdicts, n_complaints",
    [
        (["02.1: right!", "02.2: right!", "02.3: right!"], 0),
        (["02.1: right!", "02.2: not yet. It is the opposite.", "02.3: right!"], 1),
        (["02.1: right!"], 2),
    ],
    ids=["all right", "one wrong", "two missing"],
)
def test_an_exercise_that_a_twin_does_not_solve_is_caught(verdicts, n_complaints):
    assert len(rules.solves_every_exercise(twin(*verdicts), EXERCISES)) == n_complaints


# The glossary.

TERMS = [("embedding", "a vector", "02")]


def lesson_saying(text):
    return v4.new_notebook(cells=[v4.new_markdown_cell("# head"), v4.new_markdown_cell(text)])


@pytest.mark.parametrize(
    "earlier, later, n_complaints",
    [
        ("Nothing.", "An **embedding** is a vector.", 0),
        ("Embeddings are trained.", "An **embedding** is a vector.", 1),
        ("`embedding` in code, and $embedding$.", "An *embedding* is a vector.", 0),
        ("Nothing.", "An embedding, never introduced.", 1),
        ("**The next question.** What is an embedding?", "An **embedding** is a vector.", 0),
    ],
)
def test_a_term_is_defined_before_it_is_used(earlier, later, n_complaints):
    lessons = {"01": lesson_saying(earlier), "02": lesson_saying(later)}
    assert len(rules.terms_before_their_lesson(lessons, TERMS)) == n_complaints


def test_the_glossary_is_read_from_its_table():
    page = "| term | meaning | lesson |\n|---|---|---|\n| **linear attention** | sums | 05 |\n"
    assert rules.glossary(page) == [("linear attention", "sums", "05")]
