//! Types of models that are known not to be read.

/// Models that hold attention of another kind, or none, and what no head has a place for.
pub const REFUSED: &[(&str, &str)] = &[
    ("deberta", "scores with terms of distances and contents (disentangled attention)"),
    ("deberta-v2", "scores with terms of distances and contents (disentangled attention)"),
    ("longformer", "windows with queries and keys of their own for global tokens"),
    ("led", "windows with queries and keys of their own for global tokens"),
    ("big_bird", "sparse blocks of random tokens"),
    ("wavlm", "relative positions that a gate of the tokens scales"),
    ("diffllama", "differences of two softmax maps"),
    ("xlnet", "relative positions with queries of their own"),
    ("llama4", "scores whose scale grows with position, in chunks"),
    ("deepseek_v2", "keys and values from a latent vector that passes a norm"),
    ("deepseek_v3", "keys and values from a latent vector that passes a norm"),
    ("reformer", "tokens that are sorted by hashes"),
    ("funnel", "pooled queries and relative positions"),
    ("mamba", "no attention: it is a state-space model"),
    ("mamba2", "no attention: it is a state-space model"),
    ("falcon_mamba", "no attention: it is a state-space model"),
    ("rwkv", "no attention: its state fades channel by channel"),
    ("xlstm", "no attention: its memories have gates"),
    ("fnet", "no attention: it mixes tokens by Fourier transforms"),
];
