"""What `make` says where the Debian packages are missing and nobody may install them."""

import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_without_root_the_missing_packages_are_named(tmp_path):
    for name, body in {"dpkg-query": "exit 1", "id": "echo 1000"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(["/bin/bash", ROOT / "scripts/packages.sh", "build", "test"], text=True, capture_output=True,
                          env={"PATH": str(tmp_path)}, stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "apt-get install g++ cmake" in done.stderr and "clang-format-19" in done.stderr
