"""Named versions: ``NAME/aliases.json`` holds one object, alias -> version."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping

from neumeta_core.header import NAME_PATTERN

from neumeta_service.errors import AliasesRefused

LATEST = "latest"
"""The newest version that is served; no file can say otherwise."""
NAME_RULE = "up to 64 of a-z, 0-9, '.', '_' and '-', a letter or digit first, not digits alone"
_NAME = re.compile(NAME_PATTERN)


def is_well_named(name: str) -> bool:
    """Whether a name obeys ``NAME_RULE``, which holds for all that operators and clients name."""
    return bool(_NAME.fullmatch(name)) and not name.isdigit()


def parse_aliases(data: bytes, served: Collection[int]) -> Mapping[str, int]:
    """The aliases in a file's bytes. Raises AliasesRefused unless each is well named and leads to one of the versions that are served."""
    try:
        aliases = json.loads(data)
    except (ValueError, RecursionError):
        raise AliasesRefused("it is not JSON; expected an object of alias -> version.") from None
    if not isinstance(aliases, dict):
        raise AliasesRefused("it holds no object; expected alias -> version.")
    for alias, version in aliases.items():
        if not is_well_named(alias) or alias == LATEST:
            raise AliasesRefused(f"the alias {alias[:100]!r} is not allowed; expected {NAME_RULE} and not {LATEST!r}.")
        if type(version) is not int or version not in served:
            listed = ", ".join(map(str, sorted(served))) or "none"
            raise AliasesRefused(f"{alias}: {version!r:.100} is not a version that is served; those are: {listed}.")
    return aliases
