"""Pull a network of the size that a device can run from a NeuMeta service, verified and cached.

from neumeta_client import Client

with Client("http://127.0.0.1:8080") as client:
    artifact = client.pull("lenet-mnist", compression=0.6)
"""

from neumeta_client._artifact import Artifact
from neumeta_client._async_client import AsyncClient
from neumeta_client._client import Client
from neumeta_client._errors import (
    AccessRefused,
    ArtifactGone,
    BudgetImpossible,
    CacheError,
    CertificateExpired,
    ConnectionFailed,
    FieldError,
    FitImpossible,
    IntegrityError,
    InvalidRequest,
    MeasurementFailed,
    MissingExtra,
    ModelNotFound,
    ModelRefused,
    NeuMetaClientError,
    Offline,
    ProfileNotFound,
    RequestError,
    RollbackRefused,
    RungNotFound,
    ServiceError,
    ServiceUnavailable,
    SessionClosed,
    SignatureExpired,
    SignatureInvalid,
    SignatureMissing,
    UnexpectedAnswer,
    VerificationError,
    VersionNotFound,
)
from neumeta_client._fit.device import Device
from neumeta_client._fit.goal import Goal
from neumeta_client._fit.latency import Latency
from neumeta_client._fit.meter import Meter
from neumeta_client._fit.profile import DeviceProfile
from neumeta_client._fit.report import Candidate, Fit, FitReport, Measurement
from neumeta_client._local.cache import Cache
from neumeta_client._local.collection import CacheEntry
from neumeta_client._local.download import Progress
from neumeta_client._morphing.pressure import Advice, LatencyBudget, Pressure, Reserve
from neumeta_client._morphing.readings import available_memory, battery_charge
from neumeta_client._morphing.session import MorphingSession
from neumeta_client._retry import Retries
from neumeta_client._trust.root import TrustRoot
from neumeta_client._types import ChannelGroup, Compression, Cost, Curve, CurvePoint, Input, Manifest, Model, ModelSummary, Output, Quality, Spec
from neumeta_client._version import __version__

__all__ = [
    "AccessRefused",
    "Advice",
    "Artifact",
    "ArtifactGone",
    "AsyncClient",
    "BudgetImpossible",
    "Cache",
    "CacheEntry",
    "CacheError",
    "Candidate",
    "CertificateExpired",
    "ChannelGroup",
    "Client",
    "Compression",
    "ConnectionFailed",
    "Cost",
    "Curve",
    "CurvePoint",
    "Device",
    "DeviceProfile",
    "FieldError",
    "Fit",
    "FitImpossible",
    "FitReport",
    "Goal",
    "Input",
    "IntegrityError",
    "InvalidRequest",
    "Latency",
    "LatencyBudget",
    "Manifest",
    "Measurement",
    "MeasurementFailed",
    "Meter",
    "MissingExtra",
    "Model",
    "ModelNotFound",
    "ModelRefused",
    "ModelSummary",
    "MorphingSession",
    "NeuMetaClientError",
    "Offline",
    "Output",
    "Pressure",
    "ProfileNotFound",
    "Progress",
    "Quality",
    "RequestError",
    "Reserve",
    "Retries",
    "RollbackRefused",
    "RungNotFound",
    "ServiceError",
    "ServiceUnavailable",
    "SessionClosed",
    "SignatureExpired",
    "SignatureInvalid",
    "SignatureMissing",
    "Spec",
    "TrustRoot",
    "UnexpectedAnswer",
    "VerificationError",
    "VersionNotFound",
    "__version__",
    "available_memory",
    "battery_charge",
]
