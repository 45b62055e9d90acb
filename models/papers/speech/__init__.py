"""Emotion from the voice alone: contours, their statistics, a small network, and how well they do."""
