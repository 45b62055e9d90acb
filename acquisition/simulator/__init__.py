"""A simulated person whose signals follow a chosen emotion. Simulated data only."""
