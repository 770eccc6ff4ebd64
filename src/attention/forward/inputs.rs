//! Whether streams fit a head; and its queries and keys on their own.

use super::blocks::for_each_block;
use super::error::ForwardError;
use super::is_scored;
use crate::attention::{FeatureMap, Gate, GateSide, Head, Kernel, Mask, Memory, Normalisation, Streams};
use crate::linalg::{Operand, Real, gemm_into};
use nalgebra::{DMatrix, DVector};

/// Reads one head's streams.
pub(in crate::attention) struct Reader<'a, T: Real> {
    pub head: &'a Head<T>,
    /// which head of the block, for messages
    pub index: usize,
    pub streams: &'a Streams<T>,
}

impl<T: Real> Reader<'_, T> {
    /// Whether the streams fit the head.
    ///
    /// # Errors
    /// Missing streams, shapes that do not fit, token counts that differ, combinations that have no meaning.
    pub fn check(&self) -> Result<(), ForwardError> {
        let h = self.head;
        self.check_supported()?;
        let x_q = self.stream("query", &h.query_stream)?;
        let x_k = self.stream("context", &h.context_stream)?;
        let x_v = self.stream("value", &h.value_stream)?;
        self.same_clock("values", &h.value_stream, &h.context_stream)?;
        if h.mask != Mask::Full {
            let what = if h.mask.whole() == Mask::Causal { "causal mask" } else { "strict mask" };
            self.same_clock(what, &h.query_stream, &h.context_stream)?;
        }
        self.fits("W_Q", h.w_q.shape(), "W_K", h.w_k.shape(), h.w_q.nrows() == h.w_k.nrows())?;
        self.fits("W_O", h.w_o.shape(), "W_V", h.w_v.shape(), h.w_o.ncols() == h.w_v.nrows())?;
        self.projects("W_Q", &h.w_q, "b_Q", &h.b_q, &h.query_stream, x_q)?;
        self.projects("W_K", &h.w_k, "b_K", &h.b_k, &h.context_stream, x_k)?;
        self.projects("W_V", &h.w_v, "b_V", &h.b_v, &h.value_stream, x_v)?;
        if let Some(sink) = &h.sink {
            self.check_gate("sink", sink, &h.query_stream)?;
            let one = (1, 1);
            self.fits("sink", (sink.constant.len(), 1), "a sum of scores", one, sink.constant.len() == 1)?;
        }
        let Some(gate) = h.memory.gate() else { return Ok(()) };
        let (rows, of) = match &h.memory {
            Memory::Gated { side: GateSide::Key, .. } => (h.d_key(), "key rows"),
            _ => (h.d_value(), "value rows"),
        };
        self.check_gate("gate", gate, &h.context_stream)?;
        let n_rows = gate.constant.len();
        self.fits("gate", (n_rows, 1), of, (rows, 1), n_rows == rows || n_rows == 1)
    }

    /// Queries `[d_k, n_query]` and keys `[d_k, n_context]` of a head whose streams fit, after their feature maps; queries
    /// times the head's scale, so that a score is just `k . q`.
    pub fn queries_and_keys(&self) -> [DMatrix<T>; 2] {
        let h = self.head;
        let project = |w, b, stream: &String| affine(w, b, &self.streams[stream], false);
        let mut queries = project(&h.w_q, &h.b_q, &h.query_stream);
        let mut keys = project(&h.w_k, &h.b_k, &h.context_stream);
        if let Kernel::Feature { key, query } = h.kernel {
            map_all(&mut keys, key);
            map_all(&mut queries, query);
        }
        queries *= h.scale;
        [queries, keys]
    }

    /// The sink of a head whose streams fit, and its features of every query, exponentials as their exponents.
    pub fn sink(&self) -> Option<(&Gate<T>, DMatrix<T>)> {
        let sink = self.head.sink.as_ref()?;
        let mut features = affine(&sink.features, &sink.bias, &self.streams[&sink.stream], false);
        for (mut row, map) in features.row_iter_mut().zip(&sink.maps).filter(|(_, m)| **m != FeatureMap::Exp)
        {
            row.apply(|x| *x = map.value(*x));
        }
        Some((sink, features))
    }

    /// Numbers of each token of the clock `clock`.
    fn check_gate(&self, what: &str, gate: &Gate<T>, clock: &str) -> Result<(), ForwardError> {
        let x = self.stream(what, &gate.stream)?;
        self.same_clock(what, &gate.stream, clock)?;
        let n_rows = gate.constant.len();
        let n_features = gate.features.nrows();
        let [of_weights, of_constant, of_features, of_maps, of_bias] =
            ["weights", "constant", "features", "maps", "bias"].map(|part| format!("{what} {part}"));
        let (weights, maps) = (gate.weights.shape(), (gate.maps.len(), 1));
        self.fits(&of_weights, weights, &of_constant, (n_rows, 1), weights.0 == n_rows)?;
        self.fits(&of_weights, weights, &of_features, gate.features.shape(), weights.1 == n_features)?;
        self.fits(&of_maps, maps, &of_features, gate.features.shape(), maps.0 == n_features)?;
        self.projects(&of_features, &gate.features, &of_bias, &gate.bias, &gate.stream, x)
    }

    /// The stream of that name.
    fn stream(&self, role: &str, name: &str) -> Result<&DMatrix<T>, ForwardError> {
        find(self.streams, name, || format!("head {}: the {role}", self.index))
    }

    fn same_clock(&self, what: &str, stream: &str, clock: &str) -> Result<(), ForwardError> {
        let (tokens, expected) = (self.stream(what, stream)?.ncols(), self.stream(what, clock)?.ncols());
        if tokens == expected {
            return Ok(());
        }
        let what = format!("head {}: {what}", self.index);
        Err(ForwardError::TokenCounts { what, stream: stream.into(), tokens, clock: clock.into(), expected })
    }

    fn fits(
        &self,
        what: &str,
        shape: (usize, usize),
        other: &str,
        other_shape: (usize, usize),
        ok: bool,
    ) -> Result<(), ForwardError> {
        if ok {
            return Ok(());
        }
        let what = format!("head {}: {what}", self.index);
        Err(ForwardError::Shape { what, shape, other: other.into(), other_shape })
    }

    fn projects(
        &self,
        w_name: &str,
        w: &DMatrix<T>,
        b_name: &str,
        b: &DVector<T>,
        stream: &str,
        x: &DMatrix<T>,
    ) -> Result<(), ForwardError> {
        if w.ncols() != x.nrows() {
            self.fits(w_name, w.shape(), &format!("stream `{stream}`"), x.shape(), false)?;
        }
        self.fits(b_name, b.shape(), w_name, w.shape(), b.len() == w.nrows())
    }

    /// Refuses combinations without a meaning.
    fn check_supported(&self) -> Result<(), ForwardError> {
        let h = self.head;
        let fail = |what: String| Err(ForwardError::Unsupported { head: self.index, what });
        let recurrent = matches!(h.memory, Memory::Delta(_) | Memory::Gated { .. });
        if recurrent && is_scored(h) {
            return fail(format!(
                "a {} memory stores keys, so the {} kernel of scores does not fit it",
                h.memory.name(),
                h.kernel.name()
            ));
        }
        if let Some(w) = h.mask.window() {
            return fail(format!("heads with a window (mask {}, W = {w}) do not run yet", h.mask.name()));
        }
        if (h.kernel == Kernel::Function) == h.function.is_empty() {
            let what = if h.function.is_empty() { "without functions" } else { "beside functions" };
            return fail(format!("a {} kernel {what} has no meaning", h.kernel.name()));
        }
        if let Some(map) = h.sink.iter().flat_map(|s| &s.maps).find(|m| m.slope_reads_argument()) {
            return fail(format!("a sink of {} features does not run", map.name()));
        }
        if h.sink.is_some() && h.normalisation != Normalisation::Sum {
            return fail("a sink joins a sum of scores, and nothing is divided by one".to_owned());
        }
        if recurrent && h.normalisation == Normalisation::Sum {
            return fail(format!("a {} memory has no sum of scores to divide by", h.memory.name()));
        }
        if let Memory::Decay(g) = h.memory
            && !(g > T::zero() && g <= T::one())
        {
            return fail(format!("decay {g} is not in (0, 1]"));
        }
        Ok(())
    }
}

