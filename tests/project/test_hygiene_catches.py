"""Each rule for notebooks fires.

A good lesson passes them all. A lesson broken in one way is caught by that way's rule and by no
other.
"""

import nbformat.v4 as v4
import notebook_rules as rules
import pytest
from asking_rules import name_of
from good_lesson import (
    EXERCISE,
    EXERCISES,
    FIGURE,
    HEAD,
    LAST_CODE,
    SUMMARY,
    TEXT,
    TIMING,
    code,
    count_executions,
    error,
    lesson,
    shown,
    stderr,
    stdout,
)

ALL_RULES = rules.RULES + rules.LESSON_RULES
SLASH = "/"  # so that this file itself holds no path of a machine

# (rule, the function that breaks a lesson so that this rule alone complains), filled below.
BROKEN = []


def caught_by(rule):
    """Mark a function that breaks a lesson in one way, which its name says."""

    def add(breakage):
        BROKEN.append((rule, breakage))
        return breakage

    return add


def store(notebook, output):
    notebook.cells[LAST_CODE].outputs.append(output)


def write(notebook, text):
    notebook.cells.append(v4.new_markdown_cell(text))


def leave_out_of_head(notebook, words):
    head = notebook.cells[HEAD]
    head.source = head.source.replace(words, "")


# --- Ways to break what is stored ---


@caught_by(rules.is_valid_nbformat)
def a_cell_of_no_type(notebook):
    notebook.cells[HEAD].cell_type = "heading"


@caught_by(rules.is_valid_nbformat)
def two_cells_with_one_id(notebook):
    notebook.cells[TEXT].id = notebook.cells[HEAD].id


@caught_by(rules.is_executed_in_order)
def a_cell_never_run(notebook):
    notebook.cells[TIMING].execution_count = None


@caught_by(rules.is_executed_in_order)
def a_gap(notebook):
    notebook.cells[LAST_CODE].execution_count = 6


@caught_by(rules.is_executed_in_order)
def two_cells_swapped(notebook):
    notebook.cells[EXERCISE].execution_count = 5
    notebook.cells[LAST_CODE].execution_count = 4


@caught_by(rules.has_no_stderr)
def a_warning(notebook):
    store(notebook, stderr("careful"))


@caught_by(rules.shows_errors_only_on_purpose)
def an_error(notebook):
    store(notebook, error())


@caught_by(rules.shows_errors_only_on_purpose)
def an_announced_error_that_never_came(notebook):
    notebook.cells[LAST_CODE].metadata.tags = ["raises-exception"]


@caught_by(rules.has_no_absolute_paths)
def a_path_printed(notebook):
    store(notebook, stdout(f"saved {SLASH}home/ada/run.pt"))


@caught_by(rules.has_no_absolute_paths)
def a_coloured_path(notebook):
    store(notebook, stdout(f"\x1b[32m{SLASH}tmp/run.pt\x1b[0m"))


@caught_by(rules.has_no_absolute_paths)
def a_windows_path_printed(notebook):
    store(notebook, stdout(r"saved C:\Users\ada"))


@caught_by(rules.has_no_absolute_paths)
def a_path_in_a_frame(notebook):
    store(notebook, shown("text/html", f"<td>{SLASH}root/x</td>"))


@caught_by(rules.has_no_absolute_paths)
def a_path_in_the_code(notebook):
    notebook.cells[LAST_CODE].source = f"open('{SLASH}work/x')"


@caught_by(rules.has_no_absolute_paths)
def a_path_in_the_text(notebook):
    write(notebook, f"Look into `{SLASH}home/ada`.")


@caught_by(rules.has_no_memory_addresses)
def an_object_printed(notebook):
    store(notebook, stdout("<Model at 0x7f3a5c1b20d0>"))


@caught_by(rules.has_only_png_figures)
def an_svg(notebook):
    store(notebook, shown("image/svg+xml", "x"))


@caught_by(rules.has_only_png_figures)
def an_svg_inside_html(notebook):
    store(notebook, shown("text/html", "<svg width='3'></svg>"))


@caught_by(rules.has_no_progress_bars)
def a_tqdm_bar(notebook):
    store(notebook, stdout(" 40%|####      | 4/10 [00:01<00:02]"))


@caught_by(rules.has_no_progress_bars)
def a_rate(notebook):
    store(notebook, stdout("12.5 it/s"))


@caught_by(rules.has_no_widgets)
def a_widget(notebook):
    store(notebook, shown("application/vnd.jupyter.widget-view+json", "{}"))


