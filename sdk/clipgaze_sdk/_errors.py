"""Everything that this package raises on purpose.

The tree::

    ClipGazeError
    ├── ConfigurationError (ValueError)   an option, a camera or a combination that cannot be
    ├── InputError (ValueError)           an image, an array or a timestamp that cannot be used
    ├── ModelError                        a model file or its card: missing, damaged, not matching
    └── BackendError (RuntimeError)       the runtime that executes a network is absent or failed

Every message says what was given, what was expected and what to do.
"""

from __future__ import annotations


class ClipGazeError(Exception):
    """Base of every error of this package."""


class ConfigurationError(ClipGazeError, ValueError):
    """An option, a camera or a combination of them that cannot be used."""


class InputError(ClipGazeError, ValueError):
    """An image, an array or a timestamp that cannot be used."""


class ModelError(ClipGazeError):
    """A model file or its card is missing, damaged, or does not match the other."""


class BackendError(ClipGazeError, RuntimeError):
    """The runtime that executes a network is absent, failed, or was closed."""
