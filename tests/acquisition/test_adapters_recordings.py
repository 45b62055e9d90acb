"""Adapters on the headers of real recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from acquisition.adapters import AdapterOptions
from acquisition.errors import ErrorCode, InputError
from acquisition.intake import make_adapter
from acquisition.montage import load_montage
from acquisition.select import select_streams
from acquisition.types import Kind
from acquisition.xdf.scan import scan_xdf

MONTAGES = Path(__file__).parent.parent / "data" / "montages"

pytestmark = pytest.mark.real_data


def eeg_header(path: Path):
    headers = {key: stream.header for key, stream in scan_xdf(path).streams.items()}
    return next(headers[key] for key, kind in select_streams(headers).items() if kind is Kind.EEG)


def test_muse_is_found_among_streams_of_one_name_and_needs_a_montage(real_data: Path) -> None:
    header = eeg_header(real_data / "xdf" / "muse_P001.xdf")
    with pytest.raises(InputError) as error:
        make_adapter(header, "k", Kind.EEG)
    assert error.value.code is ErrorCode.CHANNELS
    options = AdapterOptions(montage=load_montage(str(MONTAGES / "muse.toml")))
    spec = make_adapter(header, "k", Kind.EEG, options).spec
    assert spec.ch_names == ("TP7", "AF3", "AF4", "TP8")
    assert spec.units == ("µV",) * 4


def test_openbci_counter_is_left_out_by_its_montage(real_data: Path) -> None:
    header = eeg_header(real_data / "xdf" / "openbci_Sub2011001.xdf")
    with pytest.raises(InputError) as error:
        make_adapter(header, "k", Kind.EEG)
    assert error.value.code is ErrorCode.CHANNELS
    options = AdapterOptions(montage=load_montage(str(MONTAGES / "openbci_16.toml")))
    adapter = make_adapter(header, "k", Kind.EEG, options)
    assert len(adapter.spec.ch_names) == 15
    assert "unscaled" in adapter.spec.units
    np.testing.assert_array_equal(adapter.convert(np.arange(16.0)[None]), np.arange(1.0, 16.0)[None])
