"""The calls of a model, on real weights: MiniLM in fp32 and SmolLM2 as INT8."""

import os
import numpy as np
import pytest

from mdsa import ModelConfig, ModelLoader, errors

TEXTS = ["A cat sits on the mat.", "Money was transferred to the bank account today.", "Hi"]
MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def oracle(minilm_dir):
    from transformers import AutoModel

    return AutoModel.from_pretrained(minilm_dir).eval()


def test_forward_of_an_encoder(minilm, oracle):
    import torch

    model, tokenizer = minilm
    inputs = tokenizer(TEXTS, padding=True, return_tensors="np")
    ours = model(**inputs)
    with torch.no_grad():
        theirs = oracle(**{key: torch.from_numpy(value) for key, value in inputs.items()})
    kept = inputs.attention_mask.astype(bool)
    np.testing.assert_allclose(
        ours.last_hidden_state[kept], theirs.last_hidden_state.numpy()[kept], atol=1e-4
    )
    np.testing.assert_allclose(ours.pooler_output, theirs.pooler_output.numpy(), atol=1e-4)
    assert ours.last_hidden_state.dtype == np.float32
    assert ours.logits is None


def test_an_output_by_attribute_name_and_position(minilm):
    model, tokenizer = minilm
    output = model(**tokenizer("text", return_tensors="np"))
    assert output[0] is output.last_hidden_state is output["last_hidden_state"]
    assert output[1] is output.pooler_output
    assert output.to_tuple() == tuple(output.values())
    with pytest.raises(AttributeError):
        output.loss


def test_ids_may_be_of_any_kind(smollm2):
    import torch

    model, tokenizer = smollm2
    ids = tokenizer("The sky is")["input_ids"]
    expected = model(np.array([ids])).logits
    assert expected.shape == (1, len(ids), model.config.vocab_size)
    for same in (
        ids,
        [ids],
        tuple(ids),
        np.array(ids, dtype=np.uint16),
        torch.tensor([ids]),
        {"input_ids": [ids]},
        tokenizer("The sky is", return_tensors="np"),
    ):
        np.testing.assert_array_equal(model(same).logits, expected)
    np.testing.assert_array_equal(model(ids, attention_mask=[1] * len(ids)).logits, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1, 2], [3]],), "different length"),
        (([[1.5, 2.0]],), "integers"),
        (([[[1]]],), "shape"),
        (([[1 << 40]],), "32 bits"),
        (([[10**9]],), "10{9}"),
        (([[-1]],), "-1"),
        (([[1, 2]], [[1]]), "attention_mask"),
        ((["a", "b"],), "integers"),
        (([[0] * 9000],), "9000"),
    ],
)
def test_wrong_ids(smollm2, arguments, message):
    with pytest.raises((ValueError, MemoryError), match=message) as caught:
        smollm2[0](*arguments)
    assert isinstance(caught.value, errors.MdsaError)


def test_embed_is_mean_pooled_and_normalized(minilm, oracle):
    import torch

    model, tokenizer = minilm
    vectors = model.embed(TEXTS)
    assert (vectors.shape, vectors.dtype) == ((3, 384), np.float32)
    for text, vector in zip(TEXTS, vectors):
        inputs = {k: torch.tensor([v]) for k, v in tokenizer(text).items()}
        with torch.no_grad():
            expected = oracle(**inputs).last_hidden_state.mean(1)[0].numpy()
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)


def test_embed_of_one_text_and_of_many(minilm):
    model, _ = minilm
    one = model.embed("A cat")
    assert one.shape == (1, 384)
    many = model.embed(["A cat"] * 300)
    assert many.shape == (300, 384)
    np.testing.assert_allclose(many, np.repeat(one, 300, axis=0), atol=1e-6)


def test_embed_takes_text_only(minilm):
    with pytest.raises(errors.InvalidArgumentError, match=r"texts\[1\]"):
        minilm[0].embed(["a", 3])


def test_a_decoder_does_not_embed(smollm2):
    with pytest.raises(errors.MdsaError):
        smollm2[0].embed("a")


def test_an_encoder_does_not_generate(minilm):
    model, _ = minilm
    assert model.description.can_generate is False
    with pytest.raises(errors.MdsaError):
        model.generate([[101, 102]])


