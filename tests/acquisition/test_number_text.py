"""Numbers as a person reads them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from acquisition.errors import without_controls
from acquisition.text import (
    TableWriter,
    age,
    counted,
    data_size,
    duration,
    json_text,
    number,
    parse_json,
    parse_toml,
    percent,
    rate,
    signed_time,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (725, "12 min 5 s"),
        (3600, "1 h"),
        (12_000, "3 h 20 min"),
        (187_200, "2 d 4 h"),
        (-1, "0 s"),
        (math.inf, "-"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (812_000, "812 kB"),
        (4_200_000, "4.2 MB"),
        (999_600_000, "1,000 MB"),
        (1.35e9, "1.35 GB"),
        (1.35e12, "1.35 TB"),
        (2.5e15, "2,500 TB"),
        (math.nan, "-"),
    ],
)
def test_data_sizes(n_bytes, text):
    assert data_size(n_bytes) == text


def test_what_is_not_known_is_a_dash():
    assert [f(math.nan) for f in (number, duration, age, signed_time, data_size)] == ["-"] * 5


def test_ages_and_offsets():
    assert (age(4.04), age(12.4), age(100)) == ("4.0 s", "12 s", "1 min 40 s")
    assert (signed_time(-0.0005), signed_time(-1e-6)) == ("-0.5 ms", "+0.0 ms")
    assert signed_time(86_400.0) == "+86,400.0 s"


def test_counts_agree_with_their_noun():
    assert [counted(n, "window") for n in (0, 1, 2000)] == ["0 windows", "1 window", "2,000 windows"]


def test_shares_are_per_cent():
    assert [percent(0.624), percent(0.048, 1), percent(math.nan)] == ["62 %", "4.8 %", "-"]
    assert percent(None) == "-"


@pytest.mark.parametrize(
    ("sfreq", "measured", "text"),
    [
        (59.94, None, "59.94 Hz"),
        (1000.0, 998.71, "998.7 of 1,000 Hz"),
        (16_000.0, 15_998.4, "15,998 of 16,000 Hz"),
        (1000.0, math.nan, "- of 1,000 Hz"),
        (0.0, None, "irregular"),
        (0.0, 33.0, "33.0 Hz, irregular"),
    ],
)
def test_rates(sfreq, measured, text):
    assert rate(sfreq, measured) == text


@pytest.mark.parametrize(
    "text", ["NaN", "[-Infinity]", "1e999", "1" + "0" * 400, "[" * 100_000, "{", b"\xff"]
)
def test_json_with_numbers_that_nothing_can_be_computed_with_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


def test_json_has_null_for_what_is_not_finite():
    value = {"a": [math.nan, (math.inf, 1.5)], "b": {"c": -math.inf}, "d": True, "e": 10**15, "f": "NaN"}
    expected = {"a": [None, [None, 1.5]], "b": {"c": None}, "d": True, "e": 10**15, "f": "NaN"}
    assert parse_json(json_text(value)) == expected


def test_a_table_holds_no_formulas(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        TableWriter(file).writerows(
            [
                ["label", "p"],
                ["=cmd|' /C calc'!A0", -0.5],
                ["@x", "-1.5"],
                ["+1a", "-"],
                ["\t=1\x1b", "x" * 40_000],
            ]
        )
    assert path.read_text(encoding="utf-8").split() == [
        "label,p", "'=cmd|'", "/C", "calc'!A0,-0.5", "'@x,-1.5", "'+1a,-", "'", "=1", "," + "x" * 32_767,
    ]  # fmt: skip


def test_no_foreign_text_leaves_its_line_or_moves_the_cursor() -> None:
    text = "a\x1b[2Jb\x9bc\nd\u202ee\u2028f"
    assert without_controls(text) == "a [2Jb c d e f"


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b"a = 1\nb = [", "line 2, column 6"),
        (b"a = 1\n\xff", "line 2, column 1"),
        (b"a = " + b"[" * 100_000, "brackets"),
        (b"x = 1\n" + b".".join([b"a"] * 5000) + b" = 1", "line 2, column 1"),
        (b".".join([b'"a b"'] * 5000) + b" = 1", "line 1, column 1"),
        (b"a = '" + b"x" * 400_000, "line 1, column 400006"),
        (b"#" * 2_000_000, "2,000,000"),
        (b"a = [{b = 0x" + b"f" * 9000 + b"}]", "36000 bits"),
        (b"a = nan", "expected a finite number, found nan"),
    ],
    ids=["end", "bytes", "deep", "dotted", "quoted", "word", "long", "huge", "nan"],
)
def test_toml_that_is_none_is_refused_with_its_place(raw: bytes, place: str) -> None:
    with pytest.raises(ValueError, match=place):
        parse_toml(raw)
    assert parse_toml(b"\xef\xbb\xbfa.b = 1") == {"a": {"b": 1}}