/// The stream `name`, or an error that says who wanted it.
pub(in crate::attention) fn find<'s, T: Real>(
    streams: &'s Streams<T>,
    name: &str,
    reader: impl FnOnce() -> String,
) -> Result<&'s DMatrix<T>, ForwardError> {
    streams.get(name).ok_or_else(|| ForwardError::MissingStream {
        reader: reader(),
        stream: name.into(),
        present: streams.keys().cloned().collect(),
    })
}

/// `W x + b` for every token.
pub(in crate::attention) fn affine<T: Real>(
    w: &DMatrix<T>,
    b: &DVector<T>,
    x: &DMatrix<T>,
    parallel: bool,
) -> DMatrix<T> {
    let rows = w.nrows();
    let mut out = DMatrix::zeros(rows, x.ncols());
    for_each_block(&mut out, parallel, |first, block| {
        for token in block.chunks_exact_mut(rows) {
            token.copy_from_slice(b.as_slice());
        }
        let count = block.len() / rows;
        gemm_into(block, T::one(), Operand::of(w), Operand::columns(x, first, count), T::one());
    });
    out
}

fn map_all<T: Real>(m: &mut DMatrix<T>, map: FeatureMap) {
    if map != FeatureMap::Identity {
        for x in m.iter_mut() {
            *x = map.value(*x);
        }
    }
}
