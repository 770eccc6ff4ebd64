//! What is done to the queries or keys of a head before their product: norms, rotation by place.

use super::areas::Population;
use super::plan::Area;
use super::prose::is_given;
use super::text::Writer;
use crate::attention::Head;
use nalgebra::{DMatrix, DVector};

/// Queries or keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Query,
    Key,
}

impl Side {
    fn word(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Key => "key",
        }
    }

    fn letter(self) -> &'static str {
        match self {
            Self::Query => "Q",
            Self::Key => "K",
        }
    }

    fn per(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Key => "context",
        }
    }

    fn compartment(self) -> &'static str {
        match self {
            Self::Query => "basal",
            Self::Key => "apical",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Query => 0,
            Self::Key => 1,
        }
    }

    fn of(self, h: &Head) -> (&DMatrix<f64>, &DVector<f64>, &str) {
        match self {
            Self::Query => (&h.w_q, &h.b_q, &h.query_stream),
            Self::Key => (&h.w_k, &h.b_k, &h.context_stream),
        }
    }
}

impl Writer<'_, '_, '_> {
    /// Cells of a head that turn with the place of their token: all that there are, some, or none.
    pub(super) fn turned(&self, area: &Area) -> usize {
        self.plan.beyond.rotary.as_ref().map_or(0, |r| r.dims.min(area.head.d_key()))
    }

    /// The cells between the relay and `superficial`, and the projections to them, from them, and to `still`.
    pub(super) fn side(&mut self, area: &Area, side: Side, out: &mut Vec<Population>) {
        let (w, b, stream) = side.of(area.head);
        let relay = self.plan.relay(stream, side == Side::Query).to_owned();
        let (d, turned) = (area.head.d_key(), self.turned(area));
        let (word, letter) = (side.word(), side.letter());
        let to = |population: &str| format!("{}.{population}.{}", area.name, side.compartment());
        // What `superficial` and `still` stand for: rows of queries and keys.
        let split = if turned == 0 { d } else { turned };
        let parts = [("superficial", "", 0, split), ("still", "_still", split, d - split)];
        if self.plan.beyond.norm.is_none() {
            for (population, end, from, n) in parts.into_iter().filter(|p| p.3 > 0) {
                let target = match (turned > 0, population) {
                    (true, "superficial") => {
                        out.push(self.linear(side, word, n, &format!("W_{letter} x")));
                        format!("{}.{word}.basal", area.name)
                    }
                    _ => to(population),
                };
                self.matrix(
                    area,
                    &format!("W_{letter}{end}"),
                    &w.rows(from, n).into_owned(),
                    &relay,
                    &target,
                );
                self.bias(area, &format!("b_{letter}{end}"), &b.rows(from, n).into_owned(), &target);
            }
        } else {
            out.push(self.linear(side, word, d, &format!("W_{letter} x")));
            let target = format!("{}.{word}.basal", area.name);
            self.matrix(area, &format!("W_{letter}"), w, &relay, &target);
            self.bias(area, &format!("b_{letter}"), b, &target);
            let (base, size) = self.size(area, side, out);
            for (population, end, from, n) in parts.into_iter().filter(|p| p.3 > 0) {
                let normed = self.normed(area, side, &base, &size, (end, from, n), out);
                if turned == 0 || population == "still" {
                    let role = format!("{word}{end}");
                    self.fixed(
                        &area.name,
                        &role,
                        format!("{}.{normed}", area.name),
                        to(population),
                        "weights: identity",
                    );
                }
            }
        }
        if turned > 0 {
            let from =
                if self.plan.beyond.norm.is_none() { word.to_owned() } else { self.last_normed(area, side) };
            self.turn(area, side, &from, turned, out);
        }
    }

    /// Times cosines and sines of the place: `R(place) q`.
    fn turn(&mut self, area: &Area, side: Side, from: &str, turned: usize, out: &mut Vec<Population>) {
        let word = side.word();
        let Some(rotary) = &self.plan.beyond.rotary else { return };
        let pairing = match rotary.pairing {
            super::super::model::Pairing::Halves => "halves",
            super::super::model::Pairing::Pairs => "pairs",
        };
        let place = self.plan.places.iter().find(|p| p.name.starts_with("angle"));
        let relay = place.map_or(String::new(), |p| p.relays[side.index()].clone());
        let name = format!("{word}_turned");
        out.push(Population {
            name: name.clone(),
            layer: "L6",
            kind: "pyramidal",
            cells: (2 * turned).to_string(),
            rest: format!("activation: product, per: [{}]", side.per()),
            comment: format!("{word} and its quarter turn x cosine and sine of the place"),
        });
        let own = |population: &str, compartment: &str| format!("{}.{population}.{compartment}", area.name);
        let from = format!("{}.{from}", area.name);
        self.fixed(
            &area.name,
            &format!("quarter_{}", side.letter()),
            from,
            own(&name, "basal"),
            &format!("weights: {{rotate: {pairing}}}"),
        );
        self.fixed(
            &area.name,
            &format!("place_{}", side.letter()),
            relay,
            own(&name, "apical"),
            "weights: identity",
        );
        let both = format!("weights: {{kron: [{{ones: [1, 2]}}, {{identity: {turned}}}]}}");
        self.fixed(
            &area.name,
            &format!("turned_{}", side.letter()),
            format!("{}.{name}", area.name),
            own("superficial", side.compartment()),
            &both,
        );
    }

    /// The population that is normalised, and the interneuron that holds its size.
    fn size(&mut self, area: &Area, side: Side, out: &mut Vec<Population>) -> (String, String) {
        let (word, letter, d) = (side.word(), side.letter(), area.head.d_key());
        let Some(norm) = &self.plan.beyond.norm else { return (String::new(), String::new()) };
        let at = |population: &str| format!("{}.{population}", area.name);
        let mut base = word.to_owned();
        if norm.centred {
            base = format!("{word}_centred");
            out.push(self.linear(side, &base, d, "less its mean"));
            self.fixed(
                &area.name,
                &format!("centre_{letter}"),
                at(word),
                format!("{}.basal", at(&base)),
                "weights: centre",
            );
        }
        let square = format!("{word}_square");
        out.push(Population {
            name: square.clone(),
            layer: "L6",
            kind: "pyramidal",
            cells: d.to_string(),
            rest: format!("activation: {{power: {{exponent: 2}}}}, per: [{}]", side.per()),
            comment: String::new(),
        });
        self.fixed(
            &area.name,
            &format!("square_{letter}"),
            at(&base),
            format!("{}.basal", at(&square)),
            "weights: identity",
        );
        let first = self.plan.areas.first().map_or("", |a| a.name.as_str());
        // A norm over all heads has one interneuron, which the first area holds.
        let holder = if norm.whole { first } else { area.name.as_str() };
        let size = format!("{word}_size");
        let terms = if norm.whole { d * self.plan.areas.len() } else { d };
        if holder == area.name {
            out.push(Population {
                name: size.clone(),
                layer: "L6",
                kind: "interneuron",
                cells: "1".to_owned(),
                rest: format!("activation: sqrt, per: [{}]", side.per()),
                comment: format!(
                    "root of the mean square{}",
                    if norm.whole { " over all areas" } else { "" }
                ),
            });
            let epsilon = format!("weights: {{values: [[{:?}]]}}", norm.epsilon);
            self.fixed(
                &area.name,
                &format!("epsilon_{letter}"),
                "tonic".to_owned(),
                format!("{holder}.{size}.basal"),
                &epsilon,
            );
        }
        let mean = format!("weights: ones, gain: {{inv: {terms}}}");
        self.fixed(
            &area.name,
            &format!("mean_{letter}"),
            at(&square),
            format!("{holder}.{size}.basal"),
            &mean,
        );
        (base, format!("{holder}.{size}"))
    }

    /// A part of the rows over their size, with its gains and biases.
    fn normed(
        &mut self,
        area: &Area,
        side: Side,
        base: &str,
        size: &str,
        (end, from, n): (&str, usize, usize),
        out: &mut Vec<Population>,
    ) -> String {
        let (word, letter, d) = (side.word(), side.letter(), area.head.d_key());
        let Some(norm) = &self.plan.beyond.norm else { return String::new() };
        let head = if side == Side::Query { area.number } else { area.number / self.plan.group };
        let numbers = |list: &[f64]| {
            list.get(head * d + from..head * d + from + n).map(<[f64]>::to_vec).unwrap_or_default()
        };
        let (gains, biases) = (numbers(&norm.gain[side.index()]), numbers(&norm.bias[side.index()]));
        let name = format!("{word}_normed{end}");
        out.push(self.linear(side, &name, n, "over its size"));
        let target = format!("{}.{name}.basal", area.name);
        let gain = DMatrix::from_fn(n, d, |r, c| if c == r + from { gains[r] } else { 0.0 });
        self.matrix(area, &format!("gain_{letter}{end}"), &gain, &format!("{}.{base}", area.name), &target);
        self.fixed(
            &area.name,
            &format!("divide_{letter}{end}"),
            size.to_owned(),
            target,
            "weights: ones, effect: divisive",
        );
        let biases = DVector::from_vec(biases);
        if !is_given(&biases) {
            return name;
        }
        let shifted = format!("{word}_shifted{end}");
        out.push(self.linear(side, &shifted, n, ""));
        let target = format!("{}.{shifted}.basal", area.name);
        self.fixed(
            &area.name,
            &format!("shift_{letter}{end}"),
            format!("{}.{name}", area.name),
            target.clone(),
            "weights: identity",
        );
        self.bias(area, &format!("bias_{letter}{end}"), &biases, &target);
        shifted
    }

    /// The population that holds normalised queries or keys in the end.
    fn last_normed(&self, area: &Area, side: Side) -> String {
        let d = area.head.d_key();
        let head = if side == Side::Query { area.number } else { area.number / self.plan.group };
        let shifted = self.plan.beyond.norm.as_ref().is_some_and(|norm| {
            let turned = self.turned(area);
            let mine = norm.bias[side.index()].get(head * d..head * d + turned);
            mine.is_some_and(|list| list.iter().any(|b| b.to_bits() != 0))
        });
        format!("{}_{}", side.word(), if shifted { "shifted" } else { "normed" })
    }

    fn linear(&self, side: Side, name: &str, n: usize, comment: &str) -> Population {
        let all = self.plan.shared(Head::d_key) == Some(n);
        Population {
            name: name.to_owned(),
            layer: "L6",
            kind: "pyramidal",
            cells: if all { "$d_k".to_owned() } else { n.to_string() },
            rest: format!("activation: linear, per: [{}]", side.per()),
            comment: comment.to_owned(),
        }
    }
}
