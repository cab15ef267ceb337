"""Each rule of hygiene fires: a good notebook passes them all, and a notebook broken in one way is caught by that way's rule and by no other."""

import nbformat.v4 as v4
import notebook_rules as rules
import pytest
import source_rules

ALL_RULES = rules.RULES + rules.LESSON_RULES
SLASH = "/"  # so that this file itself holds no path of a machine

HEADER = """# 02 A lesson

After it you will be able to add. What you need first: nothing. It takes 3 minutes on a two-core laptop."""
PROSE = (
    """## Adding (Eq. 1)

"""
    + "Some words about what adding is and why it is worth a lesson of its own. " * 8
    + """

![two blocks beside three](blocks.png)"""
)


def code(source, *outputs, tags=()):
    cell = v4.new_code_cell(source, outputs=list(outputs))
    if tags:
        cell.metadata.tags = list(tags)
    return cell


def stdout(text):
    return v4.new_output("stream", name="stdout", text=text)


def shown(kind, value):
    return v4.new_output("display_data", data={kind: value})


def error():
    return v4.new_output("error", ename="ValueError", evalue="no", traceback=["ValueError: no"])


def lesson():
    """Keeps every rule. Code cells: 3 plain, 4 a figure, 5 a timing, 6 and 7 two more plain ones; markdown around them."""
    cells = [
        v4.new_markdown_cell(HEADER),
        v4.new_markdown_cell(PROSE),
        code("total = 2 + 3\nprint(total)", stdout("5\n")),
        code("plt.plot([1, 2])\nassert total == 5\nplt.show()", shown("image/png", "iVBORw0KGgo=")),
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
    return in_order(v4.new_notebook(cells=cells, metadata=metadata))


def in_order(notebook):
    for count, (_, cell) in enumerate(rules.code_cells(notebook), 1):
        cell.execution_count = count
    return notebook


def says(text):
    return lambda notebook: notebook.cells[6].outputs.append(stdout(text))


def shows(kind, value="x"):
    return lambda notebook: notebook.cells[6].outputs.append(shown(kind, value))


def source(text, cell=6):
    return lambda notebook: notebook.cells[cell].update(source=text)


def writes(text):
    return lambda notebook: notebook.cells.append(v4.new_markdown_cell(text))


def loses(text, cell=0):
    return lambda notebook: notebook.cells[cell].update(
        source=notebook.cells[cell].source.replace(text, "")
    )


def tagged(tag, cell=6):
    return lambda notebook: notebook.cells[cell].metadata.update(tags=[tag])


def defines_on_the_gpu_what_is_used_elsewhere(notebook):
    notebook.cells[5:6] = [code("fast = 1", tags=["gpu"]), code("print(fast)")]
    in_order(notebook)


BROKEN = [
    (
        rules.is_valid_nbformat,
        "a cell of no type",
        lambda nb: nb.cells[0].update(cell_type="heading"),
    ),
    (
        rules.is_valid_nbformat,
        "two cells with one id",
        lambda nb: nb.cells[1].update(id=nb.cells[0].id),
    ),
    (
        rules.is_executed_in_order,
        "a cell never run",
        lambda nb: nb.cells[4].update(execution_count=None),
    ),
    (rules.is_executed_in_order, "a gap", lambda nb: nb.cells[6].update(execution_count=6)),
    (
        rules.is_executed_in_order,
        "two cells swapped",
        lambda nb: (nb.cells[5].update(execution_count=5), nb.cells[6].update(execution_count=4)),
    ),
    (
        rules.has_no_stderr,
        "a warning",
        lambda nb: nb.cells[6].outputs.append(
            v4.new_output("stream", name="stderr", text="careful")
        ),
    ),
    (
        rules.shows_errors_only_on_purpose,
        "an error",
        lambda nb: nb.cells[6].outputs.append(error()),
    ),
    (
        rules.shows_errors_only_on_purpose,
        "an announced error that never came",
        tagged("raises-exception"),
    ),
    (rules.has_no_absolute_paths, "a path printed", says(f"saved {SLASH}home/ada/run.pt")),
    (rules.has_no_absolute_paths, "a coloured path", says(f"\x1b[32m{SLASH}tmp/run.pt\x1b[0m")),
    (rules.has_no_absolute_paths, "a Windows path printed", says(r"saved C:\Users\ada")),
    (
        rules.has_no_absolute_paths,
        "a path in a frame",
        shows("text/html", f"<td>{SLASH}root/x</td>"),
    ),
    (rules.has_no_absolute_paths, "a path in the code", source(f"open('{SLASH}work/x')")),
    (rules.has_no_absolute_paths, "a path in the text", writes(f"Look into `{SLASH}home/ada`.")),
    (rules.has_no_memory_addresses, "an object printed", says("<Model at 0x7f3a5c1b20d0>")),
    (rules.has_only_png_figures, "an SVG", shows("image/svg+xml")),
    (rules.has_only_png_figures, "an SVG inside HTML", shows("text/html", "<svg width='3'></svg>")),
    (rules.has_no_progress_bars, "a tqdm bar", says(" 40%|####      | 4/10 [00:01<00:02]")),
    (rules.has_no_progress_bars, "a rate", says("12.5 it/s")),
    (rules.has_no_widgets, "a widget", shows("application/vnd.jupyter.widget-view+json", "{}")),
    (rules.has_no_widgets, "widget state", lambda nb: nb.metadata.update(widgets={})),
    (rules.has_only_known_tags, "nbval-skip", tagged("nbval-skip")),
    (rules.has_only_known_tags, "a tag on text", tagged("slide", cell=1)),
    (rules.has_only_known_tags, "an nbval comment", source("# NBVAL_IGNORE_OUTPUT\nprint('done')")),
    (
        rules.ignores_output_only_with_an_assertion,
        "no assertion",
        source("seconds = timed(add)", cell=4),
    ),
    (
        rules.ignores_output_only_with_an_assertion,
        "assert True",
        source("%time add()\nassert True", cell=4),
    ),
    (
        rules.asserts_what_figures_show,
        "a figure that asserts nothing",
        source("plt.plot([1, 2])\nplt.show()", cell=3),
    ),
    (
        rules.asserts_no_measured_time,
        "a time of this cell",
        source("begin = perf_counter()\nadd()\nassert perf_counter() - begin < 1", cell=4),
    ),
    (
        rules.asserts_no_measured_time,
        "two times, by way of lists, a loop and a function of its own",
        source(
            "def clocked(run):\n    begin = perf_counter()\n    run()\n    return perf_counter() - begin"
            "\ntaken = {'a': [], 'b': []}\nfor name in taken:\n    taken[name].append(clocked(add))"
            "\nbest = [min(times) for times in taken.values()]\nassert best[0] < best[1]",
            cell=4,
        ),
    ),
    (
        rules.asserts_no_measured_time,
        "a time of an earlier cell, given to check()",
        source("ratio = seconds / 2\ncheck('fast', ratio < 1)"),
    ),
    (
        rules.asserts_no_measured_time,
        "the sign of a difference of times",
        source("slow = timed(multiply)\nassert slow - seconds > 0"),
    ),
    (rules.ends_no_cell_with_a_semicolon, "a semicolon", source("print('done');\n")),
    (rules.has_short_cells, "31 lines", source("x = 1\n" * 31)),
    (
        rules.has_short_cells,
        "a median of 9",
        lambda nb: [
            cell.update(source=cell.source + "\nx = 1" * 7) for _, cell in rules.code_cells(nb)
        ],
    ),
    (
        rules.uses_gpu_cells_as_leaves,
        "a GPU's result used elsewhere",
        defines_on_the_gpu_what_is_used_elsewhere,
    ),
    (rules.has_alt_text, "a picture", writes("![](blocks.png)")),
    (rules.has_alt_text, "an HTML picture", writes("<img src='blocks.png'>")),
    (
        rules.has_alt_text,
        "an HTML picture with empty alt text",
        writes('<img alt="" src="blocks.png">'),
    ),
    (
        rules.names_its_kernel,
        "a private kernel",
        lambda nb: nb.metadata.kernelspec.update(name="my-env"),
    ),
    (rules.names_its_kernel, "no language", lambda nb: nb.metadata.pop("language_info")),
    (
        rules.compares_most_outputs,
        "two of five ignored",
        lambda nb: tagged("nbval-ignore-output", cell=3)(nb),
    ),
    (rules.has_as_many_words_as_code, "more code than text", source("# done" + " done" * 200)),
    (rules.has_a_header, "no title", loses("# ")),
    (rules.has_a_header, "nothing one will be able to do", loses("you will be able to")),
    (rules.has_a_header, "no prerequisites", loses("What you need first")),
    (rules.has_a_header, "no laptop", loses("laptop")),
    (rules.has_a_header, "no minutes", loses("3 minutes")),
    (rules.has_exercises, "no exercises", lambda nb: nb.cells.pop(-2)),
    (rules.has_a_summary, "no summary", lambda nb: nb.cells.pop()),
]


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule.__name__)
def test_a_good_lesson_keeps(rule):
    assert rule(lesson()) == []


