"""From trained weights to model files: ONNX graphs, precisions, and the checks that both agree.

Every file here that is a command runs by its path, ``python export/export_onnx.py``.
"""
