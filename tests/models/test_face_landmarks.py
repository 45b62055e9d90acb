"""Eye aspect ratio, blinks and head pose of landmarks, without weights and with the published ones."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from acquisition.simulator.face import DrawnFace
from acquisition.simulator.source import SimulatorOptions
from models.encoders.expression import LandmarkNet
from models.features.face import (
    _HEAD,
    _HEAD_POINTS,
    FaceFinder,
    FaceMeter,
    crop_face,
    eye_aspect_ratio,
    head_pose,
    square_around,
)
from models.features.gaze_events import find_blinks
from models.weights import install, load_installed

cv2 = pytest.importorskip("cv2")

FPS = 15.0


def test_eye_aspect_ratio_is_height_over_width():
    eye = np.array([(0, 0), (1, 1), (3, 1), (4, 0), (3, -1), (1, -1)], float)
    assert eye_aspect_ratio(eye) == 0.5
    assert eye_aspect_ratio(eye * (2.0, 0.2) + 7) == pytest.approx(0.05)
    assert math.isnan(eye_aspect_ratio(np.zeros((6, 2))))


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(25, 0, 0), (0, -15, 0), (-20, 10, 0), (0, 0, 30)])
def test_head_pose_is_that_of_a_turned_mean_head(yaw, pitch, roll):
    y, p, r = np.radians((yaw, pitch, roll))
    back = np.array([-np.sin(y) * np.cos(p), np.sin(p), np.cos(y) * np.cos(p)])  # away from where it looks
    right = np.cross([0, 1, 0], back) / np.linalg.norm(np.cross([0, 1, 0], back))
    turned = np.stack([right, np.cross(back, right), back], axis=1)
    in_picture = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    points = np.zeros((68, 2))
    points[_HEAD_POINTS] = 12 * (_HEAD @ (in_picture @ turned).T)[:, :2] + (200, 150)
    np.testing.assert_allclose(head_pose(points), (yaw, pitch, roll), atol=1e-6)


class Lids(LandmarkNet):
    """A face of fixed landmarks, whose eyes have the height that ``lids`` says."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)
        self.lids = iter(())

    def forward(self, frames):
        points = np.full((68, 2), 0.5)
        points[_HEAD_POINTS] = 0.04 * _HEAD[:, :2] + 0.5
        eye = np.array([(0, 0), (1, 1), (3, 1), (4, 0), (3, -1), (1, -1)]) * (1, 0.6 * next(self.lids))
        points[36:42], points[42:48] = 0.05 * eye + (0.2, 0.4), 0.05 * eye + (0.6, 0.4)
        return torch.from_numpy(points)[None].float()


@pytest.fixture(scope="module")
def picture():
    return DrawnFace(SimulatorOptions(seed=5).person()).jpeg(0.3)


def metered(lids, picture, fps=FPS):
    """Return a meter that has measured a face with such lids, and its times."""
    net = Lids()
    net.lids = iter(lids)
    meter, times = FaceMeter(net), np.arange(len(lids)) / fps + 100.0
    for t in times:
        meter.take([t], [picture])
        meter.measure()
    return meter, times


def test_short_drops_of_the_eye_aspect_ratio_are_blinks(picture):
    lids = np.ones(12 * int(FPS))
    lids[30:33] = 0.9  # 0.2 s: a blink, by a net that hardly closes an eye
    lids[60:75] = 0.9  # a second: not a blink
    lids[100] = 0.99  # noise
    lids[110:] = 0.8  # other light, or another posture
    meter, times = metered(lids, picture)
    assert meter.blinks(times[-1]) == [(times[30], times[33])]
    there = meter.at(times[31])
    assert there.is_blinking
    assert math.isnan(there.blinks_per_min)  # of two seconds
    end = meter.at(times[-1])
    assert end.is_blinking is False
    assert end.blinks_per_min == pytest.approx(60 / (times[-1] - times[0]))
    assert end.eye_aspect_left == pytest.approx(0.3 * 0.8, rel=1e-4)
    assert abs(end.yaw_deg) < 0.5
    assert meter.at(times[-1] + 1.5) is None  # the camera stopped


