"""The wheel that `pip install .` makes works from any folder, in an environment of its own."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "python"))

from test_seed import EXPECTED, QUICK_VERIFICATION  # noqa: E402

CHECK = """
import pathlib, sys
import mdsa
assert pathlib.Path(mdsa.__file__).is_relative_to(sys.prefix), mdsa.__file__
"""


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_wheel(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    # With the programs and flags of the build under test, so that a compiler cache knows every file.
    environment |= {"PATH": f"/usr/bin:{environment['PATH']}", "CXX": "/usr/bin/c++"}
    if shutil.which("ccache"):
        environment |= {"CMAKE_CXX_COMPILER_LAUNCHER": "ccache", "CCACHE_BASEDIR": str(ROOT), "CCACHE_NOHASHDIR": "1"}
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    settings = [f"--config-settings=build-dir={ROOT}/build/wheel", "--config-settings=cmake.define.MDSA_WERROR=ON"]
    run(*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path,
        *settings, ROOT, env=environment, cwd=tmp_path)
    (wheel,) = tmp_path.glob("mdsa-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.startswith("mdsa/_native.") and name.endswith(".so") for name in names)
    assert "mdsa/py.typed" in names
    assert all(name.split("/")[0] in ("mdsa", wheel.name.rsplit("-", 3)[0] + ".dist-info") for name in names)

    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    python = venv / "bin" / "python"
    # numpy and the other dependencies are those of this environment.
    (site,) = venv.glob("lib/python*/site-packages")
    here = run(sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    run(*pip, "install", "--quiet", "--no-deps", "--target", site, wheel, env=environment)
    (site / "dependencies.pth").write_text(here + "\n")
    output = run(python, "-c", CHECK + QUICK_VERIFICATION, env=environment, cwd=tmp_path)
    assert output == EXPECTED
