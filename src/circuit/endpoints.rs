//! Names of endpoints: `A1.deep`, `VP_core`, `tonic`, `A1.deep.feedback.apical`, `HO.basal`.

use super::build::{From, Names};
use super::types::*;
use crate::diag::{Diagnostic, Diagnostics, codes, did_you_mean, nearest, one_of};
use crate::spec::{AccumulateSpec, Effect};

/// What stands behind `feedback.`.
const FEEDBACK: [(&str, Signal); 4] = [
    ("basal", Signal::Feedback(Compartment::Basal, Effect::Additive)),
    ("apical", Signal::Feedback(Compartment::Apical, Effect::Additive)),
    ("basal_divisor", Signal::Feedback(Compartment::Basal, Effect::Divisive)),
    ("apical_divisor", Signal::Feedback(Compartment::Apical, Effect::Divisive)),
];

impl Signal {
    /// What stands behind the name of its population: nothing, or `.feedback.basal_divisor` and so on.
    #[must_use]
    pub fn suffix(self) -> String {
        let name = FEEDBACK.iter().find(|(_, signal)| *signal == self);
        name.map_or_else(String::new, |(name, _)| format!(".feedback.{name}"))
    }
}

impl Names {
    /// All names that a projection can start from or end on.
    fn all(&self) -> Vec<&str> {
        self.populations.iter().map(|p| p.name.as_str()).collect()
    }

    /// Finds a population; an unknown one is reported.
    pub fn find(&self, name: &str, path: &str, d: &mut Diagnostics) -> Option<PopulationId> {
        if let Some(id) = self.by_name.get(name) {
            return Some(*id);
        }
        if self.broken.iter().any(|b| b == name) {
            return None;
        }
        let area = name.split('.').next().unwrap_or(name);
        let prefix = format!("{area}.");
        let inside: Vec<&str> = self.all().into_iter().filter(|n| n.starts_with(&prefix)).collect();
        let help = if self.areas.iter().any(|a| a == name) {
            format!("`{name}` is an area; name one of its populations: {}", one_of(inside))
        } else if inside.is_empty() {
            did_you_mean(name, self.all())
        } else if let Some(best) = nearest(name, inside.iter().copied()) {
            format!("did you mean `{best}`? area `{area}` has {}", one_of(inside))
        } else {
            format!("area `{area}` has {}", one_of(inside))
        };
        d.push(
            Diagnostic::error(codes::C010, path, format!("no population `{name}` in this circuit"))
                .help(help),
        );
        None
    }

    /// `A1.deep`, `VP_core`, `tonic`, `A1.deep.feedback.apical`.
    pub fn source(&self, text: &str, path: &str, d: &mut Diagnostics) -> Option<From> {
        if let Some((population, compartment)) = text.split_once(".feedback.") {
            let Some((_, signal)) = FEEDBACK.iter().find(|(name, _)| *name == compartment) else {
                d.push(
                    Diagnostic::error(
                        codes::C011,
                        path,
                        format!("no feedback of compartment `{compartment}`"),
                    )
                    .help(
                        "possible: `feedback.basal`, `feedback.apical`, and where something divides them \
                         `feedback.basal_divisor`, `feedback.apical_divisor`",
                    ),
                );
                return None;
            };
            return Some(From { population: self.find(population, path, d)?, signal: *signal });
        }
        if let Some((population, _)) = text
            .rsplit_once('.')
            .filter(|(p, c)| self.by_name.contains_key(*p) && Compartment::NAMES.iter().any(|(n, _)| n == c))
        {
            d.push(
                Diagnostic::error(
                    codes::C011,
                    path,
                    format!("`{text}` names a compartment, but cells send one rate"),
                )
                .help(format!("write `{population}`")),
            );
            return None;
        }
        Some(From { population: self.find(text, path, d)?, signal: Signal::Rate })
    }

    /// What a target that does not exist was probably meant to be: nothing shall be missed there.
    pub fn likely_target(&self, text: &str) -> Vec<(PopulationId, Compartment)> {
        let (population, compartment) = match text.rsplit_once('.') {
            Some((p, c)) if !self.by_name.contains_key(text) => (p, c),
            _ => (text, ""),
        };
        let Some(id) = nearest(population, self.all()).and_then(|n| self.by_name.get(n)) else {
            return Vec::new();
        };
        let names = Compartment::NAMES.map(|(n, _)| n);
        let meant = nearest(compartment, names);
        Compartment::NAMES
            .iter()
            .filter(|(n, _)| meant.is_none_or(|m| m == *n))
            .map(|(_, c)| (*id, *c))
            .collect()
    }

    /// `A1.deep.apical`, `HO.basal`.
    pub fn target(&self, text: &str, path: &str, d: &mut Diagnostics) -> Option<(PopulationId, Compartment)> {
        if self.by_name.contains_key(text) && text != "tonic" {
            d.push(
                Diagnostic::error(
                    codes::C012,
                    path,
                    format!("`{text}` names a population, but not the compartment to end on"),
                )
                .help(format!("write `{text}.basal` or `{text}.apical`")),
            );
            return None;
        }
        if self.broken.iter().any(|b| b == text) {
            return None;
        }
        let (population, compartment) = text.rsplit_once('.').unwrap_or((text, ""));
        let id = self.find(population, path, d)?;
        let gate = self.populations[id.0].accumulate.is_some_and(AccumulateSpec::has_gate);
        let names =
            Compartment::NAMES.into_iter().filter(|(_, c)| gate || *c != Compartment::Gate).map(|(n, _)| n);
        let Some((_, compartment)) = Compartment::NAMES.iter().find(|(n, _)| *n == compartment) else {
            d.push(
                Diagnostic::error(
                    codes::C012,
                    path,
                    format!("`{population}` has no compartment `{compartment}`"),
                )
                .help(did_you_mean(compartment, names)),
            );
            return None;
        };
        Some((id, *compartment))
    }
}
