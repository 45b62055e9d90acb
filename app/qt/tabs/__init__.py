"""The window's pages: now, why, signals, health. Each arranges panels and knows nothing of the others."""