@caught_by(rules.has_no_widgets)
def widget_state(notebook):
    notebook.metadata.widgets = {}


# --- Ways to break how cells are written ---


@caught_by(rules.has_only_known_tags)
def nbval_skip(notebook):
    notebook.cells[LAST_CODE].metadata.tags = ["nbval-skip"]


@caught_by(rules.has_only_known_tags)
def a_tag_on_text(notebook):
    notebook.cells[TEXT].metadata.tags = ["slide"]


@caught_by(rules.has_only_known_tags)
def an_nbval_comment(notebook):
    notebook.cells[LAST_CODE].source = "# NBVAL_IGNORE_OUTPUT\nprint('done')"


@caught_by(rules.ignores_output_only_with_an_assertion)
def no_assertion(notebook):
    notebook.cells[TIMING].source = "seconds = timed(add)"


@caught_by(rules.ignores_output_only_with_an_assertion)
def assert_true(notebook):
    notebook.cells[TIMING].source = "%time add()\nassert True"


@caught_by(rules.asserts_what_figures_show)
def a_figure_that_asserts_nothing(notebook):
    notebook.cells[FIGURE].source = "plt.plot([1, 2])\nplt.show()"


@caught_by(rules.asserts_no_measured_time)
def a_time_of_this_cell(notebook):
    notebook.cells[TIMING].source = """\
begin = perf_counter()
add()
assert perf_counter() - begin < 1"""


@caught_by(rules.asserts_no_measured_time)
def two_times_by_way_of_lists_a_loop_and_a_function_of_its_own(notebook):
    notebook.cells[TIMING].source = """\
def clocked(run):
    begin = perf_counter()
    run()
    return perf_counter() - begin

taken = {'a': [], 'b': []}
for name in taken:
    taken[name].append(clocked(add))
best = [min(times) for times in taken.values()]
assert best[0] < best[1]"""


@caught_by(rules.asserts_no_measured_time)
def a_time_of_an_earlier_cell_given_to_check(notebook):
    notebook.cells[LAST_CODE].source = "ratio = seconds / 2\ncheck('fast', ratio < 1)"


@caught_by(rules.asserts_no_measured_time)
def the_sign_of_a_difference_of_times(notebook):
    notebook.cells[LAST_CODE].source = "slow = timed(multiply)\nassert slow - seconds > 0"


@caught_by(rules.ends_no_cell_with_a_semicolon)
def a_semicolon(notebook):
    notebook.cells[LAST_CODE].source = "print('done');\n"


@caught_by(rules.has_short_cells)
def a_cell_of_31_lines(notebook):
    notebook.cells[LAST_CODE].source = "x = 1\n" * 31


@caught_by(rules.has_short_cells)
def a_median_of_9(notebook):
    # Seven lines more each: 8, 8, 9, 9 and 10 lines.
    for _, cell in rules.code_cells(notebook):
        cell.source += "\nx = 1" * 7


@caught_by(rules.uses_gpu_cells_as_leaves)
def a_result_of_the_gpu_used_elsewhere(notebook):
    notebook.cells[EXERCISE] = code("fast = 1", tags=["gpu"])
    notebook.cells.insert(EXERCISE + 1, code("print(fast)"))
    count_executions(notebook)


@caught_by(rules.trains_on_a_named_device)
def training_wherever_there_is_a_gpu(notebook):
    notebook.cells[LAST_CODE].source = "minirec.fit(model, split, epochs=3)"


@caught_by(rules.trains_on_a_named_device)
def training_on_the_gpu_if_there_is_one(notebook):
    notebook.cells[LAST_CODE].source = "fit(model, split, device='auto')"


@caught_by(rules.trains_on_a_named_device)
def training_with_options_that_name_no_device(notebook):
    options = "options = {'epochs': 3}"
    notebook.cells[LAST_CODE].source = f"{options}\nfit(model, split, **options)"


@caught_by(rules.trains_on_a_named_device)
def a_unit_that_names_no_device(notebook):
    notebook.cells[LAST_CODE].source = "units.Unit('a', 'b', 'c', 'd', {}, {'epochs': 1})"


@caught_by(rules.trains_on_a_named_device)
def training_without_a_device_unless_the_full_run_is_asked_for(notebook):
    full = "if os.environ.get('MINIREC_FULL') == '1':\n    pass"
    notebook.cells[LAST_CODE].source = f"{full}\nelse:\n    fit(model, split, epochs=3)"


@caught_by(rules.has_alt_text)
def a_picture(notebook):
    write(notebook, "![](blocks.png)")


