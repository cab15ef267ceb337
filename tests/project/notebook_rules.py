"""What a notebook of the course must keep.

Each rule takes a notebook and returns its complaints, an empty list when all is well. RULES hold
for lessons and solved twins, LESSON_RULES for lessons only. Cells are numbered from 1.
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
MOST_LINES = 30  # of a code cell
MEDIAN_LINES = 8  # of a notebook's code cells, at most

NBVAL_COMMENT = re.compile(r"^\s*#\s*(?:NBVAL_\w+|PYTEST_VALIDATE_IGNORE_OUTPUT)\s*$", re.MULTILINE)
POSIX_PATH = re.compile(
    r"(?<![\w.~/-])/(?:home|root|work|tmp|Users|mnt|opt|usr|var)\b\S*|file:/\S*"
)
WINDOWS_PATH = re.compile(r"\b[A-Za-z]:\\+\w\S*")
ADDRESS = re.compile(r"\b0x[0-9A-Fa-f]{6,}\b")
PROGRESS_BAR = re.compile(r"\d%\|.*\||\b(?:it/s|s/it)\b")
ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

MARKDOWN_IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]*)")
HTML_IMAGE = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
HTML_ALT_TEXT = re.compile(r"""\balt\s*=\s*["'][^"']""")
LINK = re.compile(r"\]\(([^)\s]+)")
OTHER_SITE = re.compile(r"[a-z]+:")

ABLE_TO = re.compile("you will be able to", re.IGNORECASE)
PREREQUISITES = re.compile(r"you need|need(ed)? first|prerequisite", re.IGNORECASE)
LAPTOP = re.compile("laptop", re.IGNORECASE)
DURATION = re.compile(r"\d\s*(min|minutes?|s|seconds?)\b", re.IGNORECASE)
PARAGRAPH_OR_ITEM = re.compile(r"\n\s*\n|\n\s*[-*|] ?")  # what stands between two of them
EXERCISES_HEADING = re.compile(r"^#+ .*\bexercises?\b", re.MULTILINE | re.IGNORECASE)
SUMMARY_HEADING = re.compile(r"^#+ .*(\bin five lines\b|\bsummary\b)", re.MULTILINE | re.IGNORECASE)


# --- What the rules look at ---


def read(path: Path) -> nbformat.NotebookNode:
    text = path.read_text(encoding="utf-8")
    return nbformat.from_dict(nbformat.reads(text, as_version=nbformat.NO_CONVERT))


def code_cells(notebook):
    """(number among all cells, cell) of every code cell."""
    numbered = enumerate(notebook.cells, 1)
    return [(number, cell) for number, cell in numbered if cell.cell_type == "code"]


def stored_outputs(notebook):
    """(number of its cell, output) of every output that is stored."""
    found = []
    for number, cell in code_cells(notebook):
        found += [(number, output) for output in cell.outputs]
    return found


def markdown(notebook) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def tags(cell) -> set[str]:
    return set(cell.metadata.get("tags", []))


def mime_types(output) -> list[str]:
    """The forms in which an output is stored, "text/html" or "image/png" for example."""
    return list(output.get("data", {}))


def output_text(output) -> str:
    """Everything in an output that a reader could read, without colours."""
    pieces = [output.get("text", ""), output.get("evalue", "")]
    pieces += output.get("traceback", [])
    for mime_type, value in output.get("data", {}).items():
        if not mime_type.startswith("image/"):
            pieces.append(str(value))
    return ANSI_COLOUR.sub("", "\n".join(pieces))


def syntax_tree(cell) -> ast.AST:
    """The cell's code; IPython's magics become calls.

    Code that does not parse becomes an empty tree.
    """
    try:
        return ast.parse(TransformerManager().transform_cell(cell.source))
    except SyntaxError:
        return ast.Module([], [])


def has_assertion(cell) -> bool:
    """Whether the cell asserts something that is not a constant, or calls check()."""
    for node in ast.walk(syntax_tree(cell)):
        match node:
            case ast.Assert():
                if not isinstance(node.test, ast.Constant):
                    return True
            case ast.Call(func=ast.Name(id="check") | ast.Attribute(attr="check")):
                return True
    return False


# --- Rules for lessons and solved twins: what is stored ---


def is_valid_nbformat(notebook):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing or repeated cell id is only a warning
        try:
            nbformat.validate(copy.deepcopy(notebook))
        except (nbformat.ValidationError, Warning) as error:
            return [f"not a valid notebook: {str(error).splitlines()[0]}"]
    return []


def is_executed_in_order(notebook):
    complaints = []
    for expected, (number, cell) in enumerate(code_cells(notebook), 1):
        if cell.execution_count != expected:
            complaints.append(
                f"cell {number}: execution count {cell.execution_count}, "
                f"where a run from top to bottom gives {expected}"
            )
    return complaints


def has_no_stderr(notebook):
    complaints = []
    for number, output in stored_outputs(notebook):
        if output.get("name") == "stderr":
            start = output.text.strip()[:80]
            complaints.append(f"cell {number}: stderr is stored: {start!r}")
    return complaints


def shows_errors_only_on_purpose(notebook):
    complaints = []
    for number, cell in code_cells(notebook):
        fails = any(output.output_type == "error" for output in cell.outputs)
        announced = "raises-exception" in tags(cell)
        if fails and not announced:
            complaints.append(
                f"cell {number}: an error is stored; "
                "tag the cell raises-exception if it is shown on purpose"
            )
        if announced and not fails:
            complaints.append(f"cell {number}: tagged raises-exception, but no error is stored")
    return complaints


def has_no_absolute_paths(notebook):
    complaints = []
    for number, cell in enumerate(notebook.cells, 1):
        patterns = [POSIX_PATH]
        if cell.cell_type != "markdown":  # in a text, f:\mathbb{R} is mathematics
            patterns.append(WINDOWS_PATH)
        texts = [cell.source]
        texts += [output_text(output) for output in cell.get("outputs", [])]
        for text in texts:
            for pattern in patterns:
                for found in pattern.finditer(text):
                    path = found.group()[:60]
                    complaints.append(f"cell {number}: a path of one machine: {path}")
    return complaints


def has_no_memory_addresses(notebook):
    complaints = []
    for number, output in stored_outputs(notebook):
        for address in ADDRESS.findall(output_text(output)):
            complaints.append(f"cell {number}: a memory address is stored: {address}")
    return complaints


def has_only_png_figures(notebook):
    complaints = []
    for number, output in stored_outputs(notebook):
        pictures = [name for name in mime_types(output) if name.startswith("image/")]
        others = [name for name in pictures if name != "image/png"]
        if "<svg" in output_text(output):
            others.append("an <svg> element")
        for other in others:
            complaints.append(f"cell {number}: figures are stored as PNG; this one has {other}")
    return complaints


def has_no_progress_bars(notebook):
    complaints = []
    for number, cell in code_cells(notebook):
        if any(PROGRESS_BAR.search(output_text(output)) for output in cell.outputs):
            complaints.append(f"cell {number}: a progress bar is stored")
    return complaints


def has_no_widgets(notebook):
    complaints = []
    if "widgets" in notebook.metadata:
        complaints.append("widget state is stored in the notebook's metadata")
    for number, cell in code_cells(notebook):
        names = [name for output in cell.outputs for name in mime_types(output)]
        if any("jupyter.widget" in name for name in names):
            complaints.append(f"cell {number}: a widget is stored")
    return complaints


# --- Rules for lessons and solved twins: how cells are written ---


def has_only_known_tags(notebook):
    complaints = []
    known = ", ".join(sorted(KNOWN_TAGS))
    for number, cell in enumerate(notebook.cells, 1):
        for tag in sorted(tags(cell) - KNOWN_TAGS):
            complaints.append(f"cell {number}: unknown tag {tag!r}; known are {known}")
    for number, cell in code_cells(notebook):
        for comment in NBVAL_COMMENT.findall(cell.source):
            complaints.append(
                f"cell {number}: nbval is steered by tags, not by the comment {comment.strip()}"
            )
    return complaints


def ignores_output_only_with_an_assertion(notebook):
    complaints = []
    for number, cell in code_cells(notebook):
        if "nbval-ignore-output" in tags(cell) and not has_assertion(cell):
            complaints.append(f"cell {number}: its output is not compared and it asserts nothing")
    return complaints


def asserts_what_figures_show(notebook):
    """Pictures are not compared with those of a fresh run, so their cell asserts something."""
    complaints = []
    for number, cell in code_cells(notebook):
        draws = any("image/png" in mime_types(output) for output in cell.outputs)
        if draws and not has_assertion(cell):
            complaints.append(f"cell {number}: draws a figure and asserts nothing about it")
    return complaints


def asserts_no_measured_time(notebook):
    """A busy machine overturns such an assertion; what is counted stays. See measured_times.py."""
    complaints = []
    measured = set(TIMERS)
    for number, cell in code_cells(notebook):
        asserted, measured = asserted_and_measured(syntax_tree(cell), measured)
        for name in sorted(asserted & measured):
            complaints.append(
                f"cell {number}: asserts something about {name}, "
                "a measured time, and not what is counted"
            )
    return complaints


def ends_no_cell_with_a_semicolon(notebook):
    complaints = []
    for number, cell in code_cells(notebook):
        if cell.source.rstrip().endswith(";"):
            complaints.append(f"cell {number}: ends with a semicolon; plt.show() says it")
    return complaints


def has_short_cells(notebook):
    complaints = []
    lengths = []
    for number, cell in code_cells(notebook):
        length = len(cell.source.splitlines())
        lengths.append(length)
        if length > MOST_LINES:
            complaints.append(f"cell {number}: {length} lines of code, {MOST_LINES} at most")

    if lengths and statistics.median(lengths) > MEDIAN_LINES:
        complaints.append(
            f"the median code cell has {statistics.median(lengths):g} lines, {MEDIAN_LINES} at most"
        )
    return complaints


def uses_gpu_cells_as_leaves(notebook):
    """What a cell tagged gpu defines is used by no cell that runs without one."""
    complaints = []
    gpu_only = set()
    for number, cell in code_cells(notebook):
        tree = syntax_tree(cell)
        defined = _names_defined(tree)
        if "gpu" in tags(cell):
            gpu_only |= defined
            continue
        from_before = names_used(tree) - defined
        for name in sorted(from_before & gpu_only):
            complaints.append(f"cell {number}: uses {name}, which a cell tagged gpu defines")
        gpu_only -= defined
    return complaints


def _names_defined(tree: ast.AST) -> set[str]:
    """The names that a cell assigns, defines or imports."""
    names = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.FunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.alias():
                imported = node.asname or node.name
                names.add(imported.split(".")[0])
    return names


def names_used(tree: ast.AST) -> set[str]:
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return {node.id for node in names if isinstance(node.ctx, ast.Load)}


def trains_on_a_named_device(notebook):
    """What training gives differs a little from device to device; what is stored is a CPU's.

    So a cell says device="cpu", in the call or in a dictionary of options given to it, and in the
    settings of a unit of the papers' tables. A cell tagged gpu, and what only MINIREC_FULL asks
    for, may take whichever there is. A call without options is one of a model that only counts.
    """
    complaints = []
    with_device = set()  # dictionaries that name one
    for number, cell in code_cells(notebook):
        tree = syntax_tree(cell)
        with_device |= _dictionaries_with("device", tree)
        if "gpu" in tags(cell):
            continue
        for call in _calls_without_full(tree, "fit"):
            if call.keywords and not _names_device(call, with_device):
                complaints.append(f'cell {number}: fit trains on any device; write device="cpu"')
        for call in _calls_without_full(tree, "Unit"):
            if not any(_has_key("device", argument) for argument in call.args):
                complaints.append(f'cell {number}: a unit on any device; write "device": "cpu"')
    return complaints


def _calls_without_full(tree: ast.AST, function: str) -> list[ast.Call]:
    """Every call of a function or method of this name, but for those that need MINIREC_FULL."""
    found = []
    match tree:
        case ast.If() if "MINIREC_FULL" in ast.dump(tree.test):
            children = tree.orelse
        case _:
            children = ast.iter_child_nodes(tree)
    match tree:
        case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called)) if called == function:
            found.append(tree)
    for child in children:
        found += _calls_without_full(child, function)
    return found


