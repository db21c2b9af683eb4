"""Device profiles over the wire, as JSON."""

from __future__ import annotations

from neumeta_core.errors import InvalidField
from neumeta_core.manifold import Manifold

from neumeta_service.json_model import JsonModel, Precision, Version
from neumeta_service.profiles.profile import Measured, Profile


class ProfileRequest(Measured):
    """A profile to be kept."""

    version: Version
    """A version's number, an alias, or `latest`: what was measured."""

    def profile(self, manifold: Manifold) -> Profile:
        """The same of a version by its number; InvalidField when it has no member at the largest compression."""
        largest, last = manifold.architecture.max_compression, len(self.points) - 1
        if self.points[last].compression > largest:
            raise InvalidField(f"points.{last}.compression", self.points[last].compression, f"a number from 0 to {largest:g}")
        stated = self.model_dump() | {"version": manifold.header.version}
        return Profile.model_validate(stated | {"groups": manifold.architecture.groups})


class ProfileDocument(Measured):
    """A profile."""

    version: int


class DeviceDocument(JsonModel):
    """The profiles of one device."""

    model: str
    device: str
    profiles: list[ProfileDocument]
    """One for each version and precision that was measured, the newest first."""


class ProfileSummary(JsonModel):
    """A profile without its points."""

    device: str
    version: int
    precision: Precision
    metric: str
    lowest_ms: float
    """Of the smallest latency that was measured."""
    highest_ms: float
    url: str


class ProfileList(JsonModel):
    """The profiles of one model, by device."""

    profiles: list[ProfileSummary]


def device_document(model: str, device: str, profiles: list[Profile]) -> DeviceDocument:
    """The profiles of one device."""
    return DeviceDocument(
        model=model, device=device, profiles=[ProfileDocument.model_validate(profile.model_dump(exclude={"groups"})) for profile in profiles]
    )


def profile_list(model: str, by_device: dict[str, list[Profile]]) -> ProfileList:
    """Every profile of a model."""
    return ProfileList(profiles=[_summary(model, device, profile) for device, profiles in by_device.items() for profile in profiles])


def _summary(model: str, device: str, profile: Profile) -> ProfileSummary:
    latencies = [point.latency_ms for point in profile.points]
    return ProfileSummary(
        device=device,
        version=profile.version,
        precision=profile.precision,
        metric=profile.metric,
        lowest_ms=min(latencies),
        highest_ms=max(latencies),
        url=f"/v1/models/{model}/profiles/{device}",
    )
