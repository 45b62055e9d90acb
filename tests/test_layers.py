"""Imports only go down: app, calibration, models, acquisition; Qt only in app.qt, no torch below models."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
PACKAGES = ("acquisition", "models", "calibration", "app")


def modules(package: str) -> list[str]:
    names = []
    for path in sorted((PROJECT / package).rglob("*.py")):
        relative = path.relative_to(PROJECT).with_suffix("")
        parts = [part for part in relative.parts if part != "__init__"]
        if "qt" not in parts and parts[-1] != "__main__":
            names.append(".".join(parts))
    return names


def loaded_after_importing(*steps: list[str]) -> list[set[str]]:
    """Import the modules of each step in one fresh process; return what is loaded after each step."""
    code = (
        f"import sys\nfor names in {steps!r}:\n    for name in names: __import__(name)\n"
        "    print(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT)
    assert not done.returncode, done.stderr
    return [set(line.split()) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """What is loaded once a package and those below it are imported, the lowest package first."""
    return dict(zip(PACKAGES, loaded_after_importing(*map(modules, PACKAGES)), strict=True))


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("acquisition", {"torch", "PyQt6", "cv2", "sounddevice", "models", "calibration", "app"}),
        ("models", {"PyQt6", "cv2", "sounddevice", "calibration", "app"}),
        ("calibration", {"PyQt6", "app"}),
        ("app", {"PyQt6", "sounddevice"}),
    ],
)
def test_importing_a_package_loads_nothing_from_above(loaded, package, forbidden):
    assert not loaded[package] & forbidden


def test_the_window_s_process_loads_no_torch():
    view = [name for name in modules("app") if name.startswith("app.view")]
    pipe = ["app.engine.messages", "app.request", "app.engine.process"]
    (found,) = loaded_after_importing([*view, *pipe])
    assert not found & {"torch", "mne", "cv2", "PyQt6"}


def imports_of(path: Path) -> set[str]:
    """Return the modules a file imports anywhere, inside functions too, and the packages of theirs."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found | {".".join(name.split(".")[:2]) for name in found}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_imports_from_above_inside_its_functions_either(package):
    above = PACKAGES[PACKAGES.index(package) + 1 :]
    upwards = [
        f"{path.relative_to(PROJECT)} imports {name}"
        for path in sorted((PROJECT / package).rglob("*.py"))
        for name in sorted(imports_of(path))
        if name.split(".")[0] in above
    ]
    assert not upwards


def test_no_file_of_the_program_imports_the_tests_but_by_the_function_that_looks_for_a_checkout():
    files = [path for package in PACKAGES for path in (PROJECT / package).rglob("*.py")]
    assert len(files) > 100
    assert not [path for path in files if any(name.split(".")[0] == "tests" for name in imports_of(path))]
    assert "tests.studies.papers.settings" in imports_of(PROJECT / "tests/studies/papers/reproduce.py")


def test_the_check_sees_a_forbidden_import(loaded):
    assert "torch" in loaded["models"]


#: Packages that take a tenth of a second or more to load, or are there for one task.
SLOW_TO_LOAD = {
    *("torch", "scipy.fft", "scipy.signal", "scipy.stats", "scipy.spatial", "scipy.optimize", "scipy.sparse"),
    *("sklearn", "pandas", "matplotlib", "transformers", "pymovements", "mne", "jinja2", "joblib"),
    *("cv2", "pylsl", "pyqtgraph", "PyQt6", "torch._dynamo", "sympy", "sounddevice", "distributed"),
}
RECORDING = str(PROJECT / "assets/recordings/simulated-60s.xdf")

#: What each command may load of them. What it starts in a process of its own does not count.
MAY_LOAD = {
    "--help": set(),
    f"inspect {RECORDING}": set(),
    "streams --timeout 0.2": {"pylsl"},
    "doctor": {"pylsl", "cv2", "PyQt6", "sounddevice"},
    f"replay {RECORDING} --headless --seconds 1.2": {"torch", "cv2"},
}


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(c, marks=() if c.startswith(("--help", "inspect")) else pytest.mark.slow)
        for c in MAY_LOAD
    ],
    ids=lambda command: command.split()[0],
)
def test_a_command_loads_nothing_slow_but_what_it_needs(command):
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('loaded', *({SLOW_TO_LOAD!r} & set(sys.modules))))\n"
        "from app.__main__ import main\nmain(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split()], capture_output=True, text=True, cwd=PROJECT
    )
    last = done.stdout.splitlines()[-1].split()
    assert last[0] == "loaded", done.stderr
    assert "error" not in done.stderr
    assert set(last[1:]) <= MAY_LOAD[command]


@pytest.mark.slow
def test_the_window_loads_nothing_slow_but_qt_and_its_plots():
    (found,) = loaded_after_importing(["app.qt.application"])
    assert found & SLOW_TO_LOAD <= {"PyQt6", "pyqtgraph"}
