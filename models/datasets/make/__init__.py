"""Generates data in the layout of published sets, for trying the program; nobody was measured."""
