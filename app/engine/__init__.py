"""The engine: a live or replay session in a process of its own, steered and watched over a pipe.

The window's process imports `messages`, `request` and `process` only; none of them loads torch.
"""
