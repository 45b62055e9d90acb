"""Files that ship with the program."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

ASSETS = Path(str(files("assets")))

#: The model the demo uses: trained on simulated subjects only.
DEMO_MODEL = ASSETS / "models" / "small-simulated"

#: A minute of subject 2600, unseen in training, with markers of the emotions, as the program writes it:
#: `simulate --write FILE --seconds 60 --eeg-sfreq 200 --video-fps 5 --seed 2600 --schedule random:15`.
DEMO_RECORDING = ASSETS / "recordings" / "simulated-60s.xdf"

#: liblsl settings that keep its own log to errors.
LSL_CONFIG = ASSETS / "lsl_api.cfg"

#: Where the electrodes of the 10-05 system lie (`acquisition.montage`).
TEN_FIVE = ASSETS / "montages" / "ten_five.csv"

#: Which channel of a common headset is which electrode (`acquisition.montage`).
HEADSETS = ASSETS / "montages" / "headsets.toml"

#: Five emotions in ten trials, with prompts, pictures and sounds that the program made itself.
DEFAULT_PROTOCOL = ASSETS / "protocols" / "five-emotions.toml"

#: The style sheets of the window (a template of its colours), of a report and its figures, and the colours.
WINDOW_STYLE, REPORT_STYLE = ASSETS / "styles" / "window.qss", ASSETS / "styles" / "report.css"
REPORT_FIGURES = ASSETS / "styles" / "report.mplstyle"
THEMES = ASSETS / "styles" / "themes.toml"

#: The windows' commands with their keys (`app.qt.shell.commands`).
COMMANDS = ASSETS / "commands.toml"

#: Where emotions lie on the plane of valence and arousal (`app.view.valence_arousal`).
EMOTIONS = ASSETS / "emotions.toml"

#: What a participant reads before a calibration (`calibration.consent`).
NOTICE = ASSETS / "notice.toml"

#: Templates of a calibration's report and of a session's summary (`calibration.report.page`).
PAGES = ASSETS / "pages"


#: Layouts and labels of SEED-IV and SEED-V (`models.datasets.seed`).
SEED = ASSETS / "seed.toml"

#: The 33 eye features, in their order: unit, what is measured, and what generated subjects show in each.
EYE_FEATURES = ASSETS / "eye_features.csv"

#: Templates of model cards.
CARDS = ASSETS / "cards"

#: File names of published sets of acted speech (`models.datasets.voices`).
VOICES = ASSETS / "voices.toml"

#: Open weights that can be installed, with hashes and licences (`models.weights`).
WEIGHTS = ASSETS / "weights.toml"


def words(table: str) -> dict[str, Any]:
    """Return sentences by code: a table of ``words.toml``."""
    return dict(tomllib.loads((ASSETS / "words.toml").read_text(encoding="utf-8"))[table])
