"""Fixtures for tests that run on a simulated cloud; they need a fixture `plane`."""

from collections.abc import Iterator

import pytest

from tests.clouds.cloud import Plane, SimulatedCloud


@pytest.fixture
def simulated_cloud(
    plane: Plane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SimulatedCloud]:
    """Clouds with nothing in them, on the control plane of the session."""
    with SimulatedCloud(plane, tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud
    assert cloud.errors == []
