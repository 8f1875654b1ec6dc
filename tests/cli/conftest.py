"""A folder with the models that help texts and docs name."""

import pathlib

import pytest
from cli_support import (CLASSIFIER, MINILM, SMOLLM2, TINY_LLAMA, Program, configuration_example, write_classifier,
                         write_tiny_llama)
from real_models import minilm_folder, smollm2_file


@pytest.fixture(scope="session")
def workspace(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "home").mkdir()
    (folder / SMOLLM2).symlink_to(smollm2_file())
    (folder / MINILM).symlink_to(minilm_folder())
    write_classifier(folder / CLASSIFIER)
    write_tiny_llama(folder / TINY_LLAMA)
    (folder / "mdsa.toml").write_text(configuration_example())
    (folder / "question.txt").write_text("Why is the sky blue?\n")
    (folder / "questions.txt").write_text("Why is the sky blue?\nWhat is a lease?\n\nÉtat d'âme 🙂\n")
    snapshot = folder / "hub/models--some--llama/snapshots/0123456789abcdef"
    snapshot.mkdir(parents=True)
    (folder / "hub/models--some--llama/refs").mkdir()
    (folder / "hub/models--some--llama/refs/main").write_text(snapshot.name)
    for file in (folder / TINY_LLAMA).iterdir():
        (snapshot / file.name).symlink_to(file)
    return folder


@pytest.fixture(scope="session")
def mdsa(workspace) -> Program:
    return Program(workspace)


@pytest.fixture
def write(workspace, tmp_path):
    """Writes a configuration in a folder of its own, whose path it returns; models is a link to the workspace."""
    (tmp_path / "models").symlink_to(workspace)

    def write_file(text: str, name: str = "my.toml") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)
    return write_file
