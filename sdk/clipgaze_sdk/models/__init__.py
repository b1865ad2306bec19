"""The bundled networks, ``NAME.onnx`` with its card ``NAME.json``, beside the code that reads them.

:mod:`.files` says which file serves a task, :mod:`.cards` what a card says of its file.
"""
