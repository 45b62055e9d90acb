"""What panels are made of: time plots, heads, tables, and how an emotion looks."""
