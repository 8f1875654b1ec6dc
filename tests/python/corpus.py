"""A large mixed corpus for differential tests of tokenizers: deterministic, made here."""

import random

SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "I can't believe it's not butter; they've said we'll see, I'd go, you're here, I'm not!",
    "IT'S WHAT THEY'VE DONE, I'LL SAY. DON'T 'S 'T 'RE 'VE 'M 'LL 'D 'ſ 'x '' ' s",
    "He said: \"1,234.56 dollars (about 1.2e-3%)\" at 12:30pm on 2024-02-29 ... really?!",
    "Größe, Straße, naïve café, Ångström, señor, façade, Łódź, İstanbul, ıIiİ, ǅ, ﬁﬂﬃ, ẞß",
    "Привет, мир! Это тест. Ёлка и ёжик — щука.",
    "Καλημέρα κόσμε, ΟΔΥΣΣΕΥΣ ὈΔΥΣΣΕΎΣ ς σ Σ",
    "你好，世界！这是一个测试。漢字かなカナ混じり文。㐀㐁𠀀𪜀𫝀𫠠𬺰丽豈",
    "こんにちは世界。カタカナ、ﾊﾝｶｸ ｶﾞｷﾞ、濁点か\u3099",
    "안녕하세요 세계! 한국어 \u1112\u1161\u11ab",
    "مرحبا بالعالم، هذا اختبار. السَّلامُ عَلَيْكُم ١٢٣",
    "שלום עולם, בְּרֵאשִׁית \u200fRTL\u200e LTR",
    "नमस्ते दुनिया, क्षत्रिय, हिन्दी १२३",
    "สวัสดีชาวโลก ภาษาไทยไม่มีช่องว่าง ๑๒๓",
    "வணக்கம் உலகம் తెలుగు ಕನ್ನಡ മലയാളം ਪੰਜਾਬੀ বাংলা ગુજરાતી සිංහල",
    "ខ្មែរ မြန်မာ ລາວ བོད་ཡིག ქართული Հայերեն አማርኛ ᏣᎳᎩ ᓀᐦᐃᔭᐍᐏᐣ",
    "Tiếng Việt có dấu: ễ ở ự ặ; e\u0302\u0301 decomposed, a\u0323\u0302 order \u0302\u0323",
    "👍 👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇫🇷 ❤️ ☺︎ 1️⃣ 🧑🏿‍🚀 🫠 \U0001fae8",
    "∑∏∫√∞≠≤≥ ½⅓Ⅷ①²³ ℵ₀ 𝔸𝕓𝒸 𝟙𝟚𝟛 ㎏㏒ ™©® £€¥₿ §¶†‡ «»‹›„“”‘’",
    "def f(x: int) -> str:\n\treturn f\"{x!r:>10}\"  # comment\n\n\nclass A(B): pass\n",
    "#include <vector>\nint main() { std::vector<int> v{1, 2, 3}; return v[0] != 0 ? 1 : 0; }\r\n",
    "SELECT * FROM t WHERE a <> 'it''s' AND b LIKE '%x_%'; -- done",
    "<html><body class=\"x\">&amp;&lt;&#x27;</body></html> {\"a\": [1, null, true]}",
    "https://example.org/path?q=1&r=%20#frag  user@example.com  C:\\Users\\x  ~/.bashrc",
    "[CLS] hello [SEP] world [MASK] [UNK] [PAD] [unused0] [cls] [ SEP ]",
    "<|im_start|>user\nHi<|im_end|>\n<|endoftext|><|endoftext|> <|im_start |> <s> </s> <unk>",
    "don't do not , do n't . he 's ' quoted ' ? ! , isn ' t we 've they 're i 'm",
    "x\u0000y\u0001z\u0007\u001b[0m\u007f\u0080\u0085\u009f\u00a0\u00ad\ufeff\ufffd\ufffe\uffff",
    "tabs\tand\u000bvertical\u000cform  two   three    four "
    "\u00a0nbsp\u2003em\u3000ideographic \u2028ls\u2029ps",
    "\u1680\u180e\u200b\u200c\u200d\u2060\u202f\u205f\u061c\u2066x\u2069\U000e0001\U000e0041",
    "Z\u0351\u036b\u0343\u032a\u0302\u036b\u033d\u034f\u0334\u0319\u0324"
    "\u031e\u0349\u035a\u032f\u031e\u0320\u034d"
    "A\u036b\u0357\u0334\u0362",
    "\u1885\u1886\ua9bd\U000111c9\u1734\u166d\u1cf2\u0301\U00011938\u32ff\U00010d50\u1c89\ua7dc",
    "\U0001e030\U000107bf\U00016d40\U0002ebf0\U00013460\U0001ccf0\U00011de0\U00016ff4",
    "",
    " ",
    "\n",
    " \n \r\n\t\r ",
    "  leading and trailing  ",
    "_under_score__ CamelCaseWord snake_case kebab-case ALLCAPS x1y2z3 3D 4ever",
    "...!!!???---___***~~~``` @#$%^&*()[]{}|\\/<>;:'\",.",
]

