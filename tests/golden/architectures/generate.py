"""Attention layers of tiny random models of transformers, timm, torch and x-transformers, one folder each: `config.json` and
`model.safetensors` (the tensors of all attention modules, named as the library saves them) and `recorded.npz`: what one
module read (x, context) and what its output matrix gave (y), float64, by forward hooks. `cases.json` lists them: layer, part,
stage, and `angles: true` where the library computes angles or softmax in single precision although the model is double.

    pip install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0 numpy==2.4.6 timm==1.0.31 x-transformers
    python tests/golden/architectures/generate.py [NAME...]

Nothing here knows how this program reads files: PyTorch's own modules compute every y.
"""

import inspect
import json
import os
import re
import shutil
import sys
import tempfile
import traceback

import numpy as np
import torch
import transformers as T
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
D, H, L, V, N = 16, 4, 2, 24, 10
base = dict(vocab_size=V, hidden_size=D, num_hidden_layers=L, num_attention_heads=H, intermediate_size=24, max_position_embeddings=32)
special = dict(pad_token_id=0, bos_token_id=1, eos_token_id=2)
gqa = dict(base, num_key_value_heads=2, **special)
gpt = dict(vocab_size=V, n_embd=D, n_layer=L, n_head=H, n_positions=32)
bart = dict(vocab_size=V, d_model=D, encoder_layers=L, decoder_layers=L, encoder_attention_heads=H, decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=32, decoder_start_token_id=1, **special)
image = dict(hidden_size=D, intermediate_size=24, num_hidden_layers=L, num_attention_heads=H, image_size=24, patch_size=8)
clip = dict(hidden_size=D, intermediate_size=24, num_hidden_layers=L, num_attention_heads=H)
sound = dict(vocab_size=V, hidden_size=D, num_hidden_layers=L, num_attention_heads=H, intermediate_size=24, conv_dim=(8, 8), conv_kernel=(10, 3), conv_stride=(5, 2), num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2)
t5 = dict(vocab_size=V, d_model=D, d_kv=4, d_ff=24, num_layers=L, num_heads=H, decoder_start_token_id=0, relative_attention_num_buckets=8, relative_attention_max_distance=12)

text = lambda: dict(input_ids=torch.randint(3, V, (1, N)))
both = lambda: dict(text(), decoder_input_ids=torch.randint(3, V, (1, 6)))
pixels = lambda: dict(pixel_values=torch.randn(1, 3, 24, 24))
wave = lambda: dict(input_values=torch.randn(1, 110))
mel = lambda: dict(input_features=torch.randn(1, 8, 2 * N), decoder_input_ids=torch.randint(3, V, (1, 6)))
states = lambda: dict(text(), encoder_hidden_states=torch.randn(1, 7, D))


def model(name, inputs=text, cls=None, eager=False, **config):
    """A builder of a model of transformers by the stem of its class names."""

    def build():
        c = getattr(T, name + "Config")(**config)
        c._experts_implementation = "eager"  # grouped products are not there in double
        kind = getattr(T, cls or name + "Model")
        c._attn_implementation = "sdpa" if kind._supports_sdpa and not eager else "eager"
        return kind(c)

    return build, inputs


def case(built, at, out, angles=False, **how):
    return dict(build=built[0], inputs=built[1], at=at, out=out, angles=angles, how=how)


BERT = ("encoder.layer.1.attention", "output.dense")
SELF = ("encoder.layers.1.self_attn", "out_proj")
DECODER = ("decoder.layers.1.self_attn", "out_proj")
CROSS = ("decoder.layers.1.encoder_attn", "out_proj")
LLAMA = ("layers.1.self_attn", "o_proj")
one = dict(layer=1)
yarn = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=8, rope_theta=10000.0)
llama3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16, rope_theta=500.0)
linear = dict(rope_type="linear", factor=2.0, rope_theta=10000.0)
dynamic = dict(rope_type="dynamic", factor=2.0, rope_theta=10000.0)
longrope = dict(rope_type="longrope", short_factor=[1.0, 1.5], long_factor=[2.0, 4.0], factor=4.0, original_max_position_embeddings=16, rope_theta=10000.0)

