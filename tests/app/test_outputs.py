"""The verdict in files and streams: earlier names come first, what is not known is said to be unknown."""

import contextlib
import csv
import json
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import pyxdf

from acquisition.errors import InputError
from acquisition.simulator.recording import write_simulated
from acquisition.text import json_text, parse_json
from app.compare import Comparison
from app.outputs import (
    AnnotatedCopySink,
    CsvSink,
    JsonlSink,
    prediction_channels,
    prediction_record,
    prediction_values,
)
from app.runner import closing
from app.terminal import plain_line
from models.config import AnswerConfig
from models.prediction import FaceMeasures, Prediction
from models.trust import ModelFacts, SignalFacts, judge

LABELS = ("happy", "neutral", "sad & <low>")
MODALITIES = ("eeg", "eye", "face", "voice")
ANSWERS = AnswerConfig(0.75, 0.4, 0.5, 0.2, 0.6, 0.03, 12, 120)


def prediction(probs=(0.85, 0.1, 0.05), facts=None, t_end=12.5, **changes):
    there = dict.fromkeys(MODALITIES, True)
    made = Prediction(
        50,
        t_end,
        "happy",
        dict(zip(LABELS, probs, strict=True)),
        dict.fromkeys(MODALITIES, 0.25),
        {},
        (),
        there,
        dict.fromkeys(MODALITIES, 1.0),
        0.0,
        False,
        "profile",
        reliability={"eeg": 0.9},
        agreement=0.3,
    )
    made = replace(made, **changes)
    return replace(made, verdict=judge(made, facts or ModelFacts(ANSWERS), SignalFacts()))


def by_name(made):
    names = [channel["label"] for channel in prediction_channels(LABELS)]
    return dict(zip(names, prediction_values(made, LABELS), strict=True))


def test_a_stream_has_the_verdict_in_numbers_after_what_it_always_had():
    channels = prediction_channels(LABELS)
    assert [channel["label"] for channel in channels[:7]] == [
        *(f"p_{label}" for label in LABELS),
        *(f"attention_{modality}" for modality in MODALITIES),
    ]
    values = by_name(prediction())
    assert (values["state"], values["safe_to_act"], values["answer"]) == (4, 1, 0)
    assert [values[f"set90_{label}"] for label in LABELS] == [1, 0, 0]
    assert [values[f"set80_{label}"] for label in LABELS] == [1, 0, 0]
    assert values["reliability_eeg"] == 0.9
    assert math.isnan(values["reliability_eye"])
    assert math.isnan(values["level_trials"])
    described = {channel["label"]: channel["description"] for channel in channels}
    assert described["state"] == "0 nothing, 1 warming up, 2 stale, 3 uncertain, 4 certain"
    assert described["answer"].startswith("-1: none, 0 happy, 1 neutral")


def test_no_answer_and_no_sets_in_numbers():
    values = by_name(prediction((0.4, 0.35, 0.25), ModelFacts()))
    assert (values["state"], values["safe_to_act"], values["answer"]) == (3, 0, -1)
    assert all(math.isnan(values[f"set{level}_{label}"]) for level in (80, 90) for label in LABELS)


def test_a_json_line_has_the_verdict_with_reasons_and_figures():
    found = json.loads(json_text(prediction_record(prediction((0.48, 0.44, 0.08)))))["verdict"]
    assert found == {
        "state": "uncertain",
        "safe_to_act": False,
        "answer": None,
        "set_90": ["happy", "neutral"],
        "set_80": ["happy"],
        "needed": 0.5,
        "reliability": {"eeg": 0.9},
        "reasons": [{"code": "probability", "severity": "caution", "probability": 0.48, "needed": 0.5}],
    }


def test_what_the_level_rests_on_comes_last_and_null_is_not_known():
    assert list(prediction_record(prediction()))[-1] == "level_trials"
    assert math.isnan(prediction_record(prediction())["level_trials"])
    assert prediction_record(prediction(level_trials=2.5))["level_trials"] == 2.5
    assert by_name(prediction(level_trials=2.5))["level_trials"] == 2.5


def test_a_table_has_the_verdict_in_words(tmp_path):
    sink = CsvSink(tmp_path / "run.csv", LABELS)
    sink.write(prediction())
    sink.write(prediction((0.4, 0.35, 0.25), ModelFacts()))
    sink.close()
    answered, unsure = csv.DictReader((tmp_path / "run.csv").open())
    assert (answered["state"], answered["safe_to_act"], answered["answer"]) == ("certain", "1", "happy")
    assert (answered["set_90"], answered["set_80"], answered["reliability_eeg"]) == (
        "happy",
        "happy",
        "0.9",
    )
    assert (unsure["answer"], unsure["set_90"], unsure["reliability_eye"]) == ("", "", "")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (prediction(), "happy"),
        (prediction((0.48, 0.44, 0.08)), "uncertain, 90 % set: happy or neutral (0.48, 0.50 needed)"),
        (prediction((0.4, 0.33, 0.27)), "uncertain (0.40, 0.50 needed)"),  # every emotion is in the set
        (prediction((0.4, 0.35, 0.25), ModelFacts()), "uncertain (0.40, 0.67 needed)"),
        (prediction(warm_up=True), "warming up"),
    ],
)
def test_the_terminal_names_an_answer_only_where_there_is_one(made, words):
    assert plain_line(made).split("  ")[1].strip() == words


