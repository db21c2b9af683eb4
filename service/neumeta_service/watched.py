"""Files that may be replaced while the service runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from neumeta_core.errors import NeuMetaError

from neumeta_service.settings import SettingsError

logger = logging.getLogger(__name__)
Content = TypeVar("Content")


class WatchedFiles(Generic[Content]):
    """What ``read`` makes of some files (it raises SettingsError or NeuMetaError), looked at again at most every ``interval_s`` seconds.

    A file that is gone or wrong stops the start; later on it is an error in the log, once until one of them changes again, and what was read
    last stands. They are tried again at every look: two files are never replaced in one moment.
    """

    def __init__(
        self, paths: Sequence[Path], read: Callable[[], Content], *, interval_s: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._paths = paths
        self._read = read
        self._interval_s = interval_s
        self._clock = clock
        self._next_look_s = clock() + interval_s
        self._stamps = self._seen = [_stamp(path) for path in paths]
        self.content = read()

    def refresh(self) -> bool:
        """Read the files again if one changed; True when there is new content."""
        now_s = self._clock()
        if now_s < self._next_look_s:
            return False
        self._next_look_s = now_s + self._interval_s
        stamps = [_stamp(path) for path in self._paths]
        is_news, self._seen = stamps != self._seen, stamps
        if stamps == self._stamps:
            return False
        try:
            self.content = self._read()
        except (SettingsError, NeuMetaError) as error:
            if is_news:
                logger.error("%s What was read before stays in force.", error)
            return False
        # Not before they were read: what kept them from being read may end without a change of a file.
        self._stamps = stamps
        logger.info("%s read again", " and ".join(map(str, self._paths)))
        return True


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Changes when the file does; None when it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