def test_classify(classifier_dir):
    import torch
    from transformers import BertForSequenceClassification

    model, tokenizer = ModelLoader().load(ModelConfig.for_tier1(classifier_dir))
    theirs = BertForSequenceClassification.from_pretrained(classifier_dir).eval()
    texts = ["so good", "bad news"]
    for text, labels in zip(texts, model.classify(texts)):
        inputs = {k: torch.tensor([v]) for k, v in tokenizer(text).items()}
        with torch.no_grad():
            probabilities = theirs(**inputs).logits.softmax(-1)[0].tolist()
        expected = sorted(zip(["praise", "blame", "neither"], probabilities), key=lambda p: -p[1])
        assert [label["label"] for label in labels] == [name for name, _ in expected]
        assert [label["score"] for label in labels] == pytest.approx([p for _, p in expected], abs=1e-5)
    assert model.classify("so good") == model.classify(["so good"])[0]
    assert len(model.classify("so good", top_k=1)) == 1
    assert model.config.id2label == {0: "praise", 1: "blame", 2: "neither"}
    assert model(**tokenizer("news", return_tensors="np")).logits.shape == (1, 3)


def test_greedy_generation_takes_the_most_likely_token(smollm2):
    model, tokenizer = smollm2
    prompt = tokenizer("The capital of France is", return_tensors="np").input_ids
    output = model.generate(prompt, max_new_tokens=6)
    assert output.dtype == np.int64
    assert output.shape == (1, prompt.shape[1] + 6)
    np.testing.assert_array_equal(output[:, : prompt.shape[1]], prompt)
    logits = model(output).logits[0]
    for position in range(prompt.shape[1], output.shape[1]):
        chosen, best = output[0, position], logits[position - 1].max()
        assert logits[position - 1, chosen] >= best - 1e-2


def test_default_and_total_length(smollm2):
    model, tokenizer = smollm2
    ids = tokenizer("Once upon a time")["input_ids"]
    assert model.generate(ids, min_new_tokens=20).shape == (1, len(ids) + 20)
    assert model.generate(ids, max_length=len(ids) + 3, min_new_tokens=3).shape == (1, len(ids) + 3)


def test_a_padded_batch_equals_its_rows(smollm2):
    model, tokenizer = smollm2
    texts = ["The capital of France is", "Two plus two equals", "Hi"]
    inputs = tokenizer(texts, padding=True, padding_side="left", return_tensors="np")
    output = model.generate(**inputs, max_new_tokens=8, min_new_tokens=8)
    assert output.shape == (3, inputs.input_ids.shape[1] + 8)
    for text, row in zip(texts, output):
        alone = model.generate(tokenizer(text)["input_ids"], max_new_tokens=8, min_new_tokens=8)
        np.testing.assert_array_equal(row[-8:], alone[0, -8:])
    assert (model.generate(inputs, max_new_tokens=8, min_new_tokens=8) == output).all()


def test_rows_that_end_early_are_filled_up(smollm2):
    model, tokenizer = smollm2
    ids = tokenizer("Once upon a time")["input_ids"]
    new = model.generate(ids, max_new_tokens=6, min_new_tokens=6)[0, len(ids) :]
    # The third token of the first row ends it; the other row, with another prompt, goes on.
    other = tokenizer("The capital of France")["input_ids"]
    batch = model.generate([ids, other], max_new_tokens=6, eos_token_id=int(new[2]), pad_token_id=7)
    assert len(ids) == len(other)
    end = list(new).index(new[2])
    assert list(batch[0, len(ids) : len(ids) + end + 1]) == list(new[: end + 1])
    assert set(batch[0, len(ids) + end + 1 :]) <= {7}


def test_sampling_follows_its_seed(smollm2):
    model, tokenizer = smollm2
    ids = tokenizer("Once upon a time")["input_ids"]
    options = {"do_sample": True, "temperature": 1.5, "max_new_tokens": 12, "min_new_tokens": 12}
    first = model.generate(ids, seed=1, **options)
    np.testing.assert_array_equal(model.generate(ids, seed=1, **options), first)
    assert (model.generate(ids, seed=2, **options) != first).any()
    rows = model.generate([ids, ids], seed=1, **options)
    np.testing.assert_array_equal(rows[:1], first)
    assert (rows[1] != rows[0]).any()