def test_a_copy_of_a_recording_describes_every_channel(tmp_path):
    recording, target = tmp_path / "a.xdf", tmp_path / "b.xdf"
    write_simulated(recording, ("eeg",), 1.0)
    sink = AnnotatedCopySink(recording, target, LABELS, 99)
    sink.write(prediction())
    sink.close()
    streams, _ = pyxdf.load_xdf(target)
    (stream,) = (s for s in streams if s["info"]["type"][0] == "AffectscopePrediction")
    channels = stream["info"]["desc"][0]["channels"][0]["channel"]
    assert [{k: v[0] for k, v in channel.items()} for channel in channels] == prediction_channels(LABELS)
    np.testing.assert_array_equal(stream["time_series"][0], prediction_values(prediction(), LABELS))


def test_comparing_counts_other_verdicts_where_both_files_have_them(tmp_path):
    def written(name, *predictions):
        sink = JsonlSink(tmp_path / name)
        for made in predictions:
            sink.write(made)
        sink.close()
        return tmp_path / name

    a = written("a.jsonl", prediction(), prediction(t_end=12.75))
    b = written("b.jsonl", prediction(), prediction((0.45, 0.35, 0.2), t_end=12.75))
    assert Comparison(a, a).n_verdict_differs == 0
    assert Comparison(a, b).n_verdict_differs == 1
    old = tmp_path / "old.jsonl"
    lines = [json.loads(line) for line in a.read_text().splitlines()]
    old.write_text("".join(json.dumps({k: v for k, v in x.items() if k != "verdict"}) + "\n" for x in lines))
    assert Comparison(a, old).n_verdict_differs is None


def test_every_line_is_json_where_a_probability_is_not_a_number(tmp_path):
    made = prediction((math.nan,) * 3, waited_s=math.inf)
    sink = JsonlSink(tmp_path / "a.jsonl")
    sink.write(made)
    sink.close()
    record = parse_json((tmp_path / "a.jsonl").read_text().splitlines()[0])
    assert (record["probs"]["happy"], record["waited_s"]) == (None, None)
    verdict = record["verdict"]
    assert (verdict["answer"], verdict["safe_to_act"], verdict["state"]) == (None, False, "uncertain")


def test_face_measures_are_in_the_record_with_null_for_what_is_not_known():
    assert prediction_record(prediction())["face_landmarks"] is None
    measures = FaceMeasures(12.4, 0.3, 0.31, False, math.nan, 3.0, -5.0, 1.0, 25.0, 12.0)
    found = json.loads(json_text(prediction_record(prediction(face_measures=measures))))["face_landmarks"]
    assert (found["eye_aspect_left"], found["is_blinking"], found["yaw_deg"]) == (0.3, False, 3.0)
    assert found["blinks_per_min"] is None


@contextlib.contextmanager
def disk_of(n_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes, as on a full disk."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_file_on_a_full_disk_keeps_whole_lines_and_goes_on_when_there_is_room(tmp_path, kind):
    path = tmp_path / "a"
    sink = JsonlSink(path) if kind == "jsonl" else CsvSink(path, LABELS)
    sink.write(prediction(t_end=1.0))
    with disk_of(path.stat().st_size + 20):
        for t_end in (2.0, 3.0):
            with pytest.raises(InputError) as error:
                sink.write(prediction(t_end=t_end))
    assert error.value.where == f"--{kind} {path}"
    sink.write(prediction(t_end=4.0))
    sink.close()
    text = path.read_text()
    if kind == "jsonl":
        kept = [line["t_end"] for line in map(parse_json, text.splitlines()) if "t_end" in line]
    else:
        kept = [float(row["t_end_s"]) for row in csv.DictReader(text.splitlines())]
    assert kept == [1.0, 4.0]


def test_a_file_that_cannot_be_finished_is_told_and_the_others_are(tmp_path):
    said = []
    sinks = [JsonlSink(tmp_path / "a"), JsonlSink(tmp_path / "b")]
    sinks[0].write(prediction())
    with disk_of(200), closing(sinks, said.append):
        pass
    assert len(said) == 1
    assert (tmp_path / "b").read_text().endswith("\n")
