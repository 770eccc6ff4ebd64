//! The keys of `config.json`: one row each, all that this program reads of it.

/// One thing that a configuration decides, under the names that models give it; the first that is there is taken.
#[derive(Debug)]
pub struct Key {
    pub names: &'static [&'static str],
    /// what it decides, in words
    pub decides: &'static str,
}

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident: $decides:literal [$($key:literal),+];)+) => {
        $(pub(in crate::weights) const $name: &Key = &Key { names: &[$($key),+], decides: $decides };)+
        /// All of them.
        pub const KEYS: &[&Key] = &[$($name),+];
    };
}

keys! {
    TYPE: "the architecture" ["model_type"];
    LAYERS: "how many layers there are" ["num_hidden_layers", "n_layer", "n_layers", "num_layers"];
    HEADS: "heads" ["num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"];
    ENCODER_HEADS: "heads of an encoder" ["encoder_attention_heads"];
    DECODER_HEADS: "heads of a decoder" ["decoder_attention_heads"];
    SHARED: "key and value heads" ["num_key_value_heads", "num_kv_heads", "n_head_kv"];
    MULTI_QUERY: "one key and value head for all" ["multi_query"];
    NEW_DECODER: "how Falcon's matrix is fused" ["new_decoder_architecture"];
    HEAD_DIM: "width of a head" ["head_dim", "d_kv"];
    IS_DECODER: "causal mask" ["is_decoder"];
    SCALED: "scale 1 where false" ["scale_attn_weights"];
    BY_LAYER: "scale divided by the number of the layer" ["scale_attn_by_inverse_layer_idx"];
    QUERY_SCALAR: "scale, as 1/sqrt of it" ["query_pre_attn_scalar"];
    MULTIPLIER: "scale" ["attention_multiplier", "attn_config.softmax_scale"];
    POSITIONS: "positions: absolute, rotary or relative" ["position_embedding_type"];
    ROPE_TYPE: "how rotary frequencies are scaled" ["rope_parameters.rope_type", "rope_parameters.type", "rope_scaling.rope_type", "rope_scaling.type"];
    THETA: "base of rotary frequencies" ["rope_parameters.rope_theta", "rope_theta", "rotary_emb_base"];
    THETA_FULL: "the same, in layers without a window" ["rope_parameters.full_attention.rope_theta", "global_rope_theta", "rope_theta"];
    THETA_SLIDING: "the same, in layers with a window" ["rope_parameters.sliding_attention.rope_theta", "local_rope_theta", "rope_local_base_freq"];
    ROPE_TYPE_FULL: "scaling in layers without a window" ["rope_parameters.full_attention.rope_type", "rope_scaling.rope_type", "rope_scaling.type"];
    ROPE_TYPE_SLIDING: "scaling in layers with a window" ["rope_parameters.sliding_attention.rope_type"];
    PARTIAL: "share of a head that is rotated" ["rope_parameters.partial_rotary_factor", "partial_rotary_factor", "rotary_pct", "rope_pct"];
    ROTARY_DIM: "cells of a head that are rotated" ["rotary_dim"];
    ROTARY_VALUE: "values are rotated too" ["rotary_value"];
    NO_ROPE: "layers without rotary positions" ["no_rope_layers"];
    NO_ROPE_EVERY: "layers without rotary positions" ["no_rope_layer_interval"];
    FACTOR: "factor of scaled frequencies" ["rope_parameters.factor", "rope_scaling.factor"];
    FACTOR_FULL: "the same, in layers without a window" ["rope_parameters.full_attention.factor", "rope_scaling.factor"];
    LOW_FACTOR: "llama3 scaling" ["rope_parameters.low_freq_factor", "rope_scaling.low_freq_factor"];
    HIGH_FACTOR: "llama3 scaling" ["rope_parameters.high_freq_factor", "rope_scaling.high_freq_factor"];
    ORIGINAL: "length that was trained on" ["rope_parameters.original_max_position_embeddings", "rope_scaling.original_max_position_embeddings"];
    ORIGINAL_OUTSIDE: "the same, for longrope" ["original_max_position_embeddings"];
    LONGEST: "longest sequence" ["max_position_embeddings", "n_positions", "max_seq_len"];
    BETA_FAST: "yarn scaling" ["rope_parameters.beta_fast", "rope_scaling.beta_fast"];
    BETA_SLOW: "yarn scaling" ["rope_parameters.beta_slow", "rope_scaling.beta_slow"];
    MSCALE: "yarn scaling" ["rope_parameters.mscale", "rope_scaling.mscale"];
    MSCALE_ALL: "yarn scaling" ["rope_parameters.mscale_all_dim", "rope_scaling.mscale_all_dim"];
    TRUNCATE: "yarn scaling" ["rope_parameters.truncate", "rope_scaling.truncate"];
    ATTENTION_FACTOR: "scale of cosines and sines" ["rope_parameters.attention_factor", "rope_scaling.attention_factor"];
    SHORT_FACTORS: "longrope scaling" ["rope_parameters.short_factor", "rope_scaling.short_factor"];
    LONG_FACTORS: "longrope scaling" ["rope_parameters.long_factor", "rope_scaling.long_factor"];
    ALIBI: "ALiBi" ["alibi", "attn_config.alibi"];
    ALIBI_MAX: "slopes of ALiBi" ["attn_config.alibi_bias_max"];
    BUCKETS: "number of distances in a table" ["relative_attention_num_buckets"];
    FARTHEST: "largest distance in a table" ["relative_attention_max_distance"];
    WINDOW: "window" ["sliding_window", "window_size"];
    USE_WINDOW: "whether there is a window" ["use_sliding_window"];
    FULL_BELOW: "layers before this one have no window" ["max_window_layers"];
    LAYER_TYPES: "which layers have a window" ["layer_types", "attention_layers"];
    LOCAL: "window, half of it to each side" ["local_attention"];
    EVERY: "which layers have no window" ["global_attn_every_n_layers"];
    PATTERN: "which layers have no window" ["sliding_window_pattern", "_sliding_window_pattern"];
    SOFTCAP: "scores are capped by tanh" ["attn_logit_softcapping"];
    QK_NORM: "queries and keys are normalised" ["qk_layernorm", "use_qk_norm"];
    EPSILON: "epsilon of norms" ["rms_norm_eps", "layer_norm_eps", "norm_eps"];
}

