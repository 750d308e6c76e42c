"""The other project on the index that is called longctx."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "longctx"


def run(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=False)


def test_both_in_one_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "longctx").mkdir()
    shutil.copy(PACKAGE / "__init__.py", tmp_path / "longctx")
    (tmp_path / "longctx-0.3.1.dist-info").mkdir()
    done = run(tmp_path, "import longctx")
    assert done.returncode == 1
    assert "longctx-0.3.1" in done.stderr
    assert "pip uninstall" in done.stderr


def test_our_own_dist_info_is_no_clash(tmp_path: Path) -> None:
    (tmp_path / "longctx").mkdir()
    shutil.copy(PACKAGE / "__init__.py", tmp_path / "longctx")
    (tmp_path / "longctx_jupyter-0.1.0.dist-info").mkdir()
    assert run(tmp_path, "import longctx").returncode == 0


def test_the_second_command_names_the_stranger(tmp_path: Path) -> None:
    (tmp_path / "longctx").mkdir()
    (tmp_path / "longctx" / "__init__.py").write_text("")
    shutil.copy(PACKAGE / "entry.py", tmp_path / "longctx_jupyter.py")
    done = run(tmp_path, "import sys, longctx_jupyter; sys.exit(longctx_jupyter.main())")
    assert done.returncode == 1
    assert "another project's" in done.stderr
