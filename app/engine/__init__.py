"""The engine: a live, replay or calibration session in its own process, commanded and watched over a pipe.

The window's process imports `messages`, `request` and `process` only; none of them loads torch.
"""
