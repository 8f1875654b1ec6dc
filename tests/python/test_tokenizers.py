"""Tokenizers give exactly what the `tokenizers` package gives."""

import json
import pathlib
import random
import shutil

import pytest
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, processors, trainers
from tokenizers import normalizers as norm
from tokenizers import pre_tokenizers as pre

import corpus
from mdsa import _native
from transformers.models.bert import tokenization_bert as bert


class Pair:
    """One tokenizer, theirs and ours."""

    def __init__(self, folder, theirs=None):
        self.ours = _native.Tokenizer.from_directory(str(folder))
        self.theirs = theirs or tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.theirs.no_truncation()
        self.theirs.no_padding()
        added = self.theirs.get_added_tokens_decoder()
        self.special_ids = [i for i, token in added.items() if token.special]
        self.added = [token.content for token in added.values()]
        self.size = max(self.theirs.get_vocab().values()) + 1

    def check_encode(self, text, bare=True):
        for special in (False, True) if bare else (True,):
            expected = self.theirs.encode(text, add_special_tokens=special).ids
            assert self.ours.encode(text, add_special_tokens=special) == expected, (text, special)
        return expected

    def check_decode(self, ids):
        for skip in (True, False):
            expected = self.theirs.decode(ids, skip_special_tokens=skip)
            assert self.ours.decode(ids, skip_special_tokens=skip) == expected, (ids, skip)

    def check_pair(self, a, b):
        for special in (True, False):
            expected = self.theirs.encode(a, b, add_special_tokens=special).ids
            assert self.ours.encode_pair(a, b, add_special_tokens=special) == expected, (a, b)


def check_all(pair, count=1000):
    texts = list(corpus.lines(seed=7, count=count, added_tokens=pair.added))
    for i, text in enumerate(texts):
        pair.check_decode(pair.check_encode(text, bare=i % 8 == 0))
    rng = random.Random(5)
    for _ in range(200):
        pair.check_pair(rng.choice(texts), rng.choice(texts))
    for ids in corpus.random_ids(3, 500, pair.size, pair.special_ids):
        if ids or pair.theirs.decoder is not None:
            pair.check_decode(ids)


def check_code_points(pair):
    for line in corpus.code_point_lines():
        pair.check_encode(line, bare=False)


def test_minilm(minilm_dir):
    pair = Pair(pathlib.Path(minilm_dir))
    check_all(pair)
    check_code_points(pair)


def test_smollm2(smollm2_hf):
    pair = Pair(pathlib.Path(smollm2_hf))
    check_all(pair)
    check_code_points(pair)


BERT_CONFIGS = [
    {},
    {"do_lower_case": False},
    {"strip_accents": False},
    {"tokenize_chinese_chars": False},
    {"do_lower_case": False, "strip_accents": True},
]


@pytest.mark.parametrize("config", BERT_CONFIGS)
def test_vocab_txt_alone(minilm_dir, tmp_path, config):
    shutil.copy(pathlib.Path(minilm_dir) / "vocab.txt", tmp_path / "vocab.txt")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    vocab = bert.load_vocab(str(tmp_path / "vocab.txt"))
    theirs = bert.BertTokenizer(vocab=vocab, **config).backend_tokenizer
    pair = Pair(tmp_path, theirs)
    check_all(pair, count=200)
    check_code_points(pair)


def trained(trainer, model, **parts):
    tokenizer = tokenizers.Tokenizer(model)
    for name, part in parts.items():
        if part is not None:
            setattr(tokenizer, name, part)
    tokenizer.train_from_iterator([s for s in corpus.SENTENCES for _ in range(3)], trainer)
    return tokenizer


def saved(tokenizer, folder):
    tokenizer.save(str(folder / "tokenizer.json"))
    return Pair(folder)


LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
          r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
          r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

BYTES_ONLY = pre.ByteLevel(add_prefix_space=False, use_regex=False)
BYTE_LEVEL = {
    "gpt2": pre.ByteLevel(add_prefix_space=False),
    "prefix": pre.ByteLevel(add_prefix_space=True),
    "digits": pre.Sequence([pre.Digits(True), pre.ByteLevel(add_prefix_space=False)]),
    "llama3": pre.Sequence([pre.Split(Regex(LLAMA3), "isolated"), BYTES_ONLY]),
    "qwen2": pre.Sequence([pre.Split(Regex(QWEN2), "isolated"), BYTES_ONLY]),
    "tekken": pre.Sequence([pre.Split(Regex(TEKKEN), "isolated"), BYTES_ONLY]),
}


