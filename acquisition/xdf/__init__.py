"""Read XDF recordings: scan, stream, inspect."""
