"""The SDK on photographs of real people: ``python -m train.photos``; development figures only.

One file a measure, :mod:`.report` writes them down.
"""
