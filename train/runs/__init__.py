"""Training the networks that ship, from nothing: on idle cores for days, or on one GPU in minutes.

Both read the same plan, :mod:`.plan`, and leave the same kinds of files.
"""
