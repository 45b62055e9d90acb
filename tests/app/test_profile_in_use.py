"""A person's profile in a session: its labels come out, and one that only guesses is not to be trusted."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from profiles import noise_profile

from acquisition.errors import ErrorCode, InputError
from acquisition.simulator.recording import write_simulated
from app.engine.health import model_info
from app.model_loading import load_model
from app.replay import ReplaySession
from app.request import LiveRequest, ReplayRequest, SessionOptions, check_request
from app.terminal import show_replay
from calibration.profile import features_sha256, save_profile
from calibration.profile_summary import ProfileSummary, model_sha256
from calibration.verdict import VerdictCode
from models.checkpoint import load_checkpoint

CLASSES = ("happy", "bored")


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "two.xdf"
    write_simulated(path, ("eeg", "gaze"), 8.0)
    return path


@pytest.fixture(scope="module")
def summary(random_model):
    from acquisition.simulator.source import SimulatedSource, SimulatorOptions

    config = load_checkpoint(random_model).config
    source = SimulatedSource(SimulatorOptions(streams=("eeg",)))
    spec = next(item.spec for item in source.read(0.0) if getattr(item, "spec", None))
    return ProfileSummary(
        subject="S01",
        classes=CLASSES,
        modalities=("eeg", "eye"),
        ch_names=tuple(name for name in spec.ch_names if name in config.ch_names),
        head="discriminant",
        verdict=VerdictCode.WEAK,
        base_name="random",
        base_sha256=model_sha256(random_model),
        features_sha256=features_sha256(config),
    )


def saved(folder, model, summary):
    save_profile(folder, noise_profile(summary))
    return SessionOptions(model=model, profile=folder)


def replayed(recording, options, tmp_path):
    jsonl = tmp_path / "run.jsonl"
    session = ReplaySession(ReplayRequest(recording, replace(options, jsonl=jsonl, headless=True)))
    show_replay(session)
    return [json.loads(line) for line in jsonl.read_text().splitlines()[:-1]]


def test_replay_gives_the_profiles_labels(recording, random_model, summary, tmp_path, capsys):
    lines = replayed(recording, saved(tmp_path / "p", random_model, summary), tmp_path)
    assert {tuple(line["probs"]) for line in lines} == {CLASSES}
    assert {line["normalisation"] for line in lines} == {"profile"}
    assert {line["profile"] for line in lines} == {"S01, session 1"}
    assert not any(line["do_not_trust"] for line in lines)
    assert "do not trust" not in capsys.readouterr().out


def test_one_that_only_guesses_is_not_to_be_trusted_in_terminal_and_file(
    recording, random_model, summary, tmp_path, capsys
):
    guessing = replace(summary, verdict=VerdictCode.NOT_DISTINGUISHABLE)
    lines = replayed(recording, saved(tmp_path / "p", random_model, guessing), tmp_path)
    assert all(line["do_not_trust"] for line in lines)
    said = capsys.readouterr().out
    assert said.count("do not trust this model") == 2  # before the first answer, and at the end
    assert said.index("do not trust") < said.index("t=")


def test_the_window_hears_of_profile_and_warning(random_model, summary, tmp_path):
    options = saved(tmp_path / "p", random_model, replace(summary, verdict=VerdictCode.NOT_DISTINGUISHABLE))
    info = model_info(load_model(options), options)
    assert info.labels == CLASSES
    assert info.profile == "S01, session 1"
    assert "do not trust this model" in info.warning


def test_a_profile_of_another_model_opens_no_window(random_model, summary, tmp_path):
    options = saved(tmp_path / "p", random_model, replace(summary, base_sha256="0" * 64))
    for refuse in (lambda: check_request(LiveRequest(options)), lambda: load_model(options)):
        with pytest.raises(InputError, match=f"{'0' * 16}.*{model_sha256(random_model)[:16]}"):
            refuse()


def test_another_mains_frequency_and_other_units_of_gaze_are_refused(random_model, summary, tmp_path):
    options = saved(tmp_path / "p", random_model, summary)
    with pytest.raises(InputError) as error:
        load_model(replace(options, line=50))
    assert error.value.code == "profile"
    with pytest.raises(InputError) as error:
        load_model(replace(options, screen_cm="53x30", distance_cm=60.0))
    assert (error.value.code, error.value.facts) == ("profile", {"in_degrees": 0})


def test_a_missing_profile_is_refused(random_model, tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path / 'none'}"):
        check_request(LiveRequest(SessionOptions(model=random_model, profile=tmp_path / "none")))


def test_a_threshold_may_make_answers_rarer_and_never_more_frequent(random_model):
    fitted = load_model(SessionOptions()).config
    strict = load_model(SessionOptions(answer_from=0.95, min_coverage=0.8)).config
    loose = load_model(SessionOptions(answer_from=0.5)).config
    assert (strict.answers.answer_from, strict.windows.min_coverage) == (0.95, 0.8)
    assert loose.answers.answer_from == fitted.answers.answer_from
    with pytest.raises(InputError) as error:  # it states no error of its answers
        load_model(SessionOptions(model=random_model, answer_from=0.95))
    assert error.value.code is ErrorCode.MODEL
