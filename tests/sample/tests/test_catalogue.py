import pytest


@pytest.mark.parametrize("rows", [100_000, 200_000, 400_000])
def test_the_catalogue_fits_in_memory(rows):
    catalogue = [str(row) for row in range(rows)]
    assert len(set(catalogue)) == rows
