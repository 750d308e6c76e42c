"""Settings of a station, read from a TOML file and checked before anything runs."""

import tomllib
from dataclasses import dataclass
from pathlib import Path


class ConfigError(ValueError):
    """A setting is missing or makes no sense; the message names it."""


@dataclass(frozen=True)
class Config:
    name: str
    datum_offset_m: float
    alarm_level_m: float
    host: str
    port: int
    timeout_s: float
    folder: Path
    keep_days: int

    @classmethod
    def load(cls, file: Path) -> "Config":
        with file.open("rb") as stream:
            tables = tomllib.load(stream)
        try:
            station, gauge, storage = tables["station"], tables["gauge"], tables["storage"]
            folder = file.parent / storage["folder"]
            config = cls(**station, **gauge, folder=folder, keep_days=storage["keep_days"])
        except (KeyError, TypeError) as error:
            raise ConfigError(f"{file}: {error}") from error
        if not 0 < config.port < 65536:
            raise ConfigError(f"{file}: port {config.port} is not a TCP port")
        if config.keep_days < 1:
            raise ConfigError(f"{file}: keep_days must be at least 1")
        return config
