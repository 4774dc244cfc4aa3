import pytest


@pytest.fixture(scope="session")
def ladder():
    """Dear to set up, so once per session."""
    return sum(number * number for number in range(200_000))
