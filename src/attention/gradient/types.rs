//! Derivatives of a loss by everything that a block is made of.

use crate::attention::token_map::gradient::MapGradient;
use crate::attention::{Block, Gate, Memory, Rate, Streams};
use crate::linalg::{Real, all_finite};
use nalgebra::{DMatrix, DVector};

/// Derivatives by the parameters of a block and by its input streams.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient<T: Real = f64> {
    pub block: BlockGradient<T>,
    /// one entry for each stream that was given, 0 where the block does not read it
    pub streams: Streams<T>,
}

/// Derivatives by the parameters of a stack of blocks and maps and by its input streams.
#[derive(Clone, Debug, PartialEq)]
pub struct StackGradient<T: Real = f64> {
    /// in the order of the blocks
    pub blocks: Vec<BlockGradient<T>>,
    /// in the order of the maps
    pub maps: Vec<MapGradient<T>>,
    /// one entry for each stream that was given, 0 where nobody reads it
    pub streams: Streams<T>,
}

/// Derivatives by the parameters of one block; each has the shape of the parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockGradient<T: Real = f64> {
    pub heads: Vec<HeadGradient<T>>,
    /// one matrix for each residual path
    pub residual: Vec<DMatrix<T>>,
    pub b_o: DVector<T>,
}

/// Derivatives by the parameters of one head.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadGradient<T: Real = f64> {
    pub w_q: DMatrix<T>,
    pub w_k: DMatrix<T>,
    pub w_v: DMatrix<T>,
    pub w_o: DMatrix<T>,
    pub b_q: DVector<T>,
    pub b_k: DVector<T>,
    pub b_v: DVector<T>,
    pub scale: T,
    pub memory: MemoryGradient<T>,
    /// by gain and bias of every link of the chain of functions
    pub function: Vec<[T; 2]>,
    pub sink: Option<GateGradient<T>>,
}

/// Derivatives by the parameters of a memory rule.
#[derive(Clone, Debug, PartialEq)]
pub enum MemoryGradient<T: Real = f64> {
    /// nothing to learn: no memory, or a hebbian one
    None,
    /// by the decay `g`
    Decay(T),
    /// by the constant write strength of a delta memory
    Rate(T),
    /// by the gate of a gated memory or of the write strength of a delta memory
    Gate(GateGradient<T>),
}

/// Derivatives by the parameters of a gate.
#[derive(Clone, Debug, PartialEq)]
pub struct GateGradient<T: Real = f64> {
    pub constant: DVector<T>,
    pub weights: DMatrix<T>,
    pub features: DMatrix<T>,
    pub bias: DVector<T>,
}

impl<T: Real> BlockGradient<T> {
    /// Every derivative with its name (`head 0: W_Q`, `residual 0`, `b_O`), numbers column after column.
    #[must_use]
    pub fn tensors(&self) -> Vec<(String, &[T])> {
        let mut all = Vec::new();
        for (h, head) in self.heads.iter().enumerate() {
            let mut add = |name: &str, numbers| all.push((format!("head {h}: {name}"), numbers));
            add("W_Q", head.w_q.as_slice());
            add("W_K", head.w_k.as_slice());
            add("W_V", head.w_v.as_slice());
            add("W_O", head.w_o.as_slice());
            add("b_Q", head.b_q.as_slice());
            add("b_K", head.b_k.as_slice());
            add("b_V", head.b_v.as_slice());
            add("scale", std::slice::from_ref(&head.scale));
            match &head.memory {
                MemoryGradient::None => {}
                MemoryGradient::Decay(g) => add("decay", std::slice::from_ref(g)),
                MemoryGradient::Rate(b) => add("rate", std::slice::from_ref(b)),
                MemoryGradient::Gate(gate) => gate.tensors("gate", &mut add),
            }
            for (l, link) in head.function.iter().enumerate() {
                add(&format!("function {l} gain"), &link[..1]);
                add(&format!("function {l} bias"), &link[1..]);
            }
            if let Some(sink) = &head.sink {
                sink.tensors("sink", &mut add);
            }
        }
        for (r, path) in self.residual.iter().enumerate() {
            all.push((format!("residual {r}"), path.as_slice()));
        }
        all.push(("b_O".into(), self.b_o.as_slice()));
        all
    }
}

