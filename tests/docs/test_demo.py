"""The demonstration, as `make demo` runs it."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_demo():
    command = [sys.executable, ROOT / "examples" / "demo.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.search(r"evicted .+ \(least recently used\)", done.stdout)
    assert "-int4" in done.stdout and "-int8" in done.stdout
    questions = re.split(r"^\[\d\] ", done.stdout, flags=re.MULTILINE)[1:]
    assert len(questions) == 3
    for answer in questions:
        assert re.search(r"tokens in .* tokens/s\)", answer)
        assert re.search(r"model +tier +memory MB +uses +loaded at +last used", answer)
        assert re.search(r"resident: 2 of 2 models, [1-9][0-9.]+ MB", answer)
    assert "resident: 0 of 2 models, 0.0 MB" in questions[-1]
