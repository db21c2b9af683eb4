"""What clients have measured on their devices: how long a model takes there at which size, and the best of these sizes within a latency."""

from neumeta_service.profiles.limit import LatencyLimit, solve_within
from neumeta_service.profiles.profile import Measured, Profile
from neumeta_service.profiles.profiles import Profiles
from neumeta_service.profiles.store import ProfileStore

__all__ = ["LatencyLimit", "Measured", "Profile", "ProfileStore", "Profiles", "solve_within"]
