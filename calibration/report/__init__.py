"""What a session found, as a page in one file and as JSON."""
