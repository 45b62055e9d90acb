"""A simulated person with four devices: the same program serves demo, tests and training.

Everything that comes out of here is simulated data and is called so.
"""
