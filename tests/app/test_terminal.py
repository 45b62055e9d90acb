"""What a session in the terminal says of its model before it runs."""

from dataclasses import replace

from app.terminal import because, introduction, said
from models.config import preset
from models.prediction import SHOWN
from models.trust import Code, Reason, Severity, State, Verdict


def lines(**settings):
    config = preset("small", labels=("sad", "happy"), ch_names=("CZ",), **settings)
    return introduction(config, "m1")


def test_model_of_all_modalities_is_introduced_in_a_line():
    assert lines() == ["Emotion inference active. Model: m1."]


def test_simulated_training_is_said():
    assert "not valid for real people" in lines(is_simulated=True)[1]


def test_modalities_the_model_does_not_know_are_named():
    assert lines(modalities=("eeg", "eye"))[1:] == [
        "It was trained with eeg and eye only: face and voice are treated as missing, even if connected."
    ]


def test_a_model_of_face_and_voice_names_what_is_shown():
    assert SHOWN in lines(modalities=("face",))
    assert SHOWN in lines(modalities=("face", "voice"))
    assert SHOWN not in lines(modalities=("eeg", "face"))


def test_a_profile_that_only_guesses_is_warned_of_first():
    config = preset("small", labels=("sad", "happy"), ch_names=("CZ",))
    said = introduction(config, "m1", "do not trust this model: chance")
    assert said[1] == "WARNING: do not trust this model: chance."


def test_a_line_says_why_there_is_no_answer():
    reason = Reason(Code.PROBABILITY, Severity.STOP, {"probability": 0.62, "needed": 0.75})
    verdict = Verdict(State.UNCERTAIN, (reason,), top="sad", set_90=("sad",), n_labels=2)
    assert (said(verdict), because(verdict)) == ("uncertain, 90 % set: sad", " (0.62, 0.75 needed)")
    graver = Reason(Code.SIMULATED_MODEL, Severity.STOP)  # which does not withhold an answer
    assert because(replace(verdict, reasons=(graver, reason))) == " (0.62, 0.75 needed)"
    assert because(Verdict(State.CERTAIN, answer="sad")) == ""
