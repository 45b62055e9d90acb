"""Replaying recordings: the same bytes at any speed and chunk size, real files, damage, outputs."""

from __future__ import annotations

import csv
import itertools
import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from profiles import model_with_evidence

from acquisition.errors import ErrorCode, InputError
from acquisition.simulator.recording import write_simulated
from acquisition.types import Kind
from acquisition.xdf.format import Tag, parse_head
from acquisition.xdf.inspect import inspect_xdf
from acquisition.xdf.write import XdfWriter
from app.compare import Comparison
from app.outputs import CsvSink, DigestSink, JsonlSink
from app.replay import INCOMPLETE_REST, ReplayFile, ReplaySession
from app.request import ReplayRequest, SessionOptions, check_summary
from models.checkpoint import load_checkpoint, save_checkpoint
from models.level import RunningLevel

MONTAGES = "tests/data/montages"


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "four.xdf"
    write_simulated(path, ("eeg", "gaze", "video", "audio"), 9.0)
    return path


def replayed(path, model, **options):
    """Replay and return the session and the digest's line."""
    digest = DigestSink()
    session_options = {k: options.pop(k) for k in list(options) if k in SessionOptions.__dataclass_fields__}
    kept = SessionOptions(model=model, extra_sinks=(digest,), **session_options)
    session = ReplaySession(ReplayRequest(path, kept, **options))
    session.run(lambda share: None)
    return session, digest.line()


@pytest.fixture(scope="module")
def with_evidence(random_model, tmp_path_factory):
    """Return a model with a discriminant of the eyes beside its network."""
    return model_with_evidence(random_model, tmp_path_factory.mktemp("evidence"))


@pytest.fixture(scope="module")
def whole(recording, random_model):
    return replayed(recording, random_model)[1]


@pytest.mark.parametrize("chunk", [7, 64])
def test_chunk_size_changes_no_byte(recording, random_model, whole, chunk):
    assert replayed(recording, random_model, chunk=chunk)[1] == whole


def test_samples_one_by_one_change_no_byte(recording, random_model):
    one_by_one = replayed(recording, random_model, chunk=1, stop_s=4.0)[1]
    assert one_by_one == replayed(recording, random_model, stop_s=4.0)[1]


def test_speed_changes_no_byte(recording, random_model, whole):
    assert replayed(recording, random_model, speed=20.0)[1] == whole


def test_many_windows_a_pass_give_the_answers_of_one(recording, with_evidence, tmp_path):
    answers = []
    for batch in (1, 7):  # 7: the last pass has fewer
        path = tmp_path / f"{batch}.jsonl"
        replayed(recording, with_evidence, jsonl=path, batch=batch)
        answers.append([json.loads(line) for line in path.read_text().splitlines()[:-1]])
    one, many = answers
    assert len(one) == len(many) > 7
    for alone, together in zip(one, many, strict=True):
        assert together["probs"] == pytest.approx(alone["probs"], abs=1e-5)
        for name in ("t_end", "label", "present", "coverage", "warm_up", "marked_bad"):
            assert together[name] == alone[name]
        assert together["verdict"]["state"] == alone["verdict"]["state"]


def test_digest_tells_different_input(recording, random_model, whole):
    assert replayed(recording, random_model, line=50)[1] != whole


def test_smoothed_entropy_comes_out_the_same_at_any_chunk_size(recording, random_model, tmp_path):
    plain = load_checkpoint(random_model)
    config = replace(plain.config, features=replace(plain.config.features, smoothing=0.05))
    save_checkpoint(tmp_path, config, plain.network, plain.normaliser_tensors, "# Card\n")
    smooth = replayed(recording, tmp_path, stop_s=5.0)[1]
    assert replayed(recording, tmp_path, stop_s=5.0, chunk=64)[1] == smooth
    assert replayed(recording, random_model, stop_s=5.0)[1] != smooth


def test_eeg_without_known_names_stops_only_a_model_that_reads_eeg(recording, random_model, tmp_path):
    montage, plain = tmp_path / "other.toml", load_checkpoint(random_model)
    montage.write_text('[labels]\nNOBODY = "FP1"\n')
    with pytest.raises(InputError) as caught:
        replayed(recording, random_model, stop_s=4.0, montage=str(montage))
    assert caught.value.code == ErrorCode.CHANNELS
    only_face = replace(plain.config, modalities=("face",))
    save_checkpoint(tmp_path / "face", only_face, plain.network, {}, "# Card\n")
    session, line = replayed(recording, tmp_path / "face", stop_s=4.0, montage=str(montage))
    assert int(line.split()[-1]) > 0
    assert [notice.split(":")[0] for notice in session.file.notice.split("; ")] == ["eeg"]
    assert set(session.file.kinds.values()) == {Kind.GAZE, Kind.VIDEO, Kind.AUDIO}


