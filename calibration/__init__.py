"""Guided calibration: from labelled trials to a personal model. Never Qt."""
