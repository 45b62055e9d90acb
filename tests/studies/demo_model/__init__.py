"""The model that ships with the program: how it is trained, on simulated subjects alone."""