def cut_in_two(path: Path, folder: Path, at: float) -> Path:
    """Write the recording as two parts, cut at a share of its bytes, and return the first."""
    raw, position = path.read_bytes(), 4
    halves = [bytearray(b"XDF:"), bytearray(b"XDF:")]
    while position < len(raw):
        head = parse_head(raw[position : position + 15], position)
        is_later = position > at * len(raw)
        for half in halves if head.tag in (Tag.FILE_HEADER, Tag.STREAM_HEADER) else halves[is_later:][:1]:
            half += raw[position : head.end]
        position = head.end
    for half, name in zip(halves, ("a.xdf", "a_part-02.xdf"), strict=True):
        (folder / name).write_bytes(half)
    return folder / "a.xdf"


def test_parts_are_replayed_as_one_recording_or_alone(recording, random_model, whole, tmp_path):
    first = cut_in_two(recording, tmp_path, 0.4)
    later = first.with_stem("a_part-02")
    session, digest = replayed(later, random_model)
    assert digest == whole
    assert "2 parts are read as one session" in session.file.notice
    alone = [replayed(path, random_model, part_only=True)[0] for path in (first, later)]
    assert sum(one.duration_s for one in alone) < session.duration_s
    with pytest.raises(InputError, match="--part-only"):
        replayed(first, random_model, record=tmp_path / "copy.xdf")
    inspected = inspect_xdf(first)
    assert [s.n_samples for s in inspected.streams] == [s.n_samples for s in inspect_xdf(recording).streams]


def test_a_stream_that_goes_on_with_other_channels_in_the_next_part_is_replayed(
    recording, random_model, tmp_path
):
    first = cut_in_two(recording, tmp_path, 0.4)
    later = first.with_stem("a_part-02")
    content = later.read_bytes()
    assert b"<label>FP1<" in content
    later.write_bytes(content.replace(b"<label>FP1<", b"<label>AF9<"))
    session, line = replayed(first, random_model)
    assert [header.type for header in session.file.headers].count("EEG") == 2
    assert int(line.split()[-1]) > 8


def test_part_of_a_recording_is_replayed(recording, random_model):
    session, line = replayed(recording, random_model, start_s=3.0, stop_s=8.0)
    assert session.duration_s == pytest.approx(5.0, abs=0.1)
    assert 8 <= int(line.split()[-1]) <= 20


def test_jsonl_and_csv_hold_every_prediction(recording, random_model, tmp_path):
    jsonl, table = tmp_path / "run.jsonl", tmp_path / "run.csv"
    session, line = replayed(recording, random_model, jsonl=jsonl, csv=table)
    *records, last = [json.loads(text) for text in jsonl.read_text().splitlines()]
    assert last["n_predictions"] == len(records)
    assert last["ledger"] == [asdict(ledger) for ledger in session.ledgers.values()]
    rows = list(csv.DictReader(table.open()))
    assert len(records) == len(rows) == int(line.split()[-1])
    assert set(records[0]) == {
        *("t_end", "label", "probs", "modality_attention", "channel_attention", "time_attention"),
        *("present", "coverage", "waited_s", "warm_up", "normalisation", "latency_ms", "verdict"),
        "level_trials",
        "agreement",
        "marked_bad",
        "face_landmarks",
    }
    latency = records[0]["latency_ms"]
    assert set(latency) == {"arrival", "wait", "hand_over", "features", "network", "total", "age"}
    assert latency["hand_over"] + latency["features"] + latency["network"] == pytest.approx(latency["total"])
    assert float(rows[-1]["p_happy"]) == records[-1]["probs"]["happy"]
    verdict = records[-1]["verdict"]
    assert (verdict["safe_to_act"], verdict["set_90"]) == (False, None)  # of a model without figures
    assert "not fitted" in {reason["code"] for reason in verdict["reasons"]}
    assert [row["state"] for row in rows] == [record["verdict"]["state"] for record in records]
    assert {row["answer"] for row in rows} <= {"", *records[-1]["probs"]}
    assert records[-1]["waited_s"] == 0.0  # nothing is ever late in a replay


