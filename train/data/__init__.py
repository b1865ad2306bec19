"""Data sets of face crops with gaze labels, all in one convention: see :mod:`.samples`."""
