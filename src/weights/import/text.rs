//! The text of a circuit file.

use super::plan::{Area, Plan};
use super::prose::{equations, is_given, kind};
use super::{OPENING, Weights, Wiring};
use crate::attention::{Head, Mask};
use crate::diag::clean_lines;
use crate::spec::scalar;
use std::fmt::Write;

/// Tokens that are drawn when none are given.
const LENGTH: usize = 16;

/// One line of `projections`.
pub(super) struct Projection {
    name: String,
    from: String,
    to: String,
    /// `onto` or `pool`, with a comma
    axis: &'static str,
    rest: String,
    comment: &'static str,
}

pub(super) struct Writer<'p, 'a, 'w> {
    pub plan: &'p Plan<'a>,
    pub weights: &'w mut Weights,
    out: String,
    lines: Vec<Projection>,
}

/// A mask, and how far it reaches.
fn mask_text(mask: Mask, window: Option<usize>) -> String {
    match window {
        Some(w) => format!("{{{}: {{window: {w}}}}}", mask.word()),
        None => mask.word().to_owned(),
    }
}

/// The YAML of a plan; its weights are collected on the way.
pub(super) fn write(plan: &Plan, weights: &mut Weights) -> String {
    let mut w = Writer { plan, weights, out: String::new(), lines: Vec::new() };
    w.head();
    w.tokens();
    w.thalamus();
    w.areas();
    w.projections();
    let _ = write!(w.out, "\noutput: {}\n", plan.output);
    w.out
}

