"""Faces are found in every frame of real clips; a broken frame is None and nothing worse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from acquisition.errors import ErrorCode, InputError
from acquisition.simulator.behaviour import Behaviour, Schedule
from acquisition.simulator.face import DrawnFace
from acquisition.simulator.subject import SimulatedSubject
from models.features.config import FeatureConfig
from models.features.face import FaceFinder, crop_face, decode_frame, jpeg_size

cv2 = pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


def frames_of(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        ok, image = capture.read()
        if not ok:
            return frames
        frames.append(image)


def test_a_face_is_found_in_95_percent_of_real_frames(finder, real_data):
    clips = sorted((real_data / "video").glob("*.mpg"))
    assert clips
    for clip in clips:
        frames = frames_of(clip)[::2]
        n_found = sum(finder.find(frame) is not None for frame in frames)
        assert n_found >= 0.95 * len(frames), clip.name


def test_the_simulators_drawn_face_is_found(finder):
    for seed in range(4):
        schedule = Schedule.parse("disgust:20,fear:20,sad:20,neutral:20,happy:20")
        drawn = DrawnFace(Behaviour(SimulatedSubject(seed), schedule))
        found = [finder.find(drawn.picture(t)) is not None for t in np.arange(0.0, 100.0, 5.0)]
        assert np.mean(found) >= 0.95, seed


def test_the_box_lies_on_the_face_and_depends_on_its_frame_alone(finder, real_data):
    image = cv2.imread(str(real_data / "face" / "astronaut.png"))
    first = finder.find(image)
    x, y, w, h = first
    assert 175 <= x + w / 2 <= 268
    assert 70 <= y + h / 2 <= 163
    finder.find(image[:, ::-1].copy())
    assert finder.find(image) == first
    assert FaceFinder().find(image) == first


def test_the_largest_of_two_faces_wins(finder, real_data):
    face = cv2.imread(str(real_data / "face" / "astronaut.png"))[30:230, 120:320]
    image = np.full((420, 640, 3), 128, np.uint8)
    image[20:120, 20:120] = cv2.resize(face, (100, 100))
    image[100:400, 300:600] = cv2.resize(face, (300, 300))
    x, _, _, _ = finder.find(image)
    assert x > 300


def test_no_face_is_none(finder):
    assert finder.find(np.full((240, 320, 3), 90, np.uint8)) is None


def test_jpeg_and_array_are_decoded_alike_and_broken_ones_are_none():
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    assert decode_frame(jpeg).shape == (48, 64, 3)
    assert decode_frame(image) is image
    assert decode_frame(image[:, :, 0]).shape == (48, 64, 3)
    for broken in (b"", b"not a picture", jpeg[:20], np.zeros((4, 4, 2), np.uint8), image.astype(float)):
        assert decode_frame(broken) is None


def test_a_frame_of_absurd_size_is_no_picture():
    jpeg = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    size = (48).to_bytes(2, "big") + (64).to_bytes(2, "big")
    assert jpeg_size(jpeg) == (64, 48)
    with_filling = jpeg[:2] + b"\x07\xff\xff" + jpeg[2:]  # which decoders skip
    assert jpeg_size(with_filling) == (64, 48)
    bomb = jpeg.replace(size, (20_000).to_bytes(2, "big") * 2)
    assert jpeg_size(bomb) == (20_000, 20_000)
    assert decode_frame(bomb) is None
    assert decode_frame(b"\xff\xd8" + b"\xff\xe0\x00\x02" * 2000 + bomb[2:]) is None
    assert decode_frame(np.broadcast_to(np.zeros(3, np.uint8), (20_000, 20_000, 3))) is None


def test_crop_is_rgb_between_minus_one_and_one():
    image = np.zeros((100, 100, 3), np.uint8)
    image[:, :, 0] = 255  # blue, in BGR
    crop = crop_face(image, (30, 30, 40, 40))
    assert crop.shape == (3, 224, 224)
    assert crop.dtype == torch.float32
    assert torch.equal(crop[2], torch.ones(224, 224))
    assert torch.equal(crop[:2], -torch.ones(2, 224, 224))


def test_crop_equals_the_vit_processors_normalisation():
    transformers = pytest.importorskip("transformers")
    image = np.random.default_rng(0).integers(0, 255, (224, 224, 3), np.uint8)
    ours = crop_face(image, (0, 0, 224, 224), FeatureConfig(face_margin=0.0))
    processor = transformers.ViTImageProcessor(do_resize=False)
    theirs = processor(image[:, :, ::-1].copy(), return_tensors="pt")["pixel_values"][0]
    assert (ours - theirs).abs().max() < 1e-6


def test_crop_over_the_edge_keeps_its_centre():
    image = np.zeros((100, 100, 3), np.uint8)
    image[:50, :50] = 255
    crop = crop_face(image, (-20, -20, 140, 140), FeatureConfig(face_margin=0.0))
    assert crop[0, 50, 50] == 1.0
    assert crop[0, 170, 170] == -1.0
    with pytest.raises(InputError) as caught:
        crop_face(image, (500, 500, 20, 20))
    assert caught.value.code == ErrorCode.DATA
