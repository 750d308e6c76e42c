"""A short measure of this device, after which plans tell how long they take."""

from __future__ import annotations

from longctx import planner, speeds, terminal
from longctx.errors import UsageError
from longctx.jobs import Job
from longctx.planner import Precision, Speed
from longctx.plans import Plan


def calibrate(plan: Plan | None = None, *, bits: int = 16, dtype: str | None = None, device: str | None = None) -> Speed:
    """Measure this device. It takes some seconds, and is kept in the cache folder: plans that are made from then on tell time.

    Args:
        plan: measures its device in its precision, in place of the other arguments.
        bits: 4, 8 or 16 per weight.
        dtype: ``"bfloat16"``, ``"float16"`` or ``"float32"`` for what is not quantised; None chooses by device.
        device: ``"cuda"``, ``"mps"`` or ``"cpu"``; None detects.

    Returns:
        what was measured.

    Raises:
        UsageError: the device is not in this machine, the precision is none, or the cache folder cannot be written.

    >>> calibrate(device="cpu", bits=5)
    Traceback (most recent call last):
    longctx.errors.UsageError: bits=5 is not one of (4, 8, 16)
      take 4, 8 or 16 bits per weight
    """
    place = planner.device_for(device, None) if plan is None else plan.device
    precision = Precision(bits, dtype or place.dtype) if plan is None else Precision(plan.bits, plan.figures.dtype)
    if not place.here:
        raise UsageError(f"{place.name} is not in this machine, so it cannot be measured", hint="plan without device=")
    from longctx.backends.transformers import calibrate as measure

    title = f"calibrate {place.name} for {precision.bits} bits, {precision.dtype}"
    speed: Speed = terminal.watch_here(Job(lambda job: measure.calibrate(place.kind, precision, job), title=title))
    try:
        speeds.keep(place, precision, speed)
    except OSError as error:
        raise UsageError(
            f"the cache folder cannot be written: {error}", hint="set LONGCTX_CACHE to a folder of yours"
        ) from error
    return speed
