"""The window that leads a person through a calibration, a file a screen."""