@pytest.mark.parametrize(
    "rule, breakage",
    [(rule, breakage) for rule, _, breakage in BROKEN],
    ids=[f"{r.__name__}: {what}" for r, what, _ in BROKEN],
)
def test_only_its_rule_catches(rule, breakage):
    notebook = lesson()
    breakage(notebook)
    assert [broken.__name__ for broken in ALL_RULES if broken(notebook)] == [rule.__name__]


def test_every_rule_of_notebooks_has_a_breakage():
    assert {rule for rule, _, _ in BROKEN} == set(ALL_RULES)


def test_what_a_reader_may_write_is_no_path():
    notebook = lesson()
    notebook.cells[
        1
    ].source += r" $f:\mathbb{R}$, either/or, data/tmp, https://example.org/home/page, ~/runs"
    assert rules.has_no_absolute_paths(notebook) == []


def test_an_error_shown_on_purpose_is_allowed():
    notebook = lesson()
    notebook.cells[6].outputs.append(error())
    tagged("raises-exception")(notebook)
    assert rules.shows_errors_only_on_purpose(notebook) == []


def test_a_check_counts_as_an_assertion():
    assert rules.has_assertion(code("check('both agree', a, b)"))


@pytest.mark.parametrize(
    "counts",
    [
        "assert flops(add) == 2 * flops(half)",
        "check('five times', len(seconds), 5)\nassert (seconds > 0).all()",
        "for name, each in {'add': seconds}.items():\n    assert steps[name] == 3, f'{each}'",
        "seconds = json.loads(text)['seconds']\nassert seconds[0] < seconds[1]",
        "with patch('time.perf_counter', clock):\n    taken = timed(add)\nassert taken == 5",
    ],
)
def test_counts_and_stored_times_may_be_asserted(counts):
    notebook = lesson()
    source(counts)(notebook)
    assert rules.asserts_no_measured_time(notebook) == []


