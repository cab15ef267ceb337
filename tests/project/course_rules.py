"""What a lesson of the second edition must keep, beyond notebook_rules.py.

Each rule takes a notebook (and what it needs to know of the rest of the course) and returns its
complaints, an empty list when all is well. Cells are numbered from 1.
"""

import ast
import re

from notebook_rules import (
    code_cells,
    markdown,
    mime_types,
    names_used,
    output_text,
    syntax_tree,
    tags,
)

WIDEST_CODE = 88  # columns of a code cell
MOST_WORDS = 3_800  # of text: what can be read in an hour beside its code and pictures
FEWEST_DRAWINGS = 2
WORDS_PER_MINUTE = 100  # of text and code, with the pictures looked at and the sums done on paper
FEWEST_EXERCISES = 3
MOST_EXERCISES = 6
FEWEST_SOURCES = 3
MOST_SOURCES = 5

VERDICT = re.compile(r"(?:^.*: True$)|(?:^[0-9A]\d?\.\d: .*$)")
DRAWING = re.compile(r"!\[([^\]]+)\]\(\.\./docs/drawings/([\w-]+\.svg)\)")
READING_TIME = re.compile(r"\breading (?:takes )?(?:about )?(\d+) minutes", re.IGNORECASE)
EXERCISE_TIME = re.compile(r"\bexercises (?:take )?(?:about )?(\d+) minutes", re.IGNORECASE)
EXERCISE = re.compile(
    r"^#### Exercise ([0-9A]\d?\.\d) · (.+)\n+(★{1,3})(☆{0,2}) · (\d+) minutes? · ([a-z ]+)$",
    re.MULTILINE,
)
EXERCISE_HEADING = re.compile(r"^#+ .*\bExercise [0-9A]\d?\.\d", re.MULTILINE)
LAST_EXERCISES = re.compile(r"^## .*\bexercises\b", re.MULTILINE | re.IGNORECASE)
READ_NEXT = re.compile(r"^## .*\bread next\b", re.MULTILINE | re.IGNORECASE)
WEB_LINK = re.compile(r"\]\((https?://[^)\s]+)\)")
FORM_OF_A_SOURCE = re.compile(
    r"https://(?:"
    r"arxiv\.org/abs/\d{4}\.\d{4,5}"
    r"|doi\.org/10\.\d{4,9}/[^\s)]+"
    r"|proceedings\.mlr\.press/v\d+/\w+\.html"
    r"|(?:www\.)?jmlr\.org/papers/v\d+/\w+\.html"
    r"|(?:docs\.)?pytorch\.org/[^\s)]+"
    r"|d2l\.ai/[^\s)]+"
    r"|www\.cs\.cmu\.edu/[^\s)]+"
    r"|github\.com/[\w.-]+/[\w.-]+"
    r")"
)
# Words of our own for what the field has a word for. ("reading" is an epoch, "odds" are none.)
OUR_OWN_WORDS = re.compile(r"\b(?:readings|odds|dear(?:er|est)?)\b", re.IGNORECASE)
LASTING_STATE = re.compile(r"\b(?:set_default_dtype|set_num_threads|set_grad_enabled)\(")
OUTSIDE_LEGEND = re.compile(r"bbox_to_anchor=\(\s*1(?:\.\d+)?\s*,")


# --- Showing, and not certifying ---


def shows_more_than_verdicts(notebook):
    """At most half of the cells that print show verdicts only; exercises are left out."""
    printing = []
    for number, cell in code_cells(notebook):
        if "exercise" in tags(cell):
            continue
        texts = [output_text(output) for output in cell.outputs]
        lines = [line for text in texts for line in text.splitlines() if line.strip()]
        has_picture = any("image/png" in mime_types(output) for output in cell.outputs)
        if lines and not has_picture:
            only_verdicts = all(VERDICT.match(line.strip()) for line in lines)
            printing.append((number, only_verdicts))
    silent = [number for number, only_verdicts in printing if only_verdicts]
    if len(silent) > len(printing) / 2:
        return [
            f"{len(silent)} of {len(printing)} printing cells show verdicts only, half at most: "
            f"cells {', '.join(map(str, silent))}"
        ]
    return []


