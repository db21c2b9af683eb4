"""What Linux says about memory and batteries."""

from __future__ import annotations

from pathlib import Path


def available_memory(file: Path = Path("/proc/meminfo")) -> float | None:
    """Bytes of memory that can be taken without swapping (``MemAvailable``, proc_meminfo(5)); None where that is not known.

    Of the whole machine: a container's own limit is not in it.
    """
    for line in _read(file).splitlines():
        name, _, amount = line.partition(":")
        if name == "MemAvailable":
            return 1024.0 * int(amount.split()[0])
    return None


def battery_charge(folder: Path = Path("/sys/class/power_supply")) -> float | None:
    """Percent left in the emptiest battery that this device is running down (sysfs-class-power); None when there is none, or it charges.

    Batteries of peripherals, such as a mouse, do not count.
    """
    supplies = [supply for supply in folder.glob("*") if _read(supply / "status") == "Discharging" and _read(supply / "scope") != "Device"]
    charges = [_read(supply / "capacity") for supply in supplies]
    return min((float(charge) for charge in charges if charge.isdecimal()), default=None)


def _read(file: Path) -> str:
    """The file's text, stripped; empty when there is none, or the device behind it is gone."""
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