@pytest.mark.parametrize("kind", BYTE_LEVEL)
def test_byte_level(kind, tmp_path):
    trainer = trainers.BpeTrainer(
        vocab_size=1200,
        special_tokens=["<s>", "</s>"],
        show_progress=False,
        initial_alphabet=pre.ByteLevel.alphabet(),
    )
    tokenizer = trained(
        trainer,
        models.BPE(ignore_merges=kind == "llama3"),
        pre_tokenizer=BYTE_LEVEL[kind],
        decoder=decoders.ByteLevel(),
        normalizer=norm.NFC() if kind == "qwen2" else None,
    )
    template = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B:1", special_tokens=[("<s>", 0)]
    )
    tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), template]
    )
    tokenizer.add_tokens(
        [
            AddedToken("<x>", lstrip=True),
            AddedToken("<y>", rstrip=True, normalized=False),
            AddedToken("word", single_word=True),
            AddedToken("<x><y>"),
        ]
    )
    pair = saved(tokenizer, tmp_path)
    check_all(pair, count=150)
    if kind == "tekken":
        check_code_points(pair)


METASPACE = {
    "legacy": (norm.Sequence([norm.Prepend("▁"), norm.Replace(" ", "▁")]), None),
    "first": (None, pre.Metaspace(prepend_scheme="first", split=False)),
    "always": (None, pre.Metaspace(prepend_scheme="always", split=True)),
    "never": (norm.NFKC(), pre.Metaspace(prepend_scheme="never", split=True)),
    "gemma": (norm.Replace(" ", "▁"), pre.Split(" ", "merged_with_previous")),
}


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("kind", METASPACE)
def test_sentencepiece_bpe(kind, fuse, tmp_path):
    normalizer, pre_tokenizer = METASPACE[kind]
    byte_tokens = [f"<0x{b:02X}>" for b in range(256 if fuse else 200)]
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        special_tokens=["<unk>", "<s>", "</s>"] + byte_tokens,
        limit_alphabet=200,
        show_progress=False,
    )
    tokenizer = trained(trainer, models.BPE(unk_token="<unk>", fuse_unk=fuse, byte_fallback=True),
                        normalizer=normalizer, pre_tokenizer=pre_tokenizer)
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [t for t in data["added_tokens"] if not t["content"].startswith("<0x")]
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(data))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1))
    if kind in ("always", "never"):
        tokenizer.decoder = decoders.Metaspace(prepend_scheme=kind)
    else:
        tokenizer.decoder = decoders.Sequence(
            [
                decoders.Replace("▁", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(" ", 1, 0),
            ]
        )
    tokenizer.add_tokens(["<tool>", AddedToken("Über", normalized=True)])
    check_all(saved(tokenizer, tmp_path), count=200)


def test_end_of_word_suffix(tmp_path):
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        special_tokens=["<unk>"],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer = trained(
        trainer,
        models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"),
        normalizer=norm.Sequence(
            [norm.NFKD(), norm.StripAccents(), norm.Lowercase(), norm.Strip()]
        ),
        pre_tokenizer=pre.BertPreTokenizer(),
        decoder=decoders.BPEDecoder("</w>"),
    )
    pair = saved(tokenizer, tmp_path)
    check_all(pair, count=200)


SPLITTERS = {
    "whitespace": pre.Whitespace(),
    "whitespace_split": pre.WhitespaceSplit(),
    "punctuation": pre.Sequence([pre.WhitespaceSplit(), pre.Punctuation("contiguous")]),
    "digits": pre.Digits(individual_digits=False),
    "delimiter": pre.CharDelimiterSplit("a"),
    "no_pre_tokenizer": None,
}
for _behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
    SPLITTERS[f"string_{_behavior}"] = pre.Split("  ", _behavior)
    SPLITTERS[f"regex_{_behavior}"] = pre.Split(Regex(r"\s|\p{P}|[^\S]|\p{N}+"), _behavior)
    SPLITTERS[f"empty_{_behavior}"] = pre.Split(Regex(r"x*|^b"), _behavior)
    SPLITTERS[f"invert_{_behavior}"] = pre.Split(Regex(r"\p{L}+|\p{M}"), _behavior, invert=True)


@pytest.mark.parametrize("kind", SPLITTERS)
def test_splitters(kind, tmp_path):
    """Every character is a token, and starts of pieces differ: the ids show all the pieces."""
    letters = sorted({c for s in corpus.SENTENCES for c in s if c not in "#"})
    vocab = {"[UNK]": 0}
    for c in letters:
        vocab.setdefault(c, len(vocab))
        vocab.setdefault("##" + c, len(vocab))
    tokenizer = tokenizers.Tokenizer(
        models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=1000)
    )
    if SPLITTERS[kind] is not None:
        tokenizer.pre_tokenizer = SPLITTERS[kind]
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    tokenizer.add_special_tokens(["[CLS]", "[SEP]"])
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", len(vocab) + 1), ("[CLS]", len(vocab))
    )
    check_all(saved(tokenizer, tmp_path), count=100)


