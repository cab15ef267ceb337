"""What a notebook of the course must keep: each rule takes a notebook and returns its complaints, an empty list when all is well.

RULES hold for lessons and solved twins, LESSON_RULES for lessons only.
"""

import ast
import copy
import re
import statistics
import warnings
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

from measured_times import TIMERS, asserted_and_measured

KNOWN_TAGS = {"nbval-ignore-output", "gpu", "raises-exception", "exercise"}
NBVAL_COMMENT = re.compile(r"^\s*#\s*(?:NBVAL_\w+|PYTEST_VALIDATE_IGNORE_OUTPUT)\s*$", re.M)
POSIX_PATH = re.compile(
    r"(?<![\w.~/-])/(?:home|root|work|tmp|Users|mnt|opt|usr|var)\b\S*|file:/\S*"
)
WINDOWS_PATH = re.compile(r"\b[A-Za-z]:\\+\w\S*")
ADDRESS = re.compile(r"\b0x[0-9A-Fa-f]{6,}\b")
PROGRESS_BAR = re.compile(r"\d%\|.*\||\b(?:it/s|s/it)\b")
ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
MARKDOWN_IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]*)")
HTML_IMAGE = re.compile(r"<img\b[^>]*>", re.I)
LINK = re.compile(r"\]\(([^)\s]+)")


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.from_dict(
        nbformat.reads(path.read_text(encoding="utf-8"), as_version=nbformat.NO_CONVERT)
    )


def code_cells(notebook):
    """(cell number among all cells, from 1, cell) of every code cell."""
    return [
        (number, cell) for number, cell in enumerate(notebook.cells, 1) if cell.cell_type == "code"
    ]


def markdown(notebook) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def tags(cell) -> set[str]:
    return set(cell.metadata.get("tags", []))


def output_text(output) -> str:
    """Everything in an output that a reader could read, without colours; pictures are not text."""
    shown = [
        value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")
    ]
    pieces = [
        output.get("text", ""),
        output.get("evalue", ""),
        *output.get("traceback", []),
        *map(str, shown),
    ]
    return ANSI_COLOUR.sub("", "\n".join(pieces))


def syntax_tree(cell) -> ast.AST:
    """The cell's code; IPython magics become calls, and code that does not parse becomes an empty tree."""
    try:
        return ast.parse(TransformerManager().transform_cell(cell.source))
    except SyntaxError:
        return ast.Module([], [])


def has_assertion(cell) -> bool:
    """An assert of something that is not a constant, or a call of check()."""

    def asserts(node):
        if isinstance(node, ast.Assert):
            return not isinstance(node.test, ast.Constant)
        return (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", getattr(node.func, "attr", None)) == "check"
        )

    return any(asserts(node) for node in ast.walk(syntax_tree(cell)))


def is_valid_nbformat(notebook):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing or repeated cell id is only a warning
        try:
            nbformat.validate(copy.deepcopy(notebook))
        except (nbformat.ValidationError, Warning) as error:
            return [f"not a valid notebook: {str(error).splitlines()[0]}"]
    return []


def is_executed_in_order(notebook):
    cells = code_cells(notebook)
    return [
        f"cell {number}: execution count {cell.execution_count}, where a run from top to bottom gives {expected}"
        for expected, (number, cell) in enumerate(cells, 1)
        if cell.execution_count != expected
    ]


def has_no_stderr(notebook):
    return [
        f"cell {number}: stderr is stored: {output.text.strip()[:80]!r}"
        for number, cell in code_cells(notebook)
        for output in cell.outputs
        if output.get("name") == "stderr"
    ]


def shows_errors_only_on_purpose(notebook):
    complaints = []
    for number, cell in code_cells(notebook):
        fails = any(output.output_type == "error" for output in cell.outputs)
        if fails and "raises-exception" not in tags(cell):
            complaints.append(
                f"cell {number}: an error is stored; tag the cell raises-exception if it is shown on purpose"
            )
        if "raises-exception" in tags(cell) and not fails:
            complaints.append(f"cell {number}: tagged raises-exception, but no error is stored")
    return complaints


