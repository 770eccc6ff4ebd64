//! Functions of one number: what cells make of the sum of their compartments, and features of heads.

use super::normal;
use crate::linalg::{Real, real};
use serde::{Serialize, Serializer};

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Function {
    /// the number itself
    Identity,
    Relu,
    Exp,
    /// Katharopoulos et al. 2020
    EluPlusOne,
    Sigmoid,
    Sign,
    Sqrt,
    Tanh,
    /// Elfwing et al. 2018; Ramachandran et al. 2017 (swish)
    Silu,
    /// Hendrycks & Gimpel 2016, exact
    Gelu,
    /// the same by a hyperbolic tangent
    GeluTanh,
    Sine,
    Power(Exponent),
}

/// What is known of a number on paper, whatever the tokens are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnPaper {
    /// of any sign
    Any,
    /// not below 0
    NonNegative,
    /// above 0: where the machine says 0, it has underflowed
    Positive,
}

impl Function {
    /// All but powers.
    pub const PLAIN: [Self; 12] = [
        Self::Identity,
        Self::Relu,
        Self::Exp,
        Self::EluPlusOne,
        Self::Sigmoid,
        Self::Sign,
        Self::Sqrt,
        Self::Tanh,
        Self::Silu,
        Self::Gelu,
        Self::GeluTanh,
        Self::Sine,
    ];

    /// Word, equation (of `x`) and sentence.
    fn about(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Identity => ("identity", "x", "the sum of the compartments"),
            Self::Relu => ("relu", "max(x, 0)", "rectified: silent below 0"),
            Self::Exp => ("exp", "e^x", "exponential, the score of softmax"),
            Self::EluPlusOne => {
                ("elu_plus_one", "x + 1 for x > 0, else e^x", "a positive feature of linear attention")
            }
            Self::Sigmoid => ("sigmoid", "1 / (1 + e^-x)", "between 0 and 1, as gates"),
            Self::Sign => {
                ("sign", "-1, 0 or 1", "the sign alone; it has no slope, so nothing learns through it")
            }
            Self::Sqrt => ("sqrt", "square root of x", "the square root; a negative input ends the run"),
            Self::Tanh => ("tanh", "tanh x", "between -1 and 1"),
            Self::Silu => ("silu", "x / (1 + e^-x)", "smooth rectifier (swish), as in Llama"),
            Self::Gelu => ("gelu", "x Phi(x)", "smooth rectifier by the normal law Phi, exact, as in BERT"),
            Self::GeluTanh => (
                "gelu_tanh",
                "x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2",
                "gelu by a hyperbolic tangent, as in GPT-2 and Gemma",
            ),
            Self::Sine => ("sine", "sin x", "the sine of x in radians"),
            Self::Power(_) => {
                ("power", "x^p", "a power p > 0; a negative input ends the run unless p is a whole number")
            }
        }
    }

    /// `identity`, `relu`, ...; powers without their exponent.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.about().0
    }

    /// `identity`, `relu`, ..., `power 2`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Power(p) => format!("{} {p}", self.word()),
            other => other.word().to_owned(),
        }
    }

    /// As an equation of `x`.
    #[must_use]
    pub fn equation(self) -> &'static str {
        self.about().1
    }

    /// One sentence for users.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        self.about().2
    }

    /// The function of one number; NaN where it has no value (roots of negative numbers).
    #[inline]
    pub fn value<T: Real>(self, x: T) -> T {
        let (zero, one) = (T::zero(), T::one());
        match self {
            Self::Identity => x,
            Self::Relu if x <= zero => zero,
            Self::Relu => x,
            Self::Exp => x.exp(),
            Self::EluPlusOne if x > zero => x + one,
            Self::EluPlusOne => x.exp(),
            Self::Sigmoid => sigmoid(x),
            Self::Sign if x > zero => one,
            Self::Sign if x < zero => -one,
            Self::Sign if x == zero => zero,
            Self::Sign => x,
            Self::Sqrt if x >= zero => x.sqrt(),
            Self::Sqrt => not_a_number(),
            Self::Tanh => x.tanh(),
            Self::Silu => x * sigmoid(x),
            Self::Gelu => real(x.to_f64() * normal::below(x.to_f64())),
            Self::GeluTanh => real::<T>(0.5) * x * (one + inner(x).0.tanh()),
            Self::Sine => x.sin(),
            Self::Power(p) => p.power(x),
        }
    }

    /// Its derivative; 0 at kinks, and for roots and powers below 1 at 0.
    #[inline]
    pub fn slope<T: Real>(self, x: T) -> T {
        self.slope_at(x, self.value(x))
    }

    /// Does [`Function::slope_at`] read the argument, not only the value?
    #[must_use]
    pub fn slope_reads_argument(self) -> bool {
        matches!(self, Self::Silu | Self::Gelu | Self::GeluTanh | Self::Sine | Self::Power(_))
    }

    /// Its derivative at `x`, of which the value is known.
    #[inline]
    pub fn slope_at<T: Real>(self, x: T, value: T) -> T {
        let (zero, one) = (T::zero(), T::one());
        match self {
            Self::Identity => one,
            Self::Relu if value > zero => one,
            Self::Relu | Self::Sign => zero,
            Self::EluPlusOne if value > one => one,
            Self::Exp | Self::EluPlusOne => value,
            Self::Sigmoid => value * (one - value),
            Self::Sqrt if value == zero => zero,
            Self::Sqrt => real::<T>(0.5) / value,
            Self::Tanh => one - value * value,
            Self::Silu => sigmoid(x) * (one + x * sigmoid(-x)),
            Self::Gelu => {
                let x = x.to_f64();
                real(normal::below(x) + x * normal::density(x))
            }
            Self::GeluTanh => {
                let (inner, d_inner) = inner(x);
                let t = inner.tanh();
                real::<T>(0.5) * (one + t + x * (one - t * t) * d_inner)
            }
            Self::Sine => x.cos(),
            Self::Power(p) => p.slope(x),
        }
    }

    /// What is known of the value, from what is known of the argument.
    #[must_use]
    pub fn on_paper(self, x: OnPaper) -> OnPaper {
        match self {
            Self::Exp | Self::EluPlusOne | Self::Sigmoid => OnPaper::Positive,
            Self::Relu | Self::Sqrt => x.max(OnPaper::NonNegative),
            Self::Power(p) if !p.is_odd() => x.max(OnPaper::NonNegative),
            Self::Sine => OnPaper::Any,
            Self::Identity
            | Self::Sign
            | Self::Tanh
            | Self::Silu
            | Self::Gelu
            | Self::GeluTanh
            | Self::Power(_) => x,
        }
    }
}

