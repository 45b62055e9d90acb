"""Who can find and read the program's own streams: this machine, and others only where the user allowed it.

The other machine is a network namespace, joined to this one by a pair of virtual Ethernet devices.
"""

from __future__ import annotations

import socket
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from acquisition.errors import InputError
from acquisition.header import make_info, parse_xml
from acquisition.lsl import outlet as outlets
from acquisition.lsl.discovery import resolve
from acquisition.lsl.outlet import open_outlet, open_to_network

pytestmark = [pytest.mark.lsl]


@pytest.fixture(autouse=True)
def confined() -> Iterator[None]:
    """Leave what was allowed as it was."""
    open_to_network(False)
    yield
    open_to_network(False)


def _opened(allowed: bool) -> tuple[Any, str, int]:
    """Return an outlet, its source_id and its TCP port."""
    open_to_network(allowed)
    outlet = open_outlet(make_info("Own", "Test", "float32", source_id := uuid.uuid4().hex))
    return outlet, source_id, int(parse_xml(outlet.get_info().as_xml()).findtext("v4data_port") or 0)


def test_only_an_outlet_opened_to_the_network_is_reached_from_another_machine(
    other_machine: Any,
) -> None:
    own, own_id, own_port = _opened(allowed=False)
    lan, lan_id, lan_port = _opened(allowed=True)
    assert {own_id, lan_id} <= {info.source_id() for info in resolve(1.0)}  # both from here
    for peers in ("{}", f"{{{other_machine.address}}}"):  # by multicast, and by asking each port
        found, connects = other_machine.look([own_port, lan_port], peers)
        assert own_id not in found
        assert lan_id in found
        assert connects == [False, True]
    del own, lan


def test_a_confined_outlet_is_read_from_this_machine_over_every_address() -> None:
    from pylsl import StreamInlet

    outlet, source_id, port = _opened(allowed=False)
    info = next(info for info in resolve(1.0) if info.source_id() == source_id)
    inlet = StreamInlet(info, recover=False)
    inlet.open_stream(5.0)
    outlet.push_sample([7.0], 100.0)
    assert inlet.pull_sample(5.0) == ([7.0], 100.0)
    assert abs(inlet.time_correction(5.0)) < 1.0
    with socket.create_connection(("127.0.0.1", port), 5.0):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can keep an outlet to this machine")
def test_no_outlet_is_opened_where_it_cannot_be_kept_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlets, "_LOCAL_ONLY", ((0xFFFF, 0, 0, 0),))  # which the kernel refuses
    with pytest.raises(InputError, match="--lan"):
        _opened(allowed=False)
    _opened(allowed=True)


def test_more_streams_than_lsl_opens_are_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(info: object) -> None:
        raise RuntimeError("could not create stream outlet.")

    monkeypatch.setattr("pylsl.StreamOutlet", fail)
    with pytest.raises(InputError):
        _opened(allowed=False)