def test_a_run_agrees_with_itself_and_not_with_another(random_model, tmp_path):
    recording, a, b = (tmp_path / name for name in ("eeg.xdf", "a.jsonl", "b.jsonl"))
    write_simulated(recording, ("eeg",), 13.0)  # runs are compared after the 10 s of warm-up
    replayed(recording, random_model, jsonl=a)
    replayed(recording, random_model, jsonl=b, line=50)
    same, other = Comparison(a, a), Comparison(a, b)
    assert same.n_compared > 0
    assert (same.same_label, same.max_abs_dp, same.n_verdict_differs) == (1.0, 0.0, 0)
    assert other.max_abs_dp > 0.0


def test_truncated_recording_is_replayed_and_named(recording, random_model, tmp_path):
    cut = tmp_path / "cut.xdf"
    content = recording.read_bytes()
    cut.write_bytes(content[: int(len(content) * 0.8)])
    session, line = replayed(cut, random_model)
    assert session.damage
    assert int(line.split()[-1]) > 20


def test_openbci_runs_through_the_network_with_its_montage(real_data, random_model):
    path = real_data / "xdf" / "openbci_Sub2011001.xdf"
    session, line = replayed(path, random_model, montage=f"{MONTAGES}/openbci_16.toml", stop_s=20.0)
    assert int(line.split()[-1]) > 40
    assert any("assumed to be µV" in message for message in session.telemetry.messages)


def test_muse_without_a_montage_is_refused_with_both_channel_lists(real_data, random_model):
    with pytest.raises(InputError, match=r"TP9.*FP1.*--montage"):
        replayed(real_data / "xdf" / "muse_P001.xdf", random_model)


def test_muse_with_a_montage_runs_on_what_its_seconds_allow(real_data, random_model):
    path = real_data / "xdf" / "muse_P001.xdf"
    session, line = replayed(path, random_model, montage=f"{MONTAGES}/muse.toml")
    assert int(line.split()[-1]) > 10
    assert math.isclose(sum(session.telemetry.prediction.probs.values()), 1.0, abs_tol=1e-5)


def test_clock_reset_leaves_two_runs_of_predictions(real_data, random_model, tmp_path):
    montage = tmp_path / "eight.toml"
    names = ("F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2")
    montage.write_text("[indices]\n" + "\n".join(f'{i} = "{name}"' for i, name in enumerate(names)))
    jsonl = tmp_path / "run.jsonl"
    path = real_data / "xdf" / "clock_resets.xdf"
    around_the_reset = {"start_s": 115.0, "stop_s": 435.0}
    replayed(path, random_model, montage=str(montage), jsonl=jsonl, **around_the_reset)
    t_ends = [json.loads(line)["t_end"] for line in jsonl.read_text().splitlines()[:-1]]
    steps = [b - a for a, b in itertools.pairwise(t_ends)]
    assert sum(step > 200 for step in steps) == 1
    assert max(steps) == pytest.approx(273.9, abs=4.0)


def test_streams_without_samples_are_named(real_data, random_model):
    with pytest.raises(InputError, match="Empty data stream"):
        replayed(real_data / "xdf" / "empty_streams.xdf", random_model)


def test_own_recording_is_replayed_with_what_it_was_recorded_with(recording, random_model, tmp_path):
    copy = tmp_path / "own.xdf"
    copy.write_bytes(recording.read_bytes())
    copy.with_suffix(".json").write_text('{"line_hz": 50, "screen_cm": "53x30", "distance_cm": 60.0}')
    session, line = replayed(copy, random_model, stop_s=7.0)
    options = session.options
    assert (options.line, options.screen_cm, options.distance_cm) == (50, "53x30", 60.0)
    assert session.telemetry.messages[0] == session.file.notice
    given = {"line": 50, "screen_cm": "53x30", "distance_cm": 60.0}
    assert line == replayed(recording, random_model, stop_s=7.0, **given)[1]


def test_sidecar_with_a_wrong_type_is_refused_with_its_path(recording, random_model, tmp_path):
    copy = tmp_path / "own.xdf"
    copy.write_bytes(recording.read_bytes())
    copy.with_suffix(".json").write_text('{"distance_cm": "far"}')
    with pytest.raises(InputError) as error:
        replayed(copy, random_model)
    assert (error.value.code, error.value.where) == ("file", str(copy.with_suffix(".json")))


