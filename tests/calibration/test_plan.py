"""Protocol files: what they may say, and how what is wrong with them is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from refused import refused

from acquisition.errors import ErrorCode, InputError
from assets import DEFAULT_PROTOCOL
from calibration.plan import load_plan

GOOD = """
[practice]
kind = "text"
text = "Try it."
[[stimuli.happy]]
kind = "image"
path = "clips/sun.png"
text = "The sun."
[[stimuli.happy]]
kind = "video"
path = "clips/dance.MP4"
[[stimuli.sad]]
kind = "sound"
path = "clips/rain.wav"
[[stimuli.sad]]
kind = "text"
path = "clips/letter.txt"
"""


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    (tmp_path / "clips").mkdir()
    for name in ("sun.png", "dance.MP4", "rain.wav"):
        (tmp_path / "clips" / name).write_bytes(b"x")
    (tmp_path / "clips" / "letter.txt").write_text("Dear friend,\n", encoding="utf-8")
    return tmp_path


def written(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_protocol_takes_a_quarter_of_an_hour():
    plan = load_plan()
    rests = sum(plan.rest_after(emotion) * 2 for emotion in plan.classes)
    trials = plan.n_trials * (plan.hint_s + plan.stimulus_s + plan.report_s) + rests
    assert len(plan.classes) == 5
    assert plan.n_trials == 10
    assert trials + 2 * plan.baseline_s + plan.practice_s + plan.report_s == 15 * 60
    assert all(len(stimuli) >= 2 for stimuli in plan.stimuli.values())
    assert {name for name in plan.classes if plan.rest_after(name) == 30} == {"fear", "disgust"}
    assert plan.closing == "happy"


def test_own_clips_are_found_beside_the_file(clips, monkeypatch):
    monkeypatch.chdir("/")
    plan = load_plan(written(clips, GOOD))
    assert plan.classes == ("happy", "sad")
    happy, sad = plan.stimuli["happy"], plan.stimuli["sad"]
    assert [stimulus.kind for stimulus in (*happy, *sad)] == ["image", "video", "sound", "text"]
    assert happy[0].path == (clips / "clips" / "sun.png").resolve()
    assert happy[0].text == "The sun."
    assert (sad[1].text, sad[1].path) == ("Dear friend,", None)


def test_classes_and_trials_may_be_chosen():
    plan = load_plan(classes=["sad", "fear"], n_trials=4)
    assert plan.classes == ("sad", "fear")
    assert plan.n_trials == 4
    assert plan.closing == ""


def test_scaling_leaves_stimuli_20_s_and_shortens_the_rest():
    plan = load_plan().scaled(20)
    assert plan.stimulus_s == 20
    assert (plan.hint_s, plan.report_s, plan.rest_s, plan.long_rest_s) == (0.25, 0.75, 0.75, 1.5)
    assert (plan.baseline_s, plan.practice_s) == (1.5, 0.75)
    assert load_plan().scaled(1) == load_plan()


def test_scaling_never_lengthens_a_short_stimulus(clips):
    plan = load_plan(written(clips, GOOD.replace("[practice]", "durations.stimulus_s = 12\n[practice]", 1)))
    assert plan.scaled(4).stimulus_s == 12


@pytest.mark.parametrize("scale", [0.5, 0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_below_1_is_refused(scale):
    error = refused(lambda: load_plan().scaled(scale))
    assert error.where == "--time-scale"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [("a = 1\nb = ]\n", 2, 5), ('name = "x\n', 1, 10), ("[[stimuli", 1, 10), ("a = 1\nb = [1,", 2, 8)],
)
def test_broken_toml_is_told_with_line_and_column(tmp_path, text, line, column):
    with pytest.raises(InputError, match=f"line {line}, column {column}") as told:
        load_plan(written(tmp_path, text))
    assert "own.toml" in str(told.value)
    assert "\n" not in str(told.value)


def test_text_that_is_no_utf8_is_told_with_line_and_column(tmp_path):
    path = tmp_path / "own.toml"
    path.write_bytes(b'# fine\nname = "Gl\xfcck"\n')
    with pytest.raises(InputError, match="line 2, column 11"):
        load_plan(path)


WRONG = [
    ('kind = "image"', 'kind = "picture"', "stimuli.happy[1].kind"),
    ('kind = "sound"\n', "", "stimuli.sad[1].kind"),
    ("sun.png", "moon.png", "stimuli.happy[1].path"),
    ("clips/sun.png", "clips", "stimuli.happy[1].path"),
    ("clips/letter.txt", "clips", "stimuli.sad[2].path"),
    ("sun.png", "rain.wav", "stimuli.happy[1].path"),
    ('path = "clips/rain.wav"\n', "", "stimuli.sad[1].path"),
    ('text = "The sun."', 'txt = "The sun."', "stimuli.happy[1].txt"),
    ('text = "Try it."', 'text = " "', "practice.text"),
    ('text = "Try it."', "text = 3", "practice.text"),
    ("[[stimuli.happy]]", "[stimuli.happy]", ""),
    ("[practice]", "trials = 4\n[practice]", "trials"),
    ("[practice]", "n_trials = 2.5\n[practice]", "n_trials"),
    ("[practice]", "n_trials = true\n[practice]", "n_trials"),
    ("[practice]", "n_trials = 3\n[practice]", "n_trials"),
    ("[practice]", "durations.hint_s = 0\n[practice]", "durations.hint_s"),
    ("[practice]", "durations.rest_s = nan\n[practice]", ""),
    ("[practice]", "durations.rest_s = true\n[practice]", "durations.rest_s"),
    ("[practice]", "durations.baseline_s = -1\n[practice]", "durations.baseline_s"),
    ("[practice]", "durations.hint = 4\n[practice]", "durations.hint"),
    ("[practice]", "durations = 4\n[practice]", "durations"),
    ("[practice]", 'classes = ["happy"]\n[practice]', "classes"),
    ("[practice]", 'classes = ["sad", "sad"]\n[practice]', "classes"),
    ("[practice]", 'classes = ["sad", "fear"]\n[practice]', "stimuli.fear"),
    ("[practice]", 'classes = ["sad", "so/so"]\n[practice]', "classes"),
    ("[practice]", "[rehearsal]", "rehearsal"),
    ("[practice]", "durations.stimulus_s = 1e300\n[practice]", "durations.stimulus_s"),
    ("[practice]", f"durations.stimulus_s = 1{'0' * 400}\n[practice]", ""),
    ("[practice]", f"a = {'[' * 5000}{']' * 5000}\n[practice]", ""),
]


@pytest.mark.parametrize(("right", "wrong", "key"), WRONG)
def test_what_is_wrong_names_file_and_key_in_one_short_line(clips, right, wrong, key):
    assert right in GOOD
    path = written(clips, GOOD.replace(right, wrong, 1))
    error = refused(lambda: load_plan(path))
    assert error.facts["key"] == key
    assert str(path) in error.where
    assert "\n" not in str(error)
    assert len(str(error)) < 400


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        (
            "[practice]",
            "durations.hint = 4\n[practice]",
            r"unknown key durations\.hint: .*did you mean hint_s",
        ),
        (
            'kind = "image"',
            'kind = "picture"',
            r"stimuli\.happy\[1\]\.kind: expected one of text,.*'picture'",
        ),
    ],
)
def test_messages_say_what_was_expected_and_found(clips, right, wrong, told):
    with pytest.raises(InputError, match=told):
        load_plan(written(clips, GOOD.replace(right, wrong, 1)))


def test_a_clip_whose_name_no_disk_takes_is_told(clips):
    text = GOOD.replace("clips/sun.png", "clips/\\u0000.png")
    error = refused(lambda: load_plan(written(clips, text)))
    assert error.facts["key"] == "stimuli.happy[1].path"


def test_more_trials_than_anybody_sits_through_are_refused(clips):
    error = refused(lambda: load_plan(written(clips, GOOD), n_trials=501))
    assert error.facts == {"key": "n_trials", "most": 500}


def test_the_mark_that_editors_put_before_a_text_is_no_fault(clips):
    assert load_plan(written(clips, "\ufeff" + GOOD)).classes == ("happy", "sad")


def test_an_empty_clip_is_refused(clips):
    (clips / "clips" / "sun.png").write_bytes(b"")
    error = refused(lambda: load_plan(written(clips, GOOD)))
    assert error.facts["key"] == "stimuli.happy[1].path"


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.toml", tmp_path):
        assert refused(lambda path=path: load_plan(path)).code is ErrorCode.FILE


def test_a_class_that_the_protocol_lacks_is_refused():
    error = refused(lambda: load_plan(classes=["happy", "angry"]))
    assert error.facts["key"] == "stimuli.angry"


def test_the_shipped_files_are_all_there():
    assert DEFAULT_PROTOCOL.is_file()
    for stimuli in load_plan().stimuli.values():
        assert all(stimulus.path is None or stimulus.path.is_file() for stimulus in stimuli)
