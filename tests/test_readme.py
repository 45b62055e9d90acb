"""The README keeps its promises about files."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).parent.parent
TEXT = (PROJECT / "README.md").read_text(encoding="utf-8")


def test_every_linked_file_exists():
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", TEXT) if "://" not in t]
    assert targets
    assert [t for t in targets if not (PROJECT / t).exists()] == []


def test_no_placeholder_is_left():
    assert "PLACEHOLDER" not in TEXT


def test_the_two_set_up_commands_stand_on_lines_of_their_own():
    lines = TEXT.splitlines()
    assert "pip install -e . && affectscope demo" in lines
    assert 'pip install -e ".[test]" && pytest' in lines
