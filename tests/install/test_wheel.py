"""The wheel that `pip install .` makes works from any folder, in an environment of its own."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]

QUICK_VERIFICATION = """
import pathlib, sys
import mdsa
from mdsa.models import ModelConfig, ModelLoader, ModelManager, ModelRegistry
from mdsa.utils import HardwareDetector
assert pathlib.Path(mdsa.__file__).is_relative_to(sys.prefix), mdsa.__file__
hardware = HardwareDetector()
assert hardware.cpu_count > 0 and hardware.memory_gb > 0
config = ModelConfig.for_tier1()
assert config.device == "cpu"
registry = ModelRegistry(max_models=2)
registry.register("model", config, object())
assert registry.list_models() == ["model"]
assert ModelManager(max_models=2).get_stats()["models_loaded"] == 0
print(ModelLoader().estimate_memory(config))
"""


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_wheel(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if shutil.which("ccache"):
        environment |= {"CMAKE_CXX_COMPILER_LAUNCHER": "ccache", "CCACHE_BASEDIR": str(ROOT), "CCACHE_NOHASHDIR": "1"}
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    # Beside the build of the tests and with its flags, so that the compiler cache knows every file.
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
    estimate = run(python, "-c", QUICK_VERIFICATION, env=environment, cwd=tmp_path)
    assert float(estimate) > 0
