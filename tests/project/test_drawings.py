"""Each drawing is what its code gives, is legible, and is shown somewhere.

The rules of legibility stand in drawing_rules.py; that each of them can fail is tested below.
"""

import re
from pathlib import Path

import build
import drawing_rules as rules
import lettering
import notebook_rules
import pytest
import style
from asking_rules import name_of

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "drawings"

# Drawings that wait for their lesson. Whoever shows one takes it out.
NOT_YET_SHOWN: set[str] = set()

build.load_all()
FILES = sorted(FOLDER.glob("*.svg"))


def stem(path: Path) -> str:
    return path.stem


# --- The drawings ---


@pytest.mark.parametrize("name", sorted(style.DRAWINGS))
def test_the_file_is_what_its_code_draws(name):
    assert (FOLDER / f"{name}.svg").read_bytes() == build.draw(name), (
        "Run python docs/drawings/build.py, and look at what changed."
    )


def test_every_file_has_code():
    assert {path.stem for path in FILES} == set(style.DRAWINGS)


@pytest.mark.parametrize("rule", rules.RULES, ids=name_of)
@pytest.mark.parametrize("path", FILES, ids=stem)
def test_drawing(path, rule):
    complaints = rule(path.read_text(encoding="utf-8"))
    assert not complaints, "\n".join(complaints)


def shown() -> set[str]:
    """The drawings that a page or a lesson shows with alt text."""
    texts = [path.read_text(encoding="utf-8") for path in ROOT.glob("*.md")]
    texts += [path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")]
    texts += [path.read_text(encoding="utf-8") for path in (ROOT / "notebooks").glob("*.md")]
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        texts.append(notebook_rules.markdown(notebook_rules.read(path)))
    found = set()
    for text in texts:
        for alt, target in notebook_rules.MARKDOWN_IMAGE.findall(text):
            if alt.strip() and re.search(r"(^|/)drawings/\w+\.svg$", target):
                found.add(Path(target).stem)
    return found


def test_every_drawing_is_shown_or_waits_for_its_lesson():
    assert set(style.DRAWINGS) - shown() == NOT_YET_SHOWN


def test_a_drawing_always_gives_the_same_bytes():
    for name in style.DRAWINGS:
        assert build.draw(name) == build.draw(name)


# --- The colours ---


@pytest.mark.parametrize("role", style.ROLES)
def test_text_and_outline_stand_out_from_each_roles_colours(role):
    look = style.ROLES[role]
    assert rules.contrast(style.INK, look.fill) >= 7
    assert rules.contrast(look.stroke, "#FFFFFF") >= 4.5  # text beside arrows has this colour


def test_no_two_roles_look_alike():
    looks = {(look.fill, look.stroke, look.dashes) for look in style.ROLES.values()}
    assert len(looks) == len(style.ROLES)


# --- The kit ---


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("old state", [("old state", False, 0)]),
        ("$x$ in", [("x", True, 0), (" in", False, 0)]),
        ("$h_{t-1}$", [("h", True, 0), ("t", True, -1), ("\u22121", False, -1)]),
        ("$K^T V$", [("K", True, 0), ("T", True, 1), (" ", False, 0), ("V", True, 0)]),
        ("$h̃_t$", [("h̃", True, 0), ("t", True, -1)]),
        ("d_state", [("d_state", False, 0)]),
    ],
)
def test_text_between_dollars_is_mathematics(text, pieces):
    assert lettering.spans(text) == pieces


def test_a_dollar_left_over_is_an_error():
    with pytest.raises(ValueError, match=r"'a \$b' has a dollar too many"):
        lettering.spans("a $b")


def small() -> style.Drawing:
    return style.Drawing(200, 120, "A title", "A description.")


def test_a_drawing_wider_than_a_notebook_is_an_error():
    with pytest.raises(ValueError, match="800 pixels wide"):
        style.Drawing(800, 100, "A title", "A description.")


@pytest.mark.parametrize(("title", "description"), [(" ", "what"), ("what", "")])
def test_a_drawing_without_words_is_an_error(title, description):
    with pytest.raises(ValueError, match="needs a title and a description"):
        style.Drawing(100, 100, title, description)


