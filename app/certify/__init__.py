"""A self-test of this machine with real processes: `plan`, `devices`, `run`, `judge`, `report`."""
