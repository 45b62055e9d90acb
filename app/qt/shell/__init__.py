"""The window around its tabs: commands, messages, time, choosers, and the session behind it all."""
