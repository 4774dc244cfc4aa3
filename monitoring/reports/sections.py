"""The parts of an attempt's text: why it ended so, and what it wrote meanwhile.

A section's name may carry the phase it stems from: "traceback (setup)", "stdout (teardown)".
"""

from __future__ import annotations

from collections.abc import Sequence

Sections = Sequence[tuple[str, str]]

_CAUSES = ("traceback", "stacks")


def is_cause(name: str) -> bool:
    """Whether a section says why, rather than what was written."""
    return name.partition(" ")[0] in _CAUSES


def cause(sections: Sections) -> str:
    """Tracebacks, and the stacks of what had to be killed."""
    return _joined([section for section in sections if is_cause(section[0])])


def standard_error(sections: Sections) -> str:
    return _joined([section for section in sections if section[0].startswith("stderr")])


def other_output(sections: Sections) -> str:
    """Standard output, logs, and what plugins added."""
    return _joined(
        [
            section
            for section in sections
            if not is_cause(section[0]) and not section[0].startswith("stderr")
        ]
    )


def _joined(sections: Sections) -> str:
    if len(sections) == 1:
        return sections[0][1]
    return "\n".join(f"--- {name} ---\n{text}" for name, text in sections)
