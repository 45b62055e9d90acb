"""What the five emotions do to a simulated person: the effect that all subjects share.

One table a modality; a row is a latent parameter, its columns are the emotions in the order of
`EMOTIONS`. The unit is the standard deviation of that parameter from trial to trial. Directions follow
the literature loosely (frontal alpha asymmetry with valence, temporal beta and gamma with joy, pupil
with arousal, pitch and energy with arousal). The tables are built so that each modality confuses other
pairs: EEG fear with disgust, eyes sad with neutral and disgust with happy, the face fear with sad and
disgust with neutral, the voice fear with happy and disgust with neutral.
"""

from __future__ import annotations

EMOTIONS = ("disgust", "fear", "sad", "neutral", "happy")

#: Latent parameters by modality: name -> effect of disgust, fear, sad, neutral, happy.
POPULATION_EFFECTS: dict[str, dict[str, tuple[float, ...]]] = {
    "eeg": {
        "alpha_asymmetry": (-0.9, -0.7, -0.5, 0.4, 1.7),  # right minus left frontal alpha
        "posterior_alpha": (-0.5, -0.8, 0.4, 1.5, -0.6),
        "temporal_beta": (0.1, 0.3, -0.7, -0.8, 1.1),
        "temporal_gamma": (0.3, 0.4, -0.9, -1.0, 1.2),
        "frontal_theta": (0.6, 0.3, 1.0, -1.2, -0.7),
        "central_delta": (0.4, 0.3, 0.6, -0.8, -0.5),
    },
    "eye": {
        "pupil": (0.3, 1.8, -0.9, -1.0, -0.2),
        "pupil_waves": (0.2, 1.0, -0.6, -0.5, -0.1),
        "dispersion": (-0.6, 1.1, -0.7, -0.3, 0.5),
        "fixation_duration": (0.4, -1.3, 0.9, 0.5, -0.5),
        "blink_rate": (-0.1, -1.0, -0.3, 0.9, 0.5),
    },
    "face": {
        "mouth_curve": (-0.6, -0.8, -1.1, 0.2, 2.3),
        "mouth_open": (-0.2, 0.8, -0.5, -0.6, 0.5),
        "brow_slant": (-0.9, 0.8, 1.1, -0.3, -0.7),  # inner ends up
        "brow_height": (-0.9, 0.7, 0.3, -0.3, 0.2),
        "eye_opening": (-0.6, 0.9, -0.3, 0.2, -0.2),
        "head_drop": (0.1, 0.1, 0.7, -0.4, -0.5),
    },
    "voice": {
        "pitch": (-0.3, 1.1, -1.2, -0.5, 0.9),
        "pitch_range": (-0.2, 0.5, -1.1, -0.4, 1.2),
        "energy": (0.2, 0.5, -1.4, 0.1, 0.6),
        "speech_rate": (-0.4, 0.9, -1.1, 0.2, 0.4),
        "brightness": (0.3, 0.4, -1.1, 0.0, 0.4),
    },
}

#: How strongly each modality shows the emotion at default difficulty. With these a linear classifier of
#: the latent parameters themselves, which no feature can beat by much, names the emotion of a trial of
#: an unseen subject in 50-52 % of trials by one modality and in 84 % by all four; with the person's own
#: level known, all four name it in 95 %.
MODALITY_STRENGTH = {"eeg": 0.95, "eye": 1.1, "face": 0.95, "voice": 1.2}
