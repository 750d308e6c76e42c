"""Talks to a TG-200 over TCP: sends READ, gets one line such as ``L 3.412 T 11.8 *24``."""

import math
import re
import socket
import time
from dataclasses import dataclass

_LINE = re.compile(r"(L (-?\d+\.\d+) T (-?\d+\.\d+) )\*([0-9A-F]{2})")


class GaugeError(Exception):
    """The gauge did not answer, or its answer was damaged on the way."""


@dataclass(frozen=True)
class Reading:
    level_m: float
    temperature_c: float


def checksum(text: str) -> int:
    """Exclusive or of all characters."""
    value = 0
    for character in text.encode("ascii"):
        value ^= character
    return value


def parse(line: str) -> Reading:
    match = _LINE.fullmatch(line.strip())
    if match is None:
        raise GaugeError(f"not a reading: {line!r}")
    body, level, temperature, expected = match.groups()
    if checksum(body) != int(expected, 16):
        raise GaugeError(f"checksum does not match: {line!r}")
    return Reading(float(level), float(temperature))


class TcpGauge:
    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self._address = (host, port)
        self._timeout_s = timeout_s

    def read(self) -> Reading:
        try:
            with socket.create_connection(self._address, self._timeout_s) as connection:
                connection.sendall(b"READ\r\n")
                line = connection.makefile("r", encoding="ascii", errors="replace").readline()
        except OSError as error:
            raise GaugeError(f"no answer from {self._address[0]}: {error}") from error
        return parse(line)


class SimulatedGauge:
    """A tide of 12 hours and 25 minutes between 1 and 5 metres, for trying things out."""

    def read(self) -> Reading:
        phase = 2 * math.pi * time.time() / (12 * 3600 + 25 * 60)
        return Reading(round(3 + 2 * math.sin(phase), 3), 11.8)
