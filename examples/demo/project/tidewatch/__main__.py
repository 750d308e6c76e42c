"""The command line: one reading a minute until stopped."""

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tidewatch.config import Config
from tidewatch.gauge import GaugeError, SimulatedGauge, TcpGauge
from tidewatch.retry import RetryPolicy
from tidewatch.storage import Storage

INTERVAL_S = 60


def log_once(config: Config, gauge: TcpGauge | SimulatedGauge, storage: Storage) -> float | None:
    """Take one reading and keep it; None where the gauge did not answer."""
    try:
        reading = RetryPolicy().run(gauge.read)
    except GaugeError as error:
        print(f"gap: {error}", file=sys.stderr)
        return None
    now = datetime.now(UTC)
    level_m = reading.level_m + config.datum_offset_m
    storage.append(now, level_m, reading.temperature_c)
    if level_m >= config.alarm_level_m:
        storage.alarm(now, level_m)
    return level_m


def main() -> None:
    parser = argparse.ArgumentParser(prog="tidewatch")
    parser.add_argument("config", type=Path)
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--simulate", action="store_true")
    options = parser.parse_args()
    config = Config.load(options.config)
    gauge = SimulatedGauge() if options.simulate else TcpGauge(config.host, config.port, config.timeout_s)
    storage = Storage(config.folder, config.keep_days)
    while True:
        level_m = log_once(config, gauge, storage)
        if level_m is not None:
            print(f"{config.name}: {level_m:.2f} m", flush=True)
        if options.once:
            return
        time.sleep(INTERVAL_S - time.time() % INTERVAL_S)


if __name__ == "__main__":
    main()
