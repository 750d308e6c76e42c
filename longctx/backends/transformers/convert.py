"""GGUF to safetensors, once: ``python -m longctx.backends.transformers.convert FILE FOLDER``.

A process of its own, so that the tens of seconds can be stopped and their memory comes back.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longctx.errors import ModelDamagedError
from longctx.jobs import WAIT_STEP, Job
from longctx.places import settle


def convert(gguf: Path, target: Path, job: Job[object] | None = None, generation: Mapping[str, Any] | None = None) -> Path:
    """Convert a GGUF file to a model folder with bf16 safetensors.

    Args:
        gguf: the file.
        target: the folder to make; complete or not there at all.
        job: is asked for a stop while the other process works.
        generation: values for the generation config, which GGUF files do not carry.

    Raises:
        ModelDamagedError: the file cannot be converted.
        Stopped: the user stopped.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=".converting-"))
    try:
        _run([sys.executable, "-m", __name__, str(gguf), str(temporary)], job)
        _merge(temporary / "generation_config.json", generation or {})
        settle(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _merge(file: Path, values: Mapping[str, Any]) -> None:
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**config, **values}, indent=2), encoding="utf-8")


def _run(command: list[str], job: Job[object] | None) -> None:
    from longctx import __path__ as package

    root = str(Path(package[0]).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        try:
            while True:
                try:
                    process.wait(WAIT_STEP)
                    break
                except subprocess.TimeoutExpired:
                    if job is not None:
                        job.check()
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            output.seek(0)
            last = (output.read().strip().splitlines() or [f"exit code {process.returncode}"])[-1]
            raise ModelDamagedError(f"{command[-2]} could not be converted: {last}", hint="delete it and try again")


def main(gguf: str, target: str) -> None:
    """Convert in this process."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    file = Path(gguf)
    model = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    model.save_pretrained(target)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    tokenizer.save_pretrained(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
