"""What the tests of the pages rest on."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def follow(reader, tmp_path):
    """Write a page of these blocks and follow it."""

    def written_and_followed(*blocks: tuple[str, str]) -> None:
        path: Path = tmp_path / "page.md"
        path.write_text("\n".join(f"Some words.\n\n```{language}\n{code}\n```\n" for language, code in blocks))
        reader.follow(path)

    return written_and_followed


def test_blocks_share_a_terminal_and_an_interpreter(follow):
    follow(("sh", "word=five"), ("python", "word = 'six'"), ("sh", "echo $word"), ("text", "five"), ("python", "print(word)"), ("text", "six"))


def test_what_varies_is_left_out(follow):
    follow(("sh", "echo from 3 to 4"), ("text", "from ... to 4"))


@pytest.mark.parametrize(("language", "code"), [("sh", "echo one"), ("python", "print('one')")])
def test_other_output_than_shown_fails(follow, language, code):
    with pytest.raises(AssertionError, match=r"page\.md, line 3: the page shows\s+two\s+and this was printed\s+one"):
        follow((language, code), ("text", "two"))


@pytest.mark.parametrize(("language", "code", "printed"), [("sh", "ls missing\nls", "ls: .*missing"), ("python", "1 / 0", "ZeroDivisionError")])
def test_a_block_that_fails_is_shown_with_what_it_printed(follow, language, code, printed):
    with pytest.raises(AssertionError, match=rf"(?s)page\.md, line 3: this failed.*and printed.*{printed}"):
        follow((language, code))


def test_other_blocks_are_for_the_eye(follow):
    follow(("console", "$ make something"), ("text", "made"))


def test_the_address_that_is_shown_is_the_service_of_the_test(follow):
    follow(("sh", 'test "http://127.0.0.1:8080" = "$NEUMETA_CLIENT_URL"'), ("python", "print('127.0.0.1:8080')"), ("text", "127.0.0.1:8080"))
