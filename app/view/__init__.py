"""What the window shows, as plain state: histories, the moment looked at, and more. No Qt, no torch."""
