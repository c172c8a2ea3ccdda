"""How the tests are spread over processes: a folder at a time, those that take longest first."""

import pytest
from xdist.scheduler import LoadScopeScheduling

# The other folders take less, so that all processes are done at about the same time.
LONGEST = ("faults", "chassis", "gateway", "support", "cli", "journeys")


class ByFolder(LoadScopeScheduling):
    """Gives a folder's tests to one process, since they share what is slow to start: databases, a broker."""

    def _split_scope(self, nodeid: str) -> str:
        return _folder(nodeid)


def longest_first(items: list[pytest.Item]) -> None:
    """Sort the tests so that a process is not left alone with a long folder at the end."""
    items.sort(key=lambda item: [_folder(item.nodeid) == folder for folder in LONGEST], reverse=True)


def _folder(nodeid: str) -> str:
    """`contacts` of `tests/contacts/test_people.py::test_x`."""
    return nodeid.split("/")[1]