@pytest.mark.parametrize("thing", ["box", "arrow"])
def test_an_unknown_role_is_an_error_that_names_the_roles(thing):
    picture = small()
    with pytest.raises(ValueError, match=r"no role 'gates'; the roles are signal, state, gate"):
        if thing == "box":
            picture.box(50, 50, 40, 40, "r", role="gates")
        else:
            picture.arrow((10, 50), (90, 50), role="gates")


def test_an_unknown_side_is_an_error():
    with pytest.raises(ValueError, match="side must be one of above, below, left, right"):
        small().arrow((10, 10), (90, 10), value="1", side="over")


def test_an_arrow_from_nowhere_is_an_error():
    with pytest.raises(ValueError, match="two points or more"):
        small().arrow((10, 10))


def test_text_too_small_to_read_is_an_error():
    with pytest.raises(ValueError, match="'tiny': text of 9 pixels is too small"):
        small().text(50, 50, "tiny", size=9)


def test_a_ragged_matrix_is_an_error():
    with pytest.raises(ValueError, match="differ in length"):
        small().matrix(50, 50, [["1", "2"], ["3"]])


def test_two_drawings_of_one_name_are_an_error(monkeypatch):
    monkeypatch.setattr(style, "DRAWINGS", {})

    @style.drawing
    def twice():
        return small()

    with pytest.raises(ValueError, match="two drawings named twice"):
        style.drawing(twice)


@pytest.mark.parametrize("rule", rules.RULES, ids=name_of)
def test_everything_that_the_kit_draws_is_legible_as_it_comes(rule):
    picture = style.Drawing(700, 500, "Everything at once", "All that the kit can draw.")
    picture.frame(350, 240, 660, 370, "a group")
    box = picture.box(100, 120, 110, 44, "old state\n$h_{t-1}$", role="state")
    picture.note(box, "[B, d]")
    for x, symbol in ((300, "+"), (370, "tanh"), (440, "1 \u2212")):
        picture.operator(x, 120, symbol)
    picture.arrow(box.right, (280, 120), shape="[B, d]", value="1/4", role="state")
    picture.curve((560, 110), (640, 110), bend=30, value="h", role="gate")
    picture.curve((560, 150), (640, 150), bend=-30, shape="[B]", side="below", dashed=True)
    grid = picture.matrix(
        120,
        260,
        [["1", "2"], ["3", "\u22124"]],
        roles={(0, 1): "gate"},
        row_labels=["$q_1$", "$q_2$"],
        column_labels=["$k_1$", "$k_2$"],
    )
    picture.parentheses(grid.x, grid.y, 140, 90)
    picture.strip(300, 240, ["1", "0"], role="weights")
    picture.strip(420, 250, ["1", "0"], role="attention", upright=True)
    films = picture.sequence(560, 260, ["a", "b"], after=1, positions=["1", "2", "3"])
    picture.bracket(films[0].left[0], films[1].right[0], 225, "films")
    picture.bracket(films[0].left[0], films[2].right[0], 310, "window", below=True)
    fork = picture.fork((60, 360), (120, 360))
    picture.arrow(fork, (120, 400), (240, 400), value="left", side="left", at=0.1)
    picture.arrow(fork, (300, 390), value="1", role="loss", side="above")
    picture.caption("One line.\nAnother line.")
    assert rule(picture.svg()) == []


def test_cells_and_sides_are_where_they_are_drawn():
    grid = small().matrix(100, 60, [["1", "2"], ["3", "4"]], cell=20)
    assert (grid.left, grid.right, grid.top, grid.bottom) == (
        (80, 60),
        (120, 60),
        (100, 40),
        (100, 80),
    )
    assert grid.cell(1, 0).bottom == (90, 80)


def test_zeros_of_a_sequence_stand_before_and_after_its_films():
    picture = small()
    places = picture.sequence(100, 60, ["2", "3"], before=1, after=1, cell=30, gap=10)
    assert [place.x for place in places] == [40, 80, 120, 160]
    assert picture.svg().count("stroke-dasharray") == 2


