"""Simulated voice: 16 kHz, one channel, -1 to 1. Glottal pulses through formants, in phrases.

The vowels are the mean formants of Peterson and Barney (1952), scaled to the speaker's vocal tract.
"""

from collections.abc import Iterator

import numpy as np
import scipy  # loads its signal package when that is used
from numpy.typing import NDArray

from acquisition.simulator.behaviour import Behaviour

SFREQ = 16000.0
_PULSE_OPEN = 0.6  # part of a period in which the glottis is open
_VOWELS_HZ = (
    (270.0, 2290.0, 3010.0),
    (390.0, 1990.0, 2550.0),
    (530.0, 1840.0, 2480.0),
    (660.0, 1720.0, 2410.0),
    (730.0, 1090.0, 2440.0),
    (570.0, 840.0, 2410.0),
    (300.0, 870.0, 2240.0),
)
_BANDWIDTHS_HZ = (70.0, 100.0, 150.0, 220.0)


class _Voice:
    """One speaker's larynx and vocal tract, with the filters' memory between syllables."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        rng = behaviour.subject.rng("speaker")
        deep = rng.random() < 0.5
        self.pitch_hz = (120.0 if deep else 190.0) * np.exp(0.06 * rng.standard_normal())
        self.tract = (1.0 if deep else 1.13) * np.exp(0.03 * rng.standard_normal())
        self.rng = behaviour.subject.rng("speech")
        behaviour.renew(self.rng)
        self.phase = 0.0
        self.tilt_state = np.zeros(1)
        self.formant_state = np.zeros((4, 2))

    def phrase(self, t: float) -> Iterator[NDArray[np.float64]]:
        """Yield the syllables of a phrase that begins at ``t``, then its pause."""
        z = self.behaviour.latent("voice", t)
        n_syllables = int(self.rng.integers(5, 11))
        for i in range(n_syllables):
            syllable = self._syllable(z, position=i / n_syllables)
            yield syllable
            t += len(syllable) / SFREQ
            z = self.behaviour.latent("voice", t)
        pause_s = (0.25 + 0.3 * self.rng.random()) * np.exp(-0.12 * z["speech_rate"])
        yield self._formants(np.zeros(int(pause_s * SFREQ)), self._vowel())

    def _syllable(self, z: dict[str, float], position: float) -> NDArray[np.float64]:
        length_s = 0.19 * np.exp(-0.13 * z["speech_rate"] + 0.15 * self.rng.standard_normal())
        n = int(length_s * SFREQ)
        along = np.arange(n) / n
        reach = 0.13 * np.exp(0.22 * z["pitch_range"])  # of the melody, in log Hz
        accent = reach * (0.7 * self.rng.standard_normal() + np.sin(np.pi * along) - 1.2 * (position - 0.5))
        pitch = self.pitch_hz * np.exp(0.09 * z["pitch"] + accent)
        source = self._glottis(pitch, z["brightness"])
        loudness = 0.05 * np.exp(0.2 * z["energy"] - 0.3 * position)
        envelope = loudness * np.sin(np.pi * np.clip(along, 0, 1)) ** 0.6
        voiced = self._formants(source * envelope, self._vowel())
        if self.rng.random() < 0.5:  # a consonant's hiss before the vowel
            hiss = np.diff(self.rng.standard_normal(n // 5 + 1))
            voiced[: len(hiss)] += 0.15 * loudness * np.hanning(len(hiss)) * hiss
        return voiced

    def _glottis(self, pitch_hz: NDArray[np.float64], brightness: float) -> NDArray[np.float64]:
        """Return the derivative of Rosenberg's pulse with breath, about unit size."""
        phases = self.phase + np.cumsum(pitch_hz) / SFREQ
        self.phase = float(phases[-1] % 1.0)
        open_part = (phases % 1.0) / _PULSE_OPEN
        pulse = np.where(open_part < 1.0, 2 * open_part - 3 * open_part**2, 0.0)
        pulse += 0.02 * self.rng.standard_normal(len(pulse))
        pole = np.clip(0.6 - 0.12 * brightness, 0.05, 0.93)  # spectral tilt
        tilted, self.tilt_state = scipy.signal.lfilter([1 - pole], [1, -pole], pulse, zi=self.tilt_state)
        return tilted

    def _vowel(self) -> NDArray[np.float64]:
        formants = (*_VOWELS_HZ[self.rng.integers(len(_VOWELS_HZ))], 3500.0)
        return _resonators(np.array(formants) * self.tract)

    def _formants(self, source: NDArray[np.float64], sos: NDArray[np.float64]) -> NDArray[np.float64]:
        voiced, self.formant_state = scipy.signal.sosfilt(sos, source, zi=self.formant_state)
        return voiced


def _resonators(formants_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return second-order sections in cascade with unit gain at 0 Hz (Klatt 1980), (4, 6)."""
    radius = np.exp(-np.pi * np.array(_BANDWIDTHS_HZ) / SFREQ)
    a1 = -2 * radius * np.cos(2 * np.pi * np.minimum(formants_hz, 7000.0) / SFREQ)
    a2 = radius**2
    sos = np.zeros((4, 6))
    sos[:, 0] = 1 + a1 + a2
    sos[:, 3], sos[:, 4], sos[:, 5] = 1.0, a1, a2
    return sos


def voice_blocks(behaviour: Behaviour) -> Iterator[NDArray[np.float64]]:
    """Yield consecutive syllables and pauses, (n_samples, 1); sample i lies i / 16000 s after the begin."""
    voice = _Voice(behaviour)
    room = behaviour.subject.rng("room")
    behaviour.renew(room)
    n_made = round(behaviour.begin_s * SFREQ)
    while True:
        for piece in voice.phrase(n_made / SFREQ):
            noisy = piece + 5e-4 * room.standard_normal(len(piece))
            n_made += len(piece)
            yield np.tanh(noisy)[:, None]
