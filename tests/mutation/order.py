"""A plugin of pytest: the tests listed in order.json run first, in that order."""

import json
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests; those that are not listed follow in their own order."""
    listed = json.loads(Path("order.json").read_text(encoding="utf-8"))
    place = {test: k for k, test in enumerate(listed)}
    items.sort(key=lambda item: place.get(item.nodeid, len(place)))
