import pytest

pytestmark = pytest.mark.resources(gpu=1)


@pytest.mark.parametrize("shade", ["crimson", "russet", "gold", "green"])
def test_a_shade_is_rendered(shade):
    picture = [[len(shade) * x * y % 251 for x in range(300)] for y in range(300)]
    assert max(map(max, picture)) <= 250


def test_the_renderer_was_started_twice(tmp_path_factory, request):
    """Flaky on purpose: passes from its second attempt on."""
    mark = request.config.rootpath / ".pytest_cache" / "renderer-started"
    mark.parent.mkdir(exist_ok=True)
    first = not mark.exists()
    mark.touch() if first else mark.unlink()
    assert not first, "the renderer was cold"