NORMALIZERS = {
    "nfc": norm.NFC(),
    "nfd": norm.NFD(),
    "nfkc": norm.NFKC(),
    "nfkd": norm.NFKD(),
    "lowercase": norm.Lowercase(),
    "strip_accents": norm.StripAccents(),
    "strip": norm.Strip(),
    "replace": norm.Replace(Regex(r"\s+"), " "),
    "byte_level": norm.ByteLevel(),
    "bert_cased": norm.BertNormalizer(lowercase=False),
    "bert_unclean": norm.BertNormalizer(clean_text=False, lowercase=True),
}


@pytest.mark.parametrize("kind", NORMALIZERS)
def test_normalizers(kind, tmp_path):
    """Characters become their bytes, so that ids show the normalized text."""
    vocab = {f"<0x{b:02X}>": b for b in range(256)}
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab, [], byte_fallback=True))
    tokenizer.normalizer = NORMALIZERS[kind]
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    pair = saved(tokenizer, tmp_path)
    check_all(pair, count=100)
    if kind in ("nfc", "nfkd", "lowercase", "strip_accents"):
        check_code_points(pair)


def test_word_level(tmp_path):
    words = sorted({w for s in corpus.SENTENCES for w in s.split()})
    vocab = {"<unk>": 0, **{w: i + 1 for i, w in enumerate(words)}}
    tokenizer = tokenizers.Tokenizer(models.WordLevel(vocab, "<unk>"))
    tokenizer.pre_tokenizer = pre.WhitespaceSplit()
    check_all(saved(tokenizer, tmp_path), count=200)


def test_bytes_that_are_no_text(tmp_path):
    """What ill-formed bytes decode to, which is also how ill-formed text is read."""
    vocab = {c: i for i, c in enumerate(sorted(pre.ByteLevel.alphabet()))}
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab, []))
    tokenizer.pre_tokenizer = pre.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    pair = saved(tokenizer, tmp_path)
    id_of_byte = [pair.theirs.token_to_id(spelled) for spelled in corpus.BYTE_SPELLING]
    for raw in corpus.ill_formed(random.Random(5), 500):
        ids = [id_of_byte[b] for b in raw]
        assert pair.ours.decode(ids) == raw.decode("utf-8", errors="replace")
        pair.check_decode(ids)


def test_max_length(minilm_dir):
    ours = _native.Tokenizer.from_directory(minilm_dir)
    theirs = tokenizers.Tokenizer.from_file(str(pathlib.Path(minilm_dir) / "tokenizer.json"))
    theirs.no_padding()
    text = " ".join(corpus.SENTENCES[:10])
    for length in (3, 4, 10, 64, 100_000):
        theirs.enable_truncation(length)
        assert ours.encode(text, max_length=length) == theirs.encode(text).ids


