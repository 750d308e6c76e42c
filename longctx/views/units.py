"""Numbers for people: bytes, counts, rates and times. Knows nothing else.

Bytes are decimal everywhere: 1 GB is 1,000,000,000 bytes, as on the label of a disk. A GiB is never shown.
"""

from __future__ import annotations

_SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_SHORT = {"tokens": "tok"}


def count(number: int) -> str:
    """A whole number with separators between thousands.

    >>> count(1010000)
    '1,010,000'
    """
    return f"{number:,}"


def plural(number: int, thing: str) -> str:
    """A count and what is counted.

    >>> plural(1, "file"), plural(1200, "file")
    ('1 file', '1,200 files')
    """
    return f"{count(number)} {thing}" + ("" if number == 1 else "s")


def size(number: float) -> str:
    """Bytes in decimal units: one decimal from a gigabyte on and below ten of a unit.

    >>> size(98_000_000), size(1_134_000_000), size(812), size(999_960_000)
    ('98 MB', '1.1 GB', '812 B', '1.0 GB')
    """
    scale, unit = _unit(number)
    return f"{_figure(number, scale, unit)} {unit}"


def size_of(part: float, whole: float) -> str:
    """Two sizes in one unit, that of the larger.

    >>> size_of(912_000_000, 1_134_000_000)
    '0.9 of 1.1 GB'
    """
    scale, unit = _unit(max(part, whole))
    return f"{_figure(part, scale, unit)} of {_figure(whole, scale, unit)} {unit}"


def _unit(number: float) -> tuple[float, str]:
    for scale, unit in _SIZES:
        if number >= scale * 0.9995:
            return scale, unit
    return 1.0, "B"


def _figure(number: float, scale: float, unit: str) -> str:
    value = number / scale
    decimals = 1 if unit in ("GB", "TB") or (unit != "B" and 0 < value < 9.95) else 0
    return f"{value:,.{decimals}f}"


def percent(part: float, whole: float) -> str:
    """A share in whole percent; 100 only when it is complete, and more than 0 once it has begun.

    >>> percent(1536, 3012), percent(2_999, 3_000), percent(1, 3_000)
    ('51 %', '99 %', '1 %')
    """
    if whole <= 0 or part <= 0:
        return "0 %"
    if part < whole:
        return f"{min(99, max(1, round(100 * part / whole)))} %"
    return f"{round(100 * part / whole)} %"


def rate(per_second: float, unit: str = "tokens") -> str:
    """A speed, with bytes in decimal units.

    >>> rate(600.4), rate(0.82), rate(12_000_000, "bytes")
    ('600 tok/s', '0.8 tok/s', '12 MB/s')
    """
    if unit == "bytes":
        return f"{size(per_second)}/s"
    figure = f"{per_second:,.0f}" if per_second >= 9.95 else f"{per_second:.1f}"
    return f"{figure} {_SHORT.get(unit, unit)}/s"


def seconds(duration: float) -> str:
    """A time that passed.

    >>> seconds(0.31), seconds(12.4), seconds(125), seconds(3725)
    ('0.3 s', '12 s', '2 min 5 s', '1 h 2 min')
    """
    if duration < 9.95:
        return f"{duration:.1f} s"
    whole = round(duration)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole // 60 % 60} min"


def about(duration: float) -> str:
    """A time that is estimated, in one unit.

    >>> about(0.31), about(12.4), about(184), about(9_000)
    ('0.3 s', '12 s', '3 min', '2.5 h')
    """
    if duration < 90:
        return seconds(duration) if duration < 59.5 else f"{duration:.0f} s"
    return f"{duration / 60:.0f} min" if duration < 5_400 else f"{duration / 3600:.1f} h"


def countdown(duration: float) -> str:
    """A time as a clock shows it; for times that run.

    >>> countdown(3), countdown(3725)
    ('0:03', '1:02:05')
    """
    whole = max(0, round(duration))
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
