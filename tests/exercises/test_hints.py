"""What `hint` prints: one step on request."""

import pytest

from minirec import exercises as course
from minirec.exercises import hint, predicted

EXERCISES = {
    "02.1": predicted(1, hints=("Look.", "Count.")),
    "02.2": predicted(1, hints=("Other.",)),
    "02.3": predicted(1),
}
TWIN = "The solution is in notebooks/solutions, in the notebook whose name begins with 02."


@pytest.fixture(autouse=True)
def made_up(monkeypatch):
    monkeypatch.setattr(course, "exercises", lambda lesson: EXERCISES)
    monkeypatch.setattr(course, "_last_step", {})


@pytest.fixture
def printed(capsys):
    """Return a function that asks for hints and returns what was printed."""

    def ask(*requests, **step):
        for number in requests:
            hint(number, **step)
        return capsys.readouterr().out.splitlines()

    return ask


def test_each_request_shows_one_step_and_after_the_last_it_starts_over(printed):
    assert printed("02.1", "02.1", "02.1", "02.1") == [
        "02.1, hint 1 of 2: Look.",
        "02.1, hint 2 of 2: Count.",
        f"02.1: there is no further hint. {TWIN}",
        "02.1, hint 1 of 2: Look.",
    ]


def test_each_exercise_has_its_own_step(printed):
    assert printed("02.1", "02.2", "02.1") == [
        "02.1, hint 1 of 2: Look.",
        "02.2, hint 1 of 1: Other.",
        "02.1, hint 2 of 2: Count.",
    ]


def test_a_particular_step_leaves_the_next_one_next(printed):
    assert printed("02.1", step=2) == ["02.1, hint 2 of 2: Count."]
    assert printed("02.1") == ["02.1, hint 1 of 2: Look."]


def test_an_exercise_without_hints_says_where_the_solution_is(printed):
    assert printed("02.3", "02.3") == [f"02.3: there are no hints. {TWIN}"] * 2


@pytest.mark.parametrize("step", [0, 3, -1])
def test_a_step_that_does_not_exist_is_an_error(step):
    with pytest.raises(ValueError, match=f"02.1 has 2 hints; there is no hint {step}"):
        hint("02.1", step=step)


@pytest.mark.parametrize("number", ["02.9", "2.1", "02"])
def test_an_exercise_that_does_not_exist_is_an_error_that_lists_some(number):
    with pytest.raises(ValueError, match=r"there is no exercise.*(02\.1, 02\.2, 02\.3|00, 01)"):
        hint(number)