def shows_drawings(notebook):
    """At least two drawings of docs/drawings stand in the text, with alt text."""
    shown = {name for _, name in DRAWING.findall(markdown(notebook))}
    if len(shown) < FEWEST_DRAWINGS:
        return [f"{len(shown)} drawings from docs/drawings, {FEWEST_DRAWINGS} at least"]
    return []


def hides_what_only_draws(notebook):
    """A cell that stores a figure is collapsed, and nothing later leans on what it defines."""
    complaints = []
    defined_in_drawings = {}
    for number, cell in code_cells(notebook):
        tree = syntax_tree(cell)
        defined = _top_level_names(tree)
        used = names_used(tree) - defined
        for name in sorted(used & set(defined_in_drawings)):
            complaints.append(
                f"cell {number}: uses {name}, which the collapsed cell "
                f"{defined_in_drawings[name]} defines"
            )
        draws = any("image/png" in mime_types(output) for output in cell.outputs)
        hidden = cell.metadata.get("jupyter", {}).get("source_hidden", False)
        if draws and not hidden and "exercise" not in tags(cell):
            complaints.append(f"cell {number}: draws a figure and is not collapsed")
        for name in defined:
            defined_in_drawings.pop(name, None)
        if hidden:
            defined_in_drawings |= dict.fromkeys(defined, number)
    return complaints


def _top_level_names(tree: ast.AST) -> set[str]:
    names = {node.id for node in ast.walk(tree) if _is_stored_name(node)}
    definitions = (ast.FunctionDef, ast.ClassDef)
    names |= {node.name for node in ast.walk(tree) if isinstance(node, definitions)}
    return names


def _is_stored_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


# --- Length, width and words ---


def has_narrow_code(notebook):
    complaints = []
    for number, cell in code_cells(notebook):
        for line in cell.source.splitlines():
            if len(line) > WIDEST_CODE:
                complaints.append(
                    f"cell {number}: {len(line)} columns, {WIDEST_CODE} at most: {line[:60]}..."
                )
    return complaints


def is_not_too_long(notebook):
    words = len(markdown(notebook).split())
    if words > MOST_WORDS:
        return [f"{words} words of text, {MOST_WORDS} at most"]
    return []


def uses_the_fields_words(notebook):
    complaints = []
    for number, cell in enumerate(notebook.cells, 1):
        for found in OUR_OWN_WORDS.finditer(cell.source):
            complaints.append(f"cell {number}: {found.group()!r} is a word of our own")
    return complaints


def leaves_no_state_behind(notebook):
    """Nothing that one cell sets for the whole process stays set when it ends."""
    complaints = []
    for number, cell in code_cells(notebook):
        for found in LASTING_STATE.findall(cell.source):
            complaints.append(f"cell {number}: {found}...) outlives its cell")
    return complaints


def keeps_legends_inside(notebook):
    complaints = []
    for number, cell in code_cells(notebook):
        if OUTSIDE_LEGEND.search(cell.source):
            complaints.append(f"cell {number}: a legend outside the axes squeezes them")
    return complaints


# --- Time ---


def states_honest_minutes(notebook, exercises):
    """Reading and exercises apart: words over a rate, and the sum of the exercises' minutes."""
    head = notebook.cells[0].source
    reading = READING_TIME.search(head)
    own = EXERCISE_TIME.search(head)
    if not reading or not own:
        return ["the head does not say 'Reading N minutes' and 'exercises M minutes'"]

    complaints = []
    words = len(markdown(notebook).split())
    words += sum(len(cell.source.split()) for _, cell in code_cells(notebook))
    expected = words / WORDS_PER_MINUTE
    if abs(int(reading[1]) - expected) > max(2, 0.15 * expected):
        complaints.append(
            f"reading {reading[1]} minutes, where {words} words at {WORDS_PER_MINUTE} per minute "
            f"are {expected:.0f}"
        )
    numbers = [found[0] for found in EXERCISE.findall(markdown(notebook))]
    total = sum(exercises[number].minutes for number in numbers if number in exercises)
    if int(own[1]) != total:
        complaints.append(f"exercises {own[1]} minutes, where their sum is {total}")
    return complaints


# --- Exercises ---