def _names_device(call: ast.Call, with_device: set[str]) -> bool:
    """Whether a call has a device that is not "auto", or options that have one."""
    for keyword in call.keywords:
        if keyword.arg == "device":
            return not (isinstance(keyword.value, ast.Constant) and keyword.value.value == "auto")
        if keyword.arg is None and names_used(keyword.value) & with_device:  # **options
            return True
    return False


def _dictionaries_with(key: str, tree: ast.AST) -> set[str]:
    """The names that the cell gives to dictionaries in which this key is written."""
    names = set()
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _has_key(key, value):
                names.add(name)
    return names


def _has_key(key: str, tree: ast.AST) -> bool:
    """Whether this is a dictionary in which the key is written."""
    keys = tree.keys if isinstance(tree, ast.Dict) else []
    return any(isinstance(each, ast.Constant) and each.value == key for each in keys)


def has_alt_text(notebook):
    complaints = []
    text = markdown(notebook)
    for alt, target in MARKDOWN_IMAGE.findall(text):
        if not alt.strip():
            complaints.append(f"the picture {target} has no alt text")
    for element in HTML_IMAGE.findall(text):
        if not HTML_ALT_TEXT.search(element):
            complaints.append(f"no alt text: {element[:80]}")
    return complaints


def names_its_kernel(notebook):
    complaints = []
    kernel = notebook.metadata.get("kernelspec", {}).get("name")
    if kernel != "python3":
        complaints.append(f"the kernel is {kernel!r}, not 'python3'")
    language = notebook.metadata.get("language_info", {}).get("name")
    if language != "python":
        complaints.append(f"the language is {language!r}, not 'python'")
    return complaints


