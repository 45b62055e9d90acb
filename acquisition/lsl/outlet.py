"""Opens the program's own LSL streams so that only programs of this machine can find and read them.

liblsl can be told where to look, but not where to listen: whatever ``lsl_api.cfg`` says, an outlet's TCP port
and its UDP port for clock offsets are bound to all addresses, and anyone on the network may ask for the data.
A configuration would also hold for the inlets of the same process, which must find other people's devices.
So the sockets themselves are told what they take: a filter in the kernel passes what came over the loopback
device (any program of this machine that talks to it) or was sent by this machine to a multicast group, and
drops the rest, as a firewall would. LabRecorder and all other programs here find the streams as before.
"""

import ctypes
import os
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acquisition.errors import ErrorCode, InputError
from acquisition.header import parse_xml

_SO_ATTACH_FILTER = 26
_ACCEPTED_S = 0.02  # liblsl has accepted a connection by then
# Classic BPF: load the device's index, load the packet's type (5: sent from here, looped back), or drop.
_LOCAL_ONLY = (
    (0x20, 0, 0, 0xFFFFF008), (0x15, 2, 0, 1), (0x20, 0, 0, 0xFFFFF004), (0x15, 0, 1, 5),
    (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0),
)  # fmt: skip
_ALLOWED = "AFFECTSCOPE_LAN"  # in the environment, so that processes started later know
_RISK = "LSL is not encrypted: anyone on the network can read them"


def open_to_network(allowed: bool) -> bool:
    """Set, and return, whether outlets opened later, here and in processes started later, are open to it."""
    os.environ.pop(_ALLOWED, None)
    if allowed:
        os.environ[_ALLOWED] = "1"
    return allowed


def is_open_to_network() -> bool:
    """Return whether outlets opened now can be reached from other machines."""
    return _ALLOWED in os.environ or sys.platform != "linux"


def network_notice() -> str:
    """Return what a user must know of outlets that other machines can reach; empty where none can."""
    if _ALLOWED in os.environ:
        return f"--lan: the streams of this program are open to the network. {_RISK}."
    if is_open_to_network():
        remedy = "have the firewall block UDP port 16571 and TCP and UDP ports 16572-16604"
        return f"On this system other machines can reach the streams of this program. {_RISK}; {remedy}."
    return ""


def open_outlet(info: Any, **options: Any) -> Any:
    """Open an outlet that only this machine can reach, unless the user has opened it to the network.

    Parameters
    ----------
    info : pylsl.StreamInfo
    **options
        Those of `pylsl.StreamOutlet`.

    Returns
    -------
    pylsl.StreamOutlet
        A search that comes before its sockets have their filter, some milliseconds, is answered with its
        header; a connection made then is cut off.

    Raises
    ------
    InputError
        If liblsl cannot open it, or the system refuses the filter.
    """
    from pylsl import StreamOutlet

    try:
        outlet = StreamOutlet(info, **options)
    except RuntimeError as error:  # of a thousand streams, for one
        raise InputError(str(error), where=f"stream {info.name()!r}", code=ErrorCode.DEVICE) from error
    if not is_open_to_network():
        try:
            _confine(outlet.get_info())
            threading.Event().wait(_ACCEPTED_S)
            _confine(outlet.get_info())  # of connections that were faster than the filter
        except OSError as error:
            what = f"it cannot be kept to this machine ({error.strerror})"
            remedy, where = "add --lan to open it to the network", f"stream {info.name()!r}"
            raise InputError(what, where=where, remedy=remedy, code=ErrorCode.DEVICE) from error
    return outlet


def _confine(info: Any) -> None:
    """Attach the filter to each socket of an outlet, and of the connections to it."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _LOCAL_ONLY))
    program = struct.pack("HP", len(_LOCAL_ONLY), ctypes.addressof(code))
    root = parse_xml(info.as_xml())
    data, service = (
        {int(root.findtext(f"v{n}{kind}_port") or 0) for n in (4, 6)} for kind in ("data", "service")
    )
    for each in _own_sockets():
        port = each.getsockname()[1]
        # Responders to multicast share their port; the sockets of inlets and searches share none.
        is_shared = each.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        is_udp = each.type == socket.SOCK_DGRAM
        if port in (service if is_udp else data) or (is_udp and is_shared):
            each.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _own_sockets() -> Iterator[socket.socket]:
    """Yield a duplicate of each internet socket of this process."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        try:
            number = os.dup(int(entry.name))
        except OSError:
            continue  # closed since, by another thread
        try:
            found = socket.socket(fileno=number)
        except OSError:  # a file
            os.close(number)
            continue
        with found:
            if found.family in (socket.AF_INET, socket.AF_INET6):
                yield found
