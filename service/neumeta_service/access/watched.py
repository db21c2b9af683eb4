"""A file that may be replaced while the service runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from neumeta_service.settings import SettingsError

logger = logging.getLogger(__name__)
Content = TypeVar("Content")
_INTERVAL_S = 1.0


class WatchedFile(Generic[Content]):
    """The content of a file as ``read`` understands it (it raises SettingsError), looked at again at most once a second.

    A file that is gone or wrong stops the start; later on it is an error in the log, once until it changes again, and what was read last
    stands. It is tried again at every look.
    """

    def __init__(self, path: Path, read: Callable[[Path], Content], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._read = read
        self._clock = clock
        self._next_look_s = clock() + _INTERVAL_S
        self._signature = self._seen = _signature(path)
        self.content = read(path)

    def refresh(self) -> bool:
        """Read the file again if it changed; True when there is new content."""
        now_s = self._clock()
        if now_s < self._next_look_s:
            return False
        self._next_look_s = now_s + _INTERVAL_S
        signature = _signature(self._path)
        is_news, self._seen = signature != self._seen, signature
        if signature == self._signature:
            return False
        try:
            self.content = self._read(self._path)
        except SettingsError as error:
            if is_news:
                logger.error("%s What was read before stays in force.", error)
            return False
        # Not before it was read: what kept it from being read may end without a change of the file.
        self._signature = signature
        logger.info("%s was read again", self._path)
        return True


def _signature(path: Path) -> tuple[int, ...] | None:
    """Changes when the file does; None when it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
