//! The cells of one head, and the projections that come with them.

use super::super::model::Distance;
use super::plan::Area;
use super::prose::{gain, is_given, is_plain};
use super::sides::Side;
use super::text::Writer;
use crate::attention::{Head, Kernel, Memory, Normalisation, Rate};
use nalgebra::{DMatrix, DVector};

/// One line of `populations`.
pub(super) struct Population {
    pub name: String,
    pub layer: &'static str,
    pub kind: &'static str,
    pub cells: String,
    pub rest: String,
    pub comment: String,
}

impl Population {
    fn of(
        name: &str,
        layer: &'static str,
        kind: &'static str,
        cells: &str,
        rest: &str,
        comment: &str,
    ) -> Self {
        let (name, cells, rest, comment) = (name.into(), cells.into(), rest.into(), comment.into());
        Self { name, layer, kind, cells, rest, comment }
    }
}

impl Writer<'_, '_, '_> {
    /// One microcolumn for each pair of tokens.
    pub(super) fn mask_area(&mut self, area: &Area, d_k: &str, d_v: &str) {
        let (h, name) = (area.head, area.name.as_str());
        let scored = !is_plain(h);
        let divided = h.normalisation == Normalisation::Sum;
        let pyramidal = "pyramidal";
        let per_query = "activation: linear, per: [query]";
        let score = match h.kernel {
            Kernel::Exp => "activation: exp".to_owned(),
            Kernel::Power(n) => format!("activation: {{power: {{exponent: {n}}}}}"),
            _ => "activation: linear".to_owned(),
        };
        let mut cells = Vec::new();
        let beyond = self.plan.beyond;
        let prepared = beyond.norm.is_some() || beyond.rotary.is_some();
        let (turned, d) = (self.turned(area), h.d_key());
        if prepared {
            self.side(area, Side::Key, &mut cells);
            self.side(area, Side::Query, &mut cells);
        } else {
            self.weighted(area, "W_K", "superficial.apical", "");
            self.weighted(area, "W_Q", "superficial.basal", "");
        }
        let still = turned > 0 && turned < d;
        let width = if still { turned.to_string() } else { d_k.to_owned() };
        let product = "activation: product";
        cells.push(Population::of("superficial", "L2/3", pyramidal, &width, product, "key x query"));
        if still {
            let (n, what) = ((d - turned).to_string(), "key x query, wherever they are");
            cells.push(Population::of("still", "L2/3", pyramidal, &n, product, what));
        }
        let to = |population: &str, compartment: &str| format!("{name}.{population}.{compartment}");
        let from = |population: &str| format!("{name}.{population}");
        let gain = gain(h, self.plan.shared(Head::d_key).is_some());
        if scored {
            let capped = self.capped(area, &mut cells);
            let (sum, gain) = match capped {
                Some(cap) => ("cap", format!(", gain: {:?}", h.scale / cap)),
                None => ("score", gain),
            };
            cells.push(Population::of("score", "L5", pyramidal, "1", &score, ""));
            self.fixed(name, "beta", from("superficial"), to(sum, "basal"), &format!("weights: ones{gain}"));
            if still {
                self.fixed(
                    name,
                    "beta_still",
                    from("still"),
                    to(sum, "basal"),
                    &format!("weights: ones{gain}"),
                );
            }
            self.placed(area, &mut cells);
            self.fixed(name, "w", from("score"), to("deep", "apical"), "weights: ones");
            if divided {
                cells.push(Population::of("total", "L5", "interneuron", "1", per_query, "sum of scores"));
                self.fixed(name, "sum", from("score"), to("total", "basal"), "weights: ones");
                self.sunk(area);
            }
        } else {
            self.fixed(name, "A", from("superficial"), to("deep", "apical"), &format!("weights: ones{gain}"));
        }
        cells.push(Population::of("deep", "L5", pyramidal, d_v, product, "score x value"));
        self.weighted(area, "W_V", "deep.basal", "");
        if divided {
            cells.push(Population::of("readout", "L5", pyramidal, d_v, per_query, ""));
            self.fixed(name, "u", from("deep"), to("readout", "basal"), "weights: identity");
            let rest = "weights: ones, effect: divisive";
            self.fixed(name, "divide", from("total"), to("readout", "basal"), rest);
        }
        self.output(area, if divided { "readout" } else { "deep" }, "");
        self.line("    microcolumns: {per: [query, context]}");
        self.populations(&cells, d_k.len().max(d_v.len()));
    }

    fn populations(&mut self, cells: &[Population], wide: usize) {
        let longest = cells.iter().map(|p| p.name.len() + 1).max().unwrap_or(0).max(12);
        let wide = cells.iter().map(|p| p.cells.len()).max().unwrap_or(0).max(wide).max(1) + 1;
        self.line("    populations:");
        for p in cells {
            let name = format!("{}:", p.name);
            let (layer, kind, cells) =
                (format!("{},", p.layer), format!("{},", p.kind), format!("{},", p.cells));
            let comment = if p.comment.is_empty() { String::new() } else { format!("   # {}", p.comment) };
            self.line(&format!(
                "      {name:longest$} {{layer: {layer:5} cell_type: {kind:12} cells: {cells:wide$} {}}}{comment}",
                p.rest
            ));
        }
    }

    /// Scores pass `tanh` before they are exponentiated.
    fn capped(&mut self, area: &Area, cells: &mut Vec<Population>) -> Option<f64> {
        let cap = self.plan.beyond.softcap?;
        let name = area.name.as_str();
        let what = format!("scores beyond {cap} saturate");
        cells.push(Population::of("cap", "L5", "pyramidal", "1", "activation: tanh", &what));
        let rest = format!("weights: ones, gain: {cap:?}");
        self.fixed(name, "saturated", format!("{name}.cap"), format!("{name}.score.basal"), &rest);
        Some(cap)
    }

    /// What is added to the scores for the places of the two tokens.
    fn placed(&mut self, area: &Area, cells: &mut Vec<Population>) {
        let (Some(distance), name) = (&self.plan.beyond.distance, area.name.clone()) else { return };
        let Some(place) = self.plan.places.iter().find(|p| p.name.starts_with("place")) else { return };
        let (relays, n) = (place.relays.clone(), place.width);
        let score = format!("{name}.score.basal");
        if let Distance::Slopes(slopes) = distance {
            // slope (j - i): what is the same for all j cancels in the quotient.
            let slope = slopes.get(area.number).copied().unwrap_or(0.0);
            let rest = format!("weights: {{values: [[{slope:?}]]}}");
            self.fixed(&name, "slope", relays[1].clone(), score, &rest);
            return;
        }
        let table = DMatrix::from_fn(n, n, |j, i| distance.of(area.number, i, j).unwrap_or(0.0));
        let what = "a number for each pair of places";
        cells.push(Population::of(
            "distance",
            "L2/3",
            "pyramidal",
            &n.to_string(),
            "activation: product",
            what,
        ));
        self.fixed(&name, "here", relays[1].clone(), format!("{name}.distance.apical"), "weights: identity");
        self.matrix(area, "table", &table, &relays[0], &format!("{name}.distance.basal"));
        self.fixed(&name, "far", format!("{name}.distance"), score, "weights: ones");
    }

    /// One score more in the sum.
    fn sunk(&mut self, area: &Area) {
        let Some(sinks) = &self.plan.beyond.sinks else { return };
        let sink = sinks.get(area.number).map_or(0.0, |s| s.exp());
        let rest = format!("weights: {{values: [[{sink:?}]]}}");
        self.fixed(&area.name, "sink", "tonic".to_owned(), format!("{}.total.basal", area.name), &rest);
    }

    /// One key-value memory.
    pub(super) fn memory_area(&mut self, area: &Area, d_k: &str, d_v: &str) {
        let (h, name) = (area.head, area.name.as_str());
        let rule = match &h.memory {
            Memory::Decay(g) => format!("{{decay: {{g: {g:?}}}}}"),
            Memory::Delta(Rate::Constant(b)) => format!("{{delta: {{rate: {b:?}}}}}"),
            _ => "{hebbian: {}}".to_owned(),
        };
        self.line(&format!("    microcolumns: {{count: {d_v}}}"));
        self.line("    populations:");
        let cells = "layer: L2/3, cell_type: pyramidal, per: [context],";
        self.line(&format!(
            "      superficial: {{{cells} cells: {d_k}, activation: product, accumulate: {rule}}}   # the memory: sum of value x key"
        ));
        let cells = "layer: L5,   cell_type: pyramidal, per: [query],  ";
        self.line(&format!(
            "      deep:        {{{cells} cells: {d_k}, activation: product}}   # memory x query"
        ));
        self.weighted(area, "W_K", "superficial.apical", "onto: cells,");
        self.weighted(area, "W_V", "superficial.basal", "onto: microcolumns,");
        let gain = gain(h, self.plan.shared(Head::d_key).is_some());
        let (from, to) = (format!("{name}.superficial"), format!("{name}.deep.apical"));
        self.fixed(name, "M", from, to, &format!("weights: identity{gain}"));
        self.weighted(area, "W_Q", "deep.basal", "onto: cells,");
        self.output(area, "deep", "pool: cells,");
    }

    /// A matrix of the head and its bias.
    fn weighted(&mut self, area: &Area, role: &'static str, place: &str, axis: &'static str) {
        let h = area.head;
        let (stream, is_query, w, b) = match role {
            "W_Q" => (&h.query_stream, true, &h.w_q, &h.b_q),
            "W_K" => (&h.context_stream, false, &h.w_k, &h.b_k),
            _ => (&h.value_stream, false, &h.w_v, &h.b_v),
        };
        let (name, to) = (format!("{}_{role}", area.name), format!("{}.{place}", area.name));
        self.weights.matrix(&name, w);
        let from = self.plan.relay(stream, is_query).to_owned();
        self.read(name, from, to.clone(), axis);
        if is_given(b) {
            let name = format!("{}_{}", area.name, role.replace('W', "b"));
            self.weights.vector(&name, b);
            self.read(name, "tonic".to_owned(), to, axis);
        }
    }

    /// A matrix that is in the weights file.
    pub(super) fn matrix(&mut self, area: &Area, role: &str, w: &DMatrix<f64>, from: &str, to: &str) {
        let name = format!("{}_{role}", area.name);
        self.weights.matrix(&name, w);
        self.read(name, from.to_owned(), to.to_owned(), "");
    }

    /// A bias that is in the weights file, if it is any.
    pub(super) fn bias(&mut self, area: &Area, role: &str, b: &DVector<f64>, to: &str) {
        if is_given(b) {
            let name = format!("{}_{role}", area.name);
            self.weights.vector(&name, b);
            self.read(name, "tonic".to_owned(), to.to_owned(), "");
        }
    }
}
