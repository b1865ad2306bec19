"""Dataclasses whose arrays cannot be written."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_Array = TypeVar("_Array", bound=NDArray[Any])


@dataclass(frozen=True, slots=True, eq=False)
class FrozenArrays:
    """Base of a dataclass whose arrays are copies of its own and read-only.

    So no caller changes what the estimator goes on with, nor one field by way of another.
    """

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:  # quicker than fields(), once a face
            value = getattr(self, name)
            if isinstance(value, np.ndarray):
                object.__setattr__(self, name, frozen(value))

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickle and deepcopy go through the constructor: arrays alone come out of them writeable.
        return partial(type(self), **{f.name: getattr(self, f.name) for f in fields(self)}), ()


def frozen(array: _Array) -> _Array:
    """Return a read-only copy."""
    copy = np.array(array)
    copy.flags.writeable = False
    return copy  # type: ignore[return-value]
