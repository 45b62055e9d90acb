"""What the command's exit codes mean."""

GOOD, FAULT, WRONG_USE, DAMAGED_INPUT, INTERRUPTED = 0, 1, 2, 3, 130