def test_replay_writes_a_copy_with_its_predictions_in_it(recording, random_model, tmp_path):
    import pyxdf

    target = tmp_path / "with-predictions.xdf"
    _, line = replayed(recording, random_model, record=target, streams="eye=none,face=none")
    streams, _ = pyxdf.load_xdf(target)
    by_type = {stream["info"]["type"][0]: stream for stream in streams}
    predictions = by_type["AffectscopePrediction"]
    assert len(predictions["time_stamps"]) == int(line.split()[-1])
    assert abs(predictions["time_series"][:, :5].sum(axis=1) - 1).max() < 1e-5
    assert len(by_type["EEG"]["time_stamps"]) == 9_000
    assert replayed(target, random_model, streams="eye=none,face=none")[1] == line
    with pytest.raises(InputError) as error:
        replayed(recording, random_model, record=target)
    assert str(target) in error.value.where


def test_device_that_is_not_there_is_refused(random_model):
    import torch

    from app.model_loading import choose_device

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(InputError) as error:
        choose_device("cuda")
    assert error.value.code == "device"
    assert replace(SessionOptions(), device="auto").device == "auto"


def _eeg_recording(path, stamps, scale=20.0):
    header = (
        "<info><name>Amp</name><type>EEG</type><channel_count>2</channel_count><source_id>amp</source_id>"
        "<nominal_srate>100</nominal_srate><channel_format>double64</channel_format><desc><channels>"
        "<channel><label>Fz</label><unit>uV</unit></channel><channel><label>Cz</label><unit>uV</unit></channel>"
        "</channels></desc></info>"
    )
    values = np.random.default_rng(1).normal(0.0, scale, (len(stamps), 2))
    with XdfWriter(path) as writer:
        writer.add_stream(1, header)
        for at in range(0, len(stamps), 100):
            writer.samples(1, stamps[at : at + 100], values[at : at + 100])
    return path


def test_a_leap_of_thirty_years_without_a_lost_sample_is_mended(tmp_path, random_model):
    stamps = 100 + np.arange(2000) / 100
    stamps[1000:] += 9e8
    session, _ = replayed(_eeg_recording(tmp_path / "reset.xdf", stamps), random_model)
    assert session.telemetry.prediction.t_end == pytest.approx(120, abs=0.5)
    assert 60 <= session.telemetry.n_predictions <= 72  # of 20 s, but for the steps around the leap


def test_numbers_no_amplifier_shows_are_no_eeg(tmp_path, random_model):
    path = _eeg_recording(tmp_path / "huge.xdf", 100 + np.arange(1000) / 100, scale=1e30)
    session, _ = replayed(path, random_model)
    assert session.telemetry.n_predictions == 0


def test_a_recording_is_never_overwritten_by_predictions(recording, random_model):
    before = recording.read_bytes()
    with pytest.raises(InputError) as error:
        replayed(recording, random_model, jsonl=recording)
    assert (error.value.code, error.value.where) == ("file", f"--jsonl {recording}")
    assert recording.read_bytes() == before


@pytest.mark.parametrize(
    ("option", "name", "of_an_earlier_run"),
    [
        ("jsonl", "config.json", b'{"t_end": 1}\n'),
        ("csv", "a.edf", b"t_end_s,label"),
        ("summary", "mine.csv", b"time_s,marker,n_markers"),
        ("summary", "mine.html", b"<!DOCTYPE html>"),
    ],
)
def test_an_output_replaces_that_of_an_earlier_run_alone(tmp_path, option, name, of_an_earlier_run):
    path = tmp_path / name
    begins = {
        "jsonl": lambda: JsonlSink(path).close(),
        "csv": lambda: CsvSink(path, ("happy",)).close(),
        "summary": lambda: check_summary(path),
    }[option]
    path.write_bytes(b"0       X X X X")
    with pytest.raises(InputError) as error:
        begins()
    assert error.value.code == "file"
    assert path.read_bytes() == b"0       X X X X"
    path.write_bytes(of_an_earlier_run)
    begins()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("option", ["jsonl", "csv"])
def test_a_full_disk_is_named(recording, random_model, option):
    with pytest.raises(InputError) as error:
        replayed(recording, random_model, **{option: Path("/dev/full")})
    assert (error.value.code, error.value.where) == ("file", f"--{option} /dev/full")


def test_a_baseline_longer_than_the_recording_is_said_not_to_be_used(recording, random_model, whole):
    session, line = replayed(recording, random_model, baseline_s=1000.0)
    assert line == whole
    assert INCOMPLETE_REST in session.telemetry.messages


@pytest.mark.parametrize("option", [{"threads": 9999}, {"screen_cm": "53x30", "distance_cm": math.nan}])
def test_options_no_machine_and_no_screen_has_are_refused(recording, random_model, option):
    with pytest.raises(InputError):
        replayed(recording, random_model, **option)


