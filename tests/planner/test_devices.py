from __future__ import annotations

import contextlib
import subprocess
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longctx.errors import UsageError
from longctx.planner import devices
from longctx.planner.devices import Device, detect, device_for, parse_memory


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16GB", 16 * 10**9),
        ("16G", 16 * 10**9),
        ("16GiB", 16 * 2**30),
        (" 16 gib ", 16 * 2**30),
        ("1.5GB", 1_500_000_000),
        ("8000MB", 8 * 10**9),
        ("1TiB", 2**40),
        (16_000_000_000, 16 * 10**9),
        ("16000000000", 16 * 10**9),
        ("16_000_000_000", 16 * 10**9),
    ],
)
def test_a_memory_size_is_read_as_it_is_written(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize(
    "text", ["", "GB", "16XB", "-16GB", "16 GB of RAM", "1.2.3GB", "nan", "16", 16, 0, -1, True, "0GB", "16i"]
)
def test_nonsense_for_a_memory_size_is_refused_with_its_value(text):
    with pytest.raises(UsageError) as caught:
        parse_memory(text)
    assert repr(text) in caught.value.message


def test_a_number_without_end_is_a_size_and_no_overflow():
    assert parse_memory("9" * 400 + "GB") == devices.MOST_MEMORY


@given(st.text(max_size=12))
def test_no_text_makes_the_parser_fail_otherwise(text):
    with contextlib.suppress(UsageError):
        assert parse_memory(text) >= devices.LEAST_MEMORY


@pytest.fixture
def machine(monkeypatch):
    """A machine with what a test says: rows of nvidia-smi, the CUDA version of torch, system and processor."""

    def set_up(smi="", cuda=None, system="Linux", processor="x86_64", error=None):
        def run(command, **options):
            assert command[0] == "nvidia-smi"
            assert options["timeout"] > 0
            if error is not None:
                raise error
            return SimpleNamespace(stdout=smi)

        monkeypatch.setattr(devices.subprocess, "run", run)
        monkeypatch.setattr(devices, "torch_cuda", lambda: cuda)
        monkeypatch.setattr(devices.platform, "system", lambda: system)
        monkeypatch.setattr(devices.platform, "machine", lambda: processor)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return set_up


RTX = "NVIDIA GeForce RTX 4090, 24564, 23000, 8.9\n"
T4 = "Tesla T4, 15360, 15000, 7.5\n"


def test_a_gpu_is_taken_with_its_free_memory(machine):
    machine(RTX, cuda="13.0")
    device = detect()
    assert (device.kind, device.name) == ("cuda", "NVIDIA GeForce RTX 4090")
    assert (device.memory_total, device.memory_available) == (24564 * 2**20, 23000 * 2**20)
    assert (device.bf16, device.dtype, device.warnings) == (True, "bfloat16", ())


def test_a_gpu_without_native_bf16_gets_fp16_and_a_note(machine):
    machine(T4, cuda="13.0")
    device = detect()
    assert device.dtype == "float16"
    assert "bf16" in device.warnings[0]


def test_several_gpus_count_together_and_the_weakest_decides(machine):
    machine(RTX + RTX + T4, cuda="13.0")
    device = detect("cuda")
    assert device.count == 3
    assert device.memory_total == (2 * 24564 + 15360) * 2**20
    assert not device.bf16


@pytest.mark.parametrize(("visible", "count"), [("0", 1), ("1,0", 2), ("", 0), ("-1", 0), ("0,7", 1), ("GPU-abc", 2)])
def test_only_visible_gpus_count(machine, monkeypatch, visible, count):
    machine(RTX + RTX, cuda="13.0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    device = detect()
    assert (device.count if device.kind == "cuda" else 0) == count


def test_a_gpu_that_the_installed_torch_cannot_use_is_named(machine):
    machine(RTX, cuda=None)
    device = detect()
    assert device.kind == "cpu"
    assert "built for CPUs" in device.warnings[0]
    with pytest.raises(UsageError, match="built for CPUs"):
        detect("cuda")


@pytest.mark.parametrize(
    "trouble",
    [
        {"error": FileNotFoundError("nvidia-smi")},
        {"error": subprocess.TimeoutExpired("nvidia-smi", 10)},
        {"error": subprocess.CalledProcessError(9, "nvidia-smi")},
        {"smi": "NVIDIA-SMI has failed because it couldn't communicate\n"},
        {"smi": "NVIDIA GB10, [N/A], [N/A], 12.1\n"},
    ],
)
def test_a_gpu_that_cannot_be_asked_leaves_the_cpu(machine, trouble):
    machine(cuda="13.0", **trouble)
    assert detect().kind == "cpu"
    with pytest.raises(UsageError, match="cuda"):
        detect("cuda")


def test_apple_silicon_is_mps(machine):
    machine(system="Darwin", processor="arm64", error=FileNotFoundError("nvidia-smi"))
    assert (detect().kind, detect().dtype) == ("mps", "float16")
    assert detect("cpu").kind == "cpu"


def test_a_device_that_is_not_there_is_refused_with_its_name(machine):
    machine(error=FileNotFoundError("nvidia-smi"))
    with pytest.raises(UsageError, match="mps"):
        detect("mps")
    with pytest.raises(UsageError, match="tpu"):
        detect("tpu")


def test_the_cpu_has_the_memory_that_is_free():
    device = detect("cpu")
    assert 0 < device.memory_available <= device.memory_total <= psutil.virtual_memory().total


@pytest.mark.parametrize(("bf16", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_a_cpu_without_bf16_instructions_is_not_made_to_emulate_them(bf16, dtype):
    assert Device("cpu", "CPU", 8, 8, bf16).dtype == dtype


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("cuda: Optional[str] = '13.2'", "13.2"),
        ("cuda: Optional[str] = None", None),
        ("cuda = '12.8'", "12.8"),
        ("debug = False", None),
    ],
)
def test_the_build_of_torch_is_read_without_importing_it(tmp_path, monkeypatch, line, version):
    (tmp_path / "version.py").write_text(f"__version__ = '2.15'\n{line}\n")
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: spec)
    assert devices.torch_cuda() == version


def test_without_torch_there_is_no_cuda(monkeypatch):
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: None)
    assert devices.torch_cuda() is None


