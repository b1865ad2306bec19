"""Fixtures of all tests, and how many of them ran."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NEEDS_ASSETS = ("needs", "shared assets")

# How many tests have run at least, by folder, where CLIPGAZE_CI=1 (.ci/run sets it): without it a
# missing library or driver would only skip. Development assets are not counted on.
LEAST_RUN = {
    "tests/cpp_ext": 110,
    "tests/export": 70,
    "tests/packaging": 15,
    "tests/samples": 10,
    "tests/sdk": 870,
    "tests/tensorrt": 110,
    "tests/train": 760,
    "tests/train/synth": 210,
}


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_assets() -> Path:
    """The folder with photographs, clips and the face model, which is not part of the project."""
    folder = ROOT.parent / "shared" / "assets"
    if not folder.is_dir():
        pytest.skip(f"needs the development assets in {folder}")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "shared_assets" in getattr(item, "fixturenames", ()):
            item.user_properties.append(NEEDS_ASSETS)


def outcomes(config: pytest.Config, outcome: str) -> list[pytest.TestReport]:
    reports = config.pluginmanager.get_plugin("terminalreporter").stats.get(outcome, [])
    return [report for report in reports if isinstance(report, pytest.TestReport)]


def too_few(nodeids: list[str]) -> list[str]:
    """A line for each folder of LEAST_RUN of which fewer tests have run."""
    ran = Counter(
        {folder: sum(nodeid.startswith(folder + "/") for nodeid in nodeids) for folder in LEAST_RUN}
    )
    return [
        f"{folder}: {ran[folder]} tests ran, at least {least} must"
        for folder, least in LEAST_RUN.items()
        if ran[folder] < least
    ]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if os.environ.get("CLIPGAZE_CI") != "1" or hasattr(session.config, "workerinput"):
        return
    passed = [report.nodeid for report in outcomes(session.config, "passed")]
    if too_few(passed) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    needing = {
        outcome: sum(NEEDS_ASSETS in one.user_properties for one in outcomes(config, outcome))
        for outcome in ("passed", "failed", "skipped")
    }
    ran, skipped = needing["passed"] + needing["failed"], needing["skipped"]
    if ran or skipped:
        terminalreporter.write_line(
            f"{ran + skipped} tests need ../shared/assets: {ran} ran, {skipped} were skipped"
        )
    if os.environ.get("CLIPGAZE_CI") == "1":
        for line in too_few([report.nodeid for report in outcomes(config, "passed")]):
            terminalreporter.write_line(line, red=True)