def test_max_length_of_pairs(minilm_dir):
    """Both texts may be over the limit: the shorter one keeps its share, ties favour one side."""
    ours = _native.Tokenizer.from_directory(minilm_dir)
    theirs = tokenizers.Tokenizer.from_file(str(pathlib.Path(minilm_dir) / "tokenizer.json"))
    theirs.no_padding()
    sizes = (0, 1, 2, 5, 6, 7, 50, 100)
    for length in (3, 4, 9, 10, 11, 16):
        theirs.enable_truncation(length)
        for first in sizes:
            for second in sizes:
                a, b = "cat " * first, "dog " * second
                expected = theirs.encode(a, b).ids
                assert ours.encode_pair(a, b, max_length=length) == expected, (first, second, length)


@pytest.fixture(scope="module")
def smollm2_tokenizer(smollm2, smollm2_hf, tmp_path_factory):
    """The GGUF's tokenizer beside the pipeline of the published tokenizer.json.

    The folder that transformers makes of a GGUF file lacks the step that cuts digits.
    """
    theirs = tokenizers.Tokenizer.from_file(str(pathlib.Path(smollm2_hf) / "tokenizer.json"))
    theirs.pre_tokenizer = pre.Sequence([pre.Digits(True), pre.ByteLevel(add_prefix_space=False)])
    pair = saved(theirs, tmp_path_factory.mktemp("smollm2"))
    pair.ours = smollm2[1]._native
    return pair


def test_the_gguf_tokenizer(smollm2_tokenizer):
    smollm2_tokenizer.check_encode("\n\n1. a 12 ½²")
    check_all(smollm2_tokenizer)
    check_code_points(smollm2_tokenizer)


SETS = [rf"\p{{{name}}}" for name in
        ("L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "N", "Nd", "No", "P", "Po", "S", "So",
         "Z", "uppercase letter", "^N", "Han", "Hiragana", "Katakana", "Hangul")]
SETS += [r"\P{L}", r"\P{Mn}", r"\P{^Letter}"]
SETS += [r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", r"\h", r"\H", r"[\W_]", r"[\w-]", r"[^\w]", r"[\Sa]", r"[^\P{L}b]",
         r"[\Hg]", "[[:word:]]", "[[:punct:]]", "[[:space:]]", "[[:blank:]]", "[[:digit:]]",
         "[[:cntrl:]]", "[[:xdigit:]]"]
SYNTAX = [r"\p{N}{1,2}+", r"a{,3}", r"(?:ab){2}?", r"a{2}?b", r"\bא?\w", r"\B.", r"[a\-z-]|[+--]",
          r"é|\x{e9}|\x41", r"(?m:a.b)", r"(?i:straße|[k-m]|'S)", r"(?i)É|b", r"\R|\v|\e",
          r"^.|.$", r"\A.|.\z|.\Z", r"(?<=a|bc)d|(?<!x)e", r"(?>a+)b|a*+c|a++|a??b", r"[]a]+",
          r"a{x|{|}", r"[^\n]{3,}?\n", r"\Sa|[\x{300}-\x{36f}]+", r"[&-a]", r"(a|b)+c|((d))", "x|"]


def removing(regex, folder):
    vocab = {f"<0x{b:02X}>": b for b in range(256)}
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab, [], byte_fallback=True))
    tokenizer.normalizer = norm.Replace(Regex(regex), "")
    return saved(tokenizer, folder)


@pytest.mark.parametrize("regex", SETS)
def test_sets_of_regexes(regex, tmp_path):
    pair = removing(regex, tmp_path)
    for line in corpus.code_point_lines():
        pair.check_encode(line, bare=False)


@pytest.mark.parametrize("regex", SYNTAX)
def test_syntax_of_regexes(regex, tmp_path):
    pair = removing(regex, tmp_path)
    letters = ["a", "b", "c", "d", "e", "x", "z", "-", "[", "]", "{", "}", " ", "\n", "\r\n", "1",
               "²", "é", "É", "K", "ſ", "א", "א\u05b0", "\x0b", "\x1b", "A", "k", "m", "'s", "&",
               "straße", "हिं", "+", ",", "x", "\u0301"]
    rng = random.Random(3)
    for _ in range(1500):
        pair.check_encode("".join(rng.choice(letters) for _ in range(rng.randrange(1, 12))), False)
