"""EEG, gaze, video and audio from live streams, files and the simulator, on one clock. No torch, no Qt."""
