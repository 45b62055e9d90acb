"""Makes the pictures and sounds in ``assets/stimuli``, always the same: python tests/stimuli/make.py [DIR]"""

import sys
import wave
from pathlib import Path

import cv2
import pictures
import sounds

from assets import ASSETS

SEED = 1


def make(folder: Path) -> list[Path]:
    """Write all files to ``folder`` and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, draw in pictures.PICTURES.items():
        made.append(folder / f"{name}.png")
        cv2.imwrite(str(made[-1]), pictures.render(draw, SEED), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    for name, play in sounds.SOUNDS.items():
        made.append(folder / f"{name}.wav")
        with wave.open(str(made[-1]), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(sounds.SFREQ)
            file.writeframes(sounds.render(play, SEED).astype("<i2").tobytes())
    return made


if __name__ == "__main__":
    for path in make(Path(sys.argv[1]) if len(sys.argv) > 1 else ASSETS / "stimuli"):
        print(f"{path.stat().st_size / 1e3:6.0f} kB  {path}")
