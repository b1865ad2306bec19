"""Data sets of face crops with gaze labels, all in one convention: see :mod:`.samples`.

One file reads one data set, :mod:`.registry` finds it by name, :mod:`.check` looks for mistakes.
"""
