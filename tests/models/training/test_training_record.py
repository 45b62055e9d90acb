"""What trained a model is kept whole, and recordings are known by their samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from acquisition.errors import ErrorCode, InputError
from models.training.provenance import (
    SeenRecording,
    SeenSession,
    TrainingRecord,
    read_record,
    record_of_recordings,
    recording_sha256,
    write_record,
)

HEADER = """Brain Vision Data Exchange Header File Version 1.0
[Common Infos]
Codepage=UTF-8
DataFile={name}.eeg
DataFormat=BINARY
DataOrientation=MULTIPLEXED
NumberOfChannels=1
SamplingInterval=10000
[Binary Infos]
BinaryFormat=INT_16
[Channel Infos]
Ch1=C3,,0.1,\u00b5V
"""


def brain_vision(folder: Path, name: str, samples: bytes) -> Path:
    (folder / f"{name}.eeg").write_bytes(samples)
    header = folder / f"{name}.vhdr"
    header.write_text(HEADER.format(name=name), encoding="utf-8")
    return header


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    record = TrainingRecord(
        (SeenRecording("a.xdf", "0" * 64, True),), (SeenSession("seed-iv", "1", 2),), {"sad": 3, "happy": 0}
    )
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    assert record.n_classes == 1


def test_what_a_model_began_with_stays_in_its_record() -> None:
    first = TrainingRecord((SeenRecording("a.xdf", "0" * 64, False),), trials_per_class={"sad": 1})
    then = first.then(TrainingRecord((SeenRecording("b.xdf", "1" * 64, True),), trials_per_class={"sad": 2}))
    assert [entry.name for entry in then.recordings] == ["a.xdf", "b.xdf"]
    assert then.trials_per_class == {"sad": 3}
    assert then.complete
    assert not replace(first, complete=False).then(then).complete


def test_recordings_are_known_by_their_samples_not_by_names_and_headers(tmp_path: Path) -> None:
    one, copy = (brain_vision(tmp_path, name, b"\x01\x00" * 200) for name in ("one", "copy"))
    other = brain_vision(tmp_path, "other", b"\x02\x00" * 200)
    assert recording_sha256(one) == recording_sha256(copy)
    record = record_of_recordings([one], labels=True)
    assert record.holds(copy, labels=True)
    assert not record.holds(copy, labels=False)
    assert not record.holds(other, labels=True)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"recordings": 3}', '{"recordings": [{"name": "a"}]}'])
def test_a_damaged_record_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "training.json").write_text(text)
    with pytest.raises(InputError) as error:
        read_record(tmp_path)
    assert error.value.code is ErrorCode.MODEL
    assert read_record(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trials_per_class", '{"sad": 1e999}'),
        ("trials_per_class", '{"sad": -3}'),
        ("trials_per_class", '{"sad": true}'),
        ("recordings", "{}"),
        ("recordings", '[{"name": "a", "sha256": "b", "labels": "false"}]'),
        ("recordings", '[{"name": null, "sha256": null, "labels": true}]'),
        ("sessions", "[" * 100_000),
        ("sessions", '[{"dataset": "seed-iv", "subject": 1, "session": 1}]'),
        ("complete", '"false"'),
    ],
)
def test_a_value_of_another_type_is_damage(tmp_path: Path, name: str, value: str) -> None:
    whole = {"recordings": "[]", "sessions": "[]", "trials_per_class": "{}", "complete": "true"}
    parts = ", ".join(f'"{key}": {text}' for key, text in (whole | {name: value}).items())
    (tmp_path / "training.json").write_text("{" + parts + "}")
    with pytest.raises(InputError) as error:
        read_record(tmp_path)
    assert error.value.code is ErrorCode.MODEL


def test_a_folder_in_place_of_the_record_is_damage(tmp_path: Path) -> None:
    (tmp_path / "training.json").mkdir()
    with pytest.raises(InputError) as error:
        read_record(tmp_path)
    assert error.value.code is ErrorCode.MODEL