def has_no_absolute_paths(notebook):
    complaints = []
    for number, cell in enumerate(notebook.cells, 1):
        texts = [cell.source, *map(output_text, cell.get("outputs", []))]
        patterns = (
            [POSIX_PATH] if cell.cell_type == "markdown" else [POSIX_PATH, WINDOWS_PATH]
        )  # f:\mathbb{R} is mathematics
        complaints += [
            f"cell {number}: a path of one machine: {found.group()[:60]}"
            for text in texts
            for pattern in patterns
            for found in pattern.finditer(text)
        ]
    return complaints


def has_no_memory_addresses(notebook):
    return [
        f"cell {number}: a memory address is stored: {found.group()}"
        for number, cell in code_cells(notebook)
        for output in cell.outputs
        for found in ADDRESS.finditer(output_text(output))
    ]


def has_only_png_figures(notebook):
    complaints = []
    for number, cell in code_cells(notebook):
        for output in cell.outputs:
            kinds = [
                kind
                for kind in output.get("data", {})
                if kind.startswith("image/") and kind != "image/png"
            ]
            kinds += ["an <svg> element"] * ("<svg" in output_text(output))
            complaints += [
                f"cell {number}: figures are stored as PNG; this one has {kind}" for kind in kinds
            ]
    return complaints


def has_no_progress_bars(notebook):
    return [
        f"cell {number}: a progress bar is stored"
        for number, cell in code_cells(notebook)
        if any(PROGRESS_BAR.search(output_text(output)) for output in cell.outputs)
    ]


def has_no_widgets(notebook):
    complaints = (
        ["widget state is stored in the notebook's metadata"]
        if "widgets" in notebook.metadata
        else []
    )
    return complaints + [
        f"cell {number}: a widget is stored"
        for number, cell in code_cells(notebook)
        if any(
            "jupyter.widget" in kind for output in cell.outputs for kind in output.get("data", {})
        )
    ]


def has_only_known_tags(notebook):
    complaints = [
        f"cell {number}: unknown tag {tag!r}; known are {', '.join(sorted(KNOWN_TAGS))}"
        for number, cell in enumerate(notebook.cells, 1)
        for tag in sorted(tags(cell) - KNOWN_TAGS)
    ]
    return complaints + [
        f"cell {number}: nbval is steered by tags, not by the comment {found.group().strip()}"
        for number, cell in code_cells(notebook)
        for found in NBVAL_COMMENT.finditer(cell.source)
    ]


def ignores_output_only_with_an_assertion(notebook):
    return [
        f"cell {number}: its output is not compared and it asserts nothing"
        for number, cell in code_cells(notebook)
        if "nbval-ignore-output" in tags(cell) and not has_assertion(cell)
    ]


def asserts_what_figures_show(notebook):
    return [
        f"cell {number}: draws a figure and asserts nothing about it"
        for number, cell in code_cells(notebook)
        if any("image/png" in output.get("data", {}) for output in cell.outputs)
        and not has_assertion(cell)
    ]


def asserts_no_measured_time(notebook):
    """A busy machine overturns such an assertion; what is counted stays. See measured_times.py."""
    complaints, measured = [], set(TIMERS)
    for number, cell in code_cells(notebook):
        asserted, measured = asserted_and_measured(syntax_tree(cell), measured)
        complaints += [
            f"cell {number}: asserts something about {name}, a measured time, and not what is counted"
            for name in sorted(asserted & measured)
        ]
    return complaints


def ends_no_cell_with_a_semicolon(notebook):
    return [
        f"cell {number}: ends with a semicolon; plt.show() says it"
        for number, cell in code_cells(notebook)
        if cell.source.rstrip().endswith(";")
    ]


def has_short_cells(notebook):
    lengths = [(number, len(cell.source.splitlines())) for number, cell in code_cells(notebook)]
    complaints = [
        f"cell {number}: {length} lines of code, 30 at most"
        for number, length in lengths
        if length > 30
    ]
    median = statistics.median([length for _, length in lengths] or [0])
    return complaints + [f"the median code cell has {median:g} lines, 8 at most"] * (median > 8)


def uses_gpu_cells_as_leaves(notebook):
    """What a cell tagged gpu defines is used by no cell that runs without one."""
    complaints, gpu_only = [], set()
    for number, cell in code_cells(notebook):
        defined, read_here = _names(syntax_tree(cell))
        if "gpu" in tags(cell):
            gpu_only |= defined
        else:
            complaints += [
                f"cell {number}: uses {name}, which a cell tagged gpu defines"
                for name in sorted((read_here - defined) & gpu_only)
            ]
            gpu_only -= defined
    return complaints


