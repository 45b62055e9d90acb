"""Every gaze layout becomes the same five columns."""

from __future__ import annotations

import numpy as np
import pytest

from acquisition.adapters import AdapterOptions, parse_screen_cm
from acquisition.errors import ErrorCode, InputError
from acquisition.header import parse_header
from acquisition.intake import make_adapter
from acquisition.types import Kind, StreamHeader

NAN = float("nan")


def gaze_header(channels: list[dict[str, str]], name: str = "tracker", desc: str = "") -> StreamHeader:
    rows = "".join(
        "<channel>" + "".join(f"<{tag}>{text}</{tag}>" for tag, text in channel.items()) + "</channel>"
        for channel in channels
    )
    return parse_header(
        f"<info><name>{name}</name><type>Gaze</type><channel_count>{len(channels)}</channel_count>"
        f"<nominal_srate>0</nominal_srate><channel_format>double64</channel_format>"
        f"<desc>{desc}<channels>{rows}</channels></desc></info>"
    )


def labelled(*labels: str, unit: str = "") -> list[dict[str, str]]:
    return [{"label": label, "unit": unit} for label in labels]


def converted(header: StreamHeader, rows: list[list[float]], **options: object) -> np.ndarray:
    data = make_adapter(header, "k", Kind.GAZE, AdapterOptions(**options)).convert(np.array(rows))  # type: ignore[arg-type]
    assert isinstance(data, np.ndarray)
    return data


PUPIL_CORE = gaze_header(
    [
        {"label": "confidence", "eye": "both", "type": "Confidence", "unit": "normalized"},
        {"label": "norm_pos_x", "eye": "both", "type": "ScreenX", "unit": "normalized"},
        {"label": "norm_pos_y", "eye": "both", "type": "ScreenY", "unit": "normalized"},
        *(
            {"label": f"gaze_point_3d_{a}", "eye": "both", "type": f"Direction{a.upper()}", "unit": "mm"}
            for a in "xyz"
        ),
        *(
            {"label": f"eye_center{i}_3d_{a}", "eye": eye, "type": f"Position{a.upper()}", "unit": "mm"}
            for i, eye in enumerate(("right", "left"))
            for a in "xyz"
        ),
        *(
            {"label": f"gaze_normal{i}_{a}", "eye": eye, "type": f"Position{a.upper()}", "unit": "mm"}
            for i, eye in enumerate(("right", "left"))
            for a in "xyz"
        ),
        *(
            {"label": f"diameter{i}_{d}", "eye": eye, "type": "Diameter", "unit": unit}
            for d, unit in (("2d", "pixels"), ("3d", "mm"))
            for i, eye in enumerate(("right", "left"))
        ),
    ],
    name="pupil_capture",
)


def test_pupil_core_counts_from_the_lower_left_of_the_scene() -> None:
    assert PUPIL_CORE.n_channels == 22
    row = [0.9, 0.25, 0.25, *[NAN] * 15, 40.0, 41.0, 3.5, 3.6]
    unsure = [0.3, *row[1:]]
    one_eye = [*row[:-1], NAN]
    data = converted(PUPIL_CORE, [row, unsure, one_eye])
    np.testing.assert_allclose(data[0], [0.25, 0.75, 3.6, 3.5, 1.0])
    np.testing.assert_array_equal(data[1], [NAN, NAN, NAN, NAN, 0.0])
    np.testing.assert_allclose(data[2], [0.25, 0.75, NAN, 3.5, 1.0])
    spec = make_adapter(PUPIL_CORE, "k", Kind.GAZE).spec
    assert spec.units == ("scene", "scene", "mm", "mm", "0/1")
    assert any("scene-camera" in note for note in spec.notes)


def test_pupil_core_without_types_is_read_by_label() -> None:
    header = gaze_header(labelled(*(channel.label for channel in PUPIL_CORE.channels)), name="pupil_capture")
    row = [0.9, 0.25, 0.25, *[1.0] * 15, 40.0, 41.0, 3.5, 3.6]
    np.testing.assert_allclose(converted(header, [row]), [[0.25, 0.75, 3.6, 3.5, 1.0]])


def test_neon_pixels_are_divided_by_the_scene_size() -> None:
    eyes = [{"label": "PupilDiameter", "eye": eye, "unit": "mm"} for eye in ("left", "right")]
    centres = [{"label": f"EyeballCenter{a}", "eye": "left", "unit": "mm"} for a in "XYZ"]
    header = gaze_header([*labelled("x", "y", unit="px"), *eyes, *centres], name="Phone_Neon Gaze")
    data = converted(header, [[800.0, 300.0, 3.0, 3.2, 9.0, 9.0, 9.0]])
    np.testing.assert_allclose(data, [[0.5, 0.25, 3.0, 3.2, 1.0]])
    notes = " ".join(make_adapter(header, "k", Kind.GAZE).spec.notes)
    assert "scene-camera" in notes
    assert "assumed to be 1600 x 1200 px" in notes