def test_words_with_special_characters_stay_what_they_are():
    picture = style.Drawing(300, 100, "Q & K < V", 'It says "a < b".')
    root = rules.read(picture.svg())
    assert [element.text for element in root][:2] == ["Q & K < V", 'It says "a < b".']


def test_check_finds_a_file_that_is_not_up_to_date(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(build, "HERE", tmp_path)
    monkeypatch.setattr(style, "DRAWINGS", {"small": small})
    monkeypatch.setattr(build, "DRAWINGS", {"small": small})

    assert build.main(["--check"]) == 1
    assert "small.svg is missing" in capsys.readouterr().err
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0

    (tmp_path / "small.svg").write_text("<svg/>")
    (tmp_path / "gone.svg").write_text("<svg/>")
    assert build.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert "small.svg is not what its code draws" in said
    assert "gone.svg has no code" in said


# --- Every rule can fail ---


def broken(**changes: str) -> str:
    """A small good picture, with one thing replaced."""
    parts = {
        "size": 'width="200" height="100" viewBox="0 0 200 100"',
        "words": "<title>What to see</title><desc>What it shows.</desc>",
        "ground": '<rect x="0.5" y="0.5" width="199" height="99" fill="#FFFFFF" stroke="#D0D0D0"/>',
        "box": '<rect x="20" y="20" width="160" height="60" fill="#DDEEFF" stroke="#003355"/>',
        "text": text(100, "gate"),
        "more": "",
    }
    parts |= changes
    inside = "".join(parts[name] for name in ("words", "ground", "box", "text", "more"))
    return f'<svg xmlns="http://www.w3.org/2000/svg" {parts["size"]}>{inside}</svg>'


def text(x: float, words: str, size: float = 15, ink: str = "#111111", y: float = 50) -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="middle" fill="{ink}">{words}</text>'
    )


LINE = '<path d="M 10 45 L 190 45" fill="none" stroke="#111111"/>'
CURVE = '<path d="M 10 90 Q 100 0 190 90" fill="none" stroke="#111111"/>'


@pytest.mark.parametrize("rule", rules.RULES, ids=name_of)
def test_a_good_picture_passes(rule):
    assert rule(broken()) == []


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        (rules.is_a_plain_picture, {"more": "<script>1</script>"}),
        (rules.is_a_plain_picture, {"more": '<image href="a.png"/>'}),
        (rules.is_a_plain_picture, {"more": '<rect fill="url(#g)"/>'}),
        (rules.is_a_plain_picture, {"more": '<rect id="0x7f"/>'}),
        (rules.is_a_plain_picture, {"more": "<foreignObject/>"}),
        (rules.says_what_it_shows, {"words": ""}),
        (rules.says_what_it_shows, {"words": "<title> </title><desc>What.</desc>"}),
        (rules.fits_a_notebook, {"size": 'width="200" height="100" viewBox="0 0 200 90"'}),
        (rules.fits_a_notebook, {"size": 'width="800" height="100" viewBox="0 0 800 100"'}),
        (rules.has_its_own_ground, {"ground": ""}),
        (rules.text_is_large_enough, {"text": text(100, "gate", size=12)}),
        (
            rules.text_is_large_enough,
            {"text": text(100, 'h<tspan dy="4" font-size="8">t</tspan>')},
        ),
        (rules.text_lies_inside, {"text": text(190, "gate")}),
        (rules.text_lies_inside, {"text": text(100, "gate", y=99)}),
        (rules.texts_do_not_overlap, {"more": text(120, "state")}),
        (rules.no_line_runs_through_text, {"more": LINE}),
        (rules.no_line_runs_through_text, {"more": CURVE}),
        (rules.no_line_runs_through_text, {"text": text(30, "update gate")}),
        (rules.text_stands_out, {"text": text(100, "gate", ink="#8899AA")}),
    ],
)
def test_a_broken_picture_is_caught(rule, changes):
    assert rule(broken(**changes))