def test_dead_links_are_found(tmp_path):
    (tmp_path / "there.md").write_text("")
    text = "[a](there.md#part) [b](#here) [c](https://example.org) [d](gone.md) ![e](gone.png)"
    assert rules.dead_links(text, tmp_path) == [
        "the link to gone.md leads nowhere",
        "the link to gone.png leads nowhere",
    ]


LESSONS = {"02": source_rules.sections(lesson())}


@pytest.mark.parametrize(
    "docstring, n_complaints",
    [
        ("Eq. 1, derived in notebook 02.", 0),
        ("Eq. 1, derived in\n\n    notebook 02.", 0),
        ("Eqs. 1 and 6, derived in notebook 02.", 1),
        ("Equations 1-3, derived in notebook 02.", 2),
        ("Eq. (7), derived in notebook 02.", 1),
        ("Eq. 1, derived in notebook 03.", 1),
        ("Eq. 1.", 1),
        ("See notebooks 02 and 05.", 1),
    ],
    ids=str,
)
def test_dangling_references_are_found(docstring, n_complaints):
    module = f'def gru():\n    """{docstring}"""\n'
    assert (
        len(source_rules.dangling_references("minirec.layers.gru", module, LESSONS)) == n_complaints
    )


def test_a_method_may_lean_on_the_notebook_that_its_class_names():
    module = 'class GRU:\n    """Derived in notebook 02."""\n    def forward(self):\n        """Eq. 1."""\n'
    assert source_rules.dangling_references("minirec.layers.gru", module, LESSONS) == []


def test_an_equation_in_the_head_of_a_lesson_derives_nothing():
    notebook = lesson()
    notebook.cells[0].source += " Eq. 9."
    assert 9 not in {
        n for section in source_rules.sections(notebook) for n in source_rules.equations(section)
    }


def test_a_missing_docstring_is_found_and_private_names_need_none():
    module = "def shown(): pass\n\nclass Shown: pass\n\ndef _hidden(): pass\n\ndef told():\n    'What it does.'\n"
    assert source_rules.missing_docstrings("minirec.x", module) == [
        f"minirec.x: the public name {name} has no docstring" for name in ("shown", "Shown")
    ]


@pytest.mark.parametrize(
    "name, target",
    [
        ("minirec.layers.gru", "minirec.data.interactions"),
        ("minirec.scan.numba_scan", "minirec.data"),
        ("minirec.models.gru4rec", "minirec.training"),
        ("minirec.training", "minirec.models.gru4rec"),
        ("minirec.data.planted", "minirec.models.base"),
        ("minirec.metrics", "minirec"),
        ("minirec.plotting", "minirec.exercises.checks"),
        ("minirec.plotting", "minirec.__main__"),
        ("minirec.plotting", "minirec.cli.train"),
        ("minirec.training.fit", "minirec.experiments.records"),
        ("minirec.plotting", "tests.helper"),
        ("minirec.plotting", "notebooks"),
    ],
)
def test_an_upward_import_is_found(name, target):
    assert source_rules.upward_imports({name: {target}}) == [
        f"{name} imports {target}, which it must not know"
    ]


def test_a_circle_of_imports_is_found():
    imported = {
        "minirec.profiling": {"minirec.plotting"},
        "minirec.plotting": {"minirec.profiling"},
    }
    assert len(source_rules.upward_imports(imported)) == 1


def test_downward_imports_are_allowed():
    imported = {
        "minirec.__main__": {"minirec", "minirec.exercises"},
        "minirec.models.gru4rec": {"minirec.layers.gru", "torch"},
        "minirec.training": {"minirec.models.base", "minirec.data.batching"},
        "minirec.data.datasets": {"minirec.data.readers", "minirec.storage"},
    }
    assert source_rules.upward_imports(imported) == []


@pytest.mark.parametrize(
    "line",
    [
        "import minirec.data",
        "from minirec import data",
        "from minirec.data import Split",
        "from .. import data",
        "from ..data import Split",
        "def late():\n    import minirec.data",
    ],
)
def test_every_form_of_import_is_seen(line):
    assert source_rules.imports("minirec.layers.gru", line, {"minirec.data"}) == {"minirec.data"}
