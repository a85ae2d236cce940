"""Writes llama-cpp-tokens.json: tokens that llama.cpp makes of texts with the vocabularies of small files.

usage: python llama_cpp_tokens.py    (package llama-cpp-python 0.3.36; LLAMA_CPP_LIB_PATH may name its libraries)

Texts are tokenised with special tokens parsed and without a beginning token.
"""
import ctypes
import json
import pathlib

import llama_cpp as L

FOLDER = pathlib.Path(__file__).parent
TEXTS = {
    "llama3-nopre.gguf": ["x1234567", "a'S b", "the 12 cats, 34567 dogs!", "a$b+c", "naïve ½ ①"],
    "phi3-spm.gguf": ["<|user|>\nHi<|end|>\n<|assistant|>\n", "<|user|>Hi<|end|><|assistant|>", "<s> Hi</s> \n Hi",
                      "Hi <|end|>  Hi", "<|user|> \t\n"],
}


@L.llama_log_callback
def quiet(level, text, data):
    pass


def main():
    L.llama_log_set(quiet, ctypes.c_void_p(0))
    L.llama_backend_init()
    cases = []
    for name, texts in TEXTS.items():
        params = L.llama_model_default_params()
        params.vocab_only = True
        model = L.llama_model_load_from_file(str(FOLDER / name).encode(), params)
        vocabulary = L.llama_model_get_vocab(model)
        for text in texts:
            raw = text.encode()
            room = (L.llama_token * 256)()
            count = L.llama_tokenize(vocabulary, raw, len(raw), room, 256, False, True)
            cases.append({"file": name, "text": text, "tokens": list(room[:count])})
        L.llama_model_free(model)
    lines = ",\n".join(json.dumps(c, ensure_ascii=True) for c in cases)
    (FOLDER / "llama-cpp-tokens.json").write_text("[\n" + lines + "\n]\n")


main()
