"""Pooling and classification heads against torch."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import torch
import transformers

from mdsa import ModelConfig
from mdsa.models import ModelLoader

TEXTS = [
    "A man is eating food.",
    "Eat.",
    "The girl is carrying a baby, and the baby is carrying the girl.",
]
POOLING = {
    "cls": lambda hidden: hidden[0],
    "max": lambda hidden: hidden.max(0).values,
    "lasttoken": lambda hidden: hidden[-1],
    "mean": lambda hidden: hidden.mean(0),
}
FLAGS = {"cls": "cls_token", "max": "max_tokens", "lasttoken": "lasttoken", "mean": "mean_tokens"}


def load(path):
    return ModelLoader().load(ModelConfig.for_tier1(str(path)))


@pytest.fixture(scope="module")
def hidden_states(minilm_dir):
    """Of each text alone: float32 [tokens, 384]."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm_dir)
    oracle = transformers.AutoModel.from_pretrained(minilm_dir, dtype=torch.float32).eval()
    with torch.no_grad():
        return [
            oracle(**tokenizer(text, return_tensors="pt")).last_hidden_state[0] for text in TEXTS
        ]


def linked(source, target, *without):
    for path in pathlib.Path(source).iterdir():
        if path.name not in without:
            (target / path.name).symlink_to(path)
    return target


def check_embeddings(folder, hidden_states, pool, normalized):
    expected = torch.stack([pool(hidden) for hidden in hidden_states])
    if normalized:
        expected = torch.nn.functional.normalize(expected, dim=1)
    np.testing.assert_allclose(load(folder)[0].embed(TEXTS), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("normalized", [True, False], ids=["normalized", "as-pooled"])
@pytest.mark.parametrize("flags", [True, False], ids=["flags", "name"])
@pytest.mark.parametrize("mode", POOLING)
def test_pooling_of_a_sentence_transformers_folder(
    minilm_dir, tmp_path, hidden_states, mode, flags, normalized
):
    folder = linked(minilm_dir, tmp_path, "1_Pooling", "modules.json")
    modules = json.loads((pathlib.Path(minilm_dir) / "modules.json").read_text())
    kept = [module for module in modules if normalized or not module["type"].endswith("Normalize")]
    (folder / "modules.json").write_text(json.dumps(kept))
    (folder / "1_Pooling").mkdir()
    config = (
        {f"pooling_mode_{flag}": name == mode for name, flag in FLAGS.items()}
        if flags
        else {"pooling_mode": mode}
    )
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 384, **config})
    )
    check_embeddings(folder, hidden_states, POOLING[mode], normalized)


def test_a_folder_without_modules_gives_the_mean(minilm_dir, tmp_path, hidden_states):
    folder = linked(minilm_dir, tmp_path, "modules.json", "1_Pooling")
    check_embeddings(folder, hidden_states, POOLING["mean"], normalized=False)


HEADS = {
    "one-label": (dict(num_labels=1), torch.sigmoid),
    "several-at-once": (
        dict(num_labels=4, problem_type="multi_label_classification"),
        torch.sigmoid,
    ),
    "one-of-three": (dict(num_labels=3), lambda logits: logits.softmax(-1)),
    "one-of-two": (
        dict(num_labels=2, problem_type="single_label_classification"),
        lambda logits: logits.softmax(-1),
    ),
}


@pytest.mark.parametrize("options,scores_of", HEADS.values(), ids=HEADS.keys())
def test_scores_of_a_classifier(classifier_dir, tmp_path, options, scores_of):
    shutil.copy(pathlib.Path(classifier_dir) / "vocab.txt", tmp_path)
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=10,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        **options,
    )
    oracle = transformers.BertForSequenceClassification(config).eval()
    with torch.no_grad():
        oracle.classifier.weight.normal_()
        oracle.classifier.bias.normal_()
    oracle.save_pretrained(tmp_path)
    model, tokenizer = load(tmp_path)
    texts = ["so good", "bad news", "good news so bad"]
    for text, labels in zip(texts, model.classify(texts), strict=True):
        with torch.no_grad():
            logits = oracle(
                **{key: torch.tensor([value]) for key, value in tokenizer(text).items()}
            ).logits[0]
        expected = {config.id2label[i]: score for i, score in enumerate(scores_of(logits).tolist())}
        assert {label["label"]: label["score"] for label in labels} == pytest.approx(
            expected, abs=1e-5
        )
        scores = [label["score"] for label in labels]
        assert scores == sorted(scores, reverse=True)
