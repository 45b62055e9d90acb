"""Montages by MNE name and by TOML file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from acquisition.errors import ErrorCode, InputError
from acquisition.montage import SEED_CH_NAMES, canonical_name, headset_of, load_montage, unit_positions

MONTAGES = Path(__file__).parent.parent / "data" / "montages"


def written(folder: Path, text: str) -> str:
    path = folder / "m.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("EEG Fp1-Ref", "FP1"),
        ("Fc5.", "FC5"),
        ("T3", "T7"),
        ("t6", "P8"),
        ("Cz", "CZ"),
        ("EEG_Pz", "PZ"),
        ("AUX", "AUX"),
        ("EEG F3-CLE", "F3"),
        ("F4-LER", "F4"),
        ("POL Fp2", "FP2"),
        ("T7/T3", "T7"),
        ("C3-M1", "C3"),
        ("F3-C3", "F3-C3"),
    ],
)
def test_labels_become_upper_case_ten_twenty_names(label: str, name: str) -> None:
    assert canonical_name(label) == name


def test_toml_maps_labels_and_indices(tmp_path: Path) -> None:
    montage = load_montage(written(tmp_path, '[labels]\nA1 = "Cz"\n[indices]\n3 = "T3"\n'))
    assert montage.labels == {"A1": "CZ"}
    assert montage.indices == {3: "T7"}


def test_the_shipped_test_montages_load() -> None:
    assert len(load_montage(str(MONTAGES / "openbci_16.toml")).indices) == 15
    assert set(load_montage(str(MONTAGES / "muse.toml")).labels.values()) <= set(SEED_CH_NAMES)


def test_broken_toml_is_named_with_line_and_column(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 2, column"):
        load_montage(written(tmp_path, "[labels]\nTP9 = oops\n"))


def test_an_unknown_electrode_is_named_with_similar_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'FPP1' .*not a 10-20 name .*FP1"):
        load_montage(written(tmp_path, '[labels]\nTP9 = "FPP1"\n'))


@pytest.mark.parametrize(
    "text", ["", "[labels]\n", "[channels]\na = 'CZ'\n", "[indices]\nx = 'CZ'\n", "labels = 3\n"]
)
def test_toml_without_a_map_is_an_input_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError):
        load_montage(written(tmp_path, text))


def test_a_missing_file_and_a_misspelt_montage_are_input_errors() -> None:
    with pytest.raises(InputError) as error:
        load_montage("nowhere.toml")
    assert error.value.code is ErrorCode.CHANNELS
    with pytest.raises(InputError, match=r"similar: .*biosemi64"):
        load_montage("biosemi_64")


def test_an_mne_montage_with_ten_twenty_names_keeps_them() -> None:
    montage = load_montage("biosemi64")
    assert montage.labels["PO7"] == "PO7"
    assert not montage.complete


def test_a_numbered_cap_is_named_by_position() -> None:
    labels = load_montage("biosemi128").labels
    expected = {"A1": "CZ", "C21": "FZ", "C17": "FPZ", "D23": "T7", "B26": "T8", "D19": "C3", "B22": "C4"}
    assert {electrode: labels[electrode] for electrode in expected} == expected
    assert len(set(labels.values())) == len(labels)


def test_positions_are_on_the_unit_sphere_with_the_nose_in_front() -> None:
    positions = unit_positions(SEED_CH_NAMES)
    assert positions.shape == (62, 3)
    np.testing.assert_allclose(np.linalg.norm(positions, axis=1), 1.0)
    at = SEED_CH_NAMES.index
    assert positions[at("FPZ"), 1] > 0.9
    assert positions[at("CZ"), 2] > 0.9
    assert positions[at("T8"), 0] > 0.9
    assert np.isnan(unit_positions(["NOWHERE"])).all()


@pytest.mark.parametrize("name", ["muse", "openbci-cyton", "openbci-daisy", "emotiv-epoc", "unicorn"])
def test_the_electrodes_of_a_headset_are_ten_ten(name: str) -> None:
    montage = load_montage(name)
    names = [*dict.fromkeys(montage.labels.values()), *montage.indices.values()]
    assert len(set(names)) == len(names) >= 4
    assert np.isfinite(unit_positions(names)).all()


def test_biosemi_numbers_follow_the_order_of_its_cap() -> None:
    labels = load_montage("biosemi32").labels
    assert [labels[f"A{n}"] for n in (1, 8, 31, 32)] == ["FP1", "C3", "FZ", "CZ"]
    assert load_montage("biosemi64").labels["B16"] == "CZ"


@pytest.mark.parametrize(
    ("n", "name"), [(64, "GSN-HydroCel-64_1.0"), (129, "GSN-HydroCel-129"), (32, "biosemi32")]
)
def test_a_net_that_numbers_all_its_electrodes_e_is_no_biosemi_cap(n: int, name: str):
    labels = [f"E{i}" if n > 32 else f"A{i}" for i in range(1, n + 1)]
    assert headset_of(labels, "amp") == name
    assert load_montage(name).labels
