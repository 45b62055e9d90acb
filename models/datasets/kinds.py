"""Kinds of labelled data, by the name they have on the command line and in `Trial.dataset`."""

from __future__ import annotations

#: Data sets, each with a published split into training and test trials.
PUBLISHED = ("seed-iv", "seed-v", "eav")
#: Files of one person; they have no split and are cross-validated.
RECORDINGS = ("xdf", "raw")
