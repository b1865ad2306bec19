"""The gaze network and CLIP-Gaze: models, losses, methods, and the commands that train them.

Start at :mod:`.fit`; a method is a file in ``methods/``, its usual options one in ``recipes/``.
"""
