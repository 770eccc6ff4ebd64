//! `template:` under an area: writes the populations and projections that a user would write by hand.
//!
//! The result is ordinary YAML of the circuit language (`compile --emit spec` prints it); no later stage knows that a
//! template was used.

use super::fields::{At, Decoder, join};
use super::node::{self, Node};
use super::types::{AreaSpec, CircuitSpec, MicrocolumnsSpec, ProjectionSpec, Table};
use super::{decode, decode_cells};
use crate::diag::{Diagnostic, MOST, codes, did_you_mean};
use std::collections::BTreeSet;

/// Name, one line, and the body. `{q}` `{c}` `{to}` are relays, `{a}` is the area, `{dk}` `{dv}` widths.
const TEMPLATES: [(&str, &str, &str); 4] = [
    (
        "attention_mask_head",
        "one head, one microcolumn per token pair (Granier & Senn 2025, v1/v2)",
        ATTENTION_MASK,
    ),
    ("broadcast_head", "the same head with a one-cell score: d_k + d_v lateral synapses", BROADCAST),
    ("softmax_head", "one softmax head by an exponential score and divisive inhibition", SOFTMAX),
    ("key_value_memory_head", "one head, superficial key-value memory (Granier & Senn 2025, v3)", MEMORY),
];

const ATTENTION_MASK: &str = "
microcolumns: {per: [query, context]}
populations:
  superficial: {layer: L2/3, cell_type: pyramidal, cells: {dk}, activation: product}
  deep: {layer: L5, cell_type: pyramidal, cells: {dv}, activation: product}
projections:
  W_K: {from: {c}, to: {a}.superficial.apical, weights: {w}}
  W_Q: {from: {q}, to: {a}.superficial.basal, weights: {w}}
  A: {from: {a}.superficial, to: {a}.deep.apical, weights: ones}
  W_V: {from: {c}, to: {a}.deep.basal, weights: {w}}
  W_O: {from: {a}.deep, to: {to}.basal, weights: {w}}
";

const BROADCAST: &str = "
microcolumns: {per: [query, context]}
populations:
  superficial: {layer: L2/3, cell_type: pyramidal, cells: {dk}, activation: product}
  score: {layer: L5, cell_type: pyramidal, cells: 1, activation: linear}
  deep: {layer: L5, cell_type: pyramidal, cells: {dv}, activation: product}
projections:
  W_K: {from: {c}, to: {a}.superficial.apical, weights: {w}}
  W_Q: {from: {q}, to: {a}.superficial.basal, weights: {w}}
  beta: {from: {a}.superficial, to: {a}.score.basal, weights: ones}
  w: {from: {a}.score, to: {a}.deep.apical, weights: ones}
  W_V: {from: {c}, to: {a}.deep.basal, weights: {w}}
  W_O: {from: {a}.deep, to: {to}.basal, weights: {w}}
";

const SOFTMAX: &str = "
microcolumns: {per: [query, context]}
populations:
  superficial: {layer: L2/3, cell_type: pyramidal, cells: {dk}, activation: product}
  score: {layer: L5, cell_type: pyramidal, cells: 1, activation: exp}
  total: {layer: L5, cell_type: interneuron, per: [query], cells: 1, activation: linear}
  deep: {layer: L5, cell_type: pyramidal, cells: {dv}, activation: product}
  readout: {layer: L5, cell_type: pyramidal, per: [query], cells: {dv}, activation: linear}
projections:
  W_K: {from: {c}, to: {a}.superficial.apical, weights: {w}}
  W_Q: {from: {q}, to: {a}.superficial.basal, weights: {w}}
  beta: {from: {a}.superficial, to: {a}.score.basal, weights: ones, gain: {inv_sqrt: {dk}}}
  w: {from: {a}.score, to: {a}.deep.apical, weights: ones}
  sum: {from: {a}.score, to: {a}.total.basal, weights: ones}
  W_V: {from: {c}, to: {a}.deep.basal, weights: {w}}
  u: {from: {a}.deep, to: {a}.readout.basal, weights: identity}
  divide: {from: {a}.total, to: {a}.readout.basal, weights: ones, effect: divisive}
  W_O: {from: {a}.readout, to: {to}.basal, weights: {w}}
";

const MEMORY: &str = "
microcolumns: {count: {dv}}
populations:
  superficial: {layer: L2/3, cell_type: pyramidal, per: [context], cells: {dk}, activation: product, accumulate: {m}}
  deep: {layer: L5, cell_type: pyramidal, per: [query], cells: {dk}, activation: product}
projections:
  W_K: {from: {c}, to: {a}.superficial.apical, onto: cells, weights: {w}}
  W_V: {from: {c}, to: {a}.superficial.basal, onto: microcolumns, weights: {w}}
  M: {from: {a}.superficial, to: {a}.deep.apical, weights: identity}
  W_Q: {from: {q}, to: {a}.deep.basal, onto: cells, weights: {w}}
  W_O: {from: {a}.deep, to: {to}.basal, pool: cells, weights: {w}}
";

/// The templates by name, each with one line of description.
pub fn list() -> impl Iterator<Item = (&'static str, &'static str)> {
    TEMPLATES.iter().map(|(name, line, _)| (*name, *line))
}