def rates_its_exercises(notebook, exercises):
    """Each exercise has a heading with title, stars, minutes and kind: those of its module."""
    text = markdown(notebook)
    complaints = []
    headings = len(EXERCISE_HEADING.findall(text))
    found = EXERCISE.findall(text)
    if headings != len(found):
        complaints.append(
            f"{headings} exercise headings, {len(found)} of the form "
            "'#### Exercise 02.1 · Title', below it '★★☆ · 10 minutes · fill in'"
        )
    if not FEWEST_EXERCISES <= len(found) <= MOST_EXERCISES:
        complaints.append(
            f"{len(found)} exercises, {FEWEST_EXERCISES} to {MOST_EXERCISES} are wanted"
        )
    for number, title, full, empty, minutes, kind in found:
        if number not in exercises:
            complaints.append(f"exercise {number} is in no module of minirec.exercises")
            continue
        known = exercises[number]
        stated = (title.strip(), len(full), int(minutes), kind)
        module = (known.title, known.stars, known.minutes, known.kind)
        if stated != module:
            complaints.append(f"exercise {number}: the text says {stated}, its module {module}")
        if len(full) + len(empty) != 3:
            complaints.append(f"exercise {number}: {full}{empty} are not three stars")
    return complaints


def has_all_its_exercises(notebook, exercises):
    """The module's exercises of this lesson, and no others, each with a cell that has a hint."""
    number = re.match(r"# ([0-9A]\d?) ·", notebook.cells[0].source)
    if not number:
        return ["the title does not begin with the lesson's number, as in '# 02 · '"]
    wanted = {name for name in exercises if name.startswith(number[1] + ".")}
    complaints = []
    cells = [cell for _, cell in code_cells(notebook) if "exercise" in tags(cell)]
    for name in sorted(wanted):
        sources = [cell.source for cell in cells if f'check("{name}"' in cell.source]
        if not sources:
            complaints.append(f'exercise {name} has no cell with check("{name}", ...)')
        elif f'# hint("{name}")' not in sources[0]:
            complaints.append(f'the cell of exercise {name} lacks the line # hint("{name}")')
    checked = set()
    for cell in cells:
        checked |= set(re.findall(r'check\("([0-9A]\d?\.\d)"', cell.source))
    for name in sorted(checked - wanted):
        complaints.append(
            f"exercise {name} is checked here and belongs to no lesson of this number"
        )
    return complaints


def places_exercises_where_they_arise(notebook):
    """At least two thirds of the exercises stand before the last section of exercises."""
    text = markdown(notebook)
    positions = [found.start() for found in EXERCISE.finditer(text)]
    endings = [found.start() for found in LAST_EXERCISES.finditer(text)]
    if not positions or not endings:
        return []
    before = [position for position in positions if position < endings[-1]]
    if len(before) < 2 / 3 * len(positions):
        return [f"{len(before)} of {len(positions)} exercises stand before the end, 2/3 at least"]
    return []


def solves_every_exercise(solved, exercises):
    """In a solved twin the stored verdict on each exercise of its lesson is "right!"."""
    number = re.match(r"# ([0-9A]\d?) ·", solved.cells[0].source)
    if not number:
        return ["the title does not begin with the lesson's number, as in '# 02 · '"]
    stored = "\n".join(
        output_text(output) for _, cell in code_cells(solved) for output in cell.outputs
    )
    wanted = [name for name in exercises if name.startswith(number[1] + ".")]
    return [
        f"exercise {name} has no stored verdict '{name}: right!'"
        for name in wanted
        if f"{name}: right!" not in stored.splitlines()
    ]


def gives_no_answer_away(notebook, solved):
    """No cell of the lesson returns what a cell of its solved twin returns, names apart."""
    answers = {}
    for number, cell in code_cells(solved):
        if "exercise" in tags(cell):
            for shape in _returned_shapes(syntax_tree(cell)):
                answers[shape] = number
    complaints = []
    for number, cell in code_cells(notebook):
        if "exercise" in tags(cell):
            continue
        for shape in _returned_shapes(syntax_tree(cell)):
            if shape in answers:
                complaints.append(
                    f"cell {number}: returns the answer of cell {answers[shape]} of the twin"
                )
    return complaints


SMALLEST_ANSWER = 8  # nodes of an expression; less is too common to be an answer


