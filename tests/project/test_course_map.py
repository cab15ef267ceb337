"""The map of the course in lesson 00, and the three ways through it, say what the lessons are."""

import re
from pathlib import Path

import course_rules
import notebook_rules
import pytest
from course import ARROWS, MAP, NOT_YET_WRITTEN, needed_by
from test_course import LESSONS, NOT_YET_REBUILT

from minirec.exercises import exercises

START = Path(__file__).resolve().parents[2] / "notebooks" / "00_start_here.ipynb"
WAY = re.compile(
    r"^\| (an? \w+) \| (?:all|\d): ([^|]+) \| (\d+) hours \| (\d+) hours \|", re.MULTILINE
)
WAYS = WAY.findall(notebook_rules.markdown(notebook_rules.read(START)))


def lessons_of(text: str) -> list[str]:
    """The numbers in "00, 01, 02, 06" or "00 to 07"; of a range those that exist."""
    numbers = re.findall(r"\d\d", text)
    if " to " in text:
        numbers = [number for number in LESSONS if numbers[0] <= number <= numbers[1]]
    return numbers


def needed_in_the_end(lesson: str) -> set[str]:
    """All lessons from which arrows lead to this one, over others or not."""
    found = set()
    for before in needed_by(lesson):
        found |= {before} | needed_in_the_end(before)
    return found


def test_every_lesson_is_on_the_map():
    assert set(LESSONS) <= set(MAP)


def test_a_lesson_that_exists_is_not_drawn_as_one_that_does_not():
    assert not set(LESSONS) & set(NOT_YET_WRITTEN)


@pytest.mark.parametrize("before, after", ARROWS)
def test_the_numbers_are_an_order_in_which_the_lessons_can_be_read(before, after):
    assert before == "A" or before < after


def test_the_exercise_on_the_map_has_the_answer_that_the_arrows_give():
    needed = needed_in_the_end("13") - {"A"}
    assert exercises()["00.4"].solution == [int(number) for number in sorted(needed)]


def test_there_are_three_ways_of_4_of_8_and_of_all_lessons():
    assert len(WAYS) == 3
    assert len(lessons_of(WAYS[0][1])) == 4
    assert WAYS[1][1] == "00 to 07"
    assert WAYS[2][1].startswith("00 to")


@pytest.mark.parametrize("name, text, reading, together", WAYS, ids=[way[0] for way in WAYS])
def test_the_hours_of_a_way_are_the_minutes_of_its_lessons(name, text, reading, together):
    numbers = lessons_of(text)
    waits = set(numbers) & NOT_YET_REBUILT
    if waits:
        pytest.skip(f"lessons {', '.join(sorted(waits))} do not state such minutes yet")
    heads = [notebook_rules.read(LESSONS[number]).cells[0].source for number in numbers]
    to_read = sum(int(course_rules.READING_TIME.search(head)[1]) for head in heads) / 60
    to_solve = sum(int(course_rules.EXERCISE_TIME.search(head)[1]) for head in heads) / 60
    assert abs(int(reading) - to_read) <= max(0.5, 0.15 * to_read)
    assert abs(int(together) - to_read - to_solve) <= max(0.5, 0.15 * (to_read + to_solve))
