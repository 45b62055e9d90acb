"""What a session without a window says of its trials."""

from __future__ import annotations

from app.calibrate.headless import HeadlessController


def test_a_trial_without_signals_is_said_once_as_soon_as_it_is_known():
    said: list[str] = []
    controller = HeadlessController(said.append, 1, is_simulated=True)
    controller._warn({5: "EEG: data for only 0 % of the stimulus"}, "a smaller --time-scale")
    controller._warn({5: "EEG: data for only 0 % of the stimulus", 7: "no usable modality"}, "")
    assert [("trial 5" in line, "trial 7" in line) for line in said] == [(True, False), (False, True)]
    assert "0 % of the stimulus (a smaller --time-scale)" in said[0]
