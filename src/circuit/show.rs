//! The wired circuit as stable text: what `compile --emit graph` prints.

use super::synapses::{AxisMap, Weights};
use super::types::*;
use std::fmt;

impl fmt::Display for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "circuit {} (seed {}, mask {})", self.name, self.seed, self.mask.name())?;
        for s in &self.streams {
            let clock = &self.streams[s.clock].name;
            write!(f, "  stream {}: d_model {}, clock {clock}", s.name, s.d_model)?;
            match &s.positions {
                Some(p) => writeln!(f, ", positions {} from {}", p.name(), p.offset)?,
                None => writeln!(f)?,
            }
        }
        for (i, p) in self.populations.iter().enumerate() {
            if matches!(p.kind, Kind::Tonic) {
                continue;
            }
            let reached = if self.order.contains(&PopulationId(i)) { "" } else { " (not compiled)" };
            writeln!(f, "  {p}{reached}")?;
        }
        for p in &self.projections {
            writeln!(f, "  {}", Line(self, p))?;
        }
        match self.output {
            Output::Relay(r) => writeln!(f, "  output {}", self.population(r).name),
            Output::Signed { plus, minus } => {
                writeln!(f, "  output {} - {}", self.population(plus).name, self.population(minus).name)
            }
        }
    }
}

impl fmt::Display for Population {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Tonic => "tonic".to_owned(),
            Kind::Relay { pathway, stream, .. } => format!(
                "{} {}relay",
                if *pathway == crate::spec::Pathway::Core { "core" } else { "matrix" },
                if stream.is_some() { "input " } else { "" }
            ),
            Kind::Cells { .. } => format!("{} population", self.activation.name()),
        };
        write!(
            f,
            "{}: {kind} per {}, {} x {} cells",
            self.name,
            self.indices.describe(),
            self.microcolumns,
            self.cells
        )?;
        match &self.accumulate {
            Some(crate::spec::AccumulateSpec::Hebbian { rate }) => write!(f, ", hebbian memory rate {rate}"),
            Some(crate::spec::AccumulateSpec::Decay { g, rate }) => {
                write!(f, ", decay memory g {g} rate {rate}")
            }
            Some(crate::spec::AccumulateSpec::Delta { rate: Some(r) }) => {
                write!(f, ", delta memory rate {r}")
            }
            Some(crate::spec::AccumulateSpec::Delta { rate: None }) => {
                write!(f, ", delta memory rate by gate")
            }
            Some(crate::spec::AccumulateSpec::Gated {}) => write!(f, ", gated memory"),
            None => Ok(()),
        }
    }
}

struct Line<'a>(&'a Circuit, &'a Projection);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(c, p) = self;
        let feedback = p.signal.suffix();
        write!(
            f,
            "{}: {}{feedback} -> {}.{} [{} x {}",
            p.name,
            c.population(p.from).name,
            c.population(p.to).name,
            p.compartment.name(),
            p.synapses.weights.rows(),
            p.synapses.weights.columns()
        )?;
        match &p.synapses.weights {
            Weights::Identity { gain, .. } => write!(f, " identity x {gain}")?,
            Weights::Constant { value, .. } => write!(f, " all {value}")?,
            Weights::Dense(_) => {}
        }
        write!(f, "]")?;
        match p.synapses.onto {
            AxisMap::All => {}
            AxisMap::Cells { .. } => write!(f, " onto cells")?,
            AxisMap::Microcolumns { .. } => write!(f, " onto microcolumns")?,
        }
        match p.synapses.pool {
            AxisMap::All => {}
            AxisMap::Microcolumns { .. } => write!(f, " pool cells")?,
            AxisMap::Cells { .. } => write!(f, " pool microcolumns")?,
        }
        match p.index {
            IndexRule::Broadcast => {}
            IndexRule::SumContext(mask) => write!(f, " sum context {}", mask.name())?,
            IndexRule::Aligned => write!(f, " token-aligned")?,
            IndexRule::Error => write!(f, " error")?,
        }
        if p.effect == crate::spec::Effect::Divisive {
            write!(f, " divisive")?;
        }
        if let Some(ms) = p.delay_ms {
            write!(f, " delay {ms} ms")?;
        }
        Ok(())
    }
}
