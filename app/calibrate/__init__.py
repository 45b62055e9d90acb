"""The guided calibration on real or simulated streams, and again from its recording."""
