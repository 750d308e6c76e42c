"""What this machine was measured to do in a second, kept in the cache folder, so that every plan can tell how long it takes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longctx import models
from longctx.planner import Device, Precision, Speed

#: Of what is measured and how: figures of another version say something else.
VERSION = 1


def kept(device: Device) -> Mapping[Precision, Speed]:
    """The speeds of a device, as far as they were measured; none for one that is not in this machine."""
    if not device.here:
        return {}
    found = {}
    for key, row in _rows(_read(), device).items():
        bits, _, dtype = key.partition(" ")
        speed = Speed.from_json(row)
        if speed is not None and bits.isdecimal() and Precision.known(int(bits), dtype):
            found[Precision(int(bits), dtype)] = speed
    return found


def keep(device: Device, precision: Precision, speed: Speed) -> None:
    """Add to what is kept.

    Raises:
        OSError: the cache folder cannot be written.
    """
    devices = _read()
    row = {f"{precision.bits} {precision.dtype}": speed.to_json()}
    devices[_name(device)] = {**_rows(devices, device), **row}
    path = _path()
    new = path.with_suffix(f".{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    new.write_text(json.dumps({"version": VERSION, "devices": devices}, indent=1), encoding="utf-8")
    os.replace(new, path)


def _read() -> dict[str, Any]:
    """What is kept, by device; nothing where it is damaged or of another version."""
    try:
        whole = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    devices = whole.get("devices") if isinstance(whole, dict) and whole.get("version") == VERSION else None
    return devices if isinstance(devices, dict) else {}


def _rows(devices: Mapping[str, Any], device: Device) -> Mapping[str, Any]:
    rows = devices.get(_name(device))
    return rows if isinstance(rows, dict) else {}


def _path() -> Path:
    return models.cache_folder() / "speeds.json"


def _name(device: Device) -> str:
    """A device by its maker's name; a CPU also by the cores that this process may use, for a container has fewer of them."""
    if device.kind != "cpu":
        return f"{device.kind}: {device.count} x {device.name}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"cpu: {cores} cores of {device.name}"
