"""What is typed wrong is told by the verb it was typed to, with the exit code for that."""

from __future__ import annotations

import argparse
import shlex
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from ...infra.pytest_options import remedy_for

# Not argparse's 2: with pytest that is an interrupted run, and 4 a wrong command line.
USAGE_CODE = 4


class Parser(argparse.ArgumentParser):
    """A parser, and the type of those of its verbs."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE_CODE, f"{self.prog}: {message}\n")

    def refuse_unknown(self, typed: Sequence[str], unknown: Sequence[str]) -> NoReturn:
        """Argparse tells of unknown options in the name of the whole command."""
        verb = self._verb_of(typed)
        word = unknown[0].partition("=")[0]
        is_option = word.startswith("-")
        options = [option for action in verb._actions for option in action.option_strings]
        near = get_close_matches(word, options, n=1) if is_option else []
        remedy = f"did you mean {near[0]}?" if near else f"`{verb.prog} --help` tells what there is"
        if verb.prog.endswith(" run") and (told := remedy_for(unknown, typed)):
            remedy = told
        verb.error(f"there is no {'option' if is_option else 'argument'} {word}; {remedy}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Argparse lists all verbs there are, in one long line, and names none of them."""
        if isinstance(action.choices, Mapping) and value not in action.choices:
            self.error(f"there is no verb {value}; {self._verb_meant(str(value), action.choices)}")
        super()._check_value(action, value)

    def _verb_meant(self, typed: str, verbs: Mapping[str, Any]) -> str:
        # As pytest is given its paths: "tests" is near "certs".
        if "run" in verbs and _is_there(typed.partition("::")[0]):
            return f"did you mean `{self.prog} run {shlex.quote(typed)}`?"
        if near := get_close_matches(typed, verbs, n=1):
            return f"did you mean `{self.prog} {near[0]}`?"
        return f"`{self.prog} --help` tells what there is"

    def _verb_of(self, typed: Sequence[str]) -> Parser:
        """The innermost verb whose words were typed."""
        for action in self._actions:
            # Those of an option are a list; those of verbs are their parsers by name.
            verbs = action.choices if isinstance(action.choices, Mapping) else {}
            for place, word in enumerate(typed):
                verb = verbs.get(word)
                if isinstance(verb, Parser):
                    return verb._verb_of(typed[place + 1 :])
        return self


def _is_there(name: str) -> bool:
    try:
        return Path(name).exists()
    except OSError:
        # Nothing can be called so: it is longer than a name may be.
        return False


def seconds(text: str) -> float:
    """An argument's type: a time to wait at most."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    # Longer than threading can wait (and "inf", and "nan") is a mistake.
    if not 0 < value <= 10**6:
        # Argparse would tell of a ValueError by the name of this function.
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and a million seconds")
    return value


def add_verb(
    verbs: Any,
    name: str,
    act: Callable[[argparse.Namespace], int],
    summary: str,
    description: str,
    example: str,
    *,
    has_json: bool = True,
) -> argparse.ArgumentParser:
    """A verb with its help, examples a line each, and the flags that all of them have."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=summary,
        description=description,
        epilog="examples:\n" + textwrap.indent(example, "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--state", metavar="DIR", help="where records are kept, or block:NAME")
    if has_json:
        parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(act=act)
    return parser


def add_look(
    verbs: Any,
    name: str,
    act: Callable[[argparse.Namespace], int],
    summary: str,
    *,
    more: str = "",
    example: str = "",
) -> Any:
    """A verb that looks at records: its summary says most of what there is to say of it."""
    parser = verbs.add_parser(
        name,
        help=summary,
        description="\n".join(filter(None, (summary[0].upper() + summary[1:] + ".", more))),
        epilog=f"examples:\n{textwrap.indent(example, '  ')}" if example else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--state", metavar="DIR", help="where records are kept, or block:NAME")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(act=act)
    return parser