def test_neon_without_pupils_says_so() -> None:
    header = gaze_header(labelled("x", "y"), name="Phone_Neon Gaze")
    np.testing.assert_array_equal(converted(header, [[800.0, 600.0]]), [[0.5, 0.5, NAN, NAN, 1.0]])
    assert any("no pupil" in note for note in make_adapter(header, "k", Kind.GAZE).spec.notes)


def test_tobii_takes_the_mean_of_the_valid_eyes() -> None:
    labels = ("left_x", "left_y", "left_pupil", "right_x", "right_y", "right_pupil")
    header = gaze_header(labelled(*labels, unit="screencoords"))
    data = converted(
        header,
        [
            [0.4, 0.2, 3.0, 0.6, 0.4, 3.1],
            [NAN, NAN, NAN, 0.6, 0.4, 3.1],
            [NAN, NAN, NAN, NAN, NAN, NAN],
            [-1.0, -1.0, -1.0, 0.5, 0.5, 3.0],  # minus one where the older drivers lose an eye
        ],
    )
    np.testing.assert_allclose(data[0], [0.5, 0.3, 3.0, 3.1, 1.0])
    np.testing.assert_allclose(data[1], [0.6, 0.4, NAN, 3.1, 1.0])
    np.testing.assert_array_equal(data[2], [NAN, NAN, NAN, NAN, 0.0])
    np.testing.assert_allclose(data[3], [0.5, 0.5, NAN, 3.0, 1.0])


EYELINK_LABELS = (
    *("leftEyeX", "leftEyeY", "rightEyeX", "rightEyeY", "leftPupilArea", "rightPupilArea"),
    *("pixelsPerDegreeX", "pixelsPerDegreeY", "eyelink_timestamp", "LSL_timestamp"),
)


def test_eyelink_area_becomes_diameter_and_zeros_are_untracked() -> None:
    header = gaze_header(labelled(*EYELINK_LABELS), name="EyeLink")
    rest = [30.0, 30.0, 1e6, 1e3]
    data = converted(
        header,
        [
            [480.0, 270.0, 0.0, 0.0, np.pi * 25.0, 0.0, *rest],
            [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, *rest],
            [-32768.0, -32768.0, 960.0, 540.0, 0.0, np.pi, *rest],
        ],
    )
    np.testing.assert_allclose(data[0], [0.25, 0.25, 10.0, NAN, 1.0])
    np.testing.assert_array_equal(data[1], [NAN, NAN, NAN, NAN, 0.0])
    np.testing.assert_allclose(data[2], [0.5, 0.5, NAN, 2.0, 1.0])
    assert any(
        "assumed to be 1920 x 1080 px" in note for note in make_adapter(header, "k", Kind.GAZE).spec.notes
    )


def test_eyelink_takes_the_screen_from_desc() -> None:
    desc = "<display><width_px>1000</width_px><height_px>500</height_px></display>"
    header = gaze_header(labelled(*EYELINK_LABELS), name="EyeLink", desc=desc)
    data = converted(header, [[250.0, 250.0, 0.0, 0.0, 1.0, 0.0, 30.0, 30.0, 0.0, 0.0]])
    np.testing.assert_allclose(data[0, :2], [0.25, 0.5])


@pytest.mark.parametrize("size", ["inf", "nan", "0", "-5", "1e-300"])
def test_a_size_that_no_screen_has_is_not_taken(size: str) -> None:
    desc = f"<display><width_px>{size}</width_px><height_px>{size}</height_px></display>"
    data = converted(gaze_header(labelled("x", "y", unit="px"), desc=desc), [[960.0, 540.0]])
    np.testing.assert_allclose(data[0, :2], 0.5)


def test_values_of_a_fault_are_neither_pupils_nor_tell_percent() -> None:
    channels = labelled("x", "y", unit="%") + labelled("pupil_left", unit="mm")
    data = converted(gaze_header(channels), [[1e30, 0.5, 1e300], [0.5, 0.5, 3.0]])
    np.testing.assert_array_equal(data, [[NAN, NAN, NAN, NAN, 0.0], [0.5, 0.5, 3.0, NAN, 1.0]])


def test_plain_labels_are_read() -> None:
    channels = labelled("gaze_x", "gaze_y", unit="normalized") + labelled(
        "pupil_left", "pupil_right", unit="mm"
    )
    header = gaze_header([*channels, *labelled("validity")])
    data = converted(header, [[0.5, 0.6, 3.0, 4.0, 1.0], [0.5, 0.6, 3.0, 4.0, 0.0]])
    np.testing.assert_allclose(data[0], [0.5, 0.6, 3.0, 4.0, 1.0])
    np.testing.assert_array_equal(data[1], [NAN, NAN, NAN, NAN, 0.0])
    assert make_adapter(header, "k", Kind.GAZE).spec.notes == ()


