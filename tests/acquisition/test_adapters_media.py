"""Audio, video and markers."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest

from acquisition.errors import ErrorCode, InputError
from acquisition.intake import make_adapter
from acquisition.quality import AmplitudeWatch
from acquisition.types import Chunk, Kind, StreamHeader


def header(type_: str, fmt: str, n_channels: int = 1, **encoding: str) -> StreamHeader:
    return StreamHeader("s", type_, "id", "host", "uid", 16000.0, n_channels, fmt, encoding=encoding)


@pytest.mark.parametrize(
    ("fmt", "dtype", "half"),
    [("int16", np.int16, 2**14), ("int32", np.int32, 2**30), ("float32", np.float32, 0.5)],
)
def test_audio_is_scaled_to_one(fmt: str, dtype: type, half: float) -> None:
    adapter = make_adapter(header("Audio", fmt), "k", Kind.AUDIO)
    data = adapter.convert(np.array([[half], [-half]], dtype=dtype))
    assert isinstance(data, np.ndarray)
    assert data.dtype == np.float32
    np.testing.assert_array_equal(data, [[0.5], [-0.5]])
    assert adapter.spec.sfreq == 16000.0


def test_stereo_is_averaged() -> None:
    adapter = make_adapter(header("Audio", "int16", 2), "k", Kind.AUDIO)
    np.testing.assert_array_equal(adapter.convert(np.array([[16384, 0]], dtype=np.int16)), [[0.25]])
    assert "averaged" in adapter.spec.notes[0]


def test_text_is_no_audio() -> None:
    with pytest.raises(InputError):
        make_adapter(header("Audio", "string"), "k", Kind.AUDIO)


def test_integers_sent_as_floats_have_no_scale_and_are_not_used() -> None:
    adapter = make_adapter(header("Audio", "float32"), "k", Kind.AUDIO)
    data = adapter.convert(np.array([[0.5], [1.2], [9000.0]], dtype=np.float32))
    np.testing.assert_array_equal(data, np.array([[0.5], [1.2], [np.nan]], dtype=np.float32))
    watch = AmplitudeWatch(adapter.spec)
    times = np.arange(6 * 16000) / 16000
    sound = adapter.convert(np.full((len(times), 1), 9000.0, np.float32))
    assert watch.take(Chunk("k", 0, sound, times))


def test_a_rate_at_which_no_voice_can_be_heard_is_refused() -> None:
    with pytest.raises(InputError) as error:
        make_adapter(replace(header("Audio", "float32"), nominal_sfreq=43.0), "k", Kind.AUDIO)
    assert error.value.code is ErrorCode.CHANNELS


JPEG = b"\xff\xd8\x00\x01\xff\xd9"


@pytest.mark.parametrize("codec", ["JPEG", "jpg", "MJPEG", "image/jpeg"])
def test_a_base64_picture_becomes_its_bytes(codec: str) -> None:
    adapter = make_adapter(header("VideoCompressed", "string", codec=codec), "k", Kind.VIDEO)
    text = base64.b64encode(JPEG)
    rows = [[text.decode()], [text], [b"data:image/jpeg;base64," + text], [JPEG], ["no picture!"], [""]]
    assert adapter.convert(rows) == (JPEG, JPEG, JPEG, JPEG, b"", b"")


def test_an_unstated_codec_is_noted_and_an_unknown_one_refused() -> None:
    assert make_adapter(header("VideoCompressed", "string"), "k", Kind.VIDEO).spec.notes
    with pytest.raises(InputError) as error:
        make_adapter(header("VideoCompressed", "string", codec="h264"), "k", Kind.VIDEO)
    assert error.value.code is ErrorCode.CHANNELS


@pytest.mark.parametrize(
    ("colour", "pixel", "bgr"),
    [("RGB", [200, 2, 3], [3, 2, 200]), ("bgra", [1, 2, 200, 9], [1, 2, 200]), ("gray", [200], [200] * 3)],
)
def test_raw_pixels_become_bgr(colour: str, pixel: list[int], bgr: list[int]) -> None:
    raw = header("VideoRaw", "int8", 6 * len(pixel), width="3", height="2", color_format=colour)
    values = np.array([pixel * 6], dtype=np.uint8).view(np.int8)
    (picture,) = make_adapter(raw, "k", Kind.VIDEO).convert(values)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, np.tile(bgr, (2, 3, 1)))


@pytest.mark.parametrize("full", [1.0, 255.0])
def test_float_pixels_from_0_to_1_or_to_255_are_told_apart(full: float) -> None:
    raw = header("VideoRaw", "float32", 12, width="2", height="2", color_format="RGB")
    values = np.tile(np.array([full, full * 0.4, 0.0], np.float32), 4)[None]
    (picture,) = make_adapter(raw, "k", Kind.VIDEO).convert(values)
    np.testing.assert_array_equal(picture, np.tile([0, 102, 255], (2, 2, 1)))


@pytest.mark.parametrize(
    "encoding",
    [
        {},
        {"width": "3", "height": "2", "color_format": "yuv"},
        {"width": "x", "height": "2", "color_format": "rgb"},
        {"width": "inf", "height": "2", "color_format": "rgb"},
        {"width": "1e300", "height": "1e300", "color_format": "rgb"},
    ],
)
def test_raw_video_of_unknown_encoding_is_refused(encoding: dict[str, str]) -> None:
    with pytest.raises(InputError) as error:
        make_adapter(header("VideoRaw", "int8", 18, **encoding), "k", Kind.VIDEO)
    assert error.value.code is ErrorCode.CHANNELS


def test_raw_video_of_another_size_is_refused_with_both_values() -> None:
    with pytest.raises(InputError, match="needs 18 channels, but the stream has 12"):
        make_adapter(
            header("VideoRaw", "int8", 12, width="3", height="2", color_format="rgb"), "k", Kind.VIDEO
        )


def test_markers_of_any_format_become_text() -> None:
    adapter = make_adapter(header("Markers", "string"), "k", Kind.MARKERS)
    assert adapter.convert([["111.0000000000000"], [b"go"], ["1.50"], [""]]) == ("111", "go", "1.50", "")
    assert adapter.convert(np.array([[3, 4]], dtype=np.int32)) == ("3|4",)
    assert adapter.convert(np.array([[0.1]], dtype=np.float32)) == ("0.1",)
    assert adapter.spec.sfreq == 0.0


def test_other_kinds_are_an_input_error() -> None:
    with pytest.raises(InputError) as error:
        make_adapter(header("ACC", "float32"), "k", Kind.OTHER)
    assert error.value.code is ErrorCode.WRONG_STREAM
