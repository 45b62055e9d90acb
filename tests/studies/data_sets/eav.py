"""Generates a folder like EAV: EEG, drawn faces and a synthetic voice."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat, wavfile

from acquisition.errors import InputError
from acquisition.simulator.behaviour import Behaviour, FollowedTimeline
from acquisition.simulator.face import DrawnFace
from acquisition.simulator.subject import SimulatedSubject, effect_size, substream
from acquisition.simulator.voice import SFREQ as VOICE_SFREQ
from acquisition.simulator.voice import voice_blocks
from models.datasets.eav import CH_NAMES, LABELS, SFREQ, TASKS
from tests.studies.data_sets.generator import GeneratedSubject, signal, structure
from tests.studies.data_sets.options import MakeOptions, OnDone, each_subject, make_empty_folder, write_notice
from tests.studies.papers.eav_clips import VIDEO_FPS

#: The simulator knows five emotions, two of them others than EAV's: they stand in.
EMOTION_OF = {
    "neutral": "neutral",
    "sadness": "sad",
    "anger": "disgust",
    "happiness": "happy",
    "calmness": "fear",
}
N_TRIALS, N_TRIALS_PUBLISHED = 40, 200
TRIAL_S = 20.0
_SEGMENT_S = 5
_WIDTH, _HEIGHT = 160, 120
_DRAWN_FPS = 5.0  # each drawn picture is shown six times


def make_eav(options: MakeOptions, on_done: OnDone = lambda n_done: None) -> None:
    """Write EEG, video and audio of generated subjects."""
    n_trials, n_seconds = _sizes(options)
    effect_size(options.difficulty)
    make_empty_folder(options.folder)
    each_subject(_write_subject, options, on_done)
    write_notice(
        options.folder,
        "EAV",
        options.command("eav"),
        f"{options.subjects} subjects, {n_trials} trials of {n_seconds} s, every second one speaking "
        "(published: 42 subjects, 200 trials of 20 s).\n"
        "Faces are drawn and voices synthetic. The simulator's disgust stands in for anger, its fear for "
        "calmness:\nthe classes are distinct, but their names are arbitrary.\n",
    )


def _sizes(options: MakeOptions) -> tuple[int, int]:
    n_trials = options.n_trials(N_TRIALS, 2 * 2 * len(LABELS), N_TRIALS_PUBLISHED)
    if n_trials % (len(TASKS) * len(LABELS)):
        raise InputError(f"expected a multiple of 10, found {n_trials}", where="--trials")
    return n_trials, options.seconds(TRIAL_S, _SEGMENT_S, _SEGMENT_S)


def _classes(options: MakeOptions, subject: int, n_trials: int) -> list[int]:
    """Return the class of each trial: pairs of listening and speaking, classes in random order."""
    rng = substream(options.seed, "eav order", subject)
    n_rounds = n_trials // (len(TASKS) * len(LABELS))
    pairs = np.concatenate([rng.permutation(len(LABELS)) for _ in range(n_rounds)])
    return np.repeat(pairs, len(TASKS)).tolist()


def _write_subject(options: MakeOptions, subject: int) -> None:
    n_trials, n_seconds = _sizes(options)
    classes = _classes(options, subject, n_trials)
    # Both ways of writing the folder and the variable occur in copies of the set.
    folder = options.folder / (f"subject{subject}" if subject % 2 else f"subject{subject:02d}")
    for part in ("EEG", "Video", "Audio"):
        (folder / part).mkdir(parents=True)
    _write_eeg(options, subject, classes, n_seconds, folder / "EEG")
    simulated = SimulatedSubject(1000 * options.seed + subject, options.difficulty)
    _write_videos(simulated, classes, n_seconds, folder / "Video")
    _write_audio(simulated, classes, n_seconds, folder / "Audio")


def _write_eeg(options: MakeOptions, subject: int, classes: list[int], n_seconds: int, folder: Path) -> None:
    model = GeneratedSubject(options.seed, subject, structure(CH_NAMES), options.difficulty)
    rng = substream(options.seed, "eav files", subject)
    seg = np.empty((round(n_seconds * SFREQ), len(CH_NAMES), len(classes)))
    label = np.zeros((len(LABELS) * len(TASKS), len(classes)))
    for at, number in enumerate(classes):
        de = model.eeg_trial(1, at + 1, EMOTION_OF[LABELS[number]], n_seconds)
        seg[:, :, at] = signal(de.reshape(n_seconds, len(CH_NAMES), -1), CH_NAMES, SFREQ, rng).T
        label[len(TASKS) * number + at % len(TASKS), at] = 1
    name = "seg1" if subject % 2 else "seg"
    savemat(folder / f"subject{subject}_eeg.mat", {name: seg}, do_compression=True)
    savemat(folder / f"subject{subject}_eeg_label.mat", {"label": label})


def _stem(at: int, number: int) -> str:
    """Return a trial's file name without ending."""
    return f"{at + 1:03d}_Trial_{at + 1:02d}_{TASKS[at % 2].capitalize()}_{LABELS[number].capitalize()}"


def _living(simulated: SimulatedSubject, classes: list[int], n_seconds: int) -> Behaviour:
    """Return the subject living through these classes, one after the other."""
    timeline = FollowedTimeline()
    for at, number in enumerate(classes):
        timeline.begin(EMOTION_OF[LABELS[number]], float(at * n_seconds))
    return Behaviour(simulated, timeline)


def _write_videos(simulated: SimulatedSubject, classes: list[int], n_seconds: int, folder: Path) -> None:
    import cv2

    face = DrawnFace(_living(simulated, classes, n_seconds))
    codec = cv2.VideoWriter.fourcc(*"mp4v")
    for at, number in enumerate(classes):
        path = folder / f"{_stem(at, number)}.mp4"
        writer = cv2.VideoWriter(str(path), codec, VIDEO_FPS, (_WIDTH, _HEIGHT))
        for i in range(round(n_seconds * _DRAWN_FPS)):
            picture = face.picture(at * n_seconds + i / _DRAWN_FPS)
            small = cv2.resize(picture, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA)
            for _ in range(round(VIDEO_FPS / _DRAWN_FPS)):
                writer.write(small)
        writer.release()


def _write_audio(simulated: SimulatedSubject, classes: list[int], n_seconds: int, folder: Path) -> None:
    spoken = [(at, number) for at, number in enumerate(classes) if TASKS[at % 2] == "speaking"]
    blocks = voice_blocks(_living(simulated, [number for _, number in spoken], n_seconds))
    n = round(n_seconds * VOICE_SFREQ)
    left: NDArray[np.float64] = np.zeros(0)
    for at, number in spoken:
        while len(left) < n:
            left = np.concatenate([left, next(blocks)[:, 0]])
        wave, left = np.round(left[:n] * 32767).astype(np.int16), left[n:]
        ending = "_Aud" if at % 4 == 1 else "_aud"  # both occur
        wavfile.write(folder / f"{_stem(at, number)}{ending}.wav", round(VOICE_SFREQ), wave)
