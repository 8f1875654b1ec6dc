"""Chat templates: equal to transformers where that works, one clear error where nothing does."""

import enum

import numpy as np
import pytest

from mdsa import chat, chat_budget, errors

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

# What templates of reasoning models with tools do: macros, reversed messages, text methods.
AGENT = """{%- macro describe(spec, depth=0) -%}
{%- if spec is mapping -%}
    {%- for key, value in spec.items() -%}
        {{- '  ' * depth + key }}: {{ describe(value, depth + 1) }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- else -%}{{ spec | string | upper }}{%- endif -%}
{%- endmacro -%}
{%- set ns = namespace(last=messages | length - 1, found=false, parts=[]) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages | length - 1) - loop.index0 %}
    {%- if not ns.found and message.role == "user" and message.content is string
           and not (message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}
        {%- set ns.found = true %}{%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for tool in tools or [] %}{{ describe(tool) ~ '\\n' }}{{ tool | tojson }}{%- endfor %}
{%- for message in messages if message.role in ['user', 'assistant'] %}
    {%- set content = message.content | default('', true) %}
    {%- if '</think>' in content %}{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}
    {%- set ns.parts = ns.parts + [content.strip().replace('"', "'")] %}
    {{- loop.index }}/{{ loop.length }}{{ '*' if loop.index0 == ns.last }}|{{ content.rstrip() -}}
{%- endfor %}
{{ ns.parts | join(' ; ') }}{{ (messages | selectattr('role', 'equalto', 'user') | list)[0]['content'] | indent(2) }}
{{ '%d of %s' | format(ns.last, messages | map(attribute='role') | unique | sort | list) }}
"""

TEMPLATES = {"chatml": CHATML, "llama3": LLAMA3, "tools": TOOLS, "agent": AGENT}


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

    values = {"i": np.int64(3), "f": np.float32(0.5), "b": np.bool_(True), "n": None, "t": (1, 2)}
    text = chat.render(
        "{{ messages[0].role }} {{ i + 1 }} {{ f }} {{ b }} {{ n }} {{ t }}",
        [{"role": Role.USER}],
        variables=values,
    )
    assert text == "user 4 0.5 True None [1, 2]"


def _itself():
    message = {"role": "user"}
    message["content"] = [message]
    return message


@pytest.mark.parametrize(
    ("message", "variables", "named"),
    [
        ({"role": "user", "content": b"hi"}, {}, r"messages\[0\]\['content'\] is of type bytes"),
        ({"role": "user", "content": object()}, {}, r"messages\[0\]\['content'\]"),
        ({"role": "user", ("a",): 1}, {}, "key of type tuple"),
        ({"role": "user"}, {"tools": [len]}, r"tools\[0\] is a function"),
        (_itself(), {}, "in themselves"),
        ("text", {}, "a message is a dict"),
    ],
)
def test_values_that_no_template_can_take(message, variables, named):
    with pytest.raises(errors.InvalidArgumentError, match=named):
        chat.render("{{ messages }}", [message], variables=variables)


def test_a_template_that_is_no_text():
    with pytest.raises(errors.InvalidArgumentError, match="a chat template is a str, not int"):
        chat.render(5, MESSAGES)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ 1735689600 | tojson }}", "1735689600"),
        ("{{ 99999999999 | string }}{{ 99999999999 | int }}", "9999999999999999999999"),
        ("{{ 'a b' | replace(' ', '__') | center(8) | indent(2) }}|", "  a__b  |"),
        ("{{ ['a', 'b'].__len__ is defined }}{{ 'a{}c{:>3}'.format('b', 1) }}", "Falseabc  1"),
        ("{{ '%s=%5.1f' | format('x', 2) }}", "x=  2.0"),
        ("{{ 'a-b-c'.rsplit('-', 1) | join('+') }}", "a-b+c"),
        ("{{ '-'.join(messages | map(attribute='role')) }}", "system-user-assistant-user"),
        ("{% for m in messages %}{{ loop.index }}/{{ loop.length }}{% if not loop.last %},{% endif %}{% endfor %}",
         "1/4,2/4,3/4,4/4"),
        ("{% for k, v in {'a': 1, 'b': [2]} | items %}{{ k }}{{ v }}{% endfor %}", "a1b[2]"),
        ("{% macro m(x) %}<{{ x }}{{ caller() if caller }}>{% endmacro %}{{ m(1) }}{% call m(2) %}c{% endcall %}",
         "<1><2c>"),
        ("{% set x %}{% for i in range(3) %}{{ i }}{% endfor %}{% endset %}{{ x }}", "012"),
        ("{% set a, b = 1, (2, 3) %}{{ a ~ b ~ none ~ 'x' }}", "1(2, 3)Nonex"),
        ("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "2"),
        ("{{ {'a': [1, 'é']} | tojson(indent=1) }}", '{\n "a": [\n  1,\n  "é"\n ]\n}'),
        ("{{ 7 // 2 }}{{ 7 % 4 }}{{ 2 ** 10 }}{{ 1 / 2 }}{{ [1] + [2] }}{{ -3 | abs }}", "3310240.5[1, 2]3"),
    ],
)
def test_what_templates_may_do(template, text):
    assert chat.render(template, MESSAGES) == text


