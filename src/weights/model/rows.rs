//! The architectures: one row each. What a layer of them is called, how its matrices are fused, and what is done to
//! queries, keys and scores; which numbers go with it stands in `config.json` ([`keys`](super::keys)).

use super::features::Feature::{self, Alibi, Grid, Norm, Rotary, Sinks, Softcap, Table, Window};
use super::features::{Dims, Kind, Layers, Only, Pairing, Reach, Rope, Slopes, Whose};
use super::fusing::Fusing;
use super::names;
use super::{Masking, Part, Place};
use crate::weights::layers::Layout;

/// A row of the table.
#[derive(Debug)]
pub struct Architecture {
    /// `model_type` of `config.json`
    pub types: &'static [&'static str],
    pub(super) places: &'static [Place],
    pub(super) layout: &'static Layout,
    pub(super) fusing: Fusing,
    pub(super) scale: Scale,
    pub(super) features: &'static [Feature],
    /// parts of tensor names inside the module, of what acts before the queries or after the output matrix
    pub(super) around: &'static [&'static str],
}

/// The factor of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// `1/sqrt(d_k)`
    Root,
    One,
    /// GPT-2's three switches
    Switched,
    /// `1/sqrt` of a key
    Query,
    /// a key, else `1/sqrt(d_k)`
    Multiplier,
}

const fn own(path: &'static str, mask: Masking) -> Place {
    Place { part: Part::Encoder, path, mask }
}
const fn decoder(path: &'static str) -> Place {
    Place { part: Part::Decoder, path, mask: Masking::Causal }
}
const fn cross(path: &'static str) -> Place {
    Place { part: Part::Cross, path, mask: Masking::Full }
}

const HALVES: Rope =
    Rope { pairing: Pairing::Halves, dims: Dims::Share(1.0), only: Only::Always, by_window: false };
const PAIRS: Rope = Rope { pairing: Pairing::Pairs, ..HALVES };

const PLAIN: Architecture = Architecture {
    types: &[],
    places: &[],
    layout: &names::BERT,
    fusing: Fusing::Apart,
    scale: Scale::Root,
    features: &[],
    around: &[],
};
const BERT: Architecture = Architecture {
    places: &[
        own("encoder.layer.{l}.attention.", Masking::Decoder),
        cross("encoder.layer.{l}.crossattention."),
    ],
    features: &[Feature::Absolute],
    ..PLAIN
};
const LLAMA: Architecture = Architecture {
    places: &[own("layers.{l}.self_attn.", Masking::Causal)],
    layout: &names::O_PROJ,
    features: &[Rotary(HALVES)],
    ..PLAIN
};
const SEQ2SEQ: Architecture = Architecture {
    places: &[
        own("encoder.layers.{l}.self_attn.", Masking::Full),
        decoder("decoder.layers.{l}.self_attn."),
        cross("decoder.layers.{l}.encoder_attn."),
    ],
    layout: &names::OUT_PROJ,
    ..PLAIN
};
const VIT: Architecture = Architecture {
    places: &[own("encoder.layer.{l}.attention.", Masking::Full)],
    layout: &names::VIT,
    ..PLAIN
};
const GPT2: Architecture = Architecture {
    places: &[own("h.{l}.attn.", Masking::Causal)],
    layout: &names::GPT2,
    fusing: Fusing::Thirds,
    ..PLAIN
};
const CLIP: Architecture = Architecture {
    places: &[own("encoder.layers.{l}.self_attn.", Masking::Full)],
    layout: &names::OUT_PROJ,
    ..PLAIN
};
const T5: Architecture = Architecture {
    places: &[
        own("encoder.block.{l}.layer.0.SelfAttention.", Masking::Full),
        decoder("decoder.block.{l}.layer.0.SelfAttention."),
        cross("decoder.block.{l}.layer.1.EncDecAttention."),
    ],
    layout: &names::T5,
    scale: Scale::One,
    features: &[Table(Whose::Stack)],
    ..PLAIN
};
const BACKWARD: Feature = Window(Reach::Back, Layers::Said);

