"""Writes pre-tokenizers.json: texts with characters of all kinds, and the words that pre-tokenizers cut them into.

usage: pip install tokenizers==0.23.3 regex==2026.5.9; python pre_tokenizers.py

The words are made by Hugging Face's tokenizers from the published regular expressions, applied one after the other,
and made again by Python's regex module: the two must agree.
In the file, a text is a list of words' lengths in bytes of UTF-8 for each expression.
"""
import json
import pathlib
import random

import regex
from tokenizers import Regex, pre_tokenizers

GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,%d}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CASED = (r"[^\r\n\p{L}\p{N}]?" + UPPER + "*" + LOWER + "+%s|" + r"[^\r\n\p{L}\p{N}]?" + UPPER + "+" + LOWER + "*%s|"
         + r"\p{N}{1,%d}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
# Scalar values, from llama.cpp (src/llama-vocab.cpp).
DEEPSEEK_RANGES = """
0041-005a 0061-007a 00b5 00c0-00d6 00d8-00f6 00f8-01ba 01bc-01bf 01c4-0293 0295-02af 0370-0373 0376 0377
037b-037d 037f 0386 0388-038a 038c 038e-03a1 03a3-03f5 03f7-0481 048a-052f 0531-0556 10a0-10c5 13a0-13f5
13f8-13fd 1c90-1cba 1cbd-1cbf 1d00-1d2b 1d6b-1d77 1d79-1d9a 1e00-1f15 1f18-1f1d 1f20-1f45 1f48-1f4d
1f50-1f57 1f59 1f5b 1f5d 1f5f-1f7d 1f80-1fb4 1fb6-1fbc 1fbe 1fc2-1fc4 1fc6-1fcc 1fd0-1fd3 1fd6-1fdb
1fe0-1fec 1ff2-1ff4 1ff6-1ffc 2102 2107 210a-2113 2115 2119-211d 2124 2126 2128 212a-212d 212f-2134 2139
213c-213f 2145-2149 214e 2183 2184 2c00-2c7b 2c7e-2ce4 2ceb-2cee 2cf2 2cf3 a640-a66d a680-a69b a722-a76f
a771-a787 a78b-a78e ab70-abbf fb00-fb06 fb13-fb17 ff21-ff3a ff41-ff5a 10400-1044f 104b0-104d3 104d8-104fb
10c80-10cb2 10cc0-10cf2 118a0-118df 1e900-1e943 41-5a 61-7a"""
DEEPSEEK_LETTERS = "".join("-".join(chr(int(x, 16)) for x in r.split("-")) for r in DEEPSEEK_RANGES.split())
ASIAN = "[一-龥ࠀ-一가-퟿]+"
BETWEEN = r" ?[^(\s|.,!?…。，、।۔،)]+"
EXPRESSIONS = {
    "gpt-2": [GPT2],
    "smollm": [r"\p{N}", GPT2],
    "llama-bpe": [LLAMA3 % 3],
    "qwen2": [LLAMA3 % 1],
    "gpt-4o": [CASED % (CONTRACTION + "?", CONTRACTION + "?", 3)],
    "tekken": [CASED % ("", "", 1)],
    "deepseek-llm": [r"[\r\n]", r"\s?[" + DEEPSEEK_LETTERS + "]+", r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", ASIAN,
                     r"\p{N}+"],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", ASIAN, r"\p{N}"],
    "bloom": [BETWEEN],
    "viking": [BETWEEN, r"\p{N}"],
    "qwen35": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "seed-coder": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "bailingmoe": [r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"],
    "deepseek-v3": [r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
                    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
                    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
    "superbpe": [r"\p{N}+", r"(?=(\d{3})+(?!\d))"],
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
}
TEXTS = [
    "Hello, world!", "  two  spaces   three", "don't DON'T I'll we'Ve 'll'd x'ſy 'S't a'S b", "x1234567 12345½67890 1 22 333 4444",
    "½¾Ⅷ①٣४ ½³Ⅷ٣४", "naïve café — “quotes” … ½", "a\n\nb\r\n\r\n c \n \n  d\t\te   ", "tabs\t\tand\xa0nbsp\u3000wide\u2028ls\x85nel",
    "!!!\n\n...\r\nx???/a//b/\n/", "HelloWorld helloWorld HELLOworld XMLHttpRequest iPhone15Pro ǅabc Ωmega ÀÉb",
    "上下文長度越卷越離譜，我們真需要這麼多token麼？", "日本語のテキスト、カタカナ。ABCです", "한국어 텍스트입니다. 안녕하세요!",
    "Привет, МИР! ПриветМир", "שלום עולם مرحبا بالعالم، كيف", "नमस्ते दुनिया। ๏ สวัสดี", "e\u0301a\u0301 \u0301x A\u0301B \u0301AB \u0301\u03011 'é's",
    "🙂👩‍👩‍👧‍👦 done ❤️ 🇺🇸", "def f(x):\n    return x**2  # square\n", "$100 + €5 = ~£7 <a> `b` ^c|d _e_ f-g", "ʰa Aʰ ʰB ªº ƻX ʔa ა Ა ա Ա",
    "'s 't 're 've 'm 'll 'd 'S 'RE a'llx A'LL B'ſ", "\x00\x01a\x7f\u200b\u200db\ufeff", "word \n\n word\n  \n", "   ", "\n", " \n", "\r", "7", "١٢٣٤",
    "1 12 123 1234 12345 123456 1234567 12345678901234567890", "x123456y 1234½567 ½123456 123½ ١٢٣٤٥٦٧ 12٣٤5678 Ⅷ123", "1,234,567.89 3.14abc",
    "(hello .world 'Tis -x _y #tag @me $var /path ~/a\\b 'llama 'é", "漢字かな交じり文とカタカナー123個の「括弧」。々〆ヶ", "a\u0301\u0302b \u0301c -\u0301d 1\u0301 \u0301\u0301\n",
    "...\n\n  ?!\r\n!\n x", "\x00\x01 \x00a\x00\x00 \u200b\u200bz\x00",
]
KINDS = ("aZßǅʰ上א\u0301\u093e\u20dd٣Ⅷ½①7049" "e.,!?'’-_(/“»…。，—$€+<=>^~|`°©\t\x00\x1f\u200d\xad\ue000\ufffd \xa0\u3000\n\r" "  sStTREVdll" "ПриАβΩがカ한🙂\U0001f1fa")


def words(text, stages):
    splitter = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(s), "isolated") for s in stages])
    return [w for w, _ in splitter.pre_tokenize_str(text)]


def again(text, stages):
    pieces = [text]
    for stage in stages:
        cut = []
        for piece in pieces:
            at = 0
            for match in regex.finditer(stage, piece):
                cut += [piece[at:match.start()], match[0]]
                at = match.end()
            cut.append(piece[at:])
        pieces = [piece for piece in cut if piece]
    return pieces


def main():
    random.seed(12)
    texts = TEXTS + ["".join(random.choice(KINDS) for _ in range(random.randint(2, 24))) for _ in range(150)]
    cases = []
    for text in texts:
        case = {"text": text}
        for name, stages in EXPRESSIONS.items():
            cut = words(text, stages)
            assert "".join(cut) == text, (name, text, cut)
            assert cut == again(text, stages), (name, text, cut, again(text, stages))
            case[name] = [len(w.encode()) for w in cut]
        cases.append(case)
    lines = ",\n".join(json.dumps(c, ensure_ascii=True, separators=(",", ":")) for c in cases)
    pathlib.Path(__file__).with_name("pre-tokenizers.json").write_text("[\n" + lines + "\n]\n")


main()