def test_degrees_need_a_screen_and_go_through_the_tangent() -> None:
    header = gaze_header(labelled("gaze_x", "gaze_y", unit="deg"))
    with pytest.raises(InputError) as error:
        make_adapter(header, "k", Kind.GAZE)
    assert error.value.code is ErrorCode.CHANNELS
    angle = np.degrees(np.arctan(13.25 / 60))  # a quarter of the 53 cm beside the middle
    data = converted(
        header, [[angle, 0.0], [0.0, angle]], screen_cm=parse_screen_cm("53x30"), distance_cm=60.0
    )
    np.testing.assert_allclose(data[0, :2], [0.75, 0.5])
    np.testing.assert_allclose(data[1, :2], [0.5, 0.5 - 13.25 / 30])


def test_gaze_far_off_the_screen_is_invalid() -> None:
    header = gaze_header(labelled("gaze_x", "gaze_y"))
    assert converted(header, [[1.2, 0.5], [900.0, 0.5]])[:, 4].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    "header",
    [
        gaze_header([]),
        gaze_header(labelled("a", "b")),
        gaze_header(labelled("gaze_x", "gaze_y", unit="furlong")),
    ],
    ids=["no labels", "no gaze", "unknown unit"],
)
def test_unreadable_layouts_are_input_errors(header: StreamHeader) -> None:
    with pytest.raises(InputError):
        make_adapter(header, "k", Kind.GAZE)


def test_chunking_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    rows = rng.uniform(0, 1, (50, 6))
    rows[rng.random((50, 6)) < 0.2] = NAN
    header = gaze_header(labelled("left_x", "left_y", "left_pupil", "right_x", "right_y", "right_pupil"))
    whole = converted(header, rows.tolist())
    parts = [converted(header, rows[i : i + 7].tolist()) for i in range(0, 50, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("text", ["53", "0x30", "axb", "-5x30"])
def test_a_bad_screen_size_is_an_input_error(text: str) -> None:
    with pytest.raises(InputError) as error:
        parse_screen_cm(text)
    assert error.value.code is ErrorCode.OPTION


def test_gazepoint_fractions_count_as_such_whatever_the_unit_says() -> None:
    labels = ("FPOGX", "FPOGY", "FPOGS", "FPOGID", "FPOGV", "LPMM", "RPMM")
    rows = [[0.25, 0.75, 1.0, 7, 1, 3.0, 4.0], [0.5, 0.5, 1.0, 7, 0, 3.0, 4.0]]
    data = converted(gaze_header(labelled(*labels, unit="percent")), rows)
    np.testing.assert_allclose(data[0], [0.25, 0.75, 3.0, 4.0, 1.0])
    assert data[1, 4] == 0
    spec = make_adapter(gaze_header(labelled(*labels)), "k", Kind.GAZE).spec
    assert spec.units[2:4] == ("mm", "mm")


def test_fields_of_tobiis_sdk_are_read_with_each_eyes_validity() -> None:
    labels = [
        f"{eye}_{what}"
        for eye in ("left", "right")
        for what in (
            *("gaze_point_on_display_area_0", "gaze_point_on_display_area_1", "gaze_point_validity"),
            *("pupil_diameter", "pupil_validity", "gaze_origin_in_user_coordinate_system_0"),
        )
    ]
    row = [0.2, 0.4, 1, 3.1, 1, 55.0, 0.9, 0.9, 0, 3.3, 0, 66.0]  # the right eye is lost
    data = converted(gaze_header(labelled(*labels)), [row])
    np.testing.assert_allclose(data[0], [0.2, 0.4, 3.1, 3.3, 1.0])


def test_tobii_studio_codes_count_from_good_to_lost() -> None:
    labels = (
        "GazePointXLeft",
        "GazePointYLeft",
        "ValidityLeft",
        "GazePointXRight",
        "GazePointYRight",
        "ValidityRight",
    )
    row = [0.2, 0.4, 0, 0.6, 0.8, 0]
    data = converted(gaze_header(labelled(*labels)), [row, [0.2, 0.4, 0, -1, -1, 4], [-1, -1, 4, -1, -1, 4]])
    np.testing.assert_allclose(data[:2, :2], [[0.4, 0.6], [0.2, 0.4]])
    assert data[:, 4].tolist() == [1, 1, 0]


def test_percent_is_told_by_the_data_at_any_chunk_size() -> None:
    header = gaze_header(labelled("gaze_x", "gaze_y", unit="percent"))
    rows = [[50.0, 25.0], [1.0, 80.0], [100.0, 1.0]]
    whole = converted(header, rows)
    np.testing.assert_allclose(whole[:, :2], np.array(rows) / 100)
    adapter = make_adapter(header, "k", Kind.GAZE)
    parts = [np.asarray(adapter.convert(np.array([row]))) for row in rows]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_allclose(converted(header, [[0.5, 0.25]])[0, :2], [0.5, 0.25])


def test_smi_diameters_are_pupils() -> None:
    data = converted(
        gaze_header(labelled("POR_X", "POR_Y", "Diameter_X", "Diameter_Y")), [[0.3, 0.4, 14.0, 13.0]]
    )
    np.testing.assert_allclose(data[0, :4], [0.3, 0.4, 14.0, 14.0])