/// Every architecture that is read, whether or not a circuit can be written of it yet.
pub const ARCHITECTURES: &[Architecture] = &[
    Architecture {
        types: &[
            "bert",
            "roberta",
            "xlm-roberta",
            "camembert",
            "electra",
            "data2vec-text",
            "ernie",
            "layoutlm",
            "bert-generation",
            "splinter",
            "rembert",
        ],
        ..BERT
    },
    Architecture { types: &["megatron-bert"], around: &["ln."], ..BERT },
    Architecture {
        types: &["esm"],
        features: &[Rotary(Rope { only: Only::Said, ..HALVES })],
        around: &["LayerNorm."],
        ..BERT
    },
    Architecture {
        types: &["roformer"],
        features: &[Rotary(Rope { only: Only::QueriesAndKeys, ..PAIRS })],
        ..BERT
    },
    Architecture {
        types: &["distilbert"],
        places: &[own("transformer.layer.{l}.attention.", Masking::Full)],
        layout: &names::DISTIL,
        ..PLAIN
    },
    Architecture {
        types: &["albert"],
        // One module for all layers.
        places: &[own("albert_layer_groups.0.albert_layers.{l}.attention.", Masking::Full)],
        layout: &names::ALBERT,
        features: &[Feature::Absolute],
        around: &["LayerNorm."],
        ..PLAIN
    },
    Architecture {
        types: &["mpnet"],
        places: &[own("encoder.layer.{l}.attention.", Masking::Full)],
        layout: &names::MPNET,
        features: &[Table(Whose::All)],
        around: &["LayerNorm."],
        ..PLAIN
    },
    Architecture {
        types: &[
            "vit",
            "deit",
            "vit_msn",
            "vit_mae",
            "ijepa",
            "dinov2",
            "dinov2_with_registers",
            "audio-spectrogram-transformer",
        ],
        ..VIT
    },
    Architecture {
        types: &["swin"],
        places: &[own("encoder.layers.{s}.blocks.{l}.attention.", Masking::Full)],
        features: &[Grid],
        ..PLAIN
    },
    Architecture { types: &["clip_vision_model", "siglip_text_model", "siglip_vision_model"], ..CLIP },
    Architecture {
        types: &["clip_text_model"],
        places: &[own("encoder.layers.{l}.self_attn.", Masking::Causal)],
        ..CLIP
    },
    Architecture {
        types: &["wav2vec2", "hubert"],
        places: &[own("encoder.layers.{l}.attention.", Masking::Full)],
        ..CLIP
    },
    Architecture {
        types: &[
            "bart",
            "mbart",
            "pegasus",
            "marian",
            "blenderbot",
            "blenderbot-small",
            "m2m_100",
            "plbart",
            "whisper",
        ],
        ..SEQ2SEQ
    },
    Architecture { types: &["t5", "mt5"], ..T5 },
    Architecture {
        types: &["opt"],
        places: &[own("decoder.layers.{l}.self_attn.", Masking::Causal)],
        layout: &names::OUT_PROJ,
        ..PLAIN
    },
    Architecture {
        types: &["biogpt"],
        places: &[own("layers.{l}.self_attn.", Masking::Causal)],
        layout: &names::OUT_PROJ,
        ..PLAIN
    },
    Architecture { types: &["gpt2"], scale: Scale::Switched, ..GPT2 },
    Architecture { types: &["openai-gpt", "imagegpt"], scale: Scale::Switched, ..GPT2 },
    Architecture {
        types: &["gpt_bigcode"],
        layout: &names::BIGCODE,
        fusing: Fusing::MultiQuery,
        scale: Scale::Switched,
        ..GPT2
    },
    Architecture {
        types: &["ctrl"],
        places: &[own("h.{l}.multi_head_attention.", Masking::Causal)],
        layout: &names::CTRL,
        ..PLAIN
    },
    Architecture {
        types: &["gpt_neo"],
        places: &[own("h.{l}.attn.attention.", Masking::Causal)],
        layout: &names::OUT_PROJ,
        scale: Scale::One,
        features: &[BACKWARD],
        ..PLAIN
    },
    Architecture {
        types: &["gptj"],
        places: &[own("h.{l}.attn.", Masking::Causal)],
        layout: &names::OUT_PROJ,
        features: &[Rotary(Rope { dims: Dims::Key, ..PAIRS })],
        ..PLAIN
    },
    Architecture {
        types: &["codegen"],
        places: &[own("h.{l}.attn.", Masking::Causal)],
        layout: &names::CODEGEN,
        fusing: Fusing::Quarters,
        features: &[Rotary(Rope { dims: Dims::Key, ..PAIRS })],
        ..PLAIN
    },
    Architecture {
        types: &["gpt_neox"],
        places: &[own("layers.{l}.attention.", Masking::Causal)],
        layout: &names::NEOX,
        fusing: Fusing::PerHead,
        features: &[Rotary(Rope { dims: Dims::Share(0.25), ..HALVES })],
        ..PLAIN
    },
    Architecture {
        types: &["bloom"],
        places: &[own("h.{l}.self_attention.", Masking::Causal)],
        layout: &names::NEOX,
        fusing: Fusing::PerHead,
        features: &[Alibi(Slopes { when: Only::Always, by_two: false, divided: false })],
        ..PLAIN
    },
    Architecture {
        types: &["falcon"],
        places: &[own("h.{l}.self_attention.", Masking::Causal)],
        layout: &names::NEOX,
        fusing: Fusing::Falcon,
        features: &[
            Rotary(Rope { only: Only::UnlessAlibi, ..HALVES }),
            Alibi(Slopes { when: Only::Said, by_two: false, divided: true }),
        ],
        ..PLAIN
    },
    Architecture {
        types: &["mpt"],
        places: &[own("blocks.{l}.attn.", Masking::Causal)],
        layout: &names::MPT,
        fusing: Fusing::Thirds,
        scale: Scale::Multiplier,
        features: &[Alibi(Slopes { when: Only::UnlessDenied, by_two: true, divided: false })],
        ..PLAIN
    },
    Architecture { types: &["llama", "gemma", "starcoder2", "olmo", "arcee", "seed_oss"], ..LLAMA },
    Architecture {
        types: &["mistral", "mixtral"],
        features: &[Rotary(HALVES), Window(Reach::Back, Layers::All)],
        ..LLAMA
    },
    Architecture {
        types: &["qwen2", "qwen2_moe"],
        features: &[Rotary(HALVES), Window(Reach::Back, Layers::Above)],
        ..LLAMA
    },
    Architecture {
        types: &["qwen3", "qwen3_moe"],
        features: &[Norm(Kind::Rms), Rotary(HALVES), Window(Reach::Back, Layers::Above)],
        ..LLAMA
    },
    Architecture {
        types: &["smollm3"],
        features: &[Rotary(Rope { only: Only::LayersSaid, ..HALVES }), Window(Reach::Back, Layers::Above)],
        ..LLAMA
    },
    Architecture { types: &["granite"], scale: Scale::Multiplier, ..LLAMA },
    Architecture { types: &["eurobert"], places: &[own("layers.{l}.self_attn.", Masking::Full)], ..LLAMA },
    Architecture {
        types: &["gemma2"],
        scale: Scale::Query,
        features: &[Rotary(HALVES), Window(Reach::Back, Layers::Even), Softcap],
        ..LLAMA
    },
    Architecture {
        types: &["gemma3_text"],
        scale: Scale::Query,
        features: &[
            Norm(Kind::RmsOnePlus),
            Rotary(Rope { by_window: true, ..HALVES }),
            Window(Reach::Back, Layers::Pattern(6)),
            Softcap,
        ],
        ..LLAMA
    },
    Architecture { types: &["olmo2"], features: &[Norm(Kind::RmsOfAll), Rotary(HALVES)], ..LLAMA },
    Architecture { types: &["cohere"], features: &[Norm(Kind::ByHead), Rotary(PAIRS)], ..LLAMA },
    Architecture {
        types: &["cohere2"],
        features: &[Rotary(Rope { only: Only::InWindow, ..PAIRS }), Window(Reach::Back, Layers::Pattern(4))],
        ..LLAMA
    },
    Architecture { types: &["glm"], features: &[Rotary(Rope { dims: Dims::Share(0.5), ..PAIRS })], ..LLAMA },
    Architecture {
        types: &["nemotron"],
        features: &[Rotary(Rope { dims: Dims::Share(0.5), ..HALVES })],
        ..LLAMA
    },
    Architecture {
        types: &["stablelm"],
        features: &[Norm(Kind::LayerByHead), Rotary(Rope { dims: Dims::Share(0.25), ..HALVES })],
        ..LLAMA
    },
    Architecture {
        types: &["phi"],
        layout: &names::PHI,
        features: &[Norm(Kind::Layer), Rotary(Rope { dims: Dims::Share(0.5), ..HALVES })],
        ..LLAMA
    },
    Architecture {
        types: &["phi3"],
        layout: &names::PHI3,
        fusing: Fusing::Blocks,
        features: &[Rotary(HALVES), Window(Reach::Back, Layers::All)],
        ..LLAMA
    },
    Architecture {
        types: &["gpt_oss"],
        features: &[Rotary(HALVES), Window(Reach::Back, Layers::Even), Sinks],
        ..LLAMA
    },
    Architecture {
        types: &["modernbert"],
        places: &[own("layers.{l}.attn.", Masking::Full)],
        layout: &names::MODERNBERT,
        fusing: Fusing::Thirds,
        features: &[Rotary(Rope { by_window: true, ..HALVES }), Window(Reach::Both, Layers::Every)],
        ..PLAIN
    },
    Architecture {
        types: &["nomic_bert"],
        places: &[own("layers.{l}.attn.", Masking::Full)],
        layout: &names::MPT,
        fusing: Fusing::Thirds,
        features: &[Rotary(HALVES)],
        ..PLAIN
    },
    Architecture {
        types: &["timm"],
        places: &[own("blocks.{l}.attn.", Masking::Full)],
        layout: &names::TIMM,
        fusing: Fusing::Thirds,
        ..PLAIN
    },
];
