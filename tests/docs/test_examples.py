"""Every example of the README and of docs/residency.md runs as written. The models it names by Hub id are found in a local cache whose
snapshots are links to the packages that carry the same weights."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from real_models import minilm_folder, smollm2_file  # noqa: E402

BUILD = ROOT / "build" / "release"
LIBRARIES = ["-lfmt", "-lsimdjson", "-licuuc", "-lpcre2-8", "-pthread"]


def code_blocks(language: str, document: str = "README.md") -> list[str]:
    text = (ROOT / document).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A process environment whose Hugging Face cache holds the two models."""
    cache = tmp_path_factory.mktemp("hub")
    commit = "0" * 40
    for model_id, files in {
        "sentence-transformers/all-MiniLM-L6-v2": [*minilm_folder().iterdir()],
        "HuggingFaceTB/SmolLM2-135M-Instruct": [smollm2_file()],
    }.items():
        repository = cache / ("models--" + model_id.replace("/", "--"))
        snapshot = repository / "snapshots" / commit
        snapshot.mkdir(parents=True)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(commit)
        for file in files:
            (snapshot / file.name).symlink_to(file)
    return os.environ | {
        "HF_HUB_CACHE": str(cache),
        "MDSA_HOME": str(cache / "mdsa"),
        "PATH": f"{pathlib.Path(os.environ['MDSA_CLI']).parent}:{os.environ['PATH']}",
    }


def run(command, environment, **kwargs) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, **kwargs)
    assert done.returncode == 0, done.stderr
    return done.stdout


def examples(language: str) -> list:
    """Every block of that language, named by its document and number."""
    return [pytest.param(source, id=f"{document}-{number}")
            for document in ("README.md", "docs/residency.md")
            for number, source in enumerate(code_blocks(language, document), start=1)]


def test_there_are_examples():
    assert len(examples("python")) >= 4 and len(examples("cpp")) >= 5


@pytest.mark.parametrize("source", examples("python"))
def test_python_example(source, environment):
    assert run([sys.executable, "-c", source], environment).strip()


def test_memory_of_the_first_python_example(environment):
    source, *_ = code_blocks("python")
    memory = float(re.search(r"([0-9.]+)\s*$", run([sys.executable, "-c", source], environment)).group(1))
    assert 60 < memory < 200  # 135M parameters: half a byte each, and a 16-bit embedding table of 28M


@pytest.mark.parametrize("source", examples("cpp"))
def test_cpp_example(source, environment, tmp_path):
    assert "int main()" in source
    file, program = tmp_path / "example.cc", tmp_path / "example"
    file.write_text(source)
    library = BUILD / "src" / "libmdsa.a"
    compiler = os.environ.get("CXX", "g++")
    warnings = ["-Wall", "-Werror"]
    run([compiler, "-std=c++23", *warnings, f"-I{ROOT}/include", file, library, *LIBRARIES, "-o", program], environment)
    assert len(run([program], environment).strip()) > 10


def shell_lines() -> list[str]:
    _, block = code_blocks("shell")
    return block.splitlines()


@pytest.mark.parametrize("line", shell_lines())
def test_shell_example(line, environment):
    assert run(["bash", "-o", "pipefail", "-c", line], environment).strip()