impl<T: Real> GateGradient<T> {
    fn tensors<'a>(&'a self, of: &str, add: &mut impl FnMut(&str, &'a [T])) {
        add(&format!("{of} constant"), self.constant.as_slice());
        add(&format!("{of} weights"), self.weights.as_slice());
        add(&format!("{of} features"), self.features.as_slice());
        add(&format!("{of} bias"), self.bias.as_slice());
    }

    fn is_finite(&self) -> bool {
        let matrices = [self.weights.as_slice(), self.features.as_slice()];
        [self.constant.as_slice(), self.bias.as_slice()].into_iter().chain(matrices).all(all_finite)
    }
}

impl<T: Real> BlockGradient<T> {
    /// Whether no derivative is infinite or NaN.
    pub(super) fn is_finite(&self) -> bool {
        let fine = |numbers: &[T]| all_finite(numbers);
        fine(self.b_o.as_slice())
            && self.residual.iter().all(|path| fine(path.as_slice()))
            && self.heads.iter().all(|head| {
                let matrices = [&head.w_q, &head.w_k, &head.w_v, &head.w_o];
                matrices.iter().all(|m| fine(m.as_slice()))
                    && [&head.b_q, &head.b_k, &head.b_v].iter().all(|b| fine(b.as_slice()))
                    && head.scale.is_finite()
                    && match &head.memory {
                        MemoryGradient::None => true,
                        MemoryGradient::Decay(x) | MemoryGradient::Rate(x) => x.is_finite(),
                        MemoryGradient::Gate(gate) => gate.is_finite(),
                    }
                    && head.function.iter().all(|link| fine(link))
                    && head.sink.as_ref().is_none_or(GateGradient::is_finite)
            })
    }
}

fn gate_mut<'a, T: Real>(of: &str, gate: &'a mut Gate<T>, add: &mut impl FnMut(&str, &'a mut [T])) {
    let Gate { constant, weights, features, bias, .. } = gate;
    add(&format!("{of} constant"), constant.as_mut_slice());
    add(&format!("{of} weights"), weights.as_mut_slice());
    add(&format!("{of} features"), features.as_mut_slice());
    add(&format!("{of} bias"), bias.as_mut_slice());
}

/// Every parameter of a block that has a derivative: names and order of [`BlockGradient::tensors`].
pub fn parameters_mut<T: Real>(block: &mut Block<T>) -> Vec<(String, &mut [T])> {
    let mut all = Vec::new();
    for (h, head) in block.heads.iter_mut().enumerate() {
        let mut add = |name: &str, numbers| all.push((format!("head {h}: {name}"), numbers));
        add("W_Q", head.w_q.as_mut_slice());
        add("W_K", head.w_k.as_mut_slice());
        add("W_V", head.w_v.as_mut_slice());
        add("W_O", head.w_o.as_mut_slice());
        add("b_Q", head.b_q.as_mut_slice());
        add("b_K", head.b_k.as_mut_slice());
        add("b_V", head.b_v.as_mut_slice());
        add("scale", std::slice::from_mut(&mut head.scale));
        match &mut head.memory {
            Memory::None | Memory::Hebbian => {}
            Memory::Decay(g) => add("decay", std::slice::from_mut(g)),
            Memory::Delta(Rate::Constant(b)) => add("rate", std::slice::from_mut(b)),
            Memory::Delta(Rate::Gate(gate)) | Memory::Gated { gate, .. } => {
                gate_mut("gate", gate, &mut add);
            }
        }
        for (l, link) in head.function.iter_mut().enumerate() {
            add(&format!("function {l} gain"), std::slice::from_mut(&mut link.gain));
            add(&format!("function {l} bias"), std::slice::from_mut(&mut link.bias));
        }
        if let Some(sink) = &mut head.sink {
            gate_mut("sink", sink, &mut add);
        }
    }
    for (r, path) in block.residual.iter_mut().enumerate() {
        all.push((format!("residual {r}"), path.matrix.as_mut_slice()));
    }
    all.push(("b_O".into(), block.b_o.as_mut_slice()));
    all
}
