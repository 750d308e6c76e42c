"""Keeps readings: one CSV file a day, named by its UTC date, and a file of alarms."""

import os
from datetime import datetime, timedelta
from pathlib import Path

HEADER = "time,level_m,temperature_c\n"
ALARM_PAUSE = timedelta(minutes=10)


class Storage:
    def __init__(self, folder: Path, keep_days: int) -> None:
        self._folder = folder
        self._keep_days = keep_days
        self._last_alarm: datetime | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def append(self, when: datetime, level_m: float, temperature_c: float) -> Path:
        """Add a line and force it to the disk, so that a power cut loses one reading at most."""
        file = self._folder / f"{when:%Y-%m-%d}.csv"
        is_new = not file.exists()
        with file.open("a", encoding="ascii") as stream:
            if is_new:
                stream.write(HEADER)
            stream.write(f"{when:%H:%M:%S},{level_m:.3f},{temperature_c:.1f}\n")
            stream.flush()
            os.fsync(stream.fileno())
        if is_new:
            self._delete_old(when)
        return file

    def alarm(self, when: datetime, level_m: float) -> bool:
        """Write an alarm, unless one was written in the last ten minutes."""
        if self._last_alarm is not None and when - self._last_alarm < ALARM_PAUSE:
            return False
        self._last_alarm = when
        with (self._folder / "alarms.log").open("a", encoding="ascii") as stream:
            stream.write(f"{when:%Y-%m-%d %H:%M:%S} level {level_m:.2f} m\n")
        return True

    def _delete_old(self, now: datetime) -> None:
        oldest = f"{now - timedelta(days=self._keep_days):%Y-%m-%d}"
        for file in self._folder.glob("????-??-??.csv"):
            if file.stem < oldest:
                file.unlink()
