"""Chat templates: equal to transformers where that works, one clear error where nothing does."""

import enum

import pytest

from mdsa import chat, errors

MESSAGES = [
    {"role": "system", "content": "You are brief."},
    {"role": "user", "content": "  What is 1 < 2 & \"3\"?\n"},
    {"role": "assistant", "content": "True. 是"},
    {"role": "user", "content": "Why?", "name": None},
]

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

LLAMA3 = """{{- bos_token }}
{%- if not date_string is defined %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\nToday Date: " + date_string + "\\n\\n" }}
{{- system_message ~ "<|eot_id|>" }}
{%- for message in messages %}
    {%- if loop.index0 > 8 %}{% break %}{% endif %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {{- message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

TOOLS = """{% if tools %}{{ tools | tojson(indent=2) }}{% endif %}
{% set ns = namespace(count=0) %}
{% for message in messages if message.role != 'system' %}
    {% set ns.count = ns.count + 1 %}
    {{ ns.count }}. {{ message.role | capitalize }}: {{ message | tojson }}
    {% if message.name is defined %}named{% else %}unnamed{% endif %}
{% endfor %}
{{ '%-8s|%03d' % ('end', ns.count) }}{{ ['a', 'b'] | join(', ') }}{{ 'x' * 3 }}
{% generation %}{{ messages[-1].content.upper().split('?')[0] }}{% endgeneration %}
"""

TEMPLATES = {"chatml": CHATML, "llama3": LLAMA3, "tools": TOOLS}


@pytest.fixture(scope="module")
def pair(smollm2_hf):
    from transformers import AutoTokenizer

    from mdsa import Tokenizer

    return Tokenizer.from_pretrained(smollm2_hf), AutoTokenizer.from_pretrained(smollm2_hf)


@pytest.mark.parametrize("name", [*TEMPLATES, "own"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"add_generation_prompt": True},
        {"tools": [{"name": "clock", "parameters": {"zone": "string"}}]},
        {"date_string": "1 Jan 2000"},
    ],
)
def test_the_text_equals_transformers(pair, name, options):
    ours, theirs = pair
    options = {"chat_template": TEMPLATES.get(name), "tokenize": False, **options}
    expected = theirs.apply_chat_template(MESSAGES, **options)
    assert ours.apply_chat_template(MESSAGES, **options) == expected


def test_the_ids_equal_transformers(pair):
    ours, theirs = pair
    assert ours.apply_chat_template(MESSAGES) == theirs.apply_chat_template(MESSAGES)
    batch = [MESSAGES, MESSAGES[:2]]
    expected = theirs.apply_chat_template(batch, return_dict=False)
    assert ours.apply_chat_template(batch, return_dict=False) == expected
    arrays = ours.apply_chat_template(MESSAGES, return_tensors="np", add_generation_prompt=True)
    assert arrays.input_ids.shape == arrays.attention_mask.shape


@pytest.mark.parametrize("name", ["chatml", "llama3"])
@pytest.mark.parametrize("content", ["It is", "It is "])
def test_continuing_the_final_message(pair, name, content):
    ours, theirs = pair
    messages = [*MESSAGES, {"role": "assistant", "content": content}]
    options = {
        "chat_template": TEMPLATES[name],
        "tokenize": False,
        "continue_final_message": True,
    }
    expected = theirs.apply_chat_template(messages, **options)
    assert ours.apply_chat_template(messages, **options) == expected


def test_reasoning_is_found_under_any_name(pair):
    ours, theirs = pair
    template = "{% for m in messages %}{{ m.thinking }}|{{ m.reasoning_content }};{% endfor %}"
    messages = [{"role": "assistant", "content": "x", "reasoning": "because"}]
    options = {"chat_template": template, "tokenize": False}
    expected = theirs.apply_chat_template(messages, **options)
    assert ours.apply_chat_template(messages, **options) == expected


def test_the_template_of_this_day():
    text = chat.render("{{ strftime_now('%Y') }}", MESSAGES)
    assert text.isdigit() and len(text) == 4


def test_the_caller_s_messages_are_not_changed():
    messages = [{"role": "user", "content": "a"}]
    chat.render(CHATML, messages, continue_final_message=True)
    assert messages == [{"role": "user", "content": "a"}]


def test_values_of_other_types_become_plain():
    class Role(str, enum.Enum):
        USER = "user"

    text = chat.render("{{ messages[0].role }}{{ messages[0].x }}", [{"role": Role.USER, "x": object()}])
    assert text == "user<object>"


def test_no_template(pair):
    from mdsa.tokenizer import Tokenizer

    tokenizer = Tokenizer(pair[0]._native)
    tokenizer.chat_template = None
    with pytest.raises(errors.FailedPreconditionError, match="no chat template"):
        tokenizer.apply_chat_template(MESSAGES)


@pytest.mark.parametrize("conversation", [[], "text", None, ["text"], [[]]])
def test_what_is_no_conversation(pair, conversation):
    with pytest.raises(errors.InvalidArgumentError):
        pair[0].apply_chat_template(conversation)


def test_a_refusal_of_the_template_is_the_caller_s_error():
    with pytest.raises(errors.InvalidArgumentError, match="roles must alternate"):
        chat.render("{{ raise_exception('roles must alternate') }}", MESSAGES)


DOUBLING = "{%% set ns = namespace(x='0123456789') %%}{%% for i in range(60) %%}%s{%% endfor %%}{{ ns.x }}"


@pytest.mark.parametrize(
    "template",
    [
        "{% if %}",
        "{% for m in messages %}",
        "{{ 1 + 'a' }}",
        "{{ missing.attribute.of }}",
        "{% include 'file' %}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ self.__init__.__globals__ }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 'a' * 10**9 }}",
        "{{ [0] * 10**9 }}",
        "{{ 7 ** (10**9) }}",
        "{{ 'a'.center(10**9) }}",
        "{{ 'a' | center(10**9) }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '%*d' % (999999999, 1) }}",
        "{{ '{:999999999}'.format(1) }}",
        "{{ '{:{}}'.format(1, 999999999) }}",
        DOUBLING % "{% set ns.x = ns.x ~ ns.x %}",
        DOUBLING % "{% set ns.x = ns.x + ns.x %}",
        DOUBLING % "{% set ns.x = [ns.x, ns.x] | join %}",
        DOUBLING % "{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}",
        "x" * (2 << 20),
    ],
)
def test_a_bad_template_is_one_clear_error(template):
    with pytest.raises(errors.InvalidFormatError, match="^chat template: "):
        chat.render(template, MESSAGES)


def test_a_slow_template_is_stopped(monkeypatch):
    monkeypatch.setattr(chat, "_MAX_SECONDS", 0.05)
    loops = "".join(f"{{% for {name} in text %}}" for name in "abcde")
    template = "{% set text = 'x' * 5000 %}" + loops + "{{ a }}" + "{% endfor %}" * 5
    with pytest.raises(errors.InvalidFormatError, match="longer than"):
        chat.render(template, MESSAGES)
