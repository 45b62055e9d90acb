"""Data sets as trials: loaders for published layouts, splits by trial, and windows cut afterwards."""