# --- Rules for lessons ---


def compares_most_outputs(notebook):
    cells = [cell for _, cell in code_cells(notebook)]
    ignored = [cell for cell in cells if "nbval-ignore-output" in tags(cell)]
    if len(ignored) > len(cells) / 4:
        return [f"{len(ignored)} of {len(cells)} code cells ignore their output, a quarter at most"]
    return []


def has_as_many_words_as_code(notebook):
    words = len(markdown(notebook).split())
    code = sum(len(cell.source.split()) for _, cell in code_cells(notebook))
    if words < code:
        return [f"{words} words of text for {code} words of code"]
    return []


def has_a_header(notebook):
    """A title, what the reader will be able to do, what comes first, and minutes on a laptop."""
    head = _text_before_code(notebook)
    missing = []
    if not head.startswith("# "):
        missing.append("a title (# ...) at the top of the first cell")
    if not ABLE_TO.search(head):
        missing.append("'you will be able to'")
    if not PREREQUISITES.search(head):
        missing.append("'what you need first' (or 'prerequisites')")
    if not _states_time_on_a_laptop(head):
        missing.append("the measured minutes or seconds on a laptop")
    return [f"the head, before the first code cell, lacks {part}" for part in missing]


def _text_before_code(notebook) -> str:
    texts = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            break
        texts.append(cell.source)
    return "\n\n".join(texts)


def _states_time_on_a_laptop(text: str) -> bool:
    """Whether one paragraph or list item names both a laptop and a duration."""
    parts = PARAGRAPH_OR_ITEM.split(text)
    return any(LAPTOP.search(part) and DURATION.search(part) for part in parts)


def has_exercises(notebook):
    if EXERCISES_HEADING.search(markdown(notebook)):
        return []
    return ["no heading with 'Exercises'"]


def has_a_summary(notebook):
    if SUMMARY_HEADING.search(markdown(notebook)):
        return []
    return ["no heading with 'In five lines' or 'Summary'"]


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
    trains_on_a_named_device,
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


# --- Links, of notebooks and of other pages ---


def dead_links(text: str, folder: Path) -> list[str]:
    """Links and pictures of a markdown text in `folder` that lead to no file.

    Other sites and places on the same page are not followed.
    """
    complaints = []
    for target in LINK.findall(text):
        file = target.split("#")[0]
        if OTHER_SITE.match(target) or not file:
            continue
        if not (folder / file).exists():
            complaints.append(f"the link to {file} leads nowhere")
    return complaints