def test_a_frame_without_a_face_has_no_values(picture):
    meter, times = metered([1.0] * 3, picture)
    meter.take([times[-1] + 0.1], [b"no picture"])
    meter.measure()
    found = meter.at(times[-1] + 0.1)
    assert found.is_blinking is None
    assert math.isnan(found.eye_aspect_left)


def test_memory_is_bounded_whether_it_measures_or_not(picture):
    meter, times = metered([1.0], picture)
    meter.take(times[-1] + 1 + np.arange(1000) / FPS, [b"no picture"] * 1000)
    meter.measure()
    assert len(meter._rows) == 64  # the oldest frames that waited were dropped
    meter.take(np.array([1e6]), [b"no picture"])
    meter.measure()
    assert len(meter._rows) == 1  # and rows older than a minute


# --- with the published weights ---


@pytest.fixture(scope="module")
def net(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> LandmarkNet:
    root = tmp_path_factory.mktemp("weights")
    install("face-landmarks", root, real_data / "weights" / "face-api")
    return LandmarkNet(load_installed("face-landmarks", root).tensors)


@pytest.mark.real_data
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_the_astronauts_eyes_are_open_and_inside_the_box(net, real_data, is_mirrored):
    image = cv2.imread(str(real_data / "face" / "astronaut.png"))
    image = image[:, ::-1].copy() if is_mirrored else image
    meter = FaceMeter(net)
    box = FaceFinder().find(image)
    left, top, side = square_around(box, 0.0)
    points = net(crop_face(image, box, meter._config)[None])[0].numpy() * side + (left, top)
    x, y, w, h = box
    eyes = points[36:48] - (x, y)
    assert (eyes > 0).all()
    assert (eyes < (w, h)).all()
    assert eyes[:6, 0].max() < w / 2 < eyes[6:, 0].min()  # the participant's right eye is at the left
    eye_y, nose_y, mouth_y = points[36:48, 1].mean(), points[30, 1], points[48:68, 1].mean()
    assert eye_y + 15 < nose_y < mouth_y - 5
    meter.take([1.0], [image])
    meter.measure()
    found = meter.at(1.0)
    assert 0.25 < found.eye_aspect_left < 0.35
    assert 0.25 < found.eye_aspect_right < 0.35
    assert abs(found.yaw_deg) < 5
    assert abs(found.roll_deg) < 5
    assert abs(found.pitch_deg) < 15


#: First frames with closed eyes, counted by eye on contact sheets; the blink that the clip's end cuts is not
#: here.
SEEN = {"bbaf2n": [43, 50], "brbk7n": [21], "id2_vcd_swwp2s": [26, 43], "lbax4n": [27], "lbbc2a": []}


@pytest.mark.real_data
@pytest.mark.parametrize("clip", sorted(SEEN))
def test_blinks_of_real_clips_are_those_seen_by_eye(net, real_data, clip):
    capture, frames = cv2.VideoCapture(str(real_data / "video" / f"{clip}.mpg")), []
    while (got := capture.read())[0]:
        frames.append(got[1])
    times, meter = np.arange(len(frames)) / 25.0, FaceMeter(net)
    for t, frame in zip(times, frames, strict=True):
        meter.take([t], [frame])
        meter.measure()
    onsets = [round(25 * onset) for onset, _ in meter.blinks(times[-1])]
    print(clip, "seen", SEEN[clip], "measured", onsets)
    assert len(onsets) == len(SEEN[clip])
    assert all(abs(a - b) <= 2 for a, b in zip(onsets, SEEN[clip], strict=True))


@pytest.mark.real_data
def test_most_blinks_of_a_drawn_face_are_found(net):
    person = SimulatorOptions(seed=5, schedule="random:15").person()
    face, times, meter = DrawnFace(person), np.arange(0, 15, 1 / FPS), FaceMeter(net)
    for t in times:
        meter.take([t], [face.jpeg(t)])
        meter.measure()
    true = find_blinks(times, person.lid_closure(times) < 0.5)
    found = meter.blinks(times[-1])
    n_right = sum(any(a[0] < b[1] + 0.1 and a[1] > b[0] - 0.1 for b in true) for a in found)
    assert len(true) >= 3
    assert n_right >= 0.7 * max(len(true), len(found))
