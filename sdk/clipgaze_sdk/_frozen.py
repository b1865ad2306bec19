"""Dataclasses whose arrays cannot be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_Array = TypeVar("_Array", bound=NDArray[Any])


@dataclass(frozen=True, slots=True, eq=False)
class FrozenRecord:
    """Base of a dataclass whose arrays are copies of its own and read-only.

    So no caller changes what the estimator goes on with, nor one field by way of another.
    """

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, np.ndarray):
                object.__setattr__(self, name, frozen(value))

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickle and deepcopy go through the constructor: arrays alone come out of them writeable.
        return partial(type(self), **self._values()), ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and lists by the names of the fields, ready for JSON."""
        return {name: _plain(value) for name, value in self._values().items()}

    def _values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def frozen(array: _Array) -> _Array:
    """Return a read-only copy."""
    copy = np.array(array)
    copy.flags.writeable = False
    return copy  # type: ignore[return-value]


def _plain(value: Any) -> Any:
    if isinstance(value, FrozenRecord):
        return value.to_dict()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value