CASES = {
    # names and fusings alone
    "bert": lambda: case(model("Bert", **base), *BERT, **one),
    "bert_decoder": lambda: case(model("Bert", is_decoder=True, **base), *BERT, **one),
    "bert_cross": lambda: case(model("Bert", states, is_decoder=True, add_cross_attention=True, **base), "encoder.layer.1.crossattention", "output.dense", part="cross", **one),
    "roberta": lambda: case(model("Roberta", cls="RobertaForMaskedLM", **base), *BERT, **one),
    "xlm_roberta": lambda: case(model("XLMRoberta", **base), *BERT, **one),
    "camembert": lambda: case(model("Camembert", **base), *BERT, **one),
    "electra": lambda: case(model("Electra", embedding_size=D, **base), *BERT, **one),
    "data2vec_text": lambda: case(model("Data2VecText", **base), *BERT, **one),
    "ernie": lambda: case(model("Ernie", **base), *BERT, **one),
    "megatron_bert": lambda: case(model("MegatronBert", **base), "encoder.layer.1.attention.self", "~encoder.layer.1.attention.output.dense", **one),
    "layoutlm": lambda: case(model("LayoutLM", **base), *BERT, **one),
    "bert_generation": lambda: case(model("BertGeneration", cls="BertGenerationEncoder", **base, **special), *BERT, **one),
    "splinter": lambda: case(model("Splinter", **base), *BERT, angles=True, **one),
    "rembert": lambda: case(model("RemBert", input_embedding_size=D, **base), *BERT, **one),
    "distilbert": lambda: case(model("DistilBert", vocab_size=V, dim=D, n_layers=L, n_heads=H, hidden_dim=24, max_position_embeddings=32), "transformer.layer.1.attention", "out_lin", **one),
    "albert": lambda: case(model("Albert", embedding_size=8, **base), "albert_layers.0.attention", "dense", layer=0),
    "vit": lambda: case(model("ViT", pixels, **image), "~1.attention", "~", **one),
    "deit": lambda: case(model("DeiT", pixels, **image), "~1.attention", "~", **one),
    "vit_msn": lambda: case(model("ViTMSN", pixels, **image), "~1.attention", "~", **one),
    "ijepa": lambda: case(model("IJepa", pixels, **image), "~1.attention", "~", **one),
    "dinov2": lambda: case(model("Dinov2", pixels, **image), "~1.attention", "~", **one),
    "dinov2_registers": lambda: case(model("Dinov2WithRegisters", pixels, **image), "~1.attention", "~", **one),
    "audio_spectrogram": lambda: case(model("AST", lambda: dict(input_values=torch.randn(1, 24, 16)), patch_size=8, num_mel_bins=16, max_length=24, frequency_stride=8, time_stride=8, **clip), "~1.attention", "~", **one),
    "clip_text": lambda: case(model("CLIPText", vocab_size=V, projection_dim=D, max_position_embeddings=32, **clip), "~encoder.layers.1.self_attn", "out_proj", **one),
    "clip_vision": lambda: case(model("CLIPVision", pixels, image_size=24, patch_size=8, **clip), "~encoder.layers.1.self_attn", "out_proj", **one),
    "siglip_text": lambda: case(model("SiglipText", vocab_size=V, projection_size=D, max_position_embeddings=32, **special, **clip), "~encoder.layers.1.self_attn", "out_proj", **one),
    "siglip_vision": lambda: case(model("SiglipVision", pixels, image_size=24, patch_size=8, **clip), "~encoder.layers.1.self_attn", "out_proj", **one),
    "wav2vec2": lambda: case(model("Wav2Vec2", wave, **sound), "encoder.layers.1.attention", "out_proj", **one),
    "hubert": lambda: case(model("Hubert", wave, **sound), "encoder.layers.1.attention", "out_proj", **one),
    "bart_encoder": lambda: case(model("Bart", both, **bart), *SELF, part="encoder", **one),
    "bart_decoder": lambda: case(model("Bart", both, **bart), *DECODER, part="decoder", **one),
    "bart_cross": lambda: case(model("Bart", both, cls="BartForConditionalGeneration", **bart), *CROSS, part="cross", **one),
    "mbart": lambda: case(model("MBart", both, **bart), *SELF, part="encoder", **one),
    "pegasus": lambda: case(model("Pegasus", both, **bart), *DECODER, part="decoder", **one),
    "marian": lambda: case(model("Marian", both, **bart), *SELF, part="encoder", **one),
    "blenderbot": lambda: case(model("Blenderbot", both, **bart), *CROSS, part="cross", **one),
    "m2m_100": lambda: case(model("M2M100", both, **bart), *DECODER, part="decoder", **one),
    "plbart": lambda: case(model("PLBart", both, **bart), *SELF, part="encoder", **one),
    "whisper_encoder": lambda: case(model("Whisper", mel, num_mel_bins=8, max_source_positions=N, max_target_positions=16, **{k: v for k, v in bart.items() if k != "max_position_embeddings"}), *SELF, part="encoder", **one),
    "whisper_cross": lambda: case(model("Whisper", mel, num_mel_bins=8, max_source_positions=N, max_target_positions=16, **{k: v for k, v in bart.items() if k != "max_position_embeddings"}), *CROSS, part="cross", **one),
    "opt": lambda: case(model("OPT", vocab_size=V, hidden_size=D, num_hidden_layers=L, num_attention_heads=H, ffn_dim=24, max_position_embeddings=32, word_embed_proj_dim=D), *DECODER, **one),
    "biogpt": lambda: case(model("BioGpt", **base), "layers.1.self_attn", "out_proj", **one),
    "gpt2": lambda: case(model("GPT2", **gpt), "h.1.attn", "c_proj", **one),
    "gpt2_by_layer": lambda: case(model("GPT2", cls="GPT2LMHeadModel", eager=True, scale_attn_by_inverse_layer_idx=True, **gpt), "h.1.attn", "c_proj", **one),
    "gpt2_unscaled": lambda: case(model("GPT2", eager=True, scale_attn_weights=False, **gpt), "h.1.attn", "c_proj", **one),
    "gpt_bigcode": lambda: case(model("GPTBigCode", multi_query=True, **gpt), "h.1.attn", "c_proj", **one),
    "gpt_bigcode_heads": lambda: case(model("GPTBigCode", multi_query=False, **gpt), "h.1.attn", "c_proj", **one),
    "openai_gpt": lambda: case(model("OpenAIGPT", eager=True, **gpt), "h.1.attn", "c_proj", **one),
    "imagegpt": lambda: case(model("ImageGPT", eager=True, **gpt), "h.1.attn", "c_proj", **one),
    "ctrl": lambda: case(model("CTRL", vocab_size=V, n_embd=D, n_layer=L, n_head=H, dff=24, n_positions=32), "h.1.multi_head_attention", "dense", angles=True, **one),
    "gpt_neo": lambda: case(model("GPTNeo", vocab_size=V, hidden_size=D, num_layers=L, num_heads=H, intermediate_size=24, attention_types=[[["global", "local"], 1]], window_size=4, max_position_embeddings=32), "h.0.attn.attention", "out_proj", angles=True, layer=0),
    "falcon_plain": lambda: case(model("Falcon", vocab_size=V, hidden_size=D, num_hidden_layers=L, num_attention_heads=H, multi_query=False, new_decoder_architecture=False, parallel_attn=True, bias=True, alibi=False), "h.1.self_attention", "dense", angles=True, **one),
    "timm_vit": lambda: timm_vit(),
    "torch_encoder": lambda: torch_encoder(),
    "torch_decoder": lambda: torch_decoder("self"),
    "torch_cross": lambda: torch_decoder("cross"),
    "x_transformers": lambda: x_transformers(),
    # windows
    "gpt_neo_local": lambda: case(model("GPTNeo", vocab_size=V, hidden_size=D, num_layers=L, num_heads=H, intermediate_size=24, attention_types=[[["global", "local"], 1]], window_size=4, max_position_embeddings=32), "h.1.attn.attention", "out_proj", angles=True, **one),
    # rotary
    "llama": lambda: case(model("Llama", cls="LlamaForCausalLM", **gqa), *LLAMA, angles=True, **one),
    "llama_linear": lambda: case(model("Llama", rope_parameters=linear, **gqa), *LLAMA, angles=True, **one),
    "llama_yarn": lambda: case(model("Llama", rope_parameters=yarn, **gqa), *LLAMA, angles=True, **one),
    "llama_3": lambda: case(model("Llama", rope_parameters=llama3, **gqa), *LLAMA, angles=True, **one),
    "llama_dynamic": lambda: case(model("Llama", rope_parameters=dynamic, **dict(gqa, max_position_embeddings=8)), *LLAMA, angles=True, length=N, **one),
    "mistral": lambda: case(model("Mistral", sliding_window=4, **gqa), *LLAMA, angles=True, **one),
    "mixtral": lambda: case(model("Mixtral", num_local_experts=2, num_experts_per_tok=1, **gqa), *LLAMA, angles=True, **one),
    "qwen2": lambda: case(model("Qwen2", **gqa), *LLAMA, angles=True, **one),
    "qwen2_moe": lambda: case(model("Qwen2Moe", num_experts=2, num_experts_per_tok=1, moe_intermediate_size=8, shared_expert_intermediate_size=8, **gqa), *LLAMA, angles=True, **one),
    "qwen3": lambda: case(model("Qwen3", head_dim=8, **gqa), *LLAMA, angles=True, **one),
    "qwen3_moe": lambda: case(model("Qwen3Moe", head_dim=8, num_experts=2, num_experts_per_tok=1, moe_intermediate_size=8, **gqa), *LLAMA, angles=True, **one),
    "qwen2_window": lambda: case(model("Qwen2", use_sliding_window=True, sliding_window=4, max_window_layers=1, **gqa), *LLAMA, angles=True, **one),
    "gemma": lambda: case(model("Gemma", head_dim=8, **gqa), *LLAMA, angles=True, **one),
    "gemma2": lambda: case(model("Gemma2", eager=True, head_dim=8, query_pre_attn_scalar=24, sliding_window=4, attn_logit_softcapping=5.0, **gqa), *LLAMA, angles=True, **one),
    "gemma2_window": lambda: case(model("Gemma2", eager=True, head_dim=8, query_pre_attn_scalar=24, sliding_window=4, attn_logit_softcapping=5.0, **gqa), "layers.0.self_attn", "o_proj", angles=True, layer=0),
    "gemma3": lambda: case(model("Gemma3Text", head_dim=8, query_pre_attn_scalar=24, sliding_window=4, **gqa), *LLAMA, angles=True, **one),
    "gemma3_window": lambda: case(model("Gemma3Text", head_dim=8, query_pre_attn_scalar=24, sliding_window=4, **gqa), "layers.0.self_attn", "o_proj", angles=True, layer=0),
    "granite": lambda: case(model("Granite", attention_multiplier=0.3, **gqa), *LLAMA, angles=True, **one),
    "olmo": lambda: case(model("Olmo", **gqa), *LLAMA, angles=True, **one),
    "olmo2": lambda: case(model("Olmo2", **gqa), *LLAMA, angles=True, **one),
    "cohere": lambda: case(model("Cohere", **gqa), *LLAMA, angles=True, **one),
    "cohere2": lambda: case(model("Cohere2", sliding_window=4, **dict(gqa, num_hidden_layers=4)), "layers.3.self_attn", "o_proj", angles=True, layer=3),
    "glm": lambda: case(model("Glm", head_dim=4, **gqa), *LLAMA, angles=True, **one),
    "nemotron": lambda: case(model("Nemotron", **gqa), *LLAMA, angles=True, **one),
    "starcoder2": lambda: case(model("Starcoder2", **gqa), *LLAMA, angles=True, **one),
    "phi": lambda: case(model("Phi", partial_rotary_factor=0.5, **gqa), "layers.1.self_attn", "dense", angles=True, **one),
    "phi3": lambda: case(model("Phi3", **gqa), *LLAMA, angles=True, **one),
    "phi3_longrope": lambda: case(model("Phi3", rope_parameters=longrope, **gqa), *LLAMA, angles=True, length=N, **one),
    "stablelm": lambda: case(model("StableLm", partial_rotary_factor=0.5, **gqa), *LLAMA, angles=True, **one),
    "stablelm_norm": lambda: case(model("StableLm", qk_layernorm=True, partial_rotary_factor=0.5, **gqa), *LLAMA, angles=True, **one),
    "smollm3": lambda: case(model("SmolLM3", **gqa), *LLAMA, angles=True, **one),
    "gpt_neox": lambda: case(model("GPTNeoX", rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5), **base), "layers.1.attention", "dense", angles=True, **one),
    "gptj": lambda: case(model("GPTJ", rotary_dim=2, **gpt), "h.1.attn", "out_proj", angles=True, **one),
    "codegen": lambda: case(model("CodeGen", rotary_dim=2, **gpt), "h.1.attn", "out_proj", angles=True, **one),
    "falcon": lambda: case(model("Falcon", cls="FalconForCausalLM", vocab_size=V, hidden_size=D, num_hidden_layers=L, num_attention_heads=H, multi_query=True, new_decoder_architecture=False, parallel_attn=True, bias=False, alibi=False), "h.1.self_attention", "dense", angles=True, **one),
    "falcon_grouped": lambda: case(model("Falcon", vocab_size=V, hidden_size=D, num_hidden_layers=L, num_attention_heads=H, num_kv_heads=2, new_decoder_architecture=True, bias=False, alibi=False), "h.1.self_attention", "dense", angles=True, **one),
    "esm": lambda: case(model("Esm", position_embedding_type="rotary", pad_token_id=1, mask_token_id=2, **base), "encoder.layer.1.attention.self", "~encoder.layer.1.attention.output.dense", angles=True, **one),
    "esm_absolute": lambda: case(model("Esm", position_embedding_type="absolute", pad_token_id=1, mask_token_id=2, **base), "encoder.layer.1.attention.self", "~encoder.layer.1.attention.output.dense", **one),
    "nomic_bert": lambda: case(model("NomicBert", **base), "~1.self_attn", "o_proj", angles=True, **one),
    "eurobert": lambda: case(model("EuroBert", **gqa), *LLAMA, angles=True, **one),
    "roformer": lambda: case(model("RoFormer", embedding_size=D, rotary_value=False, **base), *BERT, angles=True, **one),
    "modernbert": lambda: case(model("ModernBert", global_attn_every_n_layers=2, local_attention=4, **base, **special), "layers.1.attn", "Wo", angles=True, **one),
    "modernbert_global": lambda: case(model("ModernBert", global_attn_every_n_layers=2, local_attention=4, **base, **special), "layers.0.attn", "Wo", angles=True, layer=0),
    # additive biases by distance
    "bloom": lambda: case(model("Bloom", vocab_size=V, hidden_size=D, n_layer=L, n_head=H), "h.1.self_attention", "dense", angles=True, **one),
    "mpt": lambda: case(model("Mpt", vocab_size=V, d_model=D, n_layers=L, n_heads=H, expansion_ratio=1, max_seq_len=32), "blocks.1.attn", "out_proj", angles=True, **one),
    "falcon_alibi": lambda: case(model("Falcon", vocab_size=V, hidden_size=D, num_hidden_layers=L, num_attention_heads=H, multi_query=True, new_decoder_architecture=False, parallel_attn=True, bias=False, alibi=True), "h.1.self_attention", "dense", angles=True, **one),
    "t5_encoder": lambda: case(model("T5", both, **t5), "encoder.block.1.layer.0.SelfAttention", "o", part="encoder", length=N, **one),
    "t5_decoder": lambda: case(model("T5", both, **t5), "decoder.block.1.layer.0.SelfAttention", "o", part="decoder", length=N, **one),
    "t5_cross": lambda: case(model("T5", both, **t5), "decoder.block.1.layer.1.EncDecAttention", "o", part="cross", **one),
    "mt5": lambda: case(model("MT5", both, cls="MT5ForConditionalGeneration", **t5), "encoder.block.1.layer.0.SelfAttention", "o", part="encoder", length=N, **one),
    "mpnet": lambda: case(model("MPNet", **base), "encoder.layer.1.attention", "attn.o", length=N, **one),
    "swin": lambda: case(model("Swin", pixels, image_size=24, patch_size=8, embed_dim=D, depths=[1], num_heads=[H], window_size=3), "~blocks.0.attention", "~", layer=0),
    # refused
    "deberta_v3": lambda: case(model("DebertaV2", relative_attention=True, pos_att_type=["p2c", "c2p"], share_att_key=True, norm_rel_ebd="layer_norm", position_buckets=4, max_relative_positions=8, position_biased_input=False, **base), *BERT, **one),
    "gpt_oss": lambda: case(model("GptOss", eager=True, head_dim=8, num_local_experts=2, num_experts_per_tok=1, sliding_window=4, **gqa), *LLAMA, angles=True, **one),
    "wavlm": lambda: case(model("WavLM", wave, eager=True, **sound), "encoder.layers.1.attention", "", **one),
    "longformer": lambda: case(model("Longformer", attention_window=4, eager=True, **base, **special), *BERT, **one),
    "mamba": lambda: case(model("Mamba", vocab_size=V, hidden_size=D, num_hidden_layers=L), "layers.1.mixer", "out_proj", **one),
    "diffllama": lambda: case(model("DiffLlama", eager=True, **gqa), *LLAMA, angles=True, **one),
}