# Blocks from which random text is drawn: scripts, symbols, planes, unassigned and private ranges.
BLOCKS = [
    (0x20, 0x7E), (0x00, 0xFF), (0x100, 0x24F), (0x250, 0x36F), (0x370, 0x52F), (0x530, 0x6FF),
    (0x700, 0x8FF), (0x900, 0xDFF), (0xE00, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x17FF),
    (0x1800, 0x1CFF), (0x1D00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x2BFF), (0x2C00, 0x2FFF),
    (0x3000, 0x33FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA000, 0xABFF), (0xAC00, 0xD7A3),
    (0xE000, 0xF8FF), (0xF900, 0xFAFF), (0xFB00, 0xFFFF), (0x10000, 0x107FF), (0x10800, 0x10FFF),
    (0x11000, 0x11FFF), (0x12000, 0x143FF), (0x16000, 0x18CFF), (0x1B000, 0x1BFFF),
    (0x1D000, 0x1D7FF), (0x1E000, 0x1EFFF), (0x1F000, 0x1FBFF), (0x20000, 0x2A6DF),
    (0x2A700, 0x2EE5F), (0x2F800, 0x2FA1F), (0x30000, 0x323AF), (0xE0000, 0xE01EF),
    (0xF0000, 0xF00FF), (0x10FF00, 0x10FFFF),
]

SEPARATORS = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u3000", ".", "'s", "'LL", "\u0301"]

# The character of each byte in byte-level vocabularies.
_VISIBLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_HIDDEN = [b for b in range(256) if b not in _VISIBLE]
BYTE_SPELLING = [chr(b) if b in _VISIBLE else chr(0x100 + _HIDDEN.index(b)) for b in range(256)]


def _char(rng, block):
    while True:
        c = rng.randint(*block)
        if not 0xD800 <= c <= 0xDFFF:
            return chr(c)


def random_lines(rng, count):
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(1, 12)):
            block = rng.choice(BLOCKS)
            parts.append("".join(_char(rng, block) for _ in range(rng.randint(1, 12))))
            if rng.random() < 0.5:
                parts.append(rng.choice(SEPARATORS))
        yield "".join(parts)


def mixed_lines(rng, count, added_tokens):
    for _ in range(count):
        pieces = []
        for _ in range(rng.randint(1, 8)):
            choice = rng.random()
            sentence = rng.choice(SENTENCES)
            if choice < 0.25 and added_tokens:
                pieces.append(rng.choice(added_tokens))
            elif choice < 0.6:
                start = rng.randint(0, max(0, len(sentence) - 1))
                pieces.append(sentence[start : start + rng.randint(1, 20)])
            else:
                pieces.append(rng.choice(sentence.split(" ")))
            pieces.append(rng.choice(["", " ", " ", "  ", "\n", "\t "]))
        yield "".join(pieces)


def code_point_lines():
    """Every code point, in a context that shows how it splits, folds and merges.

    Of planes that are empty or private as a whole only every 16th row is taken.
    """
    for start in range(0, 0x110000, 64):
        if not (start < 0x40000 or 0xE0000 <= start < 0xE1000) and start % 1024:
            continue
        chars = [chr(c) for c in range(start, start + 64) if not 0xD800 <= c <= 0xDFFF]
        if chars:
            yield "".join(f"a{c}b {c}1{c}{c}." for c in chars)


def ill_formed(rng, count):
    """Byte strings that are mostly not UTF-8."""
    yield from [b"\xff", b"a\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xc0\xaf"]
    yield from [b"\xf4\x90\x80\x80", b"x\x80y"]
    for _ in range(count):
        text = bytearray("".join(mixed_lines(rng, 1, [])).encode())
        for _ in range(rng.randint(1, 4)):
            if text:
                text[rng.randrange(len(text))] = rng.randrange(256)
        yield bytes(text)


def long_words():
    yield "a" * 99
    yield "a" * 100
    yield "a" * 101
    yield "é" * 100
    yield "é" * 101
    yield "ab" * 5000
    yield "x1" * 2000 + "." * 3000
    yield " " * 3000 + "end" + " " * 500
    yield "\n" * 500 + "\r\n" * 200
    yield "漢" * 2000
    yield "".join(chr(97 + (i * i) % 26) for i in range(20000))


def lines(seed=1, count=2000, added_tokens=()):
    """All kinds but the code points and the ill-formed ones."""
    rng = random.Random(seed)
    yield from SENTENCES
    yield from long_words()
    yield from random_lines(rng, count)
    yield from mixed_lines(rng, count, list(added_tokens))


def random_ids(seed, count, vocab_size, special_ids):
    """Lists of ids as a model might produce them: any order, special ones in between."""
    rng = random.Random(seed)
    for _ in range(count):
        ids = [rng.randrange(vocab_size) for _ in range(rng.randint(0, 40))]
        for _ in range(rng.randint(0, 3)):
            if special_ids:
                ids.insert(rng.randint(0, len(ids)), rng.choice(special_ids))
        yield ids
