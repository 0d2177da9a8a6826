"""What is said of all golden numbers together is checked when all have been compared."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move `test_stated.py` to the end."""
    items.sort(key=lambda item: item.path.name == "test_stated.py")
