"""Attention modules of tiny models of transformers and torch, with what they read and wrote: NAME.safetensors (all tensors
below the module) and NAME.npz (x, y and, for cross-attention, context; float64), recorded by forward hooks.

    pip install torch transformers numpy safetensors
    python tests/golden/recorded/generate.py
"""

import os

import numpy as np
import torch
import transformers as T
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
D, H, N, V = 8, 2, 5, 32
base = dict(vocab_size=V, hidden_size=D, num_hidden_layers=2, num_attention_heads=H, intermediate_size=16, max_position_embeddings=16)  # fmt: skip
bart = dict(vocab_size=V, d_model=D, encoder_layers=2, decoder_layers=2, encoder_attention_heads=H, decoder_attention_heads=H, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=16, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1)  # fmt: skip
clip = dict(hidden_size=D, intermediate_size=16, num_hidden_layers=2, num_attention_heads=H)
text = lambda: dict(input_ids=torch.randint(3, V, (2, N)))  # two sequences
both = lambda: dict(text(), decoder_input_ids=torch.randint(3, V, (2, 3)))

# name: model, module, query matrix, key matrix (of cross-attention), output matrix, inputs
CASES = {
    "bert": (lambda: T.BertModel(T.BertConfig(**base)), "encoder.layer.1.attention", "self.query", None, "output.dense", text),
    "roberta": (lambda: T.RobertaModel(T.RobertaConfig(**base)), "encoder.layer.1.attention", "self.query", None, "output.dense", text),
    "electra": (lambda: T.ElectraModel(T.ElectraConfig(embedding_size=D, **base)), "encoder.layer.0.attention", "self.query", None, "output.dense", text),
    "bert_cross": (lambda: T.BertModel(T.BertConfig(is_decoder=True, add_cross_attention=True, **base)), "encoder.layer.1.crossattention", "self.query", "self.key", "output.dense", lambda: dict(text(), encoder_hidden_states=torch.randn(2, 4, D))),
    "gpt2": (lambda: T.GPT2Model(T.GPT2Config(vocab_size=V, n_embd=D, n_layer=2, n_head=H, n_positions=16)), "h.1.attn", "c_attn", None, "c_proj", text),
    "gpt_neo": (lambda: T.GPTNeoModel(T.GPTNeoConfig(vocab_size=V, hidden_size=D, num_layers=2, num_heads=H, intermediate_size=16, attention_types=[[["global", "local"], 1]], window_size=4, max_position_embeddings=16)), "h.0.attn.attention", "q_proj", None, "out_proj", text),
    "opt": (lambda: T.OPTModel(T.OPTConfig(vocab_size=V, hidden_size=D, num_hidden_layers=2, num_attention_heads=H, ffn_dim=16, max_position_embeddings=16, word_embed_proj_dim=D)), "decoder.layers.1.self_attn", "q_proj", None, "out_proj", text),
    "bart_encoder": (lambda: T.BartModel(T.BartConfig(**bart)), "encoder.layers.1.self_attn", "q_proj", None, "out_proj", both),
    "bart_decoder": (lambda: T.BartModel(T.BartConfig(**bart)), "decoder.layers.1.self_attn", "q_proj", None, "out_proj", both),
    "bart_cross": (lambda: T.BartModel(T.BartConfig(**bart)), "decoder.layers.1.encoder_attn", "q_proj", "k_proj", "out_proj", both),
    "marian": (lambda: T.MarianModel(T.MarianConfig(**bart)), "encoder.layers.0.self_attn", "q_proj", None, "out_proj", both),
    "whisper": (lambda: T.WhisperModel(T.WhisperConfig(**{k: v for k, v in bart.items() if k != "max_position_embeddings"}, num_mel_bins=8, max_source_positions=N, max_target_positions=16)), "encoder.layers.1.self_attn", "q_proj", None, "out_proj", lambda: dict(input_features=torch.randn(2, 8, 2 * N), decoder_input_ids=torch.randint(3, V, (2, 3)))),
    "clip_text": (lambda: T.CLIPTextModel(T.CLIPTextConfig(vocab_size=V, projection_dim=D, max_position_embeddings=16, **clip)), "encoder.layers.1.self_attn", "q_proj", None, "out_proj", text),
    "clip_vision": (lambda: T.CLIPVisionModel(T.CLIPVisionConfig(image_size=16, patch_size=8, **clip)), "encoder.layers.1.self_attn", "q_proj", None, "out_proj", lambda: dict(pixel_values=torch.randn(2, 3, 16, 16))),
    "wav2vec2": (lambda: T.Wav2Vec2Model(T.Wav2Vec2Config(vocab_size=V, hidden_size=D, num_hidden_layers=2, num_attention_heads=H, intermediate_size=16, conv_dim=(8, 8), conv_kernel=(10, 3), conv_stride=(5, 2), num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2)), "encoder.layers.1.attention", "q_proj", None, "out_proj", lambda: dict(input_values=torch.randn(1, 60))),
    "llama": (lambda: T.LlamaModel(T.LlamaConfig(num_key_value_heads=1, **base)), "layers.1.self_attn", "q_proj", None, "o_proj", text),
}  # fmt: skip


