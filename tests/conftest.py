"""Fixtures that several packages' tests share."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """Give every test process an LSL session of its own, and one thread, before liblsl and torch are loaded.

    Streams of a laboratory, or of the tests that run beside these, are not found then. Started processes
    inherit both.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.NamedTemporaryFile("w", prefix="lsl_api-", suffix=".cfg", delete=False) as file:
        file.write(f"[lab]\nSessionID = tests-{uuid.uuid4().hex}\n[log]\nlevel = -2\n")
    config.add_cleanup(Path(file.name).unlink)
    os.environ["LSLAPICFG"] = file.name
    # No channel mapping that this user keeps for a device may change a test.
    settings = tempfile.TemporaryDirectory(prefix="affectscope-settings-")
    config.add_cleanup(settings.cleanup)
    os.environ["AFFECTSCOPE_SETTINGS"] = str(Path(settings.name) / "window.ini")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings, or a visible skip."""
    folder = Path(os.environ.get("AFFECTSCOPE_REAL_DATA", PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}: set AFFECTSCOPE_REAL_DATA")
    return folder


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ``small`` model folder, of two layers an encoder, with random weights and plain normalisation."""
    from dataclasses import replace

    import torch

    from acquisition.montage import SEED_CH_NAMES
    from acquisition.simulator.subject import EMOTIONS
    from models.checkpoint import save_checkpoint
    from models.config import preset
    from models.network import FusionNetwork
    from models.normalise import EegScale, EyeScale, Normaliser

    torch.manual_seed(1)
    config = preset(
        "small",
        labels=EMOTIONS,
        ch_names=SEED_CH_NAMES,
        trained_on="simulated data only",
        is_simulated=True,
    )
    parts = {name: getattr(config.network, name) for name in ("eeg", "eye", "face", "voice")}
    parts = {name: replace(part, n_layers=2) for name, part in parts.items()}
    config = replace(config, network=replace(config.network, **parts))
    n_channels, n_bands, n_eye = len(SEED_CH_NAMES), len(config.features.bands), 33
    normaliser = Normaliser(
        EegScale(torch.full((n_channels, n_bands), 1.5), torch.ones(n_channels, n_bands)),
        EyeScale(torch.zeros(n_eye), torch.ones(n_eye), torch.full((n_eye,), 0.5)),
    )
    folder = tmp_path_factory.mktemp("model")
    save_checkpoint(folder, config, FusionNetwork(config), normaliser.to_dict(), "random weights, for tests")
    return folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Tiny networks train faster on one thread than on many."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def seed_iv_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people in SEED-IV's layout, all trials. Tests that break a file copy the folder first."""
    from tests.studies.data_sets.options import MakeOptions
    from tests.studies.data_sets.seed import make_seed_iv

    folder = tmp_path_factory.mktemp("sets") / "seed-iv"
    make_seed_iv(MakeOptions(folder, subjects=2, seed=3, trial_s=40, raw=False, jobs=1))
    return folder


@pytest.fixture(scope="session")
def small_seed_iv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One person in SEED-IV's layout, six trials a session, four of them for training."""
    from tests.studies.data_sets.options import MakeOptions
    from tests.studies.data_sets.seed import make_seed_iv

    folder = tmp_path_factory.mktemp("sets") / "s4"
    make_seed_iv(MakeOptions(folder, subjects=1, seed=3, trials=6, trial_s=44, jobs=1))
    return folder


@pytest.fixture(scope="session")
def small_eav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One person in EAV's layout, trials of 5 s. Tests that break a file copy the folder first."""
    from tests.studies.data_sets.eav import make_eav
    from tests.studies.data_sets.options import MakeOptions

    folder = tmp_path_factory.mktemp("sets") / "small-eav"
    make_eav(MakeOptions(folder, subjects=1, seed=3, trials=20, trial_s=5, jobs=1))
    return folder


# Names the streams that answer, and says of each port whether a connection to it succeeds.
_LOOK = """
import json, socket, sys
from pylsl import resolve_streams
address, ports = sys.argv[1], json.loads(sys.argv[2])
def connects(port):
    try:
        with socket.create_connection((address, port), 0.3):
            return True
    except OSError:
        return False
print(json.dumps([sorted(info.source_id() for info in resolve_streams(1.5)), [connects(p) for p in ports]]))
"""


@dataclass(frozen=True)
class OtherMachine:
    """A network namespace from which this machine is reached at ``address``."""

    name: str
    address: str
    folder: Path

    def look(self, ports: list[int], peers: str = "{}") -> tuple[list[str], list[bool]]:
        """Return the source_ids found (by multicast, and at known ``peers``), and which ports connect."""
        session = Path(os.environ["LSLAPICFG"]).read_text("utf-8")
        config = self.folder / "other.cfg"
        config.write_text(session.replace("[log]", f"KnownPeers = {peers}\n[log]"), encoding="utf-8")
        command = [
            "ip",
            "netns",
            "exec",
            self.name,
            sys.executable,
            "-c",
            _LOOK,
            self.address,
            json.dumps(ports),
        ]
        result = subprocess.run(
            command, env=os.environ | {"LSLAPICFG": str(config)}, capture_output=True, text=True, check=True
        )
        found, connects = json.loads(result.stdout)
        return found, connects


@pytest.fixture(scope="session")
def other_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OtherMachine]:
    """Another machine on the network, or a visible skip."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("another machine on the network needs Linux, root and the program ip")
    name, number = f"as{uuid.uuid4().hex[:6]}", uuid.uuid4().int
    subnet = f"10.{64 + number % 64}.{(number >> 8) % 256}"
    inside = f"ip netns exec {name} ip"

    def run(*commands: str) -> None:
        for command in commands:
            subprocess.run(command.split(), check=True, capture_output=True)

    try:
        run(f"ip netns add {name}", f"ip link add {name}a type veth peer name {name}b netns {name}")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace can be made here: {error.stderr.decode().strip()}")
    try:
        run(f"ip addr add {subnet}.1/24 dev {name}a", f"ip link set {name}a up", f"{inside} link set lo up")
        run(f"{inside} addr add {subnet}.2/24 dev {name}b", f"{inside} link set {name}b up")
        yield OtherMachine(name, f"{subnet}.1", tmp_path_factory.mktemp("other"))
    finally:
        run(f"ip netns del {name}")