@caught_by(rules.has_alt_text)
def an_html_picture(notebook):
    write(notebook, "<img src='blocks.png'>")


@caught_by(rules.has_alt_text)
def an_html_picture_with_empty_alt_text(notebook):
    write(notebook, '<img alt="" src="blocks.png">')


@caught_by(rules.names_its_kernel)
def a_private_kernel(notebook):
    notebook.metadata.kernelspec.name = "my-env"


@caught_by(rules.names_its_kernel)
def no_language(notebook):
    del notebook.metadata["language_info"]


# --- Ways to break a lesson as a whole ---


@caught_by(rules.compares_most_outputs)
def two_of_five_ignored(notebook):
    notebook.cells[FIGURE].metadata.tags = ["nbval-ignore-output"]


@caught_by(rules.has_as_many_words_as_code)
def more_code_than_text(notebook):
    notebook.cells[LAST_CODE].source = "# done" + " done" * 200


@caught_by(rules.has_a_header)
def no_title(notebook):
    leave_out_of_head(notebook, "# ")


@caught_by(rules.has_a_header)
def nothing_one_will_be_able_to_do(notebook):
    leave_out_of_head(notebook, "you will be able to")


@caught_by(rules.has_a_header)
def no_prerequisites(notebook):
    leave_out_of_head(notebook, "What you need first")


@caught_by(rules.has_a_header)
def no_laptop(notebook):
    leave_out_of_head(notebook, "laptop")


@caught_by(rules.has_a_header)
def no_minutes(notebook):
    leave_out_of_head(notebook, "3 minutes")


@caught_by(rules.has_exercises)
def no_exercises(notebook):
    del notebook.cells[EXERCISES]


@caught_by(rules.has_a_summary)
def no_summary(notebook):
    del notebook.cells[SUMMARY]


# --- The rules against the ways ---


@pytest.mark.parametrize("rule", ALL_RULES, ids=name_of)
def test_a_good_lesson_keeps(rule):
    assert rule(lesson()) == []


@pytest.mark.parametrize(("rule", "breakage"), BROKEN, ids=name_of)
def test_only_its_rule_catches(rule, breakage):
    notebook = lesson()
    breakage(notebook)
    assert [broken for broken in ALL_RULES if broken(notebook)] == [rule]


def test_every_rule_of_notebooks_has_a_breakage():
    assert {rule for rule, _ in BROKEN} == set(ALL_RULES)


# --- What the rules allow ---


def test_what_a_reader_may_write_is_no_path():
    notebook = lesson()
    notebook.cells[
        TEXT
    ].source += r" $f:\mathbb{R}$, either/or, data/tmp, https://example.org/home/page, ~/runs"
    assert rules.has_no_absolute_paths(notebook) == []


def test_an_error_shown_on_purpose_is_allowed():
    notebook = lesson()
    store(notebook, error())
    notebook.cells[LAST_CODE].metadata.tags = ["raises-exception"]
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
    notebook.cells[LAST_CODE].source = counts
    assert rules.asserts_no_measured_time(notebook) == []


@pytest.mark.parametrize(
    "training",
    [
        "fit(popularity, split)",
        "fit(model, split, epochs=3, device='cpu')",
        "more = {'device': 'cpu'}\nminirec.fit(model, split, epochs=3, **more)",
        "more = {'device': 'cpu'}\nfit(model, split, **(more if learns else {}))",
        "if os.environ.get('MINIREC_FULL') == '1':\n    fit(model, split, epochs=30)",
        "Unit('a', 'b', 'c', 'd', {}, {'epochs': 1, 'device': 'cpu'})",
    ],
)
def test_training_on_a_cpu_by_name_or_on_request_anywhere_is_allowed(training):
    notebook = lesson()
    notebook.cells[LAST_CODE].source = training
    assert rules.trains_on_a_named_device(notebook) == []


def test_training_in_a_cell_for_a_gpu_is_allowed():
    notebook = lesson()
    notebook.cells[LAST_CODE] = code("fit(model, split, epochs=3)", tags=["gpu"])
    assert rules.trains_on_a_named_device(notebook) == []


def test_dead_links_are_found(tmp_path):
    (tmp_path / "there.md").write_text("")
    text = "[a](there.md#part) [b](#here) [c](https://example.org) [d](gone.md) ![e](gone.png)"
    assert rules.dead_links(text, tmp_path) == [
        "the link to gone.md leads nowhere",
        "the link to gone.png leads nowhere",
    ]