impl Writer<'_, '_, '_> {
    pub(super) fn line(&mut self, text: &str) {
        // Comments tell names of files and tensors, which may hold anything.
        self.out.push_str(&clean_lines(text));
        self.out.push('\n');
    }

    fn head(&mut self) {
        let plan = self.plan;
        let n = plan.areas.len();
        let s = if n == 1 { "" } else { "s" };
        let kinds: Vec<&str> = {
            let mut all: Vec<&str> = plan.areas.iter().map(|a| kind(a.head)).collect();
            all.dedup();
            all
        };
        let kind = if let [one] = kinds[..] { one } else { "mixed" };
        let wiring = match plan.wiring {
            Wiring::AttentionMask => "one microcolumn for each pair of tokens",
            Wiring::KeyValueMemory => "one key-value memory for each head",
        };
        self.line(&format!("{OPENING}{n} head{s} of {kind} attention as {n} cortical area{s}; {wiring}."));
        self.line("#");
        for line in equations(plan) {
            self.line(&format!("#   {line}"));
        }
        self.line("#");
        let file = &plan.style.weights_file;
        self.line(&format!(
            "# Weights are in {file}: one tensor for each projection that reads it, named like"
        ));
        self.line("# the projection, [targets, sources]; those from `tonic` (biases) [targets].");
        self.line(match plan.wiring {
            Wiring::AttentionMask => {
                "# Microcolumns per pair of tokens: Granier & Senn 2025, arXiv 2504.06354v1."
            }
            Wiring::KeyValueMemory => "# Key-value memories: Granier & Senn 2025, arXiv 2504.06354v3.",
        });
        for name in &plan.style.ignored {
            self.line(&format!(
                "# Ignored as asked for, though the layer it is from may be another function for it: {}",
                name.escape_debug()
            ));
        }
        self.line("schema: pulvinar/1");
        self.line(&format!("name: {}", scalar(&plan.style.name)));
        self.line(&format!(
            "description: {}",
            scalar(&format!("{n} head{s} of {kind} attention, one area per head"))
        ));
        self.line("seed: 0");
        let mut parameters = vec![format!("d: {}", plan.block.d_model)];
        if let Some(d_k) = plan.shared(Head::d_key) {
            parameters.push(format!("d_k: {d_k}"));
        }
        if let Some(d_v) = plan.shared(Head::d_value) {
            parameters.push(format!("d_v: {d_v}"));
        }
        parameters.push(format!("length: {LENGTH}"));
        self.line(&format!("parameters: {{{}}}", parameters.join(", ")));
    }

    fn tokens(&mut self) {
        let plan = self.plan;
        self.line("tokens:");
        let mask = mask_text(plan.mask, plan.window());
        let input = "input: {gaussian: {length: $length}}";
        if let [only] = &plan.streams[..]
            && only.name == "main"
            && plan.places.is_empty()
        {
            self.line(&format!("  d_model: {}", self.width(only.width)));
            self.line(&format!("  mask: {mask}"));
            self.line(&format!("  {input}   # or --tokens FILE"));
            return;
        }
        self.line(&format!("  mask: {mask}"));
        self.line("  streams:                          # or --tokens NAME=FILE");
        for s in &plan.streams {
            let clock = s.clock.as_ref().map_or(String::new(), |c| format!(", clock: {c}"));
            self.line(&format!("    {}: {{d_model: {}, {input}{clock}}}", s.name, self.width(s.width)));
        }
        for p in &plan.places {
            self.line(&format!("    {}: {{positions: {}, clock: {}}}", p.name, p.positions, p.clock));
        }
    }

    fn width(&self, n: usize) -> String {
        if n == self.plan.block.d_model { "$d".to_owned() } else { n.to_string() }
    }

    fn thalamus(&mut self) {
        let plan = self.plan;
        self.line("\nthalamus:");
        let longest = plan.relays.iter().map(|r| r.name.len()).chain([plan.output.len()]).max().unwrap_or(0);
        let several = plan.streams.len() > 1
            || plan.streams.iter().any(|s| s.name != "main")
            || !plan.places.is_empty();
        for r in &plan.relays {
            let stream = plan.streams.iter().find(|s| s.name == r.stream);
            let place = plan.places.iter().find(|p| p.name == r.stream);
            let cells = match (stream, place) {
                (Some(s), _) => self.width(s.width),
                (None, Some(p)) => p.width.to_string(),
                (None, None) => String::new(),
            };
            let (pathway, per) =
                if r.is_query { ("core,  ", "[query],  ") } else { ("matrix,", "[context],") };
            let tokens = if several { format!(", tokens: {}", r.stream) } else { String::new() };
            let what = r.carries;
            let name = format!("{}:", r.name);
            let at = longest + 1;
            self.line(&format!(
                "  {name:at$} {{pathway: {pathway} per: {per} cells: {cells}{tokens}}}   # {what}"
            ));
        }
        let name = format!("{}:", plan.output);
        let at = longest + 1;
        self.line(&format!(
            "  {name:at$} {{pathway: core,   per: [query],   cells: $d}}   # receives all heads"
        ));
    }

    fn areas(&mut self) {
        let plan = self.plan;
        self.line("\nareas:");
        for area in &plan.areas {
            let mask = if area.head.mask == plan.mask {
                String::new()
            } else {
                format!("mask: {}", mask_text(area.head.mask, plan.window()))
            };
            self.line(&format!("  {}:", area.name));
            if !mask.is_empty() {
                self.line(&format!("    {mask}"));
            }
            let d_k = self.cells(Head::d_key, area, "$d_k");
            let d_v = self.cells(Head::d_value, area, "$d_v");
            match plan.wiring {
                Wiring::AttentionMask => self.mask_area(area, &d_k, &d_v),
                Wiring::KeyValueMemory => self.memory_area(area, &d_k, &d_v),
            }
        }
    }

    pub(super) fn cells(&self, of: fn(&Head) -> usize, area: &Area, shared: &str) -> String {
        self.plan.shared(of).map_or_else(|| of(area.head).to_string(), |_| shared.to_owned())
    }

    pub(super) fn output(&mut self, area: &Area, population: &str, axis: &'static str) {
        let name = format!("{}_W_O", area.name);
        self.weights.matrix(&name, &area.head.w_o);
        let to = format!("{}.basal", self.plan.output);
        self.read(name, format!("{}.{population}", area.name), to, axis);
    }

    /// A projection whose weights are in the file.
    pub(super) fn read(&mut self, name: String, from: String, to: String, axis: &'static str) {
        let file = scalar(&self.plan.style.weights_file);
        let rest = format!("weights: {{file: {{path: {file}, tensor: {name}}}}}");
        self.lines.push(Projection { name, from, to, axis, rest, comment: "" });
    }

    pub(super) fn fixed(&mut self, area: &str, role: &str, from: String, to: String, rest: &str) {
        let name = format!("{area}_{role}");
        self.lines.push(Projection { name, from, to, axis: "", rest: rest.to_owned(), comment: "" });
    }

    fn projections(&mut self) {
        let plan = self.plan;
        self.paths();
        self.line("\nprojections:");
        let lines = std::mem::take(&mut self.lines);
        let width = |of: fn(&Projection) -> usize| lines.iter().map(of).max().unwrap_or(0);
        let (names, froms, tos) =
            (width(|p| p.name.len()) + 1, width(|p| p.from.len()) + 1, width(|p| p.to.len()) + 1);
        let axes = width(|p| p.axis.len());
        let mut area = 0;
        for p in &lines {
            if plan.areas.get(area).is_some_and(|a| p.name == format!("{}_W_K", a.name)) {
                let name = &plan.areas[area].name;
                self.line(&format!("  # {name}"));
                area += 1;
            }
            let (name, from, to) = (format!("{}:", p.name), format!("{},", p.from), format!("{},", p.to));
            let (rest, comment) = (&p.rest, p.comment);
            let axis = if axes == 0 { String::new() } else { format!("{:axes$} ", p.axis) };
            self.line(&format!(
                "  {name:names$} {{from: {from:froms$} to: {to:tos$} {axis}{rest}}}{comment}"
            ));
        }
    }

    /// Direct paths and the output bias.
    fn paths(&mut self) {
        let plan = self.plan;
        let to = format!("{}.basal", plan.output);
        for path in &plan.block.residual {
            let several = plan.block.residual.len() > 1;
            let name = if several { format!("skip_{}", path.stream) } else { "skip".to_owned() };
            let from = plan.relay(&path.stream, true).to_owned();
            if path.matrix.is_square() && path.matrix.is_identity(0.0) {
                let rest = "weights: identity".to_owned();
                self.lines.push(Projection {
                    name,
                    from,
                    to: to.clone(),
                    axis: "",
                    rest,
                    comment: "   # residual path",
                });
            } else {
                self.weights.matrix(&name, &path.matrix);
                self.read(name, from, to.clone(), "");
            }
        }
        if is_given(&plan.block.b_o) {
            self.weights.vector("b_O", &plan.block.b_o);
            self.read("b_O".to_owned(), "tonic".to_owned(), to, "");
        }
    }
}