def test_sampling_limits_lead_back_to_greedy(smollm2):
    model, tokenizer = smollm2
    ids = tokenizer("The capital of France is")["input_ids"]
    greedy = model.generate(ids, max_new_tokens=6)
    for options in ({"top_k": 1}, {"top_p": 1e-6}, {"min_p": 0.999}, {"temperature": 0}):
        sampled = model.generate(ids, max_new_tokens=6, do_sample=True, seed=3, **options)
        np.testing.assert_array_equal(sampled, greedy)


def test_sampling_options_without_sampling_warn(smollm2):
    model, tokenizer = smollm2
    with pytest.warns(UserWarning, match="temperature.*do_sample"):
        model.generate(tokenizer("Hi")["input_ids"], max_new_tokens=1, temperature=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": -1}, "max_new_tokens"),
        ({"max_new_tokens": "many"}, "max_new_tokens"),
        ({"do_sample": True, "temperature": -1.0}, "temperature"),
        ({"do_sample": True, "top_p": 2.0}, "top_p"),
        ({"do_sample": True, "top_k": -1}, "top_k"),
        ({"do_sample": True, "min_p": 1.5}, "min_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"do_sample": True, "seed": -1}, "seed"),
        ({"stop": [3]}, "stop"),
    ],
)
def test_wrong_options(smollm2, options, message):
    with pytest.raises(errors.InvalidArgumentError, match=message):
        smollm2[0].generate([[1, 2]], **options)


def test_an_unknown_option_is_a_type_error(smollm2):
    with pytest.raises(TypeError, match="num_beams"):
        smollm2[0].generate([[1, 2]], num_beams=4)
    with pytest.raises(TypeError, match="num_beams"):
        smollm2[0].generate_text("Hi", num_beams=4)


@pytest.mark.parametrize("prompt", [[], [[]], np.zeros((0, 4), dtype=np.int64)])
def test_an_empty_prompt(smollm2, prompt):
    with pytest.raises(errors.InvalidArgumentError, match="empty"):
        smollm2[0].generate(prompt)


def test_an_empty_text(smollm2):
    with pytest.raises(errors.InvalidArgumentError, match="empty"):
        smollm2[0].generate_text("")


def test_a_prompt_longer_than_the_context(smollm2):
    with pytest.raises(errors.MdsaError, match="2048") as caught:
        smollm2[0].generate([[5] * 3000])
    assert caught.value.code in ("resource_exhausted", "invalid_argument")


def test_text_from_messages(smollm2):
    model, tokenizer = smollm2
    text = model.generate_text(MESSAGES, max_new_tokens=24)
    assert "Paris" in text
    inputs = tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True, return_tensors="np")
    output = model.generate(**inputs, max_new_tokens=24)
    answer = output[0, inputs.input_ids.shape[1] :]
    assert tokenizer.decode(answer, skip_special_tokens=True) == text


def test_text_from_a_prompt(smollm2):
    model, tokenizer = smollm2
    ids = tokenizer("The capital of France is")["input_ids"]
    output = model.generate(ids, max_new_tokens=10)
    text = model.generate_text("The capital of France is", max_new_tokens=10)
    assert text == tokenizer.decode(output[0, len(ids) :], skip_special_tokens=True)


def test_stop_strings(smollm2):
    model, tokenizer = smollm2
    whole = model.generate_text(MESSAGES, max_new_tokens=24)
    assert model.generate_text(MESSAGES, max_new_tokens=24, stop="Paris") == whole.split("Paris")[0]
    assert model.generate_text(MESSAGES, max_new_tokens=24, stop=["xyzzy", " of"]) == whole.split(" of")[0]
    ids = tokenizer("The capital of France is")["input_ids"]
    stopped = model.generate(ids, max_new_tokens=20, stop=["Paris"])
    assert stopped.shape[1] < len(ids) + 20


def test_a_stream_joins_to_the_text(smollm2):
    model, _ = smollm2
    pieces = list(model.stream_text(MESSAGES, max_new_tokens=24))
    assert len(pieces) > 3
    assert "".join(pieces) == model.generate_text(MESSAGES, max_new_tokens=24)


def test_a_stream_tells_why_it_ended(smollm2):
    model, _ = smollm2
    with model.stream_text(MESSAGES, max_new_tokens=3) as stream:
        assert stream.finish_reason is None
        list(stream)
        assert stream.finish_reason == "length"
    assert list(stream) == []