/// A key with one of these in its last part may change what a layer computes.
pub(super) const CHANGES: &[&str] = &[
    "rope",
    "rotary",
    "window",
    "softcap",
    "alibi",
    "bias",
    "norm",
    "scale",
    "sink",
    "clip",
    "relative",
    "causal",
    "bidirectional",
    "position_embedding_type",
    "multiplier",
    "temperature",
    "qk_",
    "chunk",
    "prefix_lm",
    "lambda",
];

/// Keys of that kind that change nothing inside an attention module, or only whether tensors are there.
pub(super) const HARMLESS: &[&str] = &[
    "layer_norm_eps",
    "layer_norm_epsilon",
    "layernorm_epsilon",
    "rms_norm_eps",
    "norm_eps",
    "norm_epsilon",
    "attention_bias",
    "qkv_bias",
    "mlp_bias",
    "bias",
    "use_bias",
    "no_bias",
    "use_qkv_bias",
    "lm_head_bias",
    "classifier_bias",
    "decoder_bias",
    "norm_bias",
    "enable_bias",
    "conv_bias",
    "use_conv_bias",
    "embedding_bias",
    "layerscale_value",
    "layer_scale_init_value",
    "scale_embedding",
    "scale_embeddings",
    "scale_decoder_outputs",
    "final_logit_softcapping",
    "normalize_before",
    "normalize_embedding",
    "normalize_embeddings",
    "normalize",
    "do_stable_layer_norm",
    "feat_extract_norm",
    "feat_proj_layer_norm",
    "conv_pos_batch_norm",
    "norm_topk_prob",
    "scale_attention_softmax_in_fp32",
    "apply_layernorm",
    "do_layer_norm_before",
    "norm_type",
    "norm_rel_ebd",
    "layer_norm_elementwise_affine",
    "_remove_final_layer_norm",
    "apply_residual_connection_post_layernorm",
    "use_normalized_backbone",
    "batch_norm_eps",
    "rescale_prenorm_residual",
    "emb_layer_norm_before",
    "normalizer",
    "residual_multiplier",
    "embedding_multiplier",
    "lm_head_multiplier",
    "max_window_layers",
    "sliding_window_pattern",
    "_sliding_window_pattern",
    "contrastive_logits_temperature",
    "chunk_size_feed_forward",
    "final_layer_norm",
    "add_final_layer_norm",
    "add_bias_logits",
    "num_ln_in_parallel_attn",
    "final_norm",
    "pre_norm",
    "post_norm",
    "normalization_strategy",
    "logit_scale",
    "logit_scale_init_value",
    "max_2d_position_embeddings",
    "initializer_scale",
];

/// Keys of that kind for which `false` changes something.
pub(super) const ON: &[&str] = &["scale_attn_weights", "is_causal", "causal"];