def timm_vit():
    import timm

    def build():
        m = timm.create_model("vit_tiny_patch16_224", img_size=24, patch_size=8, embed_dim=D, depth=L, num_heads=H)
        m.pulvinar_config = dict(architecture="vit_tiny_patch16_224", model_type="timm", num_heads=H)
        m.call = lambda: m(torch.randn(1, 3, 24, 24).double())
        return m

    return case((build, None), "blocks.1.attn", "proj", heads=H, **{"as": "timm"}, **one)


def torch_encoder():
    def build():
        m = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(D, H, 24, batch_first=True, dropout=0.0), L)
        m.pulvinar_config = None
        m.call = lambda: m.double() and None
        x = torch.randn(1, N, D).double()
        m.pairs = lambda: (dict(x=x), m.layers[1].self_attn(x, x, x)[0])
        return m

    return case((build, None), "layers.1.self_attn", "out_proj", heads=H, prefix="layers.1")


def torch_decoder(part):
    def build():
        m = torch.nn.TransformerDecoder(torch.nn.TransformerDecoderLayer(D, H, 24, batch_first=True, dropout=0.0), L)
        m.pulvinar_config = None
        x, c = torch.randn(1, N, D).double(), torch.randn(1, 7, D).double()
        mask = torch.triu(torch.ones(N, N, dtype=torch.bool), 1)
        if part == "self":
            m.pairs = lambda: (dict(x=x), m.layers[1].self_attn(x, x, x, attn_mask=mask)[0])
        else:
            m.pairs = lambda: (dict(x=x, context=c), m.layers[1].multihead_attn(x, c, c)[0])
        return m

    more = dict(prefix="layers.1.self_attn", mask="causal") if part == "self" else dict(prefix="layers.1.multihead_attn")
    return case((build, None), more["prefix"], "out_proj", heads=H, **more)


