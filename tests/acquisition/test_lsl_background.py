"""The threads beside a live source: what goes wrong in them must show."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from acquisition.lsl.reconnect import Search, Searcher
from acquisition.types import Kind, StreamHeader

OLD = StreamHeader("amp", "EEG", "id-1", "lab", "uid-1", 500.0, 2, "float32")


@dataclass
class Info:
    """A stream that answers, as far as the search asks it."""

    xml: str
    own_uid: str

    def uid(self) -> str:
        return self.own_uid

    def as_xml(self) -> str:
        return self.xml


def info(sfreq: float) -> Info:
    return Info(
        f"<info><name>amp</name><type>EEG</type><channel_count>2</channel_count><uid>uid-2</uid>"
        f"<nominal_srate>{sfreq}</nominal_srate><source_id>id-1</source_id></info>",
        "uid-2",
    )


def test_search_passes_over_streams_that_describe_themselves_in_no_usable_way() -> None:
    searcher = Searcher(lambda: [Info("<info><na", "uid-0"), info(250.0)])
    searcher.look_once({"amp": Search(Kind.EEG, OLD, is_lost=True)})
    assert searcher.returned.popleft().is_refused


def test_what_ends_the_search_is_kept_for_the_reader() -> None:
    def resolve() -> list[Info]:
        raise RuntimeError("no network")

    searcher = Searcher(resolve)
    searcher.look_for("amp", Search(Kind.EEG, OLD, is_lost=True))
    searcher.start()
    searcher.close()
    with pytest.raises(RuntimeError, match="no network"):
        raise searcher.error or AssertionError("it goes on")