def test_long_texts_of_the_caller_pass():
    content = "a b " * 1_000_000
    text = chat.render("{{ messages[0].content | trim | replace(' ', '  ') }}{{ messages | tojson }}",
                       [{"role": "user", "content": content}])
    assert len(text) > 9_000_000


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
        "{% set x = 'x' * 15000 %}{% for a in x %}{% for b in x %}{% endfor %}{% endfor %}",
        "{% set x = 'x' * 15000 %}{% for a in x %}{% for b in x if 0 %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% for x in [1] recursive %}{{ loop([1, 1]) }}{% endfor %}",
        "{% set x = 'x' * 900000 %}{{ x.replace('x', x) }}",
        "{% set x = 'x' * 900000 %}{{ x | replace('x', x) }}",
        "{% set x = 'x' * 900000 %}{{ x | replace(new=x, old='x') }}",
        "{% set x = 'x' * 900000 %}{{ x.join(x) }}{{ x | join(x) }}",
        "{% set x = '\n' * 900000 %}{{ x | indent(first=true, width=9999) }}",
        "{% set x %}{% for i in range(1000) %}{{ 'x' * 9000 }}{% endfor %}{% endset %}",
        "{% set ns = namespace(x=[]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x={}) %}{% for i in range(60) %}{% set ns.x = dict(a=ns.x, b=ns.x) %}{% endfor %}",
        "{% set ns = namespace(x=1) %}{% for i in range(60) %}{% set ns.x = namespace(a=ns.x, b=ns.x) %}{% endfor %}{{ ns.x }}",
        "{{ '%(a)999d' * 50000 % {'a': 1} }}",
        "{{ '%(a)9999d' % {'a': 1} }}",
        "{{ '{:500000000}'['format'](1) }}",
        "{{ (['{:500000000}'] | map(attribute='format') | first)(1) }}",
        "{{ ':' * 60000 % 1 }}{{ ('{:' + ':' * 60000 + '}').format(1) }}",
        "{{ ('\t' * 90000).expandtabs(90000) }}",
        "{{ 'aaaa'.translate({97: 'b' * 900000}) }}",
        "{{ (1).to_bytes(900000000, 'big') }}",
        "{{ strftime_now('%500000000Y') }}",
        "{{ strftime_now('%Y' * 100000) }}",
        "{{ messages | tojson(indent=900000000) }}",
        "{{ messages | tojson(indent='x' * 900000) }}",
        "{% set x = 'a' * 900000 %}{{ x.rfind('b' + 'a' * 400000) }}",
        "{% set ns = namespace(x=3) %}{% for i in range(40) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
        "{{ 0x1" + "0" * 100000 + " // 3 }}",
        "{{ ('f' * 900000) | int(base=16) // 7 }}",
        "{{ 5 | round(-900000000) }}",
        "{{ [1] | batch(900000000, 'x') | list }}",
        "{{ range }}",
        "{{ 'x' | no_such_filter }}",
    ],
)
def test_a_bad_template_is_one_clear_error(template):
    with pytest.raises(errors.InvalidFormatError, match="^chat template: "):
        chat.render(template, MESSAGES)


def test_a_slow_template_is_stopped(monkeypatch):
    monkeypatch.setattr(chat_budget, "_MAX_SECONDS", 0.05)
    loops = "".join(f"{{% for {name} in text %}}" for name in "abcde")
    template = "{% set text = 'x' * 5000 %}" + loops + "{{ a }}" + "{% endfor %}" * 5
    with pytest.raises(errors.InvalidFormatError, match="longer than"):
        chat.render(template, MESSAGES)