/// Projections that templates wrote, and the place in the file that asked for them.
#[derive(Default)]
pub struct Written {
    projections: Vec<(String, ProjectionSpec, String)>,
}

impl Written {
    /// Adds the projections to the circuit; returns pairs (path that was written, path in the file).
    pub fn add_to(self, spec: &mut CircuitSpec, d: &mut Decoder) -> Vec<(String, String)> {
        let mut places = Vec::new();
        let mut taken: BTreeSet<String> = spec.projections.names().map(str::to_owned).collect();
        for (name, projection, asked_at) in self.projections {
            let path = format!("projections.{name}");
            if !taken.insert(name.clone()) {
                d.error(
                    Diagnostic::error(
                        codes::S016,
                        &path,
                        format!(
                            "`{name}` is the name of a projection that the template at `{asked_at}` writes"
                        ),
                    )
                    .help("rename your projection, or write the area out (`compile --emit spec` prints it)"),
                );
                continue;
            }
            places.push((path, asked_at));
            spec.projections.0.push((name, projection));
        }
        places
    }
}

/// Reads `template: {NAME: {query, context, to, d_k, d_v, weights, memory}}` of the area `area`.
pub fn read(d: &mut Decoder, at: At<'_>, area: &str, written: &mut Written) -> Option<AreaSpec> {
    let (key, node) =
        d.choice(at, "`{attention_mask_head: {query: R, context: R, to: R, d_k: 4, d_v: 4}}`")?;
    let path = join(at.path, &key.name);
    let Some((name, _, body)) = TEMPLATES.iter().find(|(n, _, _)| *n == key.name) else {
        d.error(
            Diagnostic::error(codes::S009, &path, format!("no template `{}`", node::shorten(&key.name)))
                .help(did_you_mean(&key.name, TEMPLATES.iter().map(|(n, _, _)| *n)))
                .at(key.span),
        );
        return None;
    };
    let known = d.diagnostics.0.len();
    let mut f = d.map(At { node, path: &path }, "a map with `query`, `context`, `to`, `d_k` and `d_v`")?;
    let query = f.required(d, "query", relay_name);
    let context = f.required(d, "context", relay_name);
    let to = f.required(d, "to", relay_name);
    let d_k = f.required(d, "d_k", Decoder::count);
    let d_v = f.required(d, "d_v", Decoder::count);
    let weights = f.optional(d, "weights", |d, at| {
        super::weights::read(d, at)?;
        Some(flow(at.node))
    });
    let memory = if *name == "key_value_memory_head" {
        f.optional(d, "memory", |d, at| {
            decode_cells::accumulate(d, at)?;
            Some(flow(at.node))
        })
    } else {
        None
    };
    f.finish(d);
    // An argument may be readable and still hold mistakes: `{decay: {g: 0.9, rate: fast}}`. The area's name is judged
    // by the caller.
    if d.diagnostics.0.len() > known || known >= MOST || !super::fields::is_name(area) {
        return None;
    }
    let text = body
        .replace("{a}", area)
        .replace("{q}", &format!("{:?}", query?))
        .replace("{c}", &format!("{:?}", context?))
        .replace("{to}", &to?)
        .replace("{dk}", &d_k?.to_string())
        .replace("{dv}", &d_v?.to_string())
        .replace("{w}", &weights.unwrap_or_else(|| "{normal: {fan_in: 1}}".to_owned()))
        .replace("{m}", &memory.unwrap_or_else(|| "{hebbian: {}}".to_owned()));
    let tree = node::parse(text.as_bytes()).ok()?;
    // The body is ours: it decodes without mistakes once its arguments are valid.
    let mut inner = Decoder::default();
    let section = |name: &str| tree.get(name).map(|(_, node)| node);
    let microcolumns: MicrocolumnsSpec =
        decode_cells::microcolumns(&mut inner, At { node: section("microcolumns")?, path: "" })?;
    let populations = inner.table(
        At { node: section("populations")?, path: "" },
        "populations",
        decode_cells::population,
    )?;
    let projections: Table<ProjectionSpec> =
        inner.table(At { node: section("projections")?, path: "" }, "projections", decode::projection)?;
    debug_assert!(!inner.diagnostics.has_errors(), "{}", inner.diagnostics);
    for (name, projection) in projections.0 {
        written.projections.push((format!("{area}_{name}"), projection, path.clone()));
    }
    Some(AreaSpec { mask: None, microcolumns, populations })
}

fn relay_name(d: &mut Decoder, at: At<'_>) -> Option<String> {
    let name = d.string(at)?;
    if super::fields::is_part_name(&name) { Some(name) } else { d.wrong(at, "the name of a relay") }
}

/// A node as one line of YAML.
fn flow(node: &Node) -> String {
    use node::Value;
    match &node.value {
        Value::Null => "~".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(x) => format!("{x:?}"),
        Value::Str(s) => format!("{s:?}"),
        Value::Seq(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let pairs: Vec<_> = entries.iter().map(|(k, n)| format!("{}: {}", k.name, flow(n))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}
