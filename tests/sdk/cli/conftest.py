"""What tests of ``clipgaze run`` have in common."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from clipgaze_sdk.cli import run
from clipgaze_sdk.media import opencv_build
from tests.sdk.fake_estimator import FakeEstimator

UseFake = Callable[..., FakeEstimator]


@pytest.fixture
def use_fake(monkeypatch: pytest.MonkeyPatch) -> UseFake:
    """Put a fake estimator in place, and give it."""

    def put(*, interrupt_at: int | None = None, refuse_width: int | None = None) -> FakeEstimator:
        fake = FakeEstimator(interrupt_at=interrupt_at, refuse_width=refuse_width)
        monkeypatch.setattr(run, "make_estimator", fake)
        return fake

    return put


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencv_build, "window_is_available", lambda: False)
