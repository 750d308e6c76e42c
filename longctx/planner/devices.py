"""Devices: what this machine can run a model on, and how much memory it has left. Imports no torch.

A GPU is asked through ``nvidia-smi``, and only where the installed torch was built for CUDA (its version file says so). Limits
of a container (cgroups 1 and 2) are respected. GPUs of other makers than NVIDIA and Apple are not known.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from longctx.errors import UsageError

Kind = Literal["cuda", "mps", "cpu"]
KINDS: tuple[Kind, ...] = ("cuda", "mps", "cpu")

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_MEMORY = re.compile(r"\s*(\d+(?:[._]\d+)*)\s*((?:[KMGT]I?)?)B?\s*", re.IGNORECASE)
#: Memory of the devices that people own, in bytes.
OWNED: dict[Kind, tuple[int, ...]] = {
    "cuda": tuple(size * 10**9 for size in (8, 12, 16, 24, 32, 48, 80)),
    "mps": tuple(size * 10**9 for size in (16, 24, 32, 48, 64, 96, 128)),
    "cpu": tuple(size * 10**9 for size in (16, 32, 64)),
}
#: More than any device has: longer numbers are held to it.
MOST_MEMORY = 10**18
#: Less than this is a forgotten unit.
LEAST_MEMORY = 1_000_000
#: bf16 is native from Ampere on.
BF16_CAPABILITY = 8.0
_QUERY = "name,memory.total,memory.free,compute_cap"
_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Device:
    """Where a model would run.

    Args:
        kind: ``"cuda"``, ``"mps"`` or ``"cpu"``.
        name: as its maker calls it.
        memory_total: bytes; several GPUs together, for accelerate spreads a model over them.
        memory_available: bytes that are free now.
        bf16: whether bfloat16 is native.
        warnings: what the user should know of it.
        count: how many of them.
        here: whether it is in this machine; else only planned for.
    """

    kind: Kind
    name: str
    memory_total: int
    memory_available: int
    bf16: bool = True
    warnings: tuple[str, ...] = ()
    count: int = 1
    here: bool = True

    @property
    def dtype(self) -> str:
        """What is not quantised is held in this: bf16 where it is native, else fp16 on GPUs and float32 on CPUs.

        A CPU without bf16 instructions multiplies bf16 matrices some 100 times slower than float32 ones (torch 2.15, AVX2).
        """
        if self.bf16:
            return "bfloat16"
        return "float32" if self.kind == "cpu" else "float16"


def parse_memory(text: str | int) -> int:
    """Bytes of a memory size. ``GB`` and ``G`` are 10⁹, ``GiB`` is 2³⁰; a bare number is bytes.

    Raises:
        UsageError: it is no size, or so small that the unit was forgotten.

    >>> parse_memory("16GB"), parse_memory("1.5 GiB"), parse_memory(16_000_000_000)
    (16000000000, 1610612736, 16000000000)
    """
    found = None if isinstance(text, bool) else _MEMORY.fullmatch(str(text))
    if found is None or found[1].count(".") > 1:
        raise UsageError(f"memory={text!r} is no size", hint='write "16GB", "16GiB" or a number of bytes')
    size = round(min(float(found[1].replace("_", "")) * UNITS[found[2].upper()], MOST_MEMORY))
    if size < LEAST_MEMORY:
        raise UsageError(f"memory={text!r} is {size} bytes, too little for any model", hint='name the unit: "16GB"')
    return size


def named(kind: Kind, size: int) -> str:
    """A device by its kind and the bytes of its memory.

    >>> named("cuda", 24 * 10**9), named("cpu", 32 * 10**9), named("mps", 18_500_000_000)
    ('a GPU with 24 GB', 'a CPU with 32 GB', 'an Apple GPU with 18.5 GB')
    """
    what = {"cuda": "a GPU", "mps": "an Apple GPU", "cpu": "a CPU"}[kind]
    return f"{what} with {round(size / 1e9, 1):g} GB"


def imagined(kind: Kind, size: int) -> Device:
    """A device that is not in this machine, to plan for: all of its memory is free, and it has what its kind usually has.

    Args:
        kind: ``"cuda"``, ``"mps"`` or ``"cpu"``; a GPU is taken to be an Ampere or newer, a CPU to multiply bf16.
        size: bytes of its memory.

    >>> imagined("cuda", 24 * 10**9).dtype
    'bfloat16'
    """
    return Device(kind, named(kind, size), size, size, bf16=kind != "mps", here=False)


def device_for(kind: str | None, size: int | None) -> Device:
    """The device that a plan is made for: of this machine, or imagined where a size is given for one that is not there.

    Args:
        kind: ``"cuda"``, ``"mps"`` or ``"cpu"``; None takes the best of this machine.
        size: bytes that were asked for, or None.

    Raises:
        UsageError: no such kind; or it is not there, and no size says which one is meant.
    """
    try:
        return detect(kind)
    except UsageError:
        if size is None or kind not in KINDS:
            raise
        return imagined(kind, size)


def detect(kind: str | None = None) -> Device:
    """The best device of this machine, or the one that was asked for.

    Args:
        kind: ``"cuda"``, ``"mps"`` or ``"cpu"``; None takes the first of these that is there.

    Raises:
        UsageError: no such kind, or it is not there.
    """
    if kind not in (None, *KINDS):
        raise UsageError(f"device={kind!r} is none that longctx knows", hint='give "cuda", "mps" or "cpu"')
    if kind == "cpu":
        return _cpu()
    gpus = _nvidia() if kind != "mps" else []
    built = torch_cuda()
    if gpus and built:
        return _cuda(gpus)
    if kind != "cuda" and _apple():
        return _mps()
    idle = "an NVIDIA GPU is here, but the installed torch is built for CPUs only; install a CUDA build of torch to use it"
    if kind is not None:
        reason = idle if gpus else f"no {'NVIDIA GPU that nvidia-smi answers for' if kind == 'cuda' else 'Apple GPU'} was found"
        raise UsageError(
            f"device={kind!r} is not there: {reason}",
            hint='give device="cpu", or leave it out; memory="24GB" beside it plans for one that is elsewhere',
        )
    return _cpu((idle,) if gpus else ())


def torch_cuda() -> str | None:
    """The CUDA version that the installed torch was built for, or None. Reads a text file; does not import torch."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.origin:
        return None
    file = Path(spec.origin).parent / "version.py"
    if not file.is_file():
        return None
    found = re.search(r"^cuda\s*(?::[^=]*)?=\s*['\"]([^'\"]+)['\"]", file.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else None


# -- GPUs --------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Gpu:
    name: str
    total: int
    free: int
    capability: float


def _nvidia() -> list[_Gpu]:
    """The GPUs that this process may use, by nvidia-smi."""
    command = ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    gpus = [gpu for line in done.stdout.splitlines() if (gpu := _gpu(line)) is not None]
    return _visible(gpus, os.environ.get("CUDA_VISIBLE_DEVICES"))


def _gpu(line: str) -> _Gpu | None:
    """One row of nvidia-smi: name, MiB in all, MiB free, compute capability. A row with ``[N/A]`` cannot be planned for."""
    cells = [cell.strip() for cell in line.rsplit(",", 3)]
    try:
        name, total, free, capability = cells[0], int(cells[1]), int(cells[2]), float(cells[3])
    except (ValueError, IndexError):
        return None
    return _Gpu(name, total * 2**20, free * 2**20, capability)


def _visible(gpus: list[_Gpu], chosen: str | None) -> list[_Gpu]:
    """Those that CUDA_VISIBLE_DEVICES names by number; as in CUDA, the list ends at the first that is none."""
    if chosen is None:
        return gpus
    kept: list[_Gpu] = []
    for name in filter(None, (part.strip() for part in chosen.split(","))):
        if name.startswith(("GPU-", "MIG-")):
            return gpus
        if not name.isdigit() or int(name) >= len(gpus):
            break
        kept.append(gpus[int(name)])
    return kept


def _cuda(gpus: list[_Gpu]) -> Device:
    names = {gpu.name for gpu in gpus}
    name = " + ".join(sorted(names)) if len(gpus) == 1 or len(names) > 1 else f"{len(gpus)} × {gpus[0].name}"
    bf16 = all(gpu.capability >= BF16_CAPABILITY for gpu in gpus)
    note = () if bf16 else (f"{name} has no native bf16: float16 is used, which overflows in some models",)
    return Device("cuda", name, sum(gpu.total for gpu in gpus), sum(gpu.free for gpu in gpus), bf16, note, len(gpus))


def _apple() -> bool:
    return platform.system() == "Darwin" and platform.machine() == "arm64"


def _mps() -> Device:
    total, available = _system_memory()
    return Device("mps", "Apple GPU (memory shared with the CPU)", total, available, bf16=False)


# -- CPU ---------------------------------------------------------------------------------------------------------------
def _cpu(warnings: tuple[str, ...] = ()) -> Device:
    total, available = _system_memory()
    return Device("cpu", _cpu_name(), total, available, cpu_bf16(_cpu_info()), warnings)


def _cpu_name() -> str:
    """As Linux has it in /proc/cpuinfo; elsewhere the architecture. ``platform.processor`` would start a process."""
    found = re.search(r"^model name\s*:\s*(.+)$", _cpu_info(), re.MULTILINE)
    return found[1].strip() if found else platform.machine() or "CPU"


def cpu_bf16(info: str) -> bool:
    """Whether a CPU multiplies bf16 by itself, as its flags in /proc/cpuinfo tell; where nothing tells, it is taken not to.

    >>> cpu_bf16("flags : sse2 avx2 avx512f avx512_bf16"), cpu_bf16("flags : sse2 avx2"), cpu_bf16("Features : asimd bf16")
    (True, False, True)
    """
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(info.split()))


