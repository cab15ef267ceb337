"""A small lesson that keeps every rule, and the pieces it is made of, for tests that break it."""

import nbformat.v4 as v4
from notebook_rules import code_cells

# The places of its cells.
HEAD = 0
TEXT = 1
ADDITION = 2
FIGURE = 3
TIMING = 4
EXERCISE = 5
LAST_CODE = 6
EXERCISES = 7
SUMMARY = 8

HEAD_TEXT = """\
# 02 A lesson

After it you will be able to add. What you need first: nothing. It takes 3 minutes on a two-core \
laptop."""

SENTENCE = "Some words about what adding is and why it is worth a lesson of its own. "

SECTION = f"""\
## Adding (Eq. 1)

{SENTENCE * 8}

![two blocks beside three](blocks.png)"""

DRAWING = """\
plt.plot([1, 2])
assert total == 5
plt.show()"""


def code(source, *outputs, tags=()):
    cell = v4.new_code_cell(source, outputs=list(outputs))
    if tags:
        cell.metadata.tags = list(tags)
    return cell


def stdout(text):
    return v4.new_output("stream", name="stdout", text=text)


def stderr(text):
    return v4.new_output("stream", name="stderr", text=text)


def shown(mime_type, value):
    return v4.new_output("display_data", data={mime_type: value})


def error():
    return v4.new_output("error", ename="ValueError", evalue="no", traceback=["ValueError: no"])


def lesson():
    cells = [
        v4.new_markdown_cell(HEAD_TEXT),
        v4.new_markdown_cell(SECTION),
        code("total = 2 + 3\nprint(total)", stdout("5\n")),
        code(DRAWING, shown("image/png", "iVBORw0KGgo=")),
        code(
            "seconds = timed(add)\nassert seconds > 0",
            stdout("0.1 s\n"),
            tags=["nbval-ignore-output"],
        ),
        code("answer = ...", tags=["exercise"]),
        code("print('done')", stdout("done\n")),
        v4.new_markdown_cell("## Exercises\n\n1. Add three numbers."),
        v4.new_markdown_cell("## In five lines\n\nAdding adds."),
    ]
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    notebook = v4.new_notebook(cells=cells, metadata=metadata)
    count_executions(notebook)
    return notebook


def count_executions(notebook):
    """Number the code cells as a run from top to bottom does."""
    for count, (_, cell) in enumerate(code_cells(notebook), 1):
        cell.execution_count = count
