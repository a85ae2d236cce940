"""Prints the mean negative log-likelihood of rope-ids.json by llama.cpp, with the biases of bias-ffn-down.gguf and with
biases on every product of a layer, whose values TransformerTests/BiasTests.swift makes by the same rule.

usage: python llama_cpp_biases.py    (packages gguf, numpy, llama-cpp-python 0.3.36; LLAMA_CPP_LIB_PATH may name libraries)
"""
import ctypes
import json
import pathlib
import tempfile

import gguf
import llama_cpp as L
import numpy as np

FOLDER = pathlib.Path(__file__).parent
PARTS = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]


@L.llama_log_callback
def quiet(level, text, data):
    pass


def with_biases(source, target):
    """A copy with a bias of (37 i + 11 p + 5 layer) mod 19 - 9, divided by 50, at element i of part p."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.get_field("general.architecture").contents())
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        kind = field.types[0]
        writer.add_key_value(key, field.contents(), kind, field.types[-1] if len(field.types) > 1 else None)
    rows = {}
    for tensor in reader.tensors:
        if tensor.name.endswith(".bias"):
            continue
        writer.add_tensor(tensor.name, np.array(tensor.data))
        rows[tensor.name] = tensor.data.shape[0]
    for layer in range(2):
        for p, part in enumerate(PARTS):
            count = rows[f"blk.{layer}.{part}.weight"]
            values = [((37 * i + 11 * p + 5 * layer) % 19 - 9) / 50 for i in range(count)]
            writer.add_tensor(f"blk.{layer}.{part}.bias", np.array(values, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def mean_nll(path, tokens):
    params = L.llama_model_default_params()
    params.n_gpu_layers = 0
    model = L.llama_model_load_from_file(str(path).encode(), params)
    width = L.llama_vocab_n_tokens(L.llama_model_get_vocab(model))
    c = L.llama_context_default_params()
    c.n_ctx = c.n_batch = c.n_ubatch = 256
    c.n_threads = c.n_threads_batch = 1
    c.type_k = c.type_v = 0
    c.flash_attn_type = 0
    context = L.llama_init_from_model(model, c)
    n = len(tokens)
    batch = L.llama_batch_init(n, 0, 1)
    batch.n_tokens = n
    for i, token in enumerate(tokens):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, 1
        batch.seq_id[i][0] = 0
    assert L.llama_decode(context, batch) == 0
    total = 0.0
    for i in range(n - 1):
        logits = np.ctypeslib.as_array(L.llama_get_logits_ith(context, i), shape=(width,)).astype(np.float64)
        top = logits.max()
        total -= logits[tokens[i + 1]] - top - np.log(np.exp(logits - top).sum())
    return total / (n - 1)


def main():
    L.llama_log_set(quiet, ctypes.c_void_p(0))
    L.llama_backend_init()
    tokens = json.loads((FOLDER / "rope-ids.json").read_text())
    print("bias-ffn-down.gguf", mean_nll(FOLDER / "bias-ffn-down.gguf", tokens))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "biases.gguf"
        with_biases(FOLDER / "bias-ffn-down.gguf", path)
        print("biases on every product", mean_nll(path, tokens))


main()