def _cpu_info() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""


def _system_memory() -> tuple[int, int]:
    """Bytes in all and free now, within the limits of a container."""
    import psutil

    memory = psutil.virtual_memory()
    total, available = int(memory.total), int(memory.available)
    for limit, used in container_limits():
        total, available = min(total, limit), min(available, max(0, limit - used))
    return total, available


def container_limits(root: Path = Path("/")) -> list[tuple[int, int]]:
    """Memory limits of the cgroups that this process is in, with what is used of each; file cache can be given back.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    limits = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            limits += _limits(root / "sys/fs/cgroup", path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            limits += _limits(root / "sys/fs/cgroup/memory", path, *names)
    return limits


def _limits(base: Path, path: str, limit: str, usage: str, cache: str) -> list[tuple[int, int]]:
    """The limits of a group and of those above it. In a container the path may not exist: the base is its own group."""
    own = base / path.strip("/")
    folders = [folder for folder in (own, *own.parents) if folder.is_relative_to(base)]
    found = []
    for folder in folders:
        most, used = _number(folder / limit), _number(folder / usage)
        if most is not None and used is not None:
            found.append((most, max(0, used - _statistic(folder / "memory.stat", cache))))
    return found


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # "max" is no limit
        return None


def _statistic(file: Path, name: str) -> int:
    try:
        rows = dict(line.split() for line in file.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(rows.get(name, 0))
