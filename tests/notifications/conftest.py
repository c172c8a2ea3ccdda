from collections.abc import Callable, Iterator

import pytest

from chassis.settings import settings
from services import PORTS
from tests.gateway.support_stub import SupportStub
from tests.kit.doors import Doors


@pytest.fixture
def doors(serve: Callable[..., Doors]) -> Doors:
    """The doors of notifications, on fresh tables."""
    return serve("notifications")


@pytest.fixture
def support(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> Iterator[SupportStub]:
    """A stand-in where notifications looks for support."""
    stub = SupportStub()  # type: ignore[abstract]
    monkeypatch.setitem(PORTS, "support", stub.port - settings().port_offset)
    yield stub
    stub.close()
