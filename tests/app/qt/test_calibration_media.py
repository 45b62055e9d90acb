"""Pictures, sounds and videos of a trial: when they really began, and what if they cannot be shown."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from acquisition.errors import InputError
from app.qt.calibration import stimulus as multimedia
from app.qt.calibration.stimulus import StimulusScreen
from app.view.calibration_screens import display_timing
from app.view.store import ViewStore
from assets import ASSETS
from calibration.types import SessionView, Step, Stimulus

SOUND = ASSETS / "stimuli" / "happy.wav"
PICTURE = ASSETS / "stimuli" / "happy-1.png"
needs_multimedia = pytest.mark.skipif(
    bool(multimedia.multimedia_fault()), reason="QtMultimedia does not load"
)


class Shown:
    """The stimulus screen, with a clock that goes on a millisecond a look."""

    def __init__(self, qtbot, stimulus: Stimulus, duration_s: float | None = 40.0) -> None:
        ticks = count()
        self.commands: list[object] = []
        self.told: list[str] = []
        self.screen = StimulusScreen(self.commands.append, lambda: next(ticks) * 1e-3, self.told.append)
        qtbot.addWidget(self.screen)
        step = Step("stimulus", duration_s, 3, "happy", stimulus)
        self.view = SessionView(step, 7, None, None)
        self.screen.begin(self.view)
        self.screen.show()

    def look(self) -> None:
        self.screen.refresh(self.view, ViewStore(), 0.0)


def video(path: Path) -> Path:
    """Write half a second of video."""
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 48))
    for value in range(12):
        writer.write(np.full((48, 64, 3), 10 * value, np.uint8))
    writer.release()
    return path


@needs_multimedia
def test_a_sound_begins_when_the_player_has_played_some_of_it(qtbot):
    shown = Shown(qtbot, Stimulus("sound", "Listen.", SOUND))
    assert shown.screen.plays
    assert shown.screen.media_began is None

    def has_begun() -> bool:
        shown.look()
        return shown.screen.media_began is not None

    qtbot.waitUntil(has_begun)
    assert not shown.told
    shown.screen.leave()


@needs_multimedia
def test_a_video_without_a_duration_ends_its_step_with_its_last_frame(qtbot, tmp_path):
    shown = Shown(qtbot, Stimulus("video", "Watch.", video(tmp_path / "a.mp4")), None)

    def has_ended() -> bool:
        shown.look()
        return bool(shown.commands)

    qtbot.waitUntil(has_ended)
    assert shown.screen.media_began is not None
    shown.look()
    assert len(shown.commands) == 1


@needs_multimedia
def test_a_broken_clip_is_told_once_and_its_words_are_shown_instead(qtbot, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all" * 100)
    shown = Shown(qtbot, Stimulus("video", "Think of a sunny day.", broken))

    def has_told() -> bool:
        shown.look()
        return bool(shown.told)

    qtbot.waitUntil(has_told)
    shown.look()
    assert len(shown.told) == 1
    assert "broken.mp4" in shown.told[0]
    assert shown.screen.prompt.isVisible()
    assert shown.screen.prompt.text() == "Think of a sunny day."
    assert not shown.screen.plays  # the step's onset waits for it no longer


def test_a_picture_fills_the_room_with_its_words_below_and_a_broken_one_is_told(qtbot, tmp_path):
    shown = Shown(qtbot, Stimulus("image", "Look.", PICTURE))
    assert shown.screen.picture.isVisible()
    assert shown.screen.caption.text() == "Look."
    assert not shown.told
    (tmp_path / "a.png").write_bytes(b"x")
    assert "a.png" in Shown(qtbot, Stimulus("image", "Look.", tmp_path / "a.png")).told[0]


def test_where_multimedia_does_not_load_the_packages_are_named_before_a_session(monkeypatch):
    monkeypatch.setitem(sys.modules, "PyQt6.QtMultimedia", None)
    multimedia.multimedia_fault.cache_clear()
    try:
        with pytest.raises(InputError, match="libpulse0 libxrandr2"):
            multimedia.require_multimedia({"text", "video"})
        multimedia.require_multimedia({"text", "image"})
        check = multimedia.sound_check(is_needed=False)
        assert check.light == "yellow"
        assert "libpulse0" in check.remedy
        assert not multimedia.has_sound()
    finally:
        multimedia.multimedia_fault.cache_clear()


def test_the_tone_is_a_tone_without_clicks_at_its_ends():
    samples = np.frombuffer(multimedia.tone_samples(), "<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(samples))
    peak_hz = np.argmax(spectrum) * 44100 / len(samples)
    assert abs(peak_hz - 660) < 2
    assert abs(samples[0]) < 1
    assert np.abs(samples[-5:]).max() < 200


def test_a_frame_held_up_counts_as_missed_and_two_frames_say_nothing():
    drawn = np.arange(60) / 60
    assert display_timing("trial_start/happy/3", drawn[:2]) is None
    even = display_timing("trial_start/happy/3", drawn)
    assert even.n_missed == 0
    assert even.interval_s == pytest.approx(1 / 60)
    assert display_timing("trial_start/happy/3", np.delete(drawn, 30)).n_missed == 1
