"""Chooses a person's profile, or none; one that is not of the model in use is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PyQt6.QtWidgets import QWidget

from acquisition.errors import InputError
from app.qt.dialogs.folder import FolderDialog, FolderWords
from app.view.plain_text import one_line
from calibration.profile_summary import ProfileSummary, model_sha256, read_summary
from calibration.storage import known_subjects, session_numbers, session_place

_NONE = "No profile: the model as it is, for everybody"
_WORDS = FolderWords(
    "profile", "Profiles", "A profile is made by a calibration and speaks of that person alone.", n_lines=7
)


class ProfileDialog(FolderDialog):
    """A list of profiles and what the chosen one says of itself.

    Parameters
    ----------
    parent : QWidget
    model : Path
        The base model in use.
    current : Path or None
        The profile in use.
    known : sequence of Path
        Profiles to offer.
    on_chosen : callable
        Gets the folder of a profile of this model, or None.
    """

    def __init__(
        self,
        parent: QWidget | None,
        model: Path,
        current: Path | None,
        known: Sequence[Path],
        on_chosen: Callable[[Path | None], None],
    ) -> None:
        super().__init__(parent, _WORDS)
        self._model, self._current, self._on_chosen = model, current, on_chosen
        offered = dict.fromkeys([*([current] if current else []), *known])
        self.fill((None, *offered), row=1 if current else 0)

    def _title(self, path: Path | None) -> str:
        name = _NONE if path is None else _verdict(path)
        return f"{name}{' (in use)' if path == self._current else ''}"

    def _take(self) -> None:
        self.accept()
        self._on_chosen(self._chosen())

    def _description(self, path: Path | None) -> str:
        if path is None:
            return ""
        summary = read_summary(path)
        summary.check_base(model_sha256(self._model), str(path))
        return _in_words(summary)


def profiles_below(data: Path) -> list[Path]:
    """Return the profiles of all sessions in a data folder, by person, the newest session first."""
    found = []
    try:
        for subject in known_subjects(data):
            numbers = reversed(session_numbers(data, subject))
            found += [session_place(data, subject, number).profile for number in numbers]
    except (InputError, OSError):  # a folder that cannot be looked into has nothing to offer
        return []
    return [path for path in found if path.is_dir()]


def _verdict(path: Path) -> str:
    try:
        summary = read_summary(path)
    except InputError:
        return "no profile of this program"
    return one_line(f"{summary.name}: {summary.verdict}", 90)


def _in_words(summary: ProfileSummary) -> str:
    """Return what a profile says of itself; its texts come from a file."""
    simulated = ", of a simulated person" if summary.is_simulated else ""
    lines = [
        f"{summary.warning[0].upper()}{summary.warning[1:]}." if summary.warning else "",
        f"Verdict: {summary.verdict}. {one_line(summary.words, 400)}",
        f"Emotions: {one_line(', '.join(summary.classes), 120)}",
        f"Uses: {', '.join(summary.modalities)}; {len(summary.ch_names)} EEG channels",
        f"Made: {one_line(summary.date, 40) or 'unknown'}{simulated}",
    ]
    return "\n".join(line for line in lines if line)
