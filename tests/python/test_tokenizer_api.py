"""The tokenizer's calls against transformers on the same files."""

import numpy as np
import pytest

from mdsa import Tokenizer, errors

TEXTS = [
    "Hello, world!",
    "",
    "A longer text about naïve cafés, 東京 and 12345 numbers.",
    "  spaces\tand\nlines ",
]


@pytest.fixture(scope="session", params=["bert", "llama"])
def pair(request, minilm_dir, smollm2_hf):
    """(ours, transformers') for one folder."""
    from transformers import AutoTokenizer

    folder = minilm_dir if request.param == "bert" else smollm2_hf
    ours, theirs = Tokenizer.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    if theirs.pad_token is None:
        theirs.pad_token = ours.pad_token = theirs.eos_token
    return ours, theirs


def same(ours, theirs):
    assert list(ours) == list(theirs)
    for key, value in theirs.items():
        assert type(ours[key]) is type(value)
        if isinstance(value, list):
            assert ours[key] == value
        else:
            np.testing.assert_array_equal(ours[key], value)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"add_special_tokens": False},
        {"padding": True},
        {"padding": "longest"},
        {"padding": "max_length", "max_length": 40},
        {"padding": True, "padding_side": "left"},
        {"truncation": True, "max_length": 5},
        {"max_length": 5},
        {"truncation": True, "max_length": 5, "padding": "max_length"},
        {"padding": True, "return_tensors": "np"},
        {"return_token_type_ids": True},
        {"return_attention_mask": False},
    ],
)
def test_a_batch(pair, options):
    ours, theirs = pair
    same(ours(TEXTS, **options), theirs(TEXTS, **options))


@pytest.mark.parametrize("options", [{}, {"return_tensors": "np"}, {"padding": True}])
@pytest.mark.parametrize("text", [TEXTS[0], TEXTS[2]])
def test_one_text(pair, text, options):
    ours, theirs = pair
    same(ours(text, **options), theirs(text, **options))
    assert ours.encode(text) == theirs.encode(text)


@pytest.mark.parametrize("options", [{}, {"truncation": True, "max_length": 12}])
def test_pairs(minilm_dir, options):
    from transformers import AutoTokenizer

    ours, theirs = Tokenizer.from_pretrained(minilm_dir), AutoTokenizer.from_pretrained(minilm_dir)
    same(ours("a question", TEXTS[2], **options), theirs("a question", TEXTS[2], **options))
    same(
        ours(TEXTS, list(reversed(TEXTS)), padding=True, **options),
        theirs(TEXTS, list(reversed(TEXTS)), padding=True, **options),
    )


@pytest.mark.parametrize("skip", [True, False])
def test_decoding(pair, skip):
    ours, theirs = pair
    rows = theirs(TEXTS)["input_ids"]
    assert ours.batch_decode(rows, skip_special_tokens=skip) == theirs.batch_decode(
        rows, skip_special_tokens=skip
    )
    assert ours.decode(rows[0], skip_special_tokens=skip) == theirs.decode(
        rows[0], skip_special_tokens=skip
    )
    assert ours.decode(np.array(rows[0])) == ours.decode(rows[0])
    assert ours.decode(rows[0][1]) == theirs.decode(rows[0][1])


def test_tokens_and_ids(pair):
    ours, theirs = pair
    ids = theirs(TEXTS[2])["input_ids"]
    tokens = theirs.convert_ids_to_tokens(ids)
    assert ours.convert_ids_to_tokens(ids) == tokens
    assert ours.convert_tokens_to_ids(tokens) == ids
    assert ours.convert_tokens_to_ids("no such token") == theirs.convert_tokens_to_ids(
        "no such token"
    )
    assert ours.tokenize(TEXTS[2]) == theirs.tokenize(TEXTS[2])
    assert ours.convert_ids_to_tokens(
        ids, skip_special_tokens=True
    ) == theirs.convert_ids_to_tokens(ids, skip_special_tokens=True)


def test_facts(pair):
    ours, theirs = pair
    assert len(ours) == ours.vocab_size == len(theirs)
    for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"):
        assert getattr(ours, f"{role}_token") == getattr(theirs, f"{role}_token"), role
        assert getattr(ours, f"{role}_token_id") == getattr(theirs, f"{role}_token_id"), role
    assert ours.special_tokens_map == theirs.special_tokens_map
    assert set(ours.all_special_ids) == set(theirs.all_special_ids)
    assert ours.model_max_length == theirs.model_max_length
    assert ours.padding_side == theirs.padding_side