def spread(model, seed):
    """Weights as large as trained ones, biases that are not idle, exact in float32."""
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        r = torch.randn(p.shape, generator=g)
        p.data.copy_((r * 1.3 / p.shape[-1] ** 0.5 if p.dim() > 1 else 1 + 0.2 * r if "orm" in name and name.endswith("weight") else 0.4 * r).float())  # fmt: skip


def keep(name, tensors, arrays):
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{HERE}/{name}.safetensors")
    np.savez(f"{HERE}/{name}.npz", **{k: v.detach().double().numpy() for k, v in arrays.items()})


def record(seed, name, build, at, query, key, output, inputs):
    torch.manual_seed(seed)
    model = build().eval()
    spread(model, seed)
    names = dict(model.named_modules())
    at = next(n for n in names if n == at or n.endswith("." + at))
    tensors = {k: v for k, v in model.state_dict().items() if k.startswith(at + ".")}
    tensors = {k: v.clone() for k, v in tensors.items()}
    model, got = model.double(), {}
    hook = lambda part, what, pick: names[f"{at}.{part}"].register_forward_hook(lambda m, i, o: got.update({what: pick(i, o)}))  # fmt: skip
    hook(query, "x", lambda i, o: i[0])
    hook(output, "y", lambda i, o: o)
    if key:
        hook(key, "context", lambda i, o: i[0])
    with torch.no_grad():
        model(**{k: v.double() if v.is_floating_point() else v for k, v in inputs().items()})
    keep(name, tensors, got)


def torch_modules():
    nn = torch.nn
    layer = nn.TransformerDecoderLayer(D, H, 16, batch_first=True, dropout=0.0).eval()
    spread(layer, 90)
    tensors = {f"layers.0.{k}": v.clone() for k, v in layer.state_dict().items() if "attn" in k}
    layer = layer.double()
    torch.manual_seed(90)
    x, context = torch.randn(2, N, D).double(), torch.randn(2, 4, D).double()
    later = torch.triu(torch.ones(N, N, dtype=torch.bool), 1)
    own = {k: v for k, v in tensors.items() if "self_attn" in k}
    keep("torch_self", own, dict(x=x, y=layer.self_attn(x, x, x, attn_mask=later)[0]))
    cross = {k: v for k, v in tensors.items() if "multihead_attn" in k}
    keep("torch_cross", cross, dict(x=x, context=context, y=layer.multihead_attn(x, context, context)[0]))


if __name__ == "__main__":
    for seed, (name, case) in enumerate(CASES.items()):
        record(seed, name, *case)
    torch_modules()
    print("torch", torch.__version__, "transformers", T.__version__, "numpy", np.__version__)
