"""How good streams and signals are: all limits, the judge of streams, and each electrode's state.

An electrode's figures come from the newest two seconds of raw EEG. A state changes only when it has been
worse for 2 s or better for 3 s, and to get better a figure must fall well below the threshold it rose above.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from acquisition.types import MODALITY_OF_KIND, Chunk, Kind, StreamHealth, StreamSpec

GOOD, SUSPECT, BAD = "good", "suspect", "bad"


class Limits(NamedTuple):
    """From which figure on something is suspect, and bad."""

    suspect: float
    bad: float


# --- limits of streams; all are chosen: a warning has to come before steps are lost ---

RATE_OVER_S = 5.0  # arriving samples are counted over this long
OFF_RATE = {  # deviation from the nominal rate, as a share of it
    Kind.EEG: Limits(0.05, 0.2),
    Kind.GAZE: Limits(0.05, 0.5),
    Kind.VIDEO: Limits(0.25, 0.8),  # cameras slow down in the dark
    Kind.AUDIO: Limits(0.05, 0.2),
}
LOST = Limits(0.01, 0.1)  # share of the samples that are missing; a step needs 90 %
STEPS_BACK = 0.01  # share of the samples whose timestamps step back
BEHIND_S = 1.0  # samples of this long waiting at one read: the program does not keep up
OTHER_CLOCK_S = 1e8  # three years: clocks that count from a computer's start never differ by as much

# --- limits of signals; where a signal is bad, trials and steps are not usable ---

MIN_VALIDITY = 0.5  # a gaze sample is valid from this validity on, to the decoder and to everybody else
GAZE_VALID = Limits(0.7, 0.5)  # share of samples; a tracker that fits its wearer has more than 0.9
FACE_FOUND = Limits(0.8, 0.5)  # share of frames
BAD_ELECTRODES = Limits(0.2, 0.5)  # share; beyond 0.2, interpolation and averaging no longer hide them
LOST_ELECTRODE = 0.5  # share of a trial's seconds: an electrode that is bad for longer is lost to it
SUSPECT_ELECTRODES = 0.1  # share that is worth a look before a session
MIN_COVERAGE = 0.5  # share of a stimulus with data
FULL_SCALE = 0.989  # sound beyond this is clipped: -0.1 dB, as 16-bit converters stop a little below 1
CLIPPED = Limits(1e-4, 0.02)  # share of the samples
QUIET_DB = -70.0  # rms of sound: quieter than any room, a voice apart
QUIETEST_DB = -120.0  # below the last bit of 16

# --- streams ---


class StreamFault(StrEnum):
    """What can be wrong with a stream, by its figures."""

    DISCONNECTED = "disconnected"
    SILENT = "silent"
    STANDS_STILL = "stands still"
    NO_SAMPLE = "no sample yet"
    LATE = "late"
    BEHIND = "behind"
    OFF_RATE = "off rate"
    LOSSES = "losses"
    OTHER_CLOCK = "other clock"
    STEPS_BACK = "steps back"


@dataclass(frozen=True)
class StreamFinding:
    """One thing that is wrong with a stream."""

    fault: StreamFault
    severity: str  # suspect | bad
    #: Seconds without a sample, behind or off LSL time; a share of the samples; for the rate, the signed
    #: deviation as a share of the nominal one. NaN where unknown.
    figure: float = math.nan


def judge_stream(kind: Kind, sfreq: float, health: StreamHealth) -> tuple[StreamFinding, ...]:
    """Return what is wrong with a stream of nominal rate ``sfreq`` (Hz, 0: irregular), the gravest first."""
    if health.is_silent:
        return (judge_silence(health),)
    if kind not in MODALITY_OF_KIND:  # markers come when they come
        return ()
    if health.n_samples == 0:
        return (StreamFinding(StreamFault.NO_SAMPLE, SUSPECT, health.age_s),)
    found = [StreamFinding(StreamFault.LATE, BAD, health.late_s)] if health.late_s > 0 else []
    if sfreq > 0:
        off = health.rate_hz / sfreq - 1 if health.n_samples >= RATE_OVER_S * sfreq else 0.0
        for fault, figure, limits in (
            (StreamFault.BEHIND, health.backlog / sfreq, Limits(BEHIND_S, math.inf)),
            (StreamFault.OFF_RATE, off, OFF_RATE[kind]),
            (StreamFault.LOSSES, health.lost_share, LOST),
        ):
            if abs(figure) > limits.suspect:
                found.append(StreamFinding(fault, BAD if abs(figure) > limits.bad else SUSPECT, figure))
    if abs(health.offset_s) > OTHER_CLOCK_S:
        found.append(StreamFinding(StreamFault.OTHER_CLOCK, SUSPECT, abs(health.offset_s)))
    if health.n_dropped > STEPS_BACK * health.n_samples:
        share = health.n_dropped / health.n_samples
        found.append(StreamFinding(StreamFault.STEPS_BACK, SUSPECT, share))
    return tuple(sorted(found, key=lambda finding: finding.severity == SUSPECT))


def judge_silence(health: StreamHealth | None) -> StreamFinding:
    """Return the finding of a stream that is known to be silent, with or without figures."""
    if health is None:
        return StreamFinding(StreamFault.SILENT, BAD)
    if not health.is_connected:
        return StreamFinding(StreamFault.DISCONNECTED, BAD, health.age_s)
    fault = StreamFault.STANDS_STILL if health.stands_still else StreamFault.SILENT
    return StreamFinding(fault, BAD, health.age_s)


def decibel(amplitude: float) -> float:
    """Return an amplitude relative to full scale in dB, `QUIETEST_DB` at least."""
    return 20 * math.log10(max(amplitude, 10 ** (QUIETEST_DB / 20)))


# --- electrodes ---

#: Hz: the electrodes' figures need this many samples.
LEAST_SFREQ = 20.0
#: Standard deviation below which a channel is flat, in the unit of the data.
FLAT_UV = 1e-3
COUNTS_FROM = 0.9  # share of equal steps: the channel counts packets
#: A channel whose samples sit at an extreme value for longer than this share of a second is at the rails.
MAX_SHARE_AT_RAIL = 0.1
#: No amplifier shows more, not even in raw 24-bit counts; the power of far larger numbers is infinite.
MOST_UV = 1e9

MAINS = "mains"

#: Standard deviation of a second of scalp EEG without its trend, artefacts included.
EEG_UV = Limits(0.1, 1000.0)
AMPLITUDE_S = 5.0  # of EEG from which its amplitude is judged

_WINDOW_S = 2.0  # bins of 0.5 Hz: the mains line fills +-1 Hz
_LEAST_S = 1.0  # less is not enough to judge
_WORSE_AFTER_S = 2.0  # chosen: one movement does not make an electrode bad
_BETTER_AFTER_S = 3.0  # chosen
_RELEASE = 0.8  # chosen: share of a threshold that a figure must fall below to count as better
_BAND_HZ = (1.0, 100.0)  # what a share of power refers to
_LINE_HZ = (50.0, 60.0)
_LINE_HALFWIDTH_HZ = 1.0
#: Cortical rhythms are weak above; scalp muscle is strongest at 20-300 Hz [Goncharova 2003].
_NOISE_FROM_HZ = 35.0
_NEARLY_FLAT_UV = 0.3  # chosen: below the input noise of common amplifiers (0.4-1 uV rms)
_POP_S = 0.02  # a period of 50 Hz: mains cancel in the mean


@dataclass(frozen=True)
class _Fault:
    """What can be wrong, its figure in words, and from which figure on it is suspect and bad.

    All thresholds but those shared with the decoder are chosen: blinks (100-300 uV over 0.2 s), alpha of
    50 uV and slow sweating stay below, an electrode that hangs loose is far above.
    """

    cause: str
    figure: str
    suspect: float
    bad: float


#: The first of `_FAULTS` explain the others: an electrode off the skin picks up mains, hence amplitude.
_N_CAUSES = 5
_FAULTS = (
    _Fault("NaN", " {:.0%}", 1e-9, 0.1),
    _Fault("flat", "", np.inf, 1.0),
    _Fault("rails", "", 0.3, 1.0),  # in units of MAX_SHARE_AT_RAIL
    _Fault("counter", "", np.inf, COUNTS_FROM),
    _Fault(MAINS, " {:.0%}", 0.25, 0.5),
    _Fault("pop", " {:.0f} µV", 150.0, 1000.0),
    _Fault("noise", " {:.0f} µV", 10.0, 30.0),  # rms; clean EEG has 1-3 µV above 35 Hz
    _Fault("drift", " {:.0f} µV/s", 150.0, 600.0),
    _Fault("amplitude", " {:.0f} µV", 500.0, 1500.0),  # peak to peak without the drift
    _Fault("nearly flat", "", 1.0, np.inf),
)
_SUSPECT_FROM = np.array([fault.suspect for fault in _FAULTS])[:, None]
_BAD_FROM = np.array([fault.bad for fault in _FAULTS])[:, None]


@np.errstate(invalid="ignore", over="ignore")  # a channel may hold anything
def share_of_equal_steps(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the share of the steps of x (n, C) that are the channel's typical one, 0 where that is 0.

    A counter of packets has one step, but where it begins again; EEG has none twice.
    """
    steps = np.diff(x, axis=0)
    if len(steps) < 2:
        return np.zeros(x.shape[1])
    typical = np.median(steps[:: -(-len(steps) // 9)], axis=0)
    return np.where(typical != 0, (np.abs(steps - typical) <= 1e-3 * np.abs(typical)).mean(axis=0), 0.0)


_ROUNDING = 1e-12  # of the largest value: what is left of a constant without its trend


def amplitude_of(x: NDArray[np.float64], sfreq: float) -> float:
    """Return the median standard deviation of the seconds of x (n, C), detrended; NaN of none.

    What is flat is left aside; where all is, it is 0.
    """
    n = max(2, round(min(sfreq, len(x) + 1.0)))
    seconds = [_detrended(x[at : at + n])[1].std(axis=0) for at in range(0, len(x) - n + 1, n)]
    found = np.array([sd for sd in np.ravel(seconds) if math.isfinite(sd)])
    varying = found[found > _ROUNDING * abs(x[np.isfinite(x)]).max()] if len(found) else found
    return float(np.median(varying)) if len(varying) else 0.0 if len(found) else math.nan


def amplitude_trouble(amplitude: float) -> str:
    """Return a sentence where EEG has an amplitude that no EEG has, else ""."""
    if amplitude == 0:
        return "the EEG is flat: its first seconds do not vary"
    if math.isnan(amplitude) or EEG_UV.suspect <= amplitude <= EEG_UV.bad:
        return ""
    limits = f"{EEG_UV.suspect:g} to {EEG_UV.bad:,.0f} µV"
    return f"the EEG's amplitude (SD of a second) is {amplitude:.2g} µV, expected {limits}: its unit is wrong"


def without_numbers(x: NDArray[np.floating], ch_names: Sequence[str]) -> str:
    """Return a sentence that names the channels of EEG (n, C) with values that are no numbers, else "".

    A tenth of a channel's values leaves hardly a step of it whole.
    """
    lost = 1 - np.isfinite(x).mean(axis=0) >= _BAD_FROM[0, 0] if len(x) else np.zeros(len(ch_names), bool)
    names = ", ".join(name for name, is_so in zip(ch_names, lost, strict=True) if is_so)
    which = f"{names} ({lost.sum()} of {len(lost)} channels)"
    return f"values of {which} are no numbers: they are not used" if names else ""


_MOST_LOST = 0.05
_NO_SOUND = "{:.0%} of the sound's samples are no numbers, or floats far beyond -1 to 1: it is not used"


class AmplitudeWatch:
    """Looks once, after some seconds of EEG or sound, whether the amplitude fits, and no channel counts."""

    def __init__(self, spec: StreamSpec) -> None:
        self.stream, self._kind, self._ch_names = spec.key, spec.kind, spec.ch_names
        self._parts: list[NDArray[np.floating]] = []
        self._sfreq, self._begin = spec.sfreq, math.nan

    def take(self, chunk: Chunk) -> str:
        """Return a sentence when the time has come and something is wrong, else ""."""
        if chunk.stream != self.stream or self._begin == math.inf or isinstance(chunk.data, tuple):
            return ""
        if math.isnan(self._begin):
            self._begin = float(chunk.times[0])
        self._parts.append(chunk.data)
        span = float(chunk.times[-1]) - self._begin
        if span < AMPLITUDE_S:
            return ""
        x = np.concatenate(self._parts).astype(np.float64)
        self._parts, self._begin = [], math.inf
        if self._kind is Kind.AUDIO:
            lost = np.isnan(x).mean()
            return _NO_SOUND.format(lost) if lost > _MOST_LOST else ""
        counts = share_of_equal_steps(x) >= COUNTS_FROM
        if counts.any():
            names = ", ".join(name for name, is_so in zip(self._ch_names, counts, strict=True) if is_so)
            return (
                f"{names} counts packets and is no electrode, and what comes after it may be one place off: "
                "map the channels in the window (Ctrl+Shift+E), or by a file for --montage"
            )
        amplitude = amplitude_of(x, self._sfreq or len(x) / span)
        if trouble := amplitude_trouble(amplitude):
            return f"{trouble}, state it with --eeg-unit" if amplitude else trouble
        return without_numbers(x, self._ch_names)


@dataclass(frozen=True)
class ChannelQuality:
    """The state of one electrode."""

    ch_name: str
    state: str  # good | suspect | bad
    reason: str  # "mains 63 %", "flat", "rails"; empty when good
    score: float  # 0 (bad) .. 1 (good), for the head map
    cause: str = ""  # the reason without its figure: "mains"


class QualityMeter:
    """Watches the electrodes of one EEG stream, sampled at 20 Hz or more.

    Mains are looked for at ``line_hz`` (50 or 60), otherwise at the one that is stronger; nothing is said
    about mains the rate cannot show.
    """

    def __init__(self, ch_names: tuple[str, ...], sfreq: float, line_hz: float | None = None) -> None:
        self._ch_names, self._sfreq = ch_names, sfreq
        self._lines = [line_hz] if line_hz else list(_LINE_HZ)
        self._lines = [hz for hz in self._lines if hz + _LINE_HALFWIDTH_HZ <= 0.95 * sfreq / 2]
        self._n_window = max(8, round(_WINDOW_S * sfreq))
        self._n_least = round(_LEAST_S * sfreq)
        self._data = np.empty((0, len(ch_names)))
        n = len(ch_names)
        self._level = np.full(n, -1)  # -1: not known yet
        self._since = np.full(n, np.nan)  # since when it has looked worse or better, LSL seconds
        self._looks = np.zeros(n, dtype=int)  # 1 worse, -1 better than the state
        self._reasons = [("", "")] * n  # what is wrong, and that with its figure
        self._scores = np.ones(n)

    def push(self, data: NDArray[np.floating], breaks: tuple[int, ...] = ()) -> None:
        """Add raw EEG (n, C) in µV; what lies before the last of ``breaks`` no longer counts."""
        if breaks:
            self._data = self._data[:0]
            data = data[max(breaks) :]
        data = data[-self._n_window :]
        self._data = np.concatenate([self._data, data])[-self._n_window :]

    def assess(self, t: float) -> tuple[ChannelQuality, ...]:
        """Return every electrode's state as of ``t``, the time of the newest sample (LSL seconds).

        Empty until there is one second of data. Call it about once a second.
        """
        if len(self._data) >= self._n_least:
            figures = self._figures(self._data)
            self._settle(figures, t)
        elif (self._level < 0).any():
            return ()
        states = (GOOD, SUSPECT, BAD)
        return tuple(
            ChannelQuality(name, states[level], reason, float(score), cause)
            for name, level, (cause, reason), score in zip(
                self._ch_names, self._level, self._reasons, self._scores, strict=True
            )
        )

    # --- figures ---

    def _figures(self, data: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (faults, C) figures in the order of `_FAULTS`."""
        with np.errstate(invalid="ignore"):
            is_finite = np.abs(data) <= MOST_UV  # NaN compares False
        missing = 1 - is_finite.mean(axis=0)
        x = data
        if missing.any():  # the mean of the others stands for it
            finite = np.where(is_finite, data, 0.0)
            x = np.where(is_finite, finite, finite.sum(0) / np.maximum(1, is_finite.sum(0)))
        newest = x[-self._n_least :]
        is_flat = newest.std(axis=0) <= FLAT_UV
        at_rail = np.maximum((newest == newest.min(0)).mean(0), (newest == newest.max(0)).mean(0))
        slope, rest = _detrended(x)
        mains, noise = self._spectral(rest)
        rms = np.sqrt((rest**2).mean(0))
        figures = np.stack(
            [
                missing,
                is_flat.astype(float),
                np.where(is_flat, 0.0, at_rail / MAX_SHARE_AT_RAIL),
                share_of_equal_steps(newest),
                mains,
                self._largest_step(rest),
                noise,
                np.abs(slope) * self._sfreq,
                np.ptp(rest, axis=0),
                (rms < _NEARLY_FLAT_UV).astype(float),
            ]
        )
        # A flat channel, or one whose values are mostly missing, has nothing else to tell.
        figures[2:, is_flat | (missing >= _FAULTS[0].bad)] = 0.0
        return figures

    def _spectral(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mains' share of power and the rms above 35 Hz without mains in µV, each (C,)."""
        n = len(x)
        window = np.hanning(n + 1)[:-1]
        spectrum = np.fft.rfft((x * window[:, None]).T, axis=1)  # (C, n_freqs)
        power = (spectrum.real**2 + spectrum.imag**2) * (2 / (n * (window**2).sum()))  # µV² a bin
        freqs = np.fft.rfftfreq(n, 1 / self._sfreq)
        top = min(_BAND_HZ[1], 0.95 * self._sfreq / 2)
        total = power[:, (freqs >= _BAND_HZ[0]) & (freqs <= top)].sum(1) + 1e-12
        near = {hz: np.abs(freqs - hz) <= _LINE_HALFWIDTH_HZ + 1e-9 for hz in self._lines}
        shares = {hz: power[:, at].sum(1) / total for hz, at in near.items()}
        line = max(shares, key=lambda hz: float(shares[hz].sum()), default=None)
        high = (freqs >= _NOISE_FROM_HZ) & (freqs <= top)
        if line is not None:
            high &= ~(np.abs(freqs - line) <= 2 * _LINE_HALFWIDTH_HZ)
        noise = np.sqrt(power[:, high].sum(1))
        return (np.zeros(x.shape[1]) if line is None else shares[line]), noise

    def _largest_step(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the largest step, (C,) µV: mean of 20 ms after a moment minus 20 ms before it.

        Half of the steps 20 ms earlier and later are taken off: a slow slope, a blink's or a delta wave's,
        has them too, a step stands alone.
        """
        n = max(1, round(_POP_S * self._sfreq))
        total = np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(x, axis=0)])
        means = (total[n:] - total[:-n]) / n
        steps = means[n:] - means[:-n]
        return np.abs(steps[n:-n] - (steps[2 * n :] + steps[: -2 * n]) / 2).max(axis=0)

    # --- states ---

    def _settle(self, figures: NDArray[np.float64], t: float) -> None:
        rises = _levels(figures)
        stays = _levels(figures / _RELEASE)
        enters, holds = rises.max(0), stays.max(0)
        is_new = self._level < 0
        self._level = np.where(is_new, enters, self._level)
        looks = np.where(enters > self._level, 1, np.where(holds < self._level, -1, 0))
        self._since = np.where((looks != self._looks) | np.isnan(self._since), t, self._since)
        self._looks = looks
        # The second that was looked at counts: it has been so since a second before ``t`` at least.
        lasted = t - self._since + _LEAST_S
        worse, better = (looks > 0) & (lasted >= _WORSE_AFTER_S), (looks < 0) & (lasted >= _BETTER_AFTER_S)
        self._level = np.where(worse, enters, np.where(better, holds, self._level))
        self._since = np.where(worse | better, t, self._since)
        scores = [_score(row, fault.suspect, fault.bad) for row, fault in zip(figures, _FAULTS, strict=True)]
        self._scores = np.min(scores, axis=0)
        for at, level in enumerate(self._level):
            self._reasons[at] = self._reason(at, int(level), figures[:, at], stays[:, at])

    def _reason(
        self, at: int, level: int, figures: NDArray[np.float64], stays: NDArray[np.intp]
    ) -> tuple[str, str]:
        """Return cause and reason of a channel's state; the last ones while it only waits to get better."""
        if level == 0:
            return "", ""
        present = np.flatnonzero(stays >= level)
        if len(present) == 0:
            return self._reasons[at]
        # A cause is named before what it entails; otherwise what exceeds its threshold most.
        is_cause = present[0] < _N_CAUSES
        fault = int(present[0] if is_cause else max(present, key=lambda i: figures[i] / _FAULTS[i].suspect))
        cause, figure = _FAULTS[fault].cause, _FAULTS[fault].figure
        return cause, cause + figure.format(figures[fault]).replace("%", " %")


def _levels(figures: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return 0 good, 1 suspect, 2 bad for each fault and channel."""
    return np.where(figures >= _BAD_FROM, 2, np.where(figures >= _SUSPECT_FROM, 1, 0))


def _score(figure: NDArray[np.float64], suspect: float, bad: float) -> NDArray[np.float64]:
    """Return (C,) scores: 1 without the fault, 0.6 where suspicion begins, 0.2 where bad begins."""
    if np.isinf(suspect):
        return np.where(figure >= bad, 0.0, 1.0)
    if np.isinf(bad):
        return np.where(figure >= suspect, 0.4, 1.0)
    return np.interp(figure, [0.0, suspect, bad, 2 * bad], [1.0, 0.6, 0.2, 0.0])


@np.errstate(invalid="ignore", over="ignore")  # a channel may hold anything
def _detrended(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each channel's slope per sample (C,) and what is left without line and mean (n, C)."""
    at = np.arange(len(x)) - (len(x) - 1) / 2
    centred = x - x.mean(0)
    slope = at @ centred / (at @ at)
    return slope, centred - at[:, None] * slope
