"""Devices by name."""

from __future__ import annotations

import torch

from neumeta_core.errors import DeviceUnavailable


def resolve_device(name: str) -> torch.device:
    """``auto`` (CUDA when there is one, else CPU), ``cpu``, ``cuda`` or ``cuda:N``; DeviceUnavailable otherwise."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise DeviceUnavailable(f"device: {name!r} is not known; expected auto, cpu, cuda or cuda:N.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceUnavailable(f"device: {name} is not there; this machine has {torch.cuda.device_count()} CUDA devices. Use auto or cpu.")
    return device