def test_the_gguf_tokenizer_is_the_folder_s(smollm2, smollm2_hf):
    from transformers import AutoTokenizer

    _, ours = smollm2
    theirs = AutoTokenizer.from_pretrained(smollm2_hf)
    assert ours(TEXTS)["input_ids"] == theirs(TEXTS)["input_ids"]
    assert ours.eos_token == theirs.eos_token
    assert ours.chat_template == theirs.chat_template


def test_fields_are_attributes(pair):
    encoding = pair[0]("text")
    assert encoding.input_ids == encoding["input_ids"]
    assert encoding.to("cpu") is encoding
    with pytest.raises(AttributeError):
        encoding.labels
    with pytest.raises(errors.UnsupportedError, match="cpu"):
        encoding.to("cuda")


def test_lone_surrogates_do_not_fail(pair):
    ours, _ = pair
    assert ours("a\ud800b")["input_ids"]


def test_an_empty_list(pair):
    assert pair[0]([])["input_ids"] == []


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((7,), {}, "text must be a str"),
        ((b"bytes",), {}, "text must be a str"),
        ((["a", 7],), {}, r"text\[1\]"),
        (("a", ["b"]), {}, "text_pair"),
        ((["a"], ["b", "c"]), {}, "text_pair"),
        (("a",), {"padding": "wide"}, "padding"),
        (("a",), {"truncation": "only_first"}, "truncation"),
        (("a",), {"max_length": 0}, "max_length"),
        (("a",), {"return_tensors": "pt"}, "return_tensors"),
        ((["a", "b c d"],), {"return_tensors": "np"}, "padding=True"),
        (("a",), {"padding": True, "padding_side": "up"}, "padding_side"),
    ],
)
def test_wrong_arguments(pair, arguments, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        pair[0](*arguments, **options)
    assert isinstance(caught.value, errors.MdsaError)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t.decode("hello"), "token ids are ints"),
        (lambda t: t.decode(b"hello"), "token ids are ints"),
        (lambda t: t.decode([1.5]), "token ids are ints"),
        (lambda t: t.decode(None), "token ids are ints"),
        (lambda t: t.decode({"a": 1}), "token ids are ints"),
        (lambda t: t.decode([1, [2]]), "flat list"),
        (lambda t: t.decode([2**40]), "1099511627776 is no token id"),
        (lambda t: t.decode([[2**40]]), "1099511627776 is no token id"),
        (lambda t: t.batch_decode(5), "list of lists"),
        (lambda t: t.batch_decode(["hello"]), "token ids are ints"),
        (lambda t: t.convert_ids_to_tokens([2**40]), "no token id"),
        (lambda t: t.convert_ids_to_tokens(-(2**70)), "no token id"),
        (lambda t: t.convert_ids_to_tokens("hello"), "token ids are ints"),
        (lambda t: t.convert_tokens_to_ids(["a", 5]), r"tokens\[1\] must be a str"),
        (lambda t: t.convert_tokens_to_ids(5), "tokens must be"),
        (lambda t: setattr(t, "pad_token", "\ud800"), "not in the vocabulary"),
        (lambda t: setattr(t, "pad_token", 5), "not in the vocabulary"),
        (lambda t: t("a", max_length="5"), "max_length must be a whole number"),
        (lambda t: t("a", max_length=5.0), "max_length must be a whole number"),
        (lambda t: t("a", padding="max_length", max_length=2**70), "too much memory"),
        (lambda t: t.apply_chat_template([{"role": "user"}], chat_template=5), "is a str, not int"),
    ],
)
def test_wrong_values(pair, call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call(pair[0])
    assert isinstance(caught.value, errors.MdsaError)


def test_half_a_surrogate_pair_is_an_unknown_token(pair):
    assert pair[0].convert_tokens_to_ids("\ud800") == pair[0].unk_token_id
    assert pair[0].convert_tokens_to_ids(["\ud800"]) == [pair[0].unk_token_id]


def test_a_huge_max_length_is_none(pair):
    assert pair[0]("a b", max_length=2**70) == pair[0]("a b")


def test_padding_needs_a_token(pair):
    ours, _ = pair
    pad = ours.pad_token
    ours.pad_token = None
    try:
        with pytest.raises(ValueError, match="padding token"):
            ours(["a", "b c"], padding=True)
        with pytest.raises(ValueError, match="not in the vocabulary"):
            ours.pad_token = "<no such token>"
    finally:
        ours.pad_token = pad


def test_a_folder_without_a_tokenizer(tmp_path):
    with pytest.raises(errors.NotFoundError, match="tokenizer.json"):
        Tokenizer.from_pretrained(tmp_path)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(errors.InvalidFormatError, match="tokenizer.json"):
        Tokenizer.from_pretrained(tmp_path)
