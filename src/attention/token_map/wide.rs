//! Numbers with exponents of any size, for tokens that leave the range of a precision.

use crate::attention::FeatureMap;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// `mantissa 2^exponent`; the mantissa is 0, in `[1, 2)` or `(-2, -1]`, or not finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wide {
    mantissa: f64,
    exponent: i64,
}

/// Exponents beyond it stand for infinity and nothing: no chain of a few operations comes near it.
const FAR: i64 = 1 << 60;

impl Wide {
    pub const ZERO: Self = Self { mantissa: 0.0, exponent: 0 };
    pub const ONE: Self = Self { mantissa: 1.0, exponent: 0 };

    pub fn new(x: f64) -> Self {
        Self::scaled(x, 0)
    }

    /// `x 2^exponent`
    fn scaled(x: f64, exponent: i64) -> Self {
        if x == 0.0 || !x.is_finite() {
            return Self { mantissa: x, exponent: 0 };
        }
        // A number below the normal ones has no leading 1.
        let (x, shift) = if x.abs() < f64::MIN_POSITIVE { (x * 2f64.powi(64), -64) } else { (x, 0) };
        let bits = x.to_bits();
        let own = i64::from((bits >> 52) as u32 & 0x7ff) - 1023;
        let mantissa = f64::from_bits(bits & !(0x7ff << 52) | 1023 << 52);
        let exponent = exponent + own + shift;
        match exponent {
            e if e > FAR => Self { mantissa: mantissa * f64::INFINITY, exponent: 0 },
            e if e < -FAR => Self::ZERO,
            exponent => Self { mantissa, exponent },
        }
    }

    /// Rounded to what double precision has: infinities beyond it, 0 below it.
    pub fn to_f64(self) -> f64 {
        let Self { mantissa, exponent } = self;
        let step = |e: i64| 2f64.powi(e.clamp(-600, 600) as i32);
        let first = exponent.clamp(-600, 600);
        mantissa * step(first) * step(exponent - first)
    }

    pub fn is_zero(self) -> bool {
        self.mantissa == 0.0
    }

    pub fn is_finite(self) -> bool {
        self.mantissa.is_finite()
    }

    fn is_above_zero(self) -> bool {
        self.mantissa > 0.0
    }

    /// `e^x`; of numbers beyond 2^58 infinity or 0.
    pub fn exp(self) -> Self {
        let x = self.to_f64();
        if !x.is_finite() || x.abs() > 2f64.powi(58) {
            return match x {
                x if x > 0.0 => Self::new(f64::INFINITY),
                x if x < 0.0 => Self::ZERO,
                x => Self::new(x),
            };
        }
        let n = (x / std::f64::consts::LN_2).round();
        // ln 2 in two pieces: the first has zeros at its end, so that its product with n is exact for |n| < 2^20.
        const HIGH: f64 = 6.931_471_803_691_238e-1;
        const LOW: f64 = 1.908_214_929_270_587_7e-10;
        let rest = n.mul_add(-LOW, n.mul_add(-HIGH, x));
        Self::scaled(rest.exp(), n as i64)
    }

    /// A function of a population.
    pub fn apply(self, f: FeatureMap) -> Self {
        let sigmoid = |x: Self| {
            let e = if x.is_above_zero() { (-x).exp() } else { x.exp() };
            if x.is_above_zero() { Self::ONE / (Self::ONE + e) } else { e / (Self::ONE + e) }
        };
        match f {
            FeatureMap::Identity => self,
            FeatureMap::Relu if self.is_above_zero() => self,
            FeatureMap::Relu => Self::ZERO,
            FeatureMap::Exp => self.exp(),
            FeatureMap::EluPlusOne if self.is_above_zero() => self + Self::ONE,
            FeatureMap::EluPlusOne => self.exp(),
            FeatureMap::Sigmoid => sigmoid(self),
            FeatureMap::Sign => Self::new(f.value(self.mantissa)),
            f => Self::new(f.value(self.to_f64())),
        }
    }

    /// `f'(z)` where `f(z) = value`, 0 at kinks.
    pub fn slope(self, f: FeatureMap, value: Self) -> Self {
        match f {
            FeatureMap::Exp => value,
            FeatureMap::EluPlusOne if !self.is_above_zero() => value,
            FeatureMap::Sigmoid => value * (-self).apply(FeatureMap::Sigmoid),
            _ => Self::new(f.slope_at(self.to_f64(), value.to_f64())),
        }
    }
}

impl Add for Wide {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        if self.is_zero() || !other.is_finite() && self.is_finite() {
            return other;
        }
        if other.is_zero() {
            return self;
        }
        let (large, small) = if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        let shift = (large.exponent - small.exponent).min(1000) as i32;
        Self::scaled(large.mantissa + small.mantissa * 2f64.powi(-shift), large.exponent)
    }
}

impl Neg for Wide {
    type Output = Self;
    fn neg(self) -> Self {
        Self { mantissa: -self.mantissa, ..self }
    }
}

impl Sub for Wide {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Wide {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self::scaled(self.mantissa * other.mantissa, self.exponent + other.exponent)
    }
}

impl Div for Wide {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        Self::scaled(self.mantissa / other.mantissa, self.exponent - other.exponent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_the_range_they_are_numbers() {
        let numbers = [0.0, 1.0, -2.5, 3e-300, -7e299, 1e-310, f64::MAX, f64::MIN_POSITIVE];
        for x in numbers {
            assert_eq!(Wide::new(x).to_f64(), x);
            for y in numbers {
                let (a, b) = (Wide::new(x), Wide::new(y));
                for (got, want) in [(a + b, x + y), (a - b, x - y)] {
                    assert!(want.is_infinite() || got.to_f64() == want, "{x} {y}: {want}");
                }
                let product = x * y;
                if product.is_normal() || x == 0.0 || y == 0.0 {
                    assert_eq!((a * b).to_f64(), product);
                }
                if y != 0.0 && (x / y).is_normal() {
                    assert_eq!((a / b).to_f64(), x / y);
                }
            }
        }
        for x in [-700.0, -1.3, 0.0, 0.2, 33.0, 700.0f64] {
            let relative = (Wide::new(x).exp().to_f64() - x.exp()) / x.exp();
            assert!(relative.abs() < 1e-15, "{x}: {relative:e}");
        }
    }

    #[test]
    fn beyond_it_they_go_on() {
        let e = |x: f64| Wide::new(x).exp();
        let near = |a: Wide, b: f64| assert!((a.to_f64() - b).abs() < 1e-12 * b.abs(), "{a:?} {b}");
        near(e(5000.0) / e(4999.0), 1f64.exp());
        near(e(-5000.0) / (e(-5000.0) + e(-5001.0)), 1.0 / (1.0 + (-1f64).exp()));
        near(e(4000.0) * e(-4000.0), 1.0);
        near(Wide::new(-3000.0).apply(FeatureMap::Sigmoid) / e(-3000.0), 1.0);
        assert_eq!(e(5000.0).to_f64(), f64::INFINITY);
        assert_eq!(e(-5000.0).to_f64(), 0.0);
        assert!(!e(f64::INFINITY).is_finite() && e(f64::NEG_INFINITY).is_zero());
    }
}
