"""Every lesson of the second edition keeps the rules of the course.

The rules stand in course_rules.py. A lesson that is still of the first edition is named in
NOT_YET_REBUILT, and has to keep those of notebook_rules.py only.
"""

import re
from pathlib import Path

import course_rules
import pytest
from asking_rules import expect_none, name_of, read_once

from minirec.exercises import exercises

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
README = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
NOT_YET_REBUILT = {
    "14", "15",
}  # fmt: skip
LESSONS = {path.name[:2]: path for path in sorted(NOTEBOOKS.glob("[0-9A]*_*.ipynb"))}
REBUILT = {number: path for number, path in LESSONS.items() if number not in NOT_YET_REBUILT}


def test_what_is_not_yet_rebuilt_exists():
    assert set(LESSONS) >= NOT_YET_REBUILT


@pytest.mark.parametrize("rule", course_rules.RULES, ids=name_of)
@pytest.mark.parametrize("number", REBUILT)
def test_lesson(number, rule):
    expect_none(rule(read_once(REBUILT[number])))


@pytest.mark.parametrize("rule", course_rules.RULES_ON_EXERCISES, ids=name_of)
@pytest.mark.parametrize("number", REBUILT)
def test_exercises_of_a_lesson(number, rule):
    expect_none(rule(read_once(REBUILT[number]), exercises()))


@pytest.mark.parametrize("number", REBUILT)
def test_the_text_holds_no_answer(number):
    path = REBUILT[number]
    solved = read_once(NOTEBOOKS / "solutions" / path.name)
    expect_none(course_rules.gives_no_answer_away(read_once(path), solved))


@pytest.mark.parametrize("number", LESSONS)
def test_a_solved_twin_is_right_in_every_exercise(number):
    solved = read_once(NOTEBOOKS / "solutions" / LESSONS[number].name)
    expect_none(course_rules.solves_every_exercise(solved, exercises()))


@pytest.mark.parametrize("number", REBUILT)
def test_a_lesson_names_its_sources(number):
    links = set(course_rules.WEB_LINK.findall(README))
    expect_none(course_rules.names_sources_to_read_next(read_once(REBUILT[number]), links))


@pytest.mark.parametrize("link", course_rules.WEB_LINK.findall(README))
def test_a_link_of_the_bibliography_has_the_form_of_a_lasting_source(link):
    assert course_rules.FORM_OF_A_SOURCE.fullmatch(link)


def test_the_bibliography_names_each_source_once():
    links = course_rules.WEB_LINK.findall(README)
    assert len(links) == len(set(links))


def test_a_term_is_introduced_where_the_glossary_says_and_not_used_before():
    lessons = {number: read_once(path) for number, path in REBUILT.items()}
    expect_none(course_rules.terms_before_their_lesson(lessons, course_rules.glossary(README)))


def test_the_glossary_has_terms_and_each_once():
    terms = [term for term, _, _ in course_rules.glossary(README)]
    rows_below_the_heading = re.findall(r"^\| \*\*", README, flags=re.MULTILINE)
    assert len(terms) == len(rows_below_the_heading) > 20
    assert len(set(terms)) == len(terms)


def test_the_page_of_the_course_lists_every_lesson():
    listed = re.findall(r"^\| (\d\d|A) \| \[[^\]]+\]\(([^)]+)\)", README, flags=re.MULTILINE)
    assert dict(listed) == {number: path.name for number, path in LESSONS.items()}
