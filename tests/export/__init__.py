"""Tests of export/: checkpoints to ONNX, precisions, and their verification."""