LEVELS = {
    "of other features": {
        "second": 1,
        "state": {"eye": {"sum": [[0.0]], "worth": [[0.0]]}},
        "fixed_by": None,
    },
    "without a state": {"second": 1, "fixed_by": None},
    "in words": "high",
    "at no second": {"second": None, "state": None, "fixed_by": None},
}


def test_a_replay_warms_up_until_it_has_the_level_of_the_live_run(with_evidence, tmp_path):
    path, jsonl = tmp_path / "a.xdf", tmp_path / "run.jsonl"
    write_simulated(path, ("eeg",), 18.0, eeg_sfreq=200.0)
    checkpoint = load_checkpoint(with_evidence)
    state = RunningLevel(checkpoint.evidence.discriminant, checkpoint.config.evidence).state()
    replayed(path, with_evidence, jsonl=jsonl)
    ends = [json.loads(line)["t_end"] for line in list(jsonl.open())[:-1] if not json.loads(line)["warm_up"]]
    second = int(ends[0]) + 2
    level = {"second": second, "state": state, "fixed_by": None}
    (tmp_path / "a.json").write_text(json.dumps({"model_sha256": checkpoint.sha256, "level": level}))
    replayed(path, with_evidence, jsonl=jsonl)
    warm = [json.loads(line)["t_end"] for line in list(jsonl.open())[:-1] if not json.loads(line)["warm_up"]]
    assert warm == [t for t in ends if t >= second + 1 + checkpoint.config.evidence.average_s]


@pytest.mark.parametrize("name", LEVELS)
def test_a_damaged_level_in_the_sidecar_is_refused(recording, with_evidence, tmp_path, name):
    path = tmp_path / "a.xdf"
    path.symlink_to(recording)
    sidecar = {"model_sha256": load_checkpoint(with_evidence).sha256, "level": LEVELS[name]}
    (tmp_path / "a.json").write_text(json.dumps(sidecar))
    with pytest.raises(InputError) as caught:
        replayed(path, with_evidence)
    assert (caught.value.code, caught.value.where) == (ErrorCode.FILE, str(tmp_path / "a.json"))
    assert caught.value.remedy


def test_the_level_of_a_profile_is_not_used_without_it(recording, with_evidence, tmp_path):
    path = tmp_path / "a.xdf"
    path.symlink_to(recording)
    checkpoint = load_checkpoint(with_evidence)
    for own, found in (({}, LEVELS["in words"]), ({"profile_sha256": "00"}, None)):
        sidecar = {"model_sha256": checkpoint.sha256, "level": LEVELS["in words"]} | own
        (tmp_path / "a.json").write_text(json.dumps(sidecar))
        file = ReplayFile(ReplayRequest(path, SessionOptions(model=with_evidence)))
        assert file.recorded_level(path) == found


@pytest.mark.parametrize(("then", "now", "is_other"), [("1", "2", True), ("1", "1", False), ("1", "", False)])
def test_a_recording_of_another_profile_is_known(recording, random_model, tmp_path, then, now, is_other):
    path = tmp_path / "a.xdf"
    path.symlink_to(recording)
    (tmp_path / "a.json").write_text(json.dumps({"profile_sha256": then}))
    file = ReplayFile(ReplayRequest(path, SessionOptions(model=random_model)))
    file.checkpoint = replace(load_checkpoint(random_model), profile_sha256=now)
    assert file.has_other_profile is is_other


def test_a_tracker_that_is_not_understood_leaves_the_eeg_alone(random_model, tmp_path):
    path = tmp_path / "a.xdf"
    info = (
        "<info><name>{0}</name><type>{1}</type><channel_count>1</channel_count><nominal_srate>100</nominal_srate>"
        "<channel_format>float32</channel_format><desc><channels><channel><label>{2}</label><unit>uV</unit>"
        "</channel></channels></desc></info>"
    )
    with XdfWriter(path) as writer:
        for stream, header in {1: ("Eye", "Gaze", "odd"), 2: ("Amp", "EEG", "Cz")}.items():
            writer.add_stream(stream, info.format(*header))
            noise = np.random.default_rng(stream).normal(0, 10, (600, 1))
            writer.samples(stream, 50 + np.arange(600) / 100, noise)
    session, line = replayed(path, random_model)
    assert int(line.split()[-1]) > 0
    assert set(session.file.kinds.values()) == {Kind.EEG}
    assert session.file.notice.startswith("gaze: not used")
    with pytest.raises(InputError):
        replayed(path, random_model, streams="eeg=none")
