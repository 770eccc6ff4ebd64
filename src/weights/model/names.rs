//! What the tensors of a layer are called, in the architectures of [`rows`](super::rows).

use crate::weights::Scheme;
use crate::weights::layers::{Form, Layout};

macro_rules! apart {
    ($name:ident, $scheme:ident, $q:literal, $k:literal, $v:literal, $o:literal) => {
        pub(super) static $name: Layout = Layout {
            scheme: Scheme::$scheme,
            weights: &[concat!($q, ".weight"), concat!($k, ".weight"), concat!($v, ".weight")],
            biases: &[concat!($q, ".bias"), concat!($k, ".bias"), concat!($v, ".bias")],
            output: &[(concat!($o, ".weight"), concat!($o, ".bias"))],
            form: Form::Rows,
        };
    };
}

macro_rules! fused {
    ($name:ident, $scheme:ident, $form:ident, $all:literal, $o:literal) => {
        pub(super) static $name: Layout = Layout {
            scheme: Scheme::$scheme,
            weights: &[concat!($all, ".weight")],
            biases: &[concat!($all, ".bias")],
            output: &[(concat!($o, ".weight"), concat!($o, ".bias"))],
            form: Form::$form,
        };
    };
}

apart!(BERT, Bert, "self.query", "self.key", "self.value", "output.dense");
apart!(VIT, Separate, "attention.query", "attention.key", "attention.value", "output.dense");
apart!(DISTIL, Separate, "q_lin", "k_lin", "v_lin", "out_lin");
apart!(ALBERT, Separate, "query", "key", "value", "dense");
apart!(MPNET, Separate, "attn.q", "attn.k", "attn.v", "attn.o");
apart!(T5, Separate, "q", "k", "v", "o");
apart!(CTRL, Separate, "Wq", "Wk", "Wv", "dense");
apart!(OUT_PROJ, Separate, "q_proj", "k_proj", "v_proj", "out_proj");
apart!(O_PROJ, Separate, "q_proj", "k_proj", "v_proj", "o_proj");
apart!(PHI, Separate, "q_proj", "k_proj", "v_proj", "dense");
fused!(GPT2, Gpt2, Columns, "c_attn", "c_proj");
fused!(BIGCODE, Fused, Rows, "c_attn", "c_proj");
fused!(NEOX, Fused, Rows, "query_key_value", "dense");
fused!(CODEGEN, Fused, Rows, "qkv_proj", "out_proj");
fused!(PHI3, Fused, Rows, "qkv_proj", "o_proj");
fused!(MPT, Fused, Rows, "Wqkv", "out_proj");
fused!(MODERNBERT, Fused, Rows, "Wqkv", "Wo");
fused!(TIMM, Fused, Rows, "qkv", "proj");