def x_transformers():
    def build():
        from x_transformers import Attention

        m = Attention(dim=D, heads=H, dim_head=4, causal=True)
        m.pulvinar_config = None
        x = torch.randn(1, N, D).double()
        m.pairs = lambda: (dict(x=x), (lambda y: y[0] if isinstance(y, tuple) else y)(m(x)))
        return m

    return case((build, None), "", "to_out", angles=True, heads=H, mask="causal")


def spread(model):
    """Random weights as large as trained ones, biases and norms that are not idle; exact in float32."""
    g = torch.Generator().manual_seed(1)
    for name, p in model.named_parameters():
        if "embed_positions" in name and not p.requires_grad:
            continue  # fixed sines
        r = torch.randn(p.shape, generator=g)
        if p.dim() >= 2:
            r *= 1.0 if re.search("embed|relative|position", name) else 1.3 / p.shape[-1] ** 0.5
        elif re.search("norm|ln_", name, re.I) and name.endswith("weight"):
            r = 1 + 0.2 * r
        else:
            r *= 0.4
        p.data.copy_(r.float())


def find(model, path):
    names = dict(model.named_modules())
    hits = [n for n in names if n == path.lstrip("~") or n.endswith("." + path.lstrip("~"))]
    return hits[0], names[hits[0]]


