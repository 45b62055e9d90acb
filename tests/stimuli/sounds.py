"""Short sounds for five emotions that loop without a seam: every part repeats a whole number of times.

All are equally loud by A-weighted level. Wear headphones: what a loudspeaker plays, the microphone hears, and
the model would learn the sound in place of the voice.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

SFREQ = 16_000
SECONDS = 6.0
#: A-weighted level of every sound, dB relative to full scale.
LEVEL_DB = -32.0

Wave = NDArray[np.float64]  # (n_times,)
_N = round(SFREQ * SECONDS)
_T = np.arange(_N) / SFREQ
_FREQS = np.fft.rfftfreq(_N, 1 / SFREQ)


def render(play: Callable[[np.random.Generator], Wave], seed: int) -> NDArray[np.int16]:
    """Return a sound as 16-bit samples at the common level."""
    wave = play(np.random.default_rng(seed))
    wave = wave - wave.mean()
    wave *= 10 ** ((LEVEL_DB - level_db(wave)) / 20)
    if np.abs(wave).max() > 0.9:
        raise ValueError(f"{play.__name__} would clip: take from its low tones, which hardly count as loud")
    return np.round(wave * 32767).astype(np.int16)


def level_db(wave: Wave) -> float:
    """Return the A-weighted level of a sound that repeats, dB relative to full scale (IEC 61672)."""
    f2 = _FREQS**2
    weight = (
        12194**2 * f2**2 / ((f2 + 20.6**2) * np.sqrt((f2 + 107.7**2) * (f2 + 737.9**2)) * (f2 + 12194**2))
    )
    heard = np.fft.irfft(np.fft.rfft(wave) * weight * 10 ** (2.0 / 20), len(wave))
    return float(10 * np.log10((heard**2).mean()))


def _tone(hz: float) -> Wave:
    """Return a sine that fits the loop a whole number of times."""
    return np.sin(2 * np.pi * round(hz * SECONDS) / SECONDS * _T)


def _noise(rng: np.random.Generator, low: float, high: float, slope: float = 0.0) -> Wave:
    """Return noise between two frequencies, made in the loop's own spectrum, with RMS 1."""
    shape = np.where((low <= _FREQS) & (high >= _FREQS), np.maximum(_FREQS, 1.0) ** slope, 0.0)
    wave = np.fft.irfft(shape * np.exp(2j * np.pi * rng.random(len(_FREQS))), _N)
    return wave / wave.std()


def _struck(at_s: float, hz: float, decay_s: float, partials: Sequence[float] = (1.0,)) -> Wave:
    """Return a note that begins at ``at_s`` and rings on over the loop's end."""
    since = (_T - at_s) % SECONDS
    envelope = (
        np.exp(-since / decay_s) * np.clip(since / 0.008, 0, 1) * np.clip((SECONDS - since) / 0.01, 0, 1)
    )
    return envelope * sum(gain * np.sin(2 * np.pi * hz * (k + 1) * since) for k, gain in enumerate(partials))


def squelch(rng: np.random.Generator) -> Wave:
    """Disgust: wet bubbles and squelches over a sour, beating hum."""
    wave = 0.10 * (_tone(98) + _tone(104) + 0.6 * _tone(139))
    grit = _noise(rng, 150, 2500, -0.5)
    for at_s in np.sort(rng.uniform(0, SECONDS, 26)):
        since = (_T - at_s) % SECONDS
        length = rng.uniform(0.06, 0.25)
        burst = np.exp(-(((since - length) / (0.5 * length)) ** 2))
        low, high = rng.uniform(180, 320), rng.uniform(500, 950)
        sweep = low + (high - low) * np.clip(since / (2 * length), 0, 1) ** 2
        phase = 2 * np.pi * np.cumsum(sweep) / SFREQ
        wave += rng.uniform(0.4, 1.0) * burst * (0.7 * np.sin(phase) + 0.5 * grit * np.sin(phase))
    return wave


def heartbeat(rng: np.random.Generator) -> Wave:
    """Fear: a fast heart over a low drone, and a thin high sound that trembles."""
    wave = 0.12 * (_tone(55) + _tone(110) + _tone(116.5) + _tone(165) + 0.7 * _tone(174.5))
    shiver = 0.5 + 0.5 * np.sin(2 * np.pi * 8 * _T)
    swell = 0.5 - 0.5 * np.cos(2 * np.pi * _T / SECONDS)
    wave += 0.035 * swell * shiver * (_tone(1480) + _tone(1568) + _tone(1397))
    for beat in range(11):  # 110 a minute
        at_s = beat * SECONDS / 11
        wave += 0.9 * _struck(at_s, 80, 0.06, (1.0, 0.8, 0.5, 0.3))
        wave += 0.7 * _struck(at_s + 0.17, 68, 0.06, (1.0, 0.8, 0.5))
    return wave + 0.04 * _noise(rng, 200, 900, -1.0)


def lament(rng: np.random.Generator) -> Wave:
    """Sad: a slow line falls in minor."""
    wave = 0.06 * (_tone(110) + 0.5 * _tone(165))
    for at_s, hz in zip((0.0, 1.5, 3.0, 4.5), (440.0, 392.0, 349.23, 329.63), strict=True):
        wave += 0.5 * _struck(at_s, hz, 0.9, (1.0, 0.35, 0.12)) + 0.2 * _struck(
            at_s + 0.02, hz / 2, 1.2, (1.0, 0.2)
        )
    return wave


def fan(rng: np.random.Generator) -> Wave:
    """Neutral: air from a fan, even and without events."""
    return _noise(rng, 60, 4000, -0.75)


def dance(rng: np.random.Generator) -> Wave:
    """Happy: quick, bright steps in major."""
    notes = (
        523.25,
        659.25,
        783.99,
        1046.5,
        783.99,
        659.25,
        587.33,
        698.46,
        880.0,
        1174.66,
        880.0,
        783.99,
    ) * 2
    wave = np.zeros(_N)
    for step, hz in enumerate(notes):
        wave += (0.6 if step % 2 else 0.9) * _struck(step * 0.25, hz, 0.16, (1.0, 0.3, 0.18, 0.08))
    for beat in range(12):
        wave += 0.5 * _struck(beat * 0.5, (130.81, 196.0)[beat % 2], 0.18, (1.0, 0.4))
    return wave


#: By file name without ending; one for each emotion.
SOUNDS: dict[str, Callable[[np.random.Generator], Wave]] = {
    "disgust": squelch,
    "fear": heartbeat,
    "sad": lament,
    "neutral": fan,
    "happy": dance,
}
