"""What the program must reach, measured: each figure beside its reference, in the same run."""