def _returned_shapes(tree: ast.AST) -> set[str]:
    """What functions return, with names numbered in the order in which they occur."""
    shapes = set()
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        body = [node for node in function.body if not _is_docstring(node)]
        size = sum(1 for statement in body for _ in ast.walk(statement))
        if size >= SMALLEST_ANSWER:
            shapes.add(_without_names(body))
    return shapes


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _without_names(body: list) -> str:
    names: dict[str, str] = {}
    text = ast.dump(ast.Module(body=body, type_ignores=[]))

    def numbered(found):
        return f"id='{names.setdefault(found[1], f'name{len(names)}')}'"

    return re.sub(r"id='(\w+)'", numbered, text)


# --- Sources ---


def names_sources_to_read_next(notebook, bibliography):
    """'Read next' lists three to five links, all of which the bibliography has."""
    text = markdown(notebook)
    start = READ_NEXT.search(text)
    if not start:
        return ["no heading with 'Read next'"]
    section = re.split(r"^## ", text[start.end() :], flags=re.MULTILINE)[0]
    links = WEB_LINK.findall(section)
    complaints = []
    if not FEWEST_SOURCES <= len(links) <= MOST_SOURCES:
        complaints.append(
            f"{len(links)} linked sources under 'Read next', {FEWEST_SOURCES} to {MOST_SOURCES} "
            "are wanted"
        )
    for link in WEB_LINK.findall(text):
        if not FORM_OF_A_SOURCE.fullmatch(link):
            complaints.append(f"{link} has no form that we know of a lasting source")
        elif link not in bibliography:
            complaints.append(f"{link} is not in the bibliography of notebooks/README.md")
    return complaints


RULES = [
    shows_more_than_verdicts,
    shows_drawings,
    hides_what_only_draws,
    has_narrow_code,
    is_not_too_long,
    uses_the_fields_words,
    leaves_no_state_behind,
    keeps_legends_inside,
    places_exercises_where_they_arise,
]
RULES_ON_EXERCISES = [states_honest_minutes, rates_its_exercises, has_all_its_exercises]


# --- The glossary ---


GLOSSARY_ROW = re.compile(r"^\| \*\*(.+?)\*\* \| (.+?) \| ([0-9A]\d?) \|$", re.MULTILINE)


def glossary(page: str) -> list[tuple[str, str, str]]:
    """(term, meaning, number of the lesson that defines it), of the page's glossary table."""
    return GLOSSARY_ROW.findall(page)


def term_pattern(term: str) -> re.Pattern[str]:
    """A term as it stands in a text, in the plural too."""
    words = r"\s+".join(re.escape(word) for word in term.split())
    return re.compile(rf"(?<![\w-]){words}(?:s|es)?(?![\w-])", re.IGNORECASE)


def terms_before_their_lesson(lessons, terms):
    """Terms that a lesson uses before the lesson that defines them.

    lessons: {number: notebook}, in the order of the course. What stands in a head, in a table of
    the course, and under "the next question" looks ahead on purpose.
    """
    complaints = []
    order = sorted(lessons)
    for term, _, defined in terms:
        if defined not in lessons:
            continue
        pattern = term_pattern(term)
        if not re.search(
            rf"\*{{1,2}}[^*]*{pattern.pattern}[^*]*\*{{1,2}}",
            _prose(lessons[defined]),
            re.IGNORECASE,
        ):
            complaints.append(f"lesson {defined} does not introduce **{term}** in bold or italics")
        for number in order[: order.index(defined)]:
            if pattern.search(_prose(lessons[number])):
                complaints.append(f"lesson {number} uses {term!r}, which lesson {defined} defines")
    return complaints


def _prose(notebook) -> str:
    """The text of a lesson, without its head, its links, its formulas and code, its last words."""
    text = "\n\n".join(cell.source for cell in notebook.cells[1:] if cell.cell_type == "markdown")
    text = re.sub(r"\*\*(?:The )?next question.*", "", text, flags=re.IGNORECASE | re.DOTALL)
    text = re.sub(r"!?\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$", "", text, flags=re.DOTALL)
    text = re.sub(r"\(lessons? [^)]*\)", "", text)
    return re.sub(r"^\|.*\|$", "", text, flags=re.MULTILINE)
