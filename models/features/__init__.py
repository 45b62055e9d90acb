"""Feature functions: the contract between signals and weights."""
