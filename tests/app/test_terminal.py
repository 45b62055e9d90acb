"""What a session in the terminal says of its model before it runs."""

from app.terminal import introduction
from models.config import preset


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


def test_a_profile_that_only_guesses_is_warned_of_first():
    config = preset("small", labels=("sad", "happy"), ch_names=("CZ",))
    said = introduction(config, "m1", "do not trust this model: chance")
    assert said[1] == "WARNING: do not trust this model: chance."
