"""Reproductions of the papers' tables and studies beside them; only the command line imports this."""
