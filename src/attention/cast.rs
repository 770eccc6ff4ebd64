//! A block in another precision.

use super::block::{Block, Gate, Head, Link, Memory, Rate, Residual};
use crate::linalg::{Real, real};
use nalgebra::{DMatrix, DVector};

fn number<T: Real, U: Real>(x: T) -> U {
    real(x.to_f64())
}

fn matrix<T: Real, U: Real>(m: &DMatrix<T>) -> DMatrix<U> {
    m.map(number)
}

fn vector<T: Real, U: Real>(v: &DVector<T>) -> DVector<U> {
    v.map(number)
}

impl<T: Real> Block<T> {
    /// The same block in precision `U`; every number is rounded to nearest.
    #[must_use]
    pub fn cast<U: Real>(&self) -> Block<U> {
        Block {
            relay: self.relay.clone(),
            d_model: self.d_model,
            clock_stream: self.clock_stream.clone(),
            heads: self.heads.iter().map(Head::cast).collect(),
            residual: self.residual.iter().map(Residual::cast).collect(),
            b_o: vector(&self.b_o),
        }
    }
}

impl<T: Real> Residual<T> {
    /// The same path in precision `U`.
    #[must_use]
    pub fn cast<U: Real>(&self) -> Residual<U> {
        Residual { stream: self.stream.clone(), matrix: matrix(&self.matrix) }
    }
}

impl<T: Real> Head<T> {
    /// The same head in precision `U`.
    #[must_use]
    pub fn cast<U: Real>(&self) -> Head<U> {
        Head {
            w_q: matrix(&self.w_q),
            w_k: matrix(&self.w_k),
            w_v: matrix(&self.w_v),
            w_o: matrix(&self.w_o),
            b_q: vector(&self.b_q),
            b_k: vector(&self.b_k),
            b_v: vector(&self.b_v),
            scale: number(self.scale),
            kernel: self.kernel,
            normalisation: self.normalisation,
            mask: self.mask,
            memory: self.memory.cast(),
            query_stream: self.query_stream.clone(),
            context_stream: self.context_stream.clone(),
            value_stream: self.value_stream.clone(),
            function: self.function.iter().map(Link::cast).collect(),
            sink: self.sink.as_ref().map(Gate::cast),
            area: self.area.clone(),
        }
    }
}

impl<T: Real> Link<T> {
    /// The same function in precision `U`.
    #[must_use]
    pub fn cast<U: Real>(&self) -> Link<U> {
        Link { gain: number(self.gain), bias: number(self.bias), activation: self.activation }
    }
}

impl<T: Real> Memory<T> {
    /// The same memory rule in precision `U`.
    #[must_use]
    pub fn cast<U: Real>(&self) -> Memory<U> {
        match self {
            Self::None => Memory::None,
            Self::Hebbian => Memory::Hebbian,
            Self::Decay(g) => Memory::Decay(number(*g)),
            Self::Delta(rate) => Memory::Delta(rate.cast()),
            Self::Gated { side, gate } => Memory::Gated { side: *side, gate: gate.cast() },
        }
    }
}

impl<T: Real> Rate<T> {
    /// The same rate in precision `U`.
    #[must_use]
    pub fn cast<U: Real>(&self) -> Rate<U> {
        match self {
            Self::Constant(b) => Rate::Constant(number(*b)),
            Self::Gate(gate) => Rate::Gate(gate.cast()),
        }
    }
}

impl<T: Real> Gate<T> {
    /// The same gate in precision `U`.
    #[must_use]
    pub fn cast<U: Real>(&self) -> Gate<U> {
        Gate {
            stream: self.stream.clone(),
            constant: vector(&self.constant),
            weights: matrix(&self.weights),
            features: matrix(&self.features),
            bias: vector(&self.bias),
            maps: self.maps.clone(),
        }
    }
}
