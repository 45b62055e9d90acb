"""Webcam and microphone as LSL streams."""
