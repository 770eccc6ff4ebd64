//! What a cell makes of its two compartments.

use super::function::{Exponent, Function};
use crate::linalg::Real;
use serde::{Serialize, Serializer, ser::SerializeMap};

/// The rate of a cell by its compartments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Activation {
    /// basal times apical
    Product,
    /// a function of basal + apical
    Function(Function),
}

impl Activation {
    /// basal + apical
    pub const LINEAR: Self = Self::Function(Function::Identity);

    /// Those without a parameter, by the names that circuit files use.
    pub fn named() -> impl Iterator<Item = (&'static str, Self)> {
        let functions = Function::PLAIN.into_iter().map(Self::Function);
        std::iter::once(Self::Product).chain(functions).map(|a| (a.word(), a))
    }

    /// The word of circuit files, without parameters.
    fn word(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Function(Function::Identity) => "linear",
            Self::Function(f) => f.word(),
        }
    }

    /// `product`, `linear`, `relu`, ..., `power 2`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Function(f) if f != Function::Identity => f.name(),
            other => other.word().to_owned(),
        }
    }

    /// The rate as an equation of `basal`, `apical` and their sum `x`.
    #[must_use]
    pub fn equation(self) -> &'static str {
        match self {
            Self::Product => "basal x apical",
            Self::Function(f) => f.equation(),
        }
    }

    /// One sentence for users.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Product => "the product of both compartments, which must both receive something",
            Self::Function(f) => f.sentence(),
        }
    }

    /// Its function of basal + apical; a product passes the sum on where one compartment receives nothing.
    #[must_use]
    pub fn of_sum(self) -> Function {
        match self {
            Self::Product => Function::Identity,
            Self::Function(f) => f,
        }
    }

    /// The sum of the compartments, or a power of exponent 1, which is the same.
    #[must_use]
    pub fn is_linear(self) -> bool {
        match self {
            Self::Product => false,
            Self::Function(Function::Power(p)) => p.get() == 1.0,
            Self::Function(f) => f == Function::Identity,
        }
    }

    /// Derivatives by basal and by apical; `None` is a compartment without inputs.
    pub fn slopes<T: Real>(self, basal: Option<T>, apical: Option<T>) -> [T; 2] {
        match (self, basal, apical) {
            (Self::Product, Some(basal), Some(apical)) => [apical, basal],
            (Self::Product, ..) => [T::one(); 2],
            (Self::Function(f), ..) => {
                let x = basal.unwrap_or(T::zero()) + apical.unwrap_or(T::zero());
                [f.slope(x); 2]
            }
        }
    }
}

/// As circuit files write it.
impl Serialize for Activation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Power {
            exponent: Exponent,
        }
        match self {
            Self::Function(Function::Power(exponent)) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("power", &Power { exponent: *exponent })?;
                map.end()
            }
            other => serializer.serialize_str(other.word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_another_and_says_what_it_does() {
        let names: std::collections::BTreeSet<_> = Activation::named().map(|(name, _)| name).collect();
        assert_eq!(names.len(), Activation::named().count());
        for (name, a) in Activation::named() {
            assert_eq!(a.name(), name);
            assert!(!a.equation().is_empty() && !a.sentence().is_empty(), "{name}");
            assert_eq!(serde_json::to_value(a).unwrap(), name);
        }
        let square = Activation::Function(Function::Power(Exponent::new(2.0).unwrap()));
        assert_eq!(serde_json::to_string(&square).unwrap(), r#"{"power":{"exponent":2}}"#);
        assert_eq!(square.name(), "power 2");
    }

    #[test]
    fn a_product_has_the_other_compartment_as_slope() {
        assert_eq!(Activation::Product.slopes(Some(2.0), Some(3.0)), [3.0, 2.0]);
        assert_eq!(Activation::Product.slopes(Some(2.0), None), [1.0, 1.0]);
        assert_eq!(Activation::Function(Function::Relu).slopes(Some(2.0), Some(-3.0)), [0.0, 0.0]);
    }
}