def first(t):
    return t[0] if isinstance(t, (tuple, list)) else t


KEEP = re.compile(r"attn|attention|SelfAttention|EncDecAttention|relative|rel_|mixer|to_[qkvo]|lambda", re.I)


def record(name):
    c = CASES[name]()
    torch.manual_seed(sum(map(ord, name)))
    m = c["build"]().eval()
    spread(m)
    folder = f"{HERE}/{name}"
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    if hasattr(m, "save_pretrained") and not hasattr(m, "pulvinar_config"):
        with tempfile.TemporaryDirectory() as tmp:
            m.save_pretrained(tmp)
            tensors = load_file(tmp + "/model.safetensors")
            config = json.load(open(tmp + "/config.json"))
    else:
        tensors = {k: v.detach().float().contiguous().clone() for k, v in m.state_dict().items()}
        config = m.pulvinar_config
    kept = {k: v for k, v in tensors.items() if KEEP.search(k) and not re.search("mlp|experts|ffn|intermediate|feed_forward|_emb(eddings)?\\.(word|position)", k)}
    got = {}
    m = m.double()
    if hasattr(m, "pairs"):
        with torch.no_grad():
            arrays, y = m.pairs()
        got = dict(arrays, y=y)
    else:
        path, module = find(m, c["at"])
        out = c["out"]
        if out == "~":
            out = [n for n, x in module.named_modules() if isinstance(x, torch.nn.Linear)][-1]
        output = find(m, out)[1] if out.startswith("~") else module.get_submodule(out) if out else module

        def before(mod, a, k):
            x = a[0] if a else k.get("hidden_states", k.get("hidden", k.get("input", k.get("q"))))
            got.setdefault("x", x.detach())
            for key in ("key_value_states", "encoder_hidden_states"):
                if k.get(key) is not None:
                    got.setdefault("context", k[key].detach())
            if c["how"].get("part") == "cross" and "context" not in got:
                got.update({"context": t.detach() for t in a[1:] if torch.is_tensor(t) and t.dim() == 3})

        module.register_forward_pre_hook(before, with_kwargs=True)
        output.register_forward_hook(lambda mod, a, o: (got.setdefault("y", first(o).detach()), None)[1])
        with torch.no_grad():
            if hasattr(m, "call"):
                m.call()
            else:
                m(**{k: v.double() if v.is_floating_point() else v for k, v in c["inputs"]().items()})
    arrays = {k: v.reshape(-1, v.shape[-1]).double().numpy() for k, v in got.items()}
    save_file({k: v.contiguous() for k, v in kept.items()}, f"{folder}/model.safetensors", metadata={"format": "pt"})
    np.savez_compressed(f"{folder}/recorded.npz", **arrays)
    if config is not None:
        for k in ("id2label", "label2id", "transformers_version", "dtype", "_name_or_path"):
            config.pop(k, None)
        json.dump(config, open(f"{folder}/config.json", "w"), indent=1)
    sizes = [os.path.getsize(f"{folder}/{f}") for f in os.listdir(folder)]
    print(f"{name:18} x{arrays['x'].shape} y{arrays['y'].shape} {len(kept)} tensors, {max(sizes)} bytes", "" if max(sizes) <= 40_000 else "TOO LARGE")
    return dict(name=name, angles=c["angles"], **c["how"])


if __name__ == "__main__":
    print("torch", torch.__version__, "transformers", T.__version__, "numpy", np.__version__)
    path = f"{HERE}/cases.json"
    known = {c["name"]: c for c in json.load(open(path))} if os.path.exists(path) else {}
    for name in sys.argv[1:] or CASES:
        try:
            known[name] = record(name)
        except Exception as e:
            print(f"{name:18} FAILED {type(e).__name__}: {str(e)[:300]}")
            if sys.argv[1:]:
                traceback.print_exc(limit=-3)
            shutil.rmtree(f"{HERE}/{name}", ignore_errors=True)
    json.dump([known[n] for n in CASES if n in known], open(path, "w"), indent=1)
