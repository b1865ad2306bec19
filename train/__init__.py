"""Training: everything that makes networks, and nothing that runs them on a device.

One folder is one room; ``python -m train`` lists every command with what it is for.
"""
