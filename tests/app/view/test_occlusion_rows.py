"""The answer of an occlusion check as rows."""

from __future__ import annotations

import pytest

from app.engine.messages import Occlusion, OcclusionRow
from app.view.explanation import POINT_STEPS, end_of_scale, occlusion_bars, region_values

BANDS = (("alpha", 8.0, 14.0), ("beta", 14.0, 31.0))


def bars(rows):
    """Return the bars of modalities, bands and regions."""
    return occlusion_bars(Occlusion(1.0, "sad", 0.5, tuple(rows)), BANDS).values()


def row(kind, name, delta, ch_names=()):
    return OcclusionRow(kind, name, delta, ch_names)


def test_rows_come_in_three_groups_with_the_bands_frequencies():
    rows = [row("modality", "eeg", -0.2), row("modality", "face", 0.1), row("band", "alpha", -0.01)]
    rows.append(row("region", "midline", -0.02, ("CZ", "PZ")))
    modality, band, region = bars(rows)
    assert [(bar.name, bar.points, bar.note) for bar in modality] == [
        ("EEG", -20.0, ""),
        ("Eyes", None, "missing"),
        ("Face", 10.0, ""),
        ("Voice", None, "missing"),
    ]
    assert [bar.name for bar in band] == ["alpha 8–14 Hz"]
    assert [(bar.name, bar.points) for bar in region] == [("midline", -2.0)]


def test_without_eeg_its_groups_say_absent():
    _, band, region = bars([row("modality", "eye", -0.2), row("modality", "face", 0.1)])
    assert [(bar.name, bar.note) for bar in band + region] == [("EEG", "missing")] * 2


def test_eeg_alone_cannot_be_removed_and_says_so():
    modality, _, _ = bars([row("band", "alpha", -0.1)])
    assert [bar.note for bar in modality] == ["only input: not removed", "missing", "missing", "missing"]


def test_a_model_of_one_input_says_that_it_uses_no_other():
    shown = occlusion_bars(Occlusion(1.0, "sad", 0.5, ()), BANDS, ("face",), ("face", "eeg"))
    modality, band, region = shown.values()
    assert [bar.note for bar in modality] == ["not used", "not used", "only input: not removed", "not used"]
    assert [bar.note for bar in band + region] == ["not used", "not used"]


def test_before_the_first_answer_every_row_is_not_checked_yet():
    notes = {bar.note for group in occlusion_bars(None, BANDS).values() for bar in group}
    assert notes == {"not checked yet"}


@pytest.mark.parametrize(("change", "end"), [(0.0, 5), (5.0, 5), (6.0, 10), (31.0, 50), (100.0, 100)])
def test_the_axis_holds_every_change(change, end):
    assert end_of_scale(change, POINT_STEPS) == end


def test_every_electrode_of_a_region_has_its_change():
    rows = (row("region", "midline", -0.02, ("CZ", "PZ")), row("band", "alpha", 0.5))
    assert region_values(Occlusion(1.0, "sad", 0.5, rows)) == {"CZ": -2.0, "PZ": -2.0}
