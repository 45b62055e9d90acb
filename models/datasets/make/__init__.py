"""Generates data in the layout of published sets, for trying the program; no real subjects."""
