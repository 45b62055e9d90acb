"""The program: command line, wiring, outputs and screens."""
