"""EEG channels are found by label, type and unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from acquisition.adapters import AdapterOptions
from acquisition.adapters.eeg import stated_unit
from acquisition.errors import ErrorCode, InputError
from acquisition.header import parse_header
from acquisition.intake import make_adapter
from acquisition.montage import Montage, load_montage
from acquisition.types import Kind, StreamHeader

MONTAGES = Path(__file__).parent.parent / "data" / "montages"


def eeg_header(
    *channels: tuple[str, str, str], n_channels: int | None = None, fmt: str = "float32"
) -> StreamHeader:
    """Return the parsed header of a stream with (label, type, unit) channels."""
    rows = "".join(
        f"<channel><label>{label}</label><type>{type_}</type><unit>{unit}</unit></channel>"
        for label, type_, unit in channels
    )
    desc = f"<desc><channels>{rows}</channels></desc>" if channels else "<desc/>"
    return parse_header(
        f"<info><name>amp</name><type>EEG</type><channel_count>{n_channels or len(channels)}</channel_count>"
        f"<nominal_srate>500</nominal_srate><channel_format>{fmt}</channel_format>{desc}</info>"
    )


@pytest.mark.parametrize(
    ("unit", "uv"),
    [
        ("V", 1e6),
        ("volts", 1e6),
        ("mV", 1e3),
        ("\u00b5V", 1.0),
        ("\u03bcV", 1.0),
        ("uV", 1.0),
        ("microvolts", 1.0),
        ("nV", 1e-3),
        ("0", 1e6),
        ("-3", 1e3),
        ("-6", 1.0),
        ("-6 (FIFF_UNITM_MU)", 1.0),
        ("0.5uV", 0.5),
        ("2e-3 mV", 2.0),
    ],
)
def test_units_become_microvolts(unit: str, uv: float) -> None:
    adapter = make_adapter(eeg_header(("Cz", "EEG", unit)), "k", Kind.EEG)
    data = adapter.convert(np.array([[2.0], [-3.0]], dtype=np.float32))
    assert isinstance(data, np.ndarray)
    assert data.dtype == np.float64
    np.testing.assert_allclose(data, [[2 * uv], [-3 * uv]])
    assert adapter.spec.units == ("µV",)
    assert adapter.spec.notes == ()


def test_an_unknown_unit_stays_unscaled_and_is_noted() -> None:
    adapter = make_adapter(eeg_header(("Cz", "EEG", "counts")), "k", Kind.EEG)
    np.testing.assert_array_equal(adapter.convert(np.array([[7]], dtype=np.int32)), [[7.0]])
    assert adapter.spec.units == ("unscaled",)
    assert "'counts'" in adapter.spec.notes[0]


def test_what_is_not_eeg_is_left_out() -> None:
    header = eeg_header(
        ("PacketCounter", "counter", ""),
        ("Fp1", "EEG", "V"),
        ("T3", "eeg", "uV"),
        ("AUX", "EEG", "uV"),
        ("M1", "EEG", "uV"),
        ("VEO", "EOG", "uV"),
        ("C3", "ACC", "g"),
        ("TRIGGER", "stim", ""),
        ("O2", "EEG", "mV"),
    )
    adapter = make_adapter(header, "k", Kind.EEG)
    assert adapter.spec.ch_names == ("FP1", "T7", "O2")
    np.testing.assert_allclose(adapter.convert(np.arange(9.0)[None]), [[1e6, 2.0, 8e3]])
    assert "PacketCounter" in adapter.spec.notes[-1]


def test_input_is_not_changed_and_never_shared() -> None:
    adapter = make_adapter(eeg_header(("Cz", "", "uV"), ("Pz", "", "V")), "k", Kind.EEG)
    values = np.ones((3, 2))
    data = adapter.convert(values)
    assert isinstance(data, np.ndarray)
    assert not np.shares_memory(data, values)
    np.testing.assert_array_equal(values, 1.0)


def test_a_stream_without_known_labels_names_both_lists_and_the_remedy() -> None:
    header = eeg_header(("TP9", "eeg", "microvolts"), ("AF7", "eeg", "microvolts"))
    with pytest.raises(InputError, match=r"TP9 AF7.*FP1 FPZ.*--montage"):
        make_adapter(header, "k", Kind.EEG)


def test_a_montage_by_index_serves_a_stream_without_labels() -> None:
    montage = load_montage(str(MONTAGES / "openbci_16.toml"))
    adapter = make_adapter(eeg_header(n_channels=16), "k", Kind.EEG, AdapterOptions(montage=montage))
    assert len(adapter.spec.ch_names) == 15
    assert adapter.spec.ch_names[:3] == ("C3", "C4", "CZ")
    np.testing.assert_array_equal(adapter.convert(np.arange(16.0)[None]), np.arange(1.0, 16.0)[None])


def test_a_montage_by_label_renames() -> None:
    montage = Montage("m", labels={"A1": "CZ"})
    header = eeg_header(("A1", "EEG", "uV"), ("A2", "EEG", "uV"))
    assert make_adapter(header, "k", Kind.EEG, AdapterOptions(montage=montage)).spec.ch_names == ("CZ",)


@pytest.mark.parametrize(
    ("montage", "message"),
    [
        (Montage("m", labels={"B9": "CZ"}), "names B9, but the stream has A1 A2"),
        (Montage("m", indices={2: "CZ"}), "names channel 2, but the stream has 0 to 1"),
        (Montage("m", indices={0: "CZ", 1: "CZ"}), "assigns CZ to several"),
    ],
)
def test_a_montage_that_does_not_fit_is_an_input_error(montage: Montage, message: str) -> None:
    header = eeg_header(("A1", "EEG", "uV"), ("A2", "EEG", "uV"))
    with pytest.raises(InputError, match=message):
        make_adapter(header, "k", Kind.EEG, AdapterOptions(montage=montage))


def test_an_mne_montage_cannot_name_channels_without_labels() -> None:
    options = AdapterOptions(montage=load_montage("biosemi64"))
    with pytest.raises(InputError) as error:
        make_adapter(eeg_header(n_channels=64), "k", Kind.EEG, options)
    assert error.value.code is ErrorCode.CHANNELS


def test_a_numbered_cap_is_not_mistaken_for_ten_twenty() -> None:
    labels = [f"{bank}{n}" for bank in "ABCD" for n in range(1, 33)]
    header = eeg_header(*((label, "EEG", "uV") for label in labels))
    with pytest.raises(InputError) as error:
        make_adapter(header, "k", Kind.EEG)
    assert error.value.code is ErrorCode.CHANNELS
    adapter = make_adapter(header, "k", Kind.EEG, AdapterOptions(montage=load_montage("biosemi128")))
    at_c3 = adapter.spec.ch_names.index("C3")
    data = adapter.convert(np.arange(128.0)[None])
    assert isinstance(data, np.ndarray)
    assert data[0, at_c3] == labels.index("D19")


def test_text_is_no_eeg() -> None:
    with pytest.raises(InputError) as error:
        make_adapter(eeg_header(("Cz", "EEG", "uV"), fmt="string"), "k", Kind.EEG)
    assert error.value.code is ErrorCode.CHANNELS


def test_a_stated_unit_counts_more_than_the_header() -> None:
    adapter = make_adapter(eeg_header(("Cz", "EEG", "V")), "k", Kind.EEG, AdapterOptions(eeg_unit="nV"))
    np.testing.assert_allclose(adapter.convert(np.array([[2000.0]])), [[2.0]])


@pytest.mark.parametrize("text", ["0uV", "1e-400uV", "1e400uV", "-1uV", "uV uV"])
def test_a_scale_that_makes_nothing_of_a_signal_is_no_unit(text: str) -> None:
    with pytest.raises(InputError):
        stated_unit(text, "--eeg-unit")


MUSE = ("TP9", "AF7", "AF8", "TP10", "AUX")


def test_electrodes_of_a_headset_stand_for_the_nearest_that_a_model_knows() -> None:
    options = AdapterOptions(load_montage("muse"), ch_names=("TP7", "FP1", "FP2", "TP8", "CZ"))
    adapter = make_adapter(eeg_header(*((label, "EEG", "uV") for label in MUSE)), "k", Kind.EEG, options)
    assert adapter.spec.ch_names == ("TP7", "FP1", "FP2", "TP8")
    assert sum("stands for" in note for note in adapter.spec.notes) == 4
    known = AdapterOptions(load_montage("muse"), ch_names=("TP9", "AF7", "AF8", "TP10", "TP7"))
    exact = make_adapter(eeg_header(*((label, "EEG", "uV") for label in MUSE)), "k", Kind.EEG, known)
    assert exact.spec.ch_names == ("TP9", "AF7", "AF8", "TP10")


def test_a_headset_gives_way_to_labels_that_name_electrodes() -> None:
    header = eeg_header(*((label, "EEG", "uV") for label in ("Fz", "Cz", "Pz", "Oz", "F3", "F4", "P3", "P4")))
    adapter = make_adapter(header, "k", Kind.EEG, AdapterOptions(load_montage("openbci-cyton")))
    assert adapter.spec.ch_names == ("FZ", "CZ", "PZ", "OZ", "F3", "F4", "P3", "P4")


def test_a_device_that_is_known_is_named_in_the_remedy() -> None:
    with pytest.raises(InputError) as caught:
        make_adapter(eeg_header(*((label, "EEG", "uV") for label in MUSE)), "k", Kind.EEG)
    assert "--montage muse" in caught.value.remedy


def test_a_users_montage_is_no_headset_whatever_it_is_called(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('name = "muse"\n[labels]\nTP9 = "TP9"\nX = "CZ"\n')
    options = AdapterOptions(load_montage(str(path)), ch_names=("TP7", "CZ"))
    adapter = make_adapter(eeg_header(("TP9", "EEG", "uV"), ("X", "EEG", "uV")), "k", Kind.EEG, options)
    assert adapter.spec.ch_names == ("CZ",)


BAND = eeg_header(("TP9", "EEG", "microvolts"), ("AF7", "EEG", "microvolts"), ("X", "", "g"), ("X", "", ""))


def test_eeg_without_a_known_label_is_shown_with_its_own_labels_and_units_where_asked():
    with pytest.raises(InputError) as refused:
        make_adapter(BAND, "k", Kind.EEG)
    assert refused.value.code is ErrorCode.CHANNELS
    adapter = make_adapter(BAND, "k", Kind.EEG, AdapterOptions(shows_unmapped=True))
    assert adapter.spec.is_shown_only
    assert adapter.spec.ch_names == ("TP9", "AF7", "X #2", "X #3")
    assert adapter.spec.units == ("µV", "µV", "g", "unscaled")
    assert np.array_equal(adapter.convert(np.array([[1, 2, 3, 4]], np.int16)), [[1.0, 2.0, 3.0, 4.0]])


def test_numbers_of_no_modality_are_shown_where_asked_and_text_is_not():
    numbers, text = eeg_header(n_channels=2), eeg_header(n_channels=2, fmt="string")
    options = AdapterOptions(shows_unmapped=True)
    assert make_adapter(numbers, "k", Kind.OTHER, options).spec.is_shown_only
    for kind in (Kind.OTHER, Kind.EEG):
        with pytest.raises(InputError):
            make_adapter(text, "k", kind, options)


def test_a_mapping_kept_for_the_device_gives_names_and_unit_and_is_said(tmp_path):
    path = tmp_path / "kept.toml"
    path.write_text('near = true\nunit = "mV"\n[indices]\n0 = "TP9"\n1 = "AF7"\n')
    options = AdapterOptions(kept=lambda header: load_montage(str(path)))
    adapter = make_adapter(BAND, "k", Kind.EEG, options)
    assert adapter.spec.ch_names == ("TP7", "FP1")  # near ones that the model knows
    assert np.array_equal(adapter.convert(np.array([[1.0, 2.0, 3.0, 4.0]])), [[1000.0, 2000.0]])
    assert any("kept.toml" in note for note in adapter.spec.notes)
    given = AdapterOptions(
        montage=Montage("given", indices={3: "CZ"}), kept=lambda header: pytest.fail("asked")
    )
    assert make_adapter(BAND, "k", Kind.EEG, given).spec.ch_names == ("CZ",)
