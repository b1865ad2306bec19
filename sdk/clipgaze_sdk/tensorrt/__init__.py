"""Building TensorRT engines: graph in, engine and side-car out, every layer's precision checked.

Running them is in :mod:`clipgaze_sdk.backends`.
"""