def test_closing_a_stream_stops_the_work(smollm2):
    model, _ = smollm2
    stream = model.stream_text("Once upon a time", max_new_tokens=1500, min_new_tokens=1500)
    assert next(stream)
    stream.close()
    assert list(stream) == []
    assert stream.finish_reason == "cancelled"
    stream.close()


def test_dropping_a_stream_stops_the_work(smollm2):
    model, _ = smollm2
    model.generate_text("Once", max_new_tokens=1)  # starts the threads that all calls share
    threads = len(os.listdir("/proc/self/task"))
    stream = iter(model.stream_text("Once upon a time", max_new_tokens=1500, min_new_tokens=1500))
    assert next(stream)
    assert len(os.listdir("/proc/self/task")) == threads + 1
    del stream
    assert len(os.listdir("/proc/self/task")) == threads


def test_an_error_surfaces_in_the_iterator(smollm2):
    model, _ = smollm2
    stream = model.stream_text("word " * 5000)
    with pytest.raises(errors.MdsaError, match="2048"):
        next(stream)
    assert list(stream) == []


def test_an_unfinished_stream_does_not_delay_exit(fresh_python, smollm2_gguf):
    result = fresh_python(
        "import sys, mdsa\n"
        "config = mdsa.ModelConfig.for_tier3(sys.argv[1])\n"
        "model, _ = mdsa.ModelLoader().load(config)\n"
        "stream = model.stream_text('Once', max_new_tokens=2000, min_new_tokens=2000)\n"
        "print(len(next(stream)) > 0)\n",
        smollm2_gguf,
    )
    assert (result.stdout, result.stderr) == ("True\n", "")


def test_a_streamer_function_sees_each_token(smollm2):
    model, tokenizer = smollm2
    ids = tokenizer("The capital of France is")["input_ids"]
    seen = []
    output = model.generate(ids, max_new_tokens=8, streamer=seen.append)
    assert seen == list(output[0, len(ids) :])
    short = model.generate(ids, max_new_tokens=8, streamer=lambda token: False)
    assert short.shape[1] <= len(ids) + 1


def test_a_streamer_of_transformers_works(smollm2, smollm2_hf, capsys):
    from transformers import AutoTokenizer, TextStreamer

    model, tokenizer = smollm2
    ids = tokenizer("The capital of France is")["input_ids"]
    streamer = TextStreamer(AutoTokenizer.from_pretrained(smollm2_hf), skip_prompt=True)
    output = model.generate(ids, max_new_tokens=8, streamer=streamer)
    assert capsys.readouterr().out.strip() == tokenizer.decode(output[0, len(ids) :]).strip()


def test_a_streamer_that_raises_stops_the_work(smollm2):
    model, tokenizer = smollm2
    seen = []

    class Enough(Exception):
        pass

    def streamer(token):
        seen.append(token)
        if len(seen) == 3:
            raise Enough

    with pytest.raises(Enough):
        model.generate(tokenizer("Once")["input_ids"], max_new_tokens=500, streamer=streamer)
    assert len(seen) == 3
    assert model.generate(tokenizer("Once")["input_ids"], max_new_tokens=1).size > 1


def test_a_streamer_takes_one_row(smollm2):
    with pytest.raises(errors.InvalidArgumentError, match="streamer"):
        smollm2[0].generate([[1], [2]], streamer=print)


def test_facts(smollm2):
    model, tokenizer = smollm2
    facts = model.description
    assert (facts.family, facts.architecture) == ("llama", "LlamaForCausalLM")
    assert facts.quantization == "int8"
    assert facts.can_generate is True
    assert 134e6 < model.num_parameters() < 136e6
    assert (model.config.hidden_size, model.config.num_hidden_layers) == (576, 30)
    assert model.config.vocab_size == len(tokenizer)
    assert model.config.model_type == "llama"
    assert 0.95 * facts.weight_bytes / 1e6 < model.memory_mb < 1.1 * facts.weight_bytes / 1e6 + 40
    assert model.tokenizer is tokenizer
    assert "llama" in repr(model)


def test_moving_from_transformers(smollm2):
    model, _ = smollm2
    assert model.eval() is model
    assert model.to("cpu") is model
    assert model.device == "cpu"
    with pytest.raises(errors.UnsupportedError, match="cuda"):
        model.to("cuda")
