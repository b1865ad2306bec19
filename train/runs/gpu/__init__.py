"""Minutes on one GPU: processes render while the device trains on what is there already.

:mod:`.budget` divides the minutes, :mod:`.renderers` watches processes, :mod:`.rows` holds what
they made on the device; :mod:`.gaze`, :mod:`.front` and :mod:`.throughput` are the tasks.
"""
