"""What is said of a session that pytest ended by an error of its own or of a plugin."""

from __future__ import annotations

from pathlib import Path

import pytest
from runner_suites import spec_of, write_suite

from proctor.infra.runners.runner import SessionProblem, SessionRunner


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        ("ValueError('no licence')", "ValueError: no licence"),
        # As plugins word what they warn of, where warnings are errors: the first line names it.
        ("UserWarning('Option x is unset.\\nIt will be y.\\n\\nSet it.')", "Option x is unset"),
        ("ExceptionGroup('many', [ValueError('one')])", "many (1 sub-exception)"),
        ("SyntaxError('odd', ('f.py', 2, 1, 'a b', 2, 2))", "SyntaxError: odd"),
    ],
)
def test_what_a_plugin_raises_is_named(tmp_path: Path, raised: str, says: str) -> None:
    """By the line that has its name, and without the words that pytest puts before each."""
    hook = f"def pytest_configure():\n    raise {raised}\n"
    folder = write_suite(tmp_path, {"test_a.py": "", "conftest.py": hook})
    with pytest.raises(SessionProblem) as caught:
        SessionRunner(spec_of(folder)).start()
    assert caught.value.exit_code == 3
    assert "INTERNALERROR" not in caught.value.message
    assert caught.value.message.endswith(says)
