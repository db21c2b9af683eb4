"""The device profiles of all models, read and written outside of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from threading import Lock
from typing import TypeVar

from neumeta_core.manifold import Manifold

from neumeta_service.catalog.aliases import is_well_named
from neumeta_service.errors import ProfileNotFound, TooManyProfiles
from neumeta_service.profiles.profile import Profile
from neumeta_service.profiles.store import ProfileStore

MAX_DEVICES = 256
"""Of one model."""
MAX_KEPT = 16
"""Profiles of one device: versions and precisions."""
T = TypeVar("T")


class Profiles:
    """One for each event loop. Nothing is remembered: what another replica has written is there at once."""

    def __init__(self, store: ProfileStore) -> None:
        self._store = store
        # A store may be far away; several requests look into it at a time.
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="neumeta-profiles")
        self._writing = Lock()

    async def of(self, model: str, device: str) -> list[Profile]:
        """A device's profiles, the one that was put last first. Raises ProfileNotFound, StoreUnavailable."""
        profiles = await self._in_thread(partial(self._store.read, model, device)) if is_well_named(device) else []
        if not profiles:
            raise ProfileNotFound.of_device(model, device)
        return profiles

    async def all(self, model: str) -> dict[str, list[Profile]]:
        """Those of every device that has one, by its name. Raises StoreUnavailable."""
        return await self._in_thread(partial(self._all, model))

    async def put(self, model: str, device: str, profile: Profile) -> bool:
        """Keep a profile in the place of the device's one of that version and precision; True when there was none.

        The device has to be well named. Raises TooManyProfiles, StoreUnavailable.
        """
        return await self._in_thread(partial(self._put, model, device, profile))

    async def remove(self, model: str, device: str) -> None:
        """Forget a device. Raises ProfileNotFound, StoreUnavailable."""
        if not is_well_named(device) or not await self._in_thread(partial(self._store.delete, model, device)):
            raise ProfileNotFound.of_device(model, device)

    async def find(self, manifold: Manifold, device: str, precision: str) -> Profile:
        """The device's profile of this version, or of the newest with the same channel groups.

        Raises ProfileNotFound, StoreUnavailable.
        """
        name, version, groups = manifold.header.name, manifold.header.version, manifold.architecture.groups
        profiles = await self.of(name, device)
        in_precision = [profile for profile in profiles if profile.precision == precision]
        if not in_precision:
            raise ProfileNotFound.of_precision(name, device, precision, sorted({profile.precision for profile in profiles}))
        usable = [profile for profile in in_precision if profile.groups == groups]
        if not usable:
            raise ProfileNotFound.of_version(name, device, version, sorted(profile.version for profile in in_precision))
        return max(usable, key=lambda profile: (profile.version == version, profile.version))

    async def aclose(self) -> None:
        """Finish what is being written."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # With its context, so that log lines have the id of the request.
        return await asyncio.get_running_loop().run_in_executor(self._threads, copy_context().run, work)

    def _all(self, model: str) -> dict[str, list[Profile]]:
        found = {device: self._store.read(model, device) for device in self._store.devices(model)}
        return {device: profiles for device, profiles in found.items() if profiles}

    def _put(self, model: str, device: str, profile: Profile) -> bool:
        with self._writing:
            devices = self._store.devices(model)
            if device not in devices and len(devices) >= MAX_DEVICES:
                raise TooManyProfiles(model, MAX_DEVICES)
            before = self._store.read(model, device)
            others = [other for other in before if (other.version, other.precision) != (profile.version, profile.precision)]
            self._store.write(model, device, [profile, *others][:MAX_KEPT])
            return len(others) == len(before)
