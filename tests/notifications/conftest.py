from collections.abc import Callable

import pytest

from tests.kit.doors import Doors


@pytest.fixture
def doors(serve: Callable[..., Doors]) -> Doors:
    """The doors of notifications, on fresh tables."""
    return serve("notifications")
