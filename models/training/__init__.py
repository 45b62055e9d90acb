"""Training and evaluation: data in, checkpoints and figures out."""
