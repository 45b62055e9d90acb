"""What the window shows, as plain state: histories, the moment looked at, and what to make of it. No Qt, no torch."""