def _names(tree) -> tuple[set[str], set[str]]:
    nodes = list(ast.walk(tree))
    defined = {
        node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    defined |= {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    defined |= {
        (node.asname or node.name).split(".")[0] for node in nodes if isinstance(node, ast.alias)
    }
    return defined, {
        node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def has_alt_text(notebook):
    text = markdown(notebook)
    complaints = [
        f"the picture {target} has no alt text"
        for alt, target in MARKDOWN_IMAGE.findall(text)
        if not alt.strip()
    ]
    return complaints + [
        f"no alt text: {tag[:80]}"
        for tag in HTML_IMAGE.findall(text)
        if not re.search(r"""\balt\s*=\s*["'][^"']""", tag)
    ]


def names_its_kernel(notebook):
    kernel, language = (
        notebook.metadata.get("kernelspec", {}).get("name"),
        notebook.metadata.get("language_info", {}).get("name"),
    )
    complaints = [f"the kernel is {kernel!r}, not 'python3'"] * (kernel != "python3")
    return complaints + [f"the language is {language!r}, not 'python'"] * (language != "python")


def compares_most_outputs(notebook):
    cells = [cell for _, cell in code_cells(notebook)]
    ignored = sum("nbval-ignore-output" in tags(cell) for cell in cells)
    return [f"{ignored} of {len(cells)} code cells ignore their output, a quarter at most"] * (
        ignored * 4 > len(cells)
    )


def has_as_many_words_as_code(notebook):
    words, code = (
        len(markdown(notebook).split()),
        sum(len(cell.source.split()) for _, cell in code_cells(notebook)),
    )
    return [f"{words} words of text for {code} words of code"] * (words < code)


def has_a_header(notebook):
    """Before the first code cell: a title, what the reader will be able to do, what comes first, and minutes on a laptop."""
    first_code = next((number for number, _ in code_cells(notebook)), len(notebook.cells) + 1)
    cells = notebook.cells[: first_code - 1]
    head = "\n\n".join(cell.source for cell in cells)
    laptop = [
        part for part in re.split(r"\n\s*\n|\n\s*[-*|] ?", head) if re.search("laptop", part, re.I)
    ]
    said = {
        "a title (# ...) at the top of the first cell": cells and cells[0].source.startswith("# "),
        "'you will be able to'": re.search("you will be able to", head, re.I),
        "'what you need first' (or 'prerequisites')": re.search(
            r"you need|need(ed)? first|prerequisite", head, re.I
        ),
        "the measured minutes or seconds on a laptop": any(
            re.search(r"\d\s*(min|minutes?|s|seconds?)\b", part, re.I) for part in laptop
        ),
    }
    return [
        f"the head, before the first code cell, lacks {what}"
        for what, found in said.items()
        if not found
    ]


def has_exercises(notebook):
    return (
        []
        if re.search(r"^#+ .*\bexercises?\b", markdown(notebook), re.M | re.I)
        else ["no heading with 'Exercises'"]
    )


def has_a_summary(notebook):
    found = re.search(r"^#+ .*(\bin five lines\b|\bsummary\b)", markdown(notebook), re.M | re.I)
    return [] if found else ["no heading with 'In five lines' or 'Summary'"]


RULES = [
    is_valid_nbformat,
    is_executed_in_order,
    has_no_stderr,
    shows_errors_only_on_purpose,
    has_no_absolute_paths,
    has_no_memory_addresses,
    has_only_png_figures,
    has_no_progress_bars,
    has_no_widgets,
    has_only_known_tags,
    ignores_output_only_with_an_assertion,
    asserts_what_figures_show,
    asserts_no_measured_time,
    ends_no_cell_with_a_semicolon,
    has_short_cells,
    uses_gpu_cells_as_leaves,
    has_alt_text,
    names_its_kernel,
]
LESSON_RULES = [
    compares_most_outputs,
    has_as_many_words_as_code,
    has_a_header,
    has_exercises,
    has_a_summary,
]


def dead_links(text: str, folder: Path) -> list[str]:
    """Links and pictures of a markdown text in `folder` that lead to no file; other sites and places on the same page are not followed."""
    targets = [
        target.split("#")[0] for target in LINK.findall(text) if not re.match(r"[a-z]+:", target)
    ]
    return [
        f"the link to {target} leads nowhere"
        for target in targets
        if target and not (folder / target).exists()
    ]