fn sigmoid<T: Real>(x: T) -> T {
    T::one() / (T::one() + (-x).exp())
}

/// `sqrt(2/pi) (x + 0.044715 x^3)` and its derivative.
fn inner<T: Real>(x: T) -> (T, T) {
    let (root, cubic) = (real::<T>((2.0 / std::f64::consts::PI).sqrt()), real::<T>(0.044715));
    let square = x * x;
    (root * (x + cubic * square * x), root * (T::one() + real::<T>(3.0) * cubic * square))
}

fn not_a_number<T: Real>() -> T {
    real(f64::NAN)
}

/// The exponent of a power: above 0 and finite. Kept by its bits, which order positive numbers as they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exponent(u64);

impl Exponent {
    /// Largest whole exponent that is computed by multiplications.
    const MOST_FACTORS: f64 = 1024.0;

    /// None of what is not above 0 and finite.
    #[must_use]
    pub fn new(p: f64) -> Option<Self> {
        (p > 0.0 && p.is_finite()).then(|| Self(p.to_bits()))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        f64::from_bits(self.0)
    }

    /// Whether negative numbers have this power.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.get().fract() == 0.0
    }

    /// Whether it keeps the sign.
    #[must_use]
    pub fn is_odd(self) -> bool {
        self.get() % 2.0 == 1.0
    }

    /// If it is a small whole number.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn whole(self) -> Option<u32> {
        (self.is_whole() && self.get() <= Self::MOST_FACTORS).then(|| self.get() as u32)
    }

    fn power<T: Real>(self, x: T) -> T {
        match self.whole() {
            Some(n) => x.powi(n.cast_signed()),
            None if x < T::zero() && !self.is_whole() => not_a_number(),
            None => x.powf(real(self.get())),
        }
    }

    fn slope<T: Real>(self, x: T) -> T {
        let p = self.get();
        match self.whole() {
            Some(n) => real::<T>(p) * x.powi((n - 1).cast_signed()),
            None if x < T::zero() && !self.is_whole() => not_a_number(),
            None if x == T::zero() => T::zero(),
            None => real::<T>(p) * x.powf(real(p - 1.0)),
        }
    }
}

impl std::fmt::Debug for Exponent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.get())
    }
}

impl std::fmt::Display for Exponent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.get())
    }
}

impl Serialize for Exponent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.whole() {
            Some(n) => serializer.serialize_u32(n),
            None => serializer.serialize_f64(self.get()),
        }
    }
}

#[cfg(test)]
#[path = "function_tests.rs"]
mod tests;
