"""Puts the root of the repository on ``sys.path``, for programs that are run by their path.

``python export/verify.py`` has the folder ``export`` first there, where ``import train`` finds
nothing.  Each program of this folder starts with::

    if not __package__:
        import script_path
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])
