"""Commands that pages name, in code: each verb and each option of ours exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import neumeta_client.cli
import neumeta_trainer.cli
import pytest
import typer

from tests.documentation.conftest import ROOT
from tests.documentation.test_links import PAGES

COMMANDS = {"neumeta": typer.main.get_command(neumeta_trainer.cli.app), "neumeta-client": typer.main.get_command(neumeta_client.cli.app)}
VERBS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def code(page: str) -> Iterator[str]:
    """Lines of blocks, those that go on joined, and code within sentences."""
    text = (ROOT / page).read_text()
    for block in re.findall(r"^```(?!text)\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def named(page: str, *programs: str) -> Iterator[list[str]]:
    """The words of every call of these programs."""
    for line in code(page):
        found = re.search(rf"(?:^|[$(] ?|\b[A-Z_]+=\S+ )((?:{'|'.join(programs)}) .*)", line)
        if found:
            yield shlex.split(re.split(r" \d?>|[|&;)]| #", found[1])[0].replace("'", ""))


def check(words: list[str]) -> None:
    """Fail unless the command has these options and sub-commands."""
    command, *rest = COMMANDS[words[0]], *words[1:]
    for word in rest:
        if commands := getattr(command, "commands", {}):
            assert word in commands, f"{shlex.join(words)}: there is no {word}; there are {', '.join(commands)}."
            command = commands[word]
        elif word.startswith("--"):
            options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            assert word.partition("=")[0] in options, f"{shlex.join(words)}: there is no {word}; there are {', '.join(sorted(options))}."


@pytest.mark.parametrize("page", PAGES)
def test_commands_have_what_pages_say(page: str) -> None:
    for words in named(page, *COMMANDS):
        check(words)


@pytest.mark.parametrize("page", PAGES)
def test_make_has_the_verbs_that_pages_name(page: str) -> None:
    for _, *words in named(page, "make"):
        verbs = {word for word in words if re.fullmatch("[a-z-]+", word)}
        assert verbs <= VERBS, f"{page}: the Makefile has no {', '.join(verbs - VERBS)}."