def test_limits_of_cgroup_2_count_from_every_level_without_file_cache(tmp_path):
    _write(tmp_path, "proc/self/cgroup", "0::/pod/box\n")
    _write(tmp_path, "sys/fs/cgroup/pod/box/memory.max", "max\n")
    _write(tmp_path, "sys/fs/cgroup/pod/box/memory.current", "1000\n")
    _write(tmp_path, "sys/fs/cgroup/pod/memory.max", "8000\n")
    _write(tmp_path, "sys/fs/cgroup/pod/memory.current", "3000\n")
    _write(tmp_path, "sys/fs/cgroup/pod/memory.stat", "anon 1\ninactive_file 500\n")
    assert devices.container_limits(tmp_path) == [(8000, 2500)]


def test_limits_of_cgroup_1_are_found_where_the_container_hides_the_path(tmp_path):
    _write(tmp_path, "proc/self/cgroup", "5:cpuacct,cpu:/x\n4:memory:/outside/box\n")
    _write(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", "4096\n")
    _write(tmp_path, "sys/fs/cgroup/memory/memory.usage_in_bytes", "1024\n")
    _write(tmp_path, "sys/fs/cgroup/memory/memory.stat", "inactive_file 7\ntotal_inactive_file 24\n")
    assert devices.container_limits(tmp_path) == [(4096, 1000)]


def test_without_cgroups_there_is_no_limit(tmp_path):
    assert devices.container_limits(tmp_path) == []


def test_a_container_limit_lowers_what_the_cpu_has(monkeypatch):
    monkeypatch.setattr(devices, "container_limits", lambda: [(2 * 10**9, 5 * 10**8)])
    device = detect("cpu")
    assert device.memory_total == 2 * 10**9
    assert device.memory_available <= 15 * 10**8


def _write(root, name, text):
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


# -- devices that are elsewhere ----------------------------------------------------------------------------------------
def test_a_gpu_that_is_not_there_can_be_planned_for_by_its_memory(machine):
    machine()
    device = device_for("cuda", 24 * 10**9)
    assert (device.kind, device.here, device.dtype) == ("cuda", False, "bfloat16")
    assert device.memory_total == device.memory_available == 24 * 10**9
    assert device.name == "a GPU with 24 GB"
    assert device_for("mps", 32 * 10**9).dtype == "float16"


def test_a_gpu_that_is_there_is_taken_though_a_size_is_given(machine):
    machine(RTX, cuda="13.0")
    device = device_for("cuda", 80 * 10**9)
    assert (device.here, device.name) == (True, "NVIDIA GeForce RTX 4090")


def test_a_cpu_is_always_this_one(machine):
    machine()
    assert device_for("cpu", 32 * 10**9).here
    assert device_for(None, 32 * 10**9).kind == "cpu"


def test_a_gpu_that_is_not_there_needs_a_size(machine):
    machine()
    with pytest.raises(UsageError, match="not there") as caught:
        device_for("cuda", None)
    assert 'memory="24GB"' in caught.value.hint


@pytest.mark.parametrize("kind", ["tpu", "", "CUDA"])
def test_an_unknown_kind_is_refused_whatever_its_size(machine, kind):
    machine()
    with pytest.raises(UsageError, match="none that longctx knows"):
        device_for(kind, 24 * 10**9)
