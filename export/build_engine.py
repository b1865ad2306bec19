"""Graph to TensorRT engine: ``python export/build_engine.py [MODEL] --fp16``.

This is ``clipgaze build-engine`` by another door.  It needs the SDK alone: a board has neither
PyTorch nor anything of ``train``.
"""

from __future__ import annotations

import sys

if not __package__:
    import script_path  # noqa: F401

from clipgaze_sdk.cli import main

if __name__ == "__main__":
    sys.exit(main(["build-engine", *sys.argv[1:]]))
