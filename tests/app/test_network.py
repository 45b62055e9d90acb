"""What the program says to the network: real commands, watched by strace and from another machine."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
RECORDING = PROJECT / "assets" / "recordings" / "simulated-60s.xdf"
pytestmark = [pytest.mark.lsl, pytest.mark.slow, pytest.mark.timeout(900)]

_CALLS = "connect,sendto,sendmsg,sendmmsg"
_PORT = re.compile(r"sin6?_port=htons\((\d+)\)")
_ADDRESS = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
#: Name services, which ask others for addresses: nscd, systemd-resolved, avahi.
_RESOLVERS = re.compile(r'sun_path="[^"]*(resolve|avahi)[^"]*"[^=]*= 0')


def _environment(folder: Path) -> dict[str, str]:
    own = {"HOME": folder, "AFFECTSCOPE_DATA": folder / "data", "PYTHONPATH": PROJECT}
    return os.environ | {name: str(path) for name, path in own.items()} | {"QT_QPA_PLATFORM": "offscreen"}


def _own_addresses() -> set[str]:
    import socket

    import psutil

    found = [each for of_one in psutil.net_if_addrs().values() for each in of_one]
    families = socket.AF_INET, socket.AF_INET6
    return {each.address.partition("%")[0] for each in found if each.family in families}


def spoken_to(trace: str, own: set[str]) -> set[str]:
    """Return whom a traced program spoke to besides itself and the groups that LSL searches."""
    others = set()
    for line in trace.splitlines():
        for match in _ADDRESS.finditer(line):
            port = _PORT.search(line)
            address = ipaddress.ip_address(match[1] or match[2])
            address = getattr(address, "ipv4_mapped", None) or address
            is_search = address.is_multicast or str(address) == "255.255.255.255"
            is_here = address.is_loopback or address.is_unspecified or str(address) in own
            number = port[1] if port else ""
            if number in ("53", "80", "443") or not (is_here or (is_search and number == "16571")):
                others.add(f"{address} port {number}")
        others |= {match[0] for match in [_RESOLVERS.search(line)] if match}
    return others


def test_the_watch_sees_name_services_web_servers_and_other_machines() -> None:
    said = """connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.53")}, 16) = 0
    sendto(3, "x", 1, 0, {sa_family=AF_INET, sin_port=htons(16571), sin_addr=inet_addr("224.0.0.1")}, 16) = 1
    connect(3, {sa_family=AF_INET6, sin6_port=htons(443), inet_pton(AF_INET6, "::1", &sin6_addr)}, 28) = 0
    sendto(3, "x", 1, 0, {sa_family=AF_INET, sin_port=htons(16572), sin_addr=inet_addr("10.9.9.9")}, 16) = 1
    sendto(3, "", 0, 0, {sa_family=AF_INET, sin_port=htons(1900), sin_addr=inet_addr("239.1.1.1")}, 16) = 0"""
    found = {each.split()[0] for each in spoken_to(said, set())}
    assert found == {"127.0.0.53", "::1", "10.9.9.9", "239.1.1.1"}


@pytest.mark.parametrize(
    "command",
    [
        "doctor",
        "demo --headless --seconds 4 --record a.xdf --jsonl a.jsonl",
        f"replay {RECORDING} --headless --to 8 --summary a.html",
        "calibrate --subject S01 --simulate --headless --classes happy,sad --trials 4 "
        "--time-scale 50 --lateness 10",
        "make-dataset seed-iv sets --subjects 1 --trial-s 20",
        "pretrain --seed-iv sets --cache cache --out model --quick --epochs 1 --batch 8",
    ],
    ids=lambda command: command.split()[0],
)
def test_a_command_speaks_to_this_machine_and_lsl_alone(
    command: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("the program's system calls are watched by strace, which is not installed")
    folder = tmp_path_factory.getbasetemp() / "watched"  # where one command leaves what the next one needs
    folder.mkdir(exist_ok=True)
    watch = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", f"trace={_CALLS}", "-o", "trace"]
    done = subprocess.run(
        [*watch, sys.executable, "-m", "app", *command.split()],
        cwd=folder, env=_environment(folder), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert spoken_to((folder / "trace").read_text("utf-8", "replace"), _own_addresses()) == set()


@contextmanager
def _running(folder: Path, *words: str) -> Iterator[None]:
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", *words], cwd=folder, env=_environment(folder),
            stdout=said, stderr=said,
        )  # fmt: skip
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def _local(pattern: str, n_at_least: int) -> dict[str, int]:
    """Return the TCP port of each source_id found on this machine, once there are so many."""
    from acquisition.header import parse_xml
    from acquisition.lsl.discovery import resolve

    for _ in range(150):
        ports = (
            (info.source_id(), parse_xml(info.as_xml()).findtext("v4data_port")) for info in resolve(1.0)
        )
        found = {
            source_id: int(port or 0) for source_id, port in ports if source_id.startswith("affectscope-")
        }
        if sum(pattern in source_id for source_id in found) >= n_at_least:
            return found
    raise AssertionError(f"no {n_at_least} streams with {pattern!r} among {found}")


@pytest.mark.parametrize("lan", [False, True])
def test_streams_of_a_session_reach_another_machine_with_lan_alone(
    lan: bool, other_machine: Any, tmp_path: Path
) -> None:
    words = ("demo", "--headless", "--seed", "77", "--record", "a.xdf", "--jsonl", "a.jsonl")
    with _running(tmp_path, *words, *(["--lan"] if lan else [])):
        _local("affectscope-prediction-", 1)
        here = _local("affectscope-", 6)  # EEG, gaze, video, sound, predictions, clock map
        found, connects = other_machine.look(list(here.values()))
    assert set(found) & set(here) == (set(here) if lan else set())
    assert connects == [lan] * len(here)
    said = (tmp_path / "said").read_text("utf-8")
    assert ("LSL is not encrypted" in said) == lan
    assert (tmp_path / "a.xdf").stat().st_size > 100_000  # LabRecorder finds them either way
