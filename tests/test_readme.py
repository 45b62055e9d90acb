"""The README keeps its promises about files."""

from __future__ import annotations

import re
from pathlib import Path

from models.trust import Code

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


def test_every_reason_of_a_verdict_is_explained_with_its_facts():
    text = (PROJECT / "app" / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z -]+)` \|[^|]+\|([^|]*)\|$", text, re.MULTILINE))
    assert set(rows) == set(Code)
    source = (PROJECT / "models" / "trust.py").read_text(encoding="utf-8")
    members = re.findall(r'^    [A-Z_]+ = "([a-z -]+)"(?:  # (.*))?$', source, re.MULTILINE)
    for code, note in members:
        if code in set(Code):
            facts = re.findall(r"\b(?:n_|low|high|needed|level|balanced|lead|probability)\w*", note)
            assert [fact for fact in facts if f"`{fact}`" not in rows[code]] == [], code
