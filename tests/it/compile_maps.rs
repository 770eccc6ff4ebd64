//! Maps of single tokens: what stands before, between and behind heads, by plain loops over cells.

use super::support::{from_text, load, oracle_output, relative, root};
use nalgebra::DMatrix;
use pulvinar::attention::token_map::order::{Group, order};
use pulvinar::attention::token_map::{Arrow, Compartment, Response, Source, Weights};
use pulvinar::attention::{Stage, Streams, TokenMap, forward};
use pulvinar::circuit::Circuit;
use pulvinar::compile::{Compiled, Step, compile};
use pulvinar::simulate::{Run, inputs};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A map by loops over tokens, cells and weights; loops as the language says.
fn plainly(map: &TokenMap, streams: &Streams) -> DMatrix<f64> {
    let n_tokens = streams[&map.clock_stream].ncols();
    let mut map = map.clone(); // with all weights written out
    for cells in &mut map.cells {
        let n = cells.n;
        for half in [&mut cells.basal, &mut cells.apical] {
            for arrow in half.sums.iter_mut().chain(&mut half.divisors) {
                arrow.weights = Weights::Dense(arrow.weights.dense(n).into_owned());
            }
        }
    }
    let map = &map;
    let mut out = DMatrix::zeros(map.d_model(), n_tokens);
    for token in 0..n_tokens {
        let mut rates: Vec<Vec<f64>> = map.cells.iter().map(|c| vec![0.0; c.n]).collect();
        for group in order(map) {
            match group {
                Group::Single(c) => rates[c] = sent(map, c, &rates, streams, token, false),
                Group::Loop(members) => {
                    let mut settled = false;
                    for round in 0..10_000 {
                        let goals: Vec<Vec<f64>> = members
                            .iter()
                            .map(|c| sent(map, *c, &rates, streams, token, round == 0))
                            .collect();
                        let (mut distance, mut size) = (0.0_f64, 1e-300_f64);
                        for (c, goal) in members.iter().zip(goals) {
                            for (r, f) in rates[*c].iter_mut().zip(goal) {
                                distance = distance.max((f - *r).abs());
                                size = size.max(f.abs());
                                *r += (1.0 - (-0.1_f64).exp()) * (f - *r);
                            }
                        }
                        settled = distance <= 1e-13 * size;
                        if settled || !distance.is_finite() {
                            break;
                        }
                    }
                    if !settled {
                        members.iter().for_each(|c| rates[*c].fill(f64::NAN));
                    }
                }
            }
        }
        let all: Vec<f64> = map.output.iter().flat_map(|c| rates[*c].iter().copied()).collect();
        out.column_mut(token).copy_from_slice(&all);
    }
    out
}

fn sent(
    map: &TokenMap,
    c: usize,
    rates: &[Vec<f64>],
    streams: &Streams,
    token: usize,
    silent: bool,
) -> Vec<f64> {
    let cells = &map.cells[c];
    let sum = |arrows: &[Arrow], cell: usize| -> f64 {
        let one = |a: &Arrow| {
            let w = a.weights.dense(cells.n);
            let read = |j: usize| match a.source {
                Source::Stream(s) => streams[&map.inputs[s].stream][(j, token)],
                Source::Cells(s) => rates[s][j],
                Source::Constant => 1.0,
            };
            (0..w.ncols()).map(|j| w[(cell, j)] * read(j)).sum::<f64>()
        };
        arrows.iter().map(one).sum()
    };
    let compartment = |part: &Compartment, cell: usize| {
        let (x, d) = (sum(&part.sums, cell), sum(&part.divisors, cell));
        if part.divisors.is_empty() || x == 0.0 || (silent && d == 0.0) { x } else { x / d }
    };
    (0..cells.n)
        .map(|cell| {
            let (basal, apical) = (compartment(&cells.basal, cell), compartment(&cells.apical, cell));
            match cells.activation {
                Response::Product => basal * apical,
                Response::Function(f) => f.value(basal + apical),
            }
        })
        .collect()
}

/// All stages, one after another.
pub fn stage_by_stage(compiled: &Compiled, tokens: &Streams) -> Result<Run, String> {
    let mut streams = tokens.clone();
    let mut output = DMatrix::zeros(0, 0);
    for stage in compiled.stages() {
        output = match &stage {
            Stage::Map(map) => plainly(map, &streams),
            Stage::Block(block) => forward(block, &streams).map_err(|e| e.to_string())?,
        };
        if output.iter().any(|x| !x.is_finite()) {
            return Err(format!("`{}` is not finite", stage.name()));
        }
        streams.insert(stage.name().to_owned(), output.clone());
    }
    Ok(Run { output, streams })
}

/// The circuit compiles, and its stages give what its cells give.
fn agrees(name: &str, folder: &std::path::Path, circuit: &Circuit) -> Compiled {
    let compiled = compile(circuit).unwrap_or_else(|d| panic!("{name}: {d}"));
    let tokens = inputs(circuit, folder, &BTreeMap::new()).expect("tokens");
    let (got, want) =
        (stage_by_stage(&compiled, &tokens).expect(name).output, oracle_output(circuit, &tokens));
    let error = relative(&got, &want);
    assert!(error < 1e-12, "{name}: {error:.1e}\n{}", compiled.factors);
    compiled
}

fn agrees_text(name: &str, text: &str) -> Compiled {
    let (document, circuit) = from_text(text).unwrap_or_else(|e| panic!("{name}: {e}"));
    agrees(name, &document.folder, &circuit)
}

/// `map A.f, block HO(2)`: stages, and heads of blocks.
fn shape(compiled: &Compiled) -> String {
    let one = |step: &Step| match step {
        Step::Map(m) => format!("map {}", compiled.maps[*m].map.name),
        Step::Block(b) => {
            format!("block {}({})", compiled.blocks[*b].block.relay, compiled.blocks[*b].heads.len())
        }
    };
    compiled.steps.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn what_was_refused_is_a_map_or_a_bias() {
    let rows: &[(&str, &str)] = &[
        ("context_relay_of_a_product", "map A1.square, block HO(1)"),
        ("gate_of_a_product", "map A1.gate, block HO(3)"),
        ("key_and_value_through_relu", "map A1.key, map A1.value, block HO(1)"),
        ("nonlinear_direct_path", "map A1.direct, block HO(1)"),
        ("two_streams_in_one_key", "map main+target, block HO(1)"),
        ("pos_softmax_k", "map main+pos, block HO(1)"),
        ("pos_softmax_kq", "map main+pos, block HO(1)"),
        ("pos_softmax_q", "map main+pos, block HO(1)"),
        ("pos_softmax_relay", "block XQ(0), block HO(1)"),
        ("pos_softmax_score", "map main+pos, block HO(1)"),
        ("pos_softmax_value_only", "block HO(2)"),
        ("key_power2_alone", "map A.f, block HO(2)"),
        ("power_of_a_key", "map A1.key, block HO(1)"),
        ("query_bias_other_population", "block HO(1)"),
        ("linear_score_key_bias", "block HO(1)"),
        ("softmax_relu_key", "map A.f, block HO(1)"),
        ("softmax_quadratic_key", "map A.f, block HO(1)"),
        ("relu_mlp_on_key_two_layers", "map A.f2, block HO(2)"),
        ("dense_memory_read", "block HO(16)"),
    ];
    for (name, stages) in rows {
        let (document, circuit) = load(&root().join("tests/cases/tokenwise").join(format!("{name}.yaml")));
        let compiled = agrees(name, &document.folder, &circuit);
        assert_eq!(shape(&compiled), *stages, "{name}");
    }
}

#[test]
fn a_dense_memory_has_no_more_heads_than_keys_times_values() {
    let file = root().join("tests/cases/tokenwise/dense_memory_read.yaml");
    let set = ["d", "d_k", "d_v"].map(|name| (name.to_owned(), "24".to_owned()));
    let document = pulvinar::spec::read_file(&file, &set).expect("reads");
    let circuit = pulvinar::circuit::wire(&document.spec, &document.folder).expect("wires");
    let compiled = agrees("24 cells", &document.folder, &circuit);
    assert_eq!(compiled.blocks[0].heads.len(), 24 * 24);
}

/// One head with whatever stands before and behind it.
fn around(relays: &str, populations: &str, projections: &str) -> String {
    format!(
        "schema: pulvinar/1\nname: around\nseed: 5\ntokens: {{d_model: 4, mask: causal, input: {{gaussian: {{length: 6}}}}}}\n\
thalamus:\n  X: {{pathway: core, per: [query], cells: 4, tokens: main}}\n  C: {{pathway: matrix, per: [context], cells: 4, tokens: main}}\n{relays}  HO: {{pathway: core, per: [query], cells: 4}}\n\
areas:\n  A:\n    microcolumns: {{per: [query, context]}}\n    populations:\n      s: {{cells: 3, activation: product}}\n      d: {{cells: 4, activation: product}}\n{populations}\
projections:\n  w: {{from: A.s, to: A.d.apical, weights: ones}}\n{projections}output: HO\n"
    )
}

const Q: &str = "  q: {from: X, to: A.s.basal, weights: {normal: {fan_in: 1}}}\n";
const K: &str = "  k: {from: C, to: A.s.apical, weights: {normal: {fan_in: 1}}}\n";
const V: &str = "  v: {from: C, to: A.d.basal, weights: {normal: {fan_in: 1}}}\n";
const O: &str = "  o: {from: A.d, to: HO.basal, weights: {normal: {fan_in: 1}}}\n";

#[test]
fn norms_gates_and_layers_before_and_behind_a_head() {
    let mean_size =
        "      n: {cells: 1, per: [query], activation: relu}\n      nn: {cells: 4, per: [query]}\n";
    let norm = "  n1: {from: X, to: A.n.basal, weights: {normal: {fan_in: 1}}}\n  n2: {from: tonic, to: A.n.basal, weights: ones}\n  n3: {from: tonic, to: A.nb.basal, weights: ones, gain: 0.5}\n  n4: {from: A.n, to: A.nb.basal, weights: ones}\n  n5: {from: X, to: A.nn.basal, weights: identity}\n  n6: {from: A.nb, to: A.nn.basal, weights: ones, effect: divisive}\n";
    let nb = "      nb: {cells: 1, per: [query]}\n";
    let rows: &[(&str, String, &str)] = &[
        (
            "a norm before queries, keys and values",
            around(
                "",
                &format!("{mean_size}{nb}      c: {{cells: 4, per: [context]}}\n"),
                &format!(
                    "{norm}  q: {{from: A.nn, to: A.s.basal, weights: {{normal: {{fan_in: 1}}}}}}\n  al: {{from: A.nn, to: A.c.basal, weights: identity}}\n  k: {{from: A.c, to: A.s.apical, weights: {{normal: {{fan_in: 1}}}}}}\n  v: {{from: A.c, to: A.d.basal, weights: {{normal: {{fan_in: 1}}}}}}\n{O}"
                ),
            ),
            "map A.nn, block HO(1)",
        ),
        (
            "a norm behind a relay",
            around(
                "  H: {pathway: core, per: [query], cells: 4}\n",
                &format!("{mean_size}{nb}"),
                &format!(
                    "{Q}{K}{V}  o: {{from: A.d, to: H.basal, weights: identity}}\n{}  p: {{from: A.nn, to: HO.basal, weights: identity}}\n",
                    norm.replace("from: X", "from: H")
                ),
            ),
            "block H(1), map HO",
        ),
        (
            "a layer of two, with the residual",
            around(
                "  H: {pathway: core, per: [query], cells: 4}\n",
                "      g: {cells: 6, per: [query], activation: sigmoid}\n      m: {cells: 6, per: [query], activation: product}\n",
                &format!(
                    "{Q}{K}{V}  o: {{from: A.d, to: H.basal, weights: identity}}\n  r: {{from: X, to: H.basal, weights: identity}}\n  g: {{from: H, to: A.g.basal, weights: {{normal: {{fan_in: 1}}}}}}\n  gm: {{from: A.g, to: A.m.apical, weights: identity}}\n  u: {{from: H, to: A.m.basal, weights: {{normal: {{fan_in: 1}}}}}}\n  down: {{from: A.m, to: HO.basal, weights: {{normal: {{fan_in: 1}}}}}}\n  r2: {{from: H, to: HO.basal, weights: identity}}\n"
                ),
            ),
            "block H(1), map HO",
        ),
        (
            "a divisor of the query on the key's compartment",
            around(
                "",
                "      n: {cells: 1, per: [query], activation: exp}\n",
                &format!("{Q}{K}{V}{O}  n1: {{from: X, to: A.n.basal, weights: {{normal: {{fan_in: 1}}}}}}\n  n2: {{from: A.n, to: A.s.apical, weights: ones, effect: divisive}}\n"),
            ),
            "map HO.query, block HO(1)",
        ),
        (
            "divisors of both tokens, each on its own compartment",
            around(
                "",
                "      n: {cells: 1, per: [query], activation: exp}\n      m: {cells: 3, per: [context], activation: exp}\n",
                &format!("{Q}{K}{V}{O}  n1: {{from: X, to: A.n.basal, weights: {{normal: {{fan_in: 1}}}}}}\n  n2: {{from: A.n, to: A.s.basal, weights: ones, effect: divisive}}\n  m1: {{from: C, to: A.m.basal, weights: {{normal: {{fan_in: 1}}}}}}\n  m2: {{from: A.m, to: A.s.apical, weights: identity, effect: divisive}}\n"),
            ),
            "map A.s.basal, map A.s.apical, block HO(1)",
        ),
        (
            "divided twice over: the read-out by cells of the query",
            around(
                "",
                "      n: {cells: 1, per: [query], activation: exp}\n      r: {cells: 4, per: [query]}\n",
                &format!("{Q}{K}{V}  u: {{from: A.d, to: A.r.basal, weights: identity}}\n  o: {{from: A.r, to: HO.basal, weights: identity}}\n  n1: {{from: X, to: A.n.basal, weights: {{normal: {{fan_in: 1}}}}}}\n  n2: {{from: A.n, to: A.r.basal, weights: ones, effect: divisive}}\n"),
            ),
            "map HO.query, block HO(1)",
        ),
        (
            "no block at all",
            "schema: pulvinar/1\nname: m\nseed: 1\ntokens: {d_model: 3, mask: full, input: {gaussian: {length: 4}}}\nthalamus:\n  X: {pathway: core, per: [query], cells: 3}\n  HO: {pathway: core, per: [query], cells: 3}\nareas:\n  M: {microcolumns: {per: [query]}, populations: {h: {cells: 5, activation: relu}}}\nprojections:\n  a: {from: X, to: M.h.basal, weights: {normal: {fan_in: 1}}}\n  b: {from: M.h, to: HO.basal, weights: {normal: {fan_in: 1}}}\n  r: {from: X, to: HO.basal, weights: identity}\noutput: HO\n".to_owned(),
            "map HO",
        ),
        (
            "a mean over the context, and softmax of keys alone",
            around(
                "",
                "      one: {cells: 1, per: [context]}\n      n: {cells: 1, per: [query]}\n      mean: {cells: 4, per: [query]}\n      e: {cells: 1, per: [context], activation: exp}\n      ev: {cells: 4, per: [context], activation: product}\n      et: {cells: 1, per: [query]}\n      er: {cells: 4, per: [query]}\n",
                &format!("{Q}{K}{V}{O}  one: {{from: tonic, to: A.one.basal, weights: ones}}\n  n: {{from: A.one, to: A.n.basal, weights: ones}}\n  mu: {{from: C, to: A.mean.basal, weights: identity}}\n  dm: {{from: A.n, to: A.mean.basal, weights: ones, effect: divisive}}\n  m: {{from: A.mean, to: HO.basal, weights: identity, gain: -1}}\n  e1: {{from: C, to: A.e.basal, weights: {{normal: {{fan_in: 1}}}}}}\n  e2: {{from: A.e, to: A.ev.apical, weights: ones}}\n  e3: {{from: C, to: A.ev.basal, weights: identity}}\n  e4: {{from: A.e, to: A.et.basal, weights: ones}}\n  e5: {{from: A.ev, to: A.er.basal, weights: identity}}\n  e6: {{from: A.et, to: A.er.basal, weights: ones, effect: divisive}}\n  e7: {{from: A.er, to: HO.basal, weights: identity}}\n"),
            ),
            "block HO(3)",
        ),
        (
            "divisive normalisation that settles",
            around(
                "",
                "      g: {cells: 1, per: [query]}\n      p: {cells: 4, per: [query]}\n",
                &format!("{K}{V}{O}  sq1: {{from: X, to: A.sq.basal, weights: identity}}\n  sq2: {{from: X, to: A.sq.apical, weights: identity}}\n  g1: {{from: A.sq, to: A.g.basal, weights: ones}}\n  g2: {{from: A.g, to: A.g.basal, weights: ones, effect: divisive, delay: 1 ms}}\n  p1: {{from: X, to: A.p.basal, weights: identity}}\n  p2: {{from: A.g, to: A.p.basal, weights: ones, effect: divisive}}\n  q: {{from: A.p, to: A.s.basal, weights: {{normal: {{fan_in: 1}}}}}}\n"),
            )
            .replace("      g: {cells: 1", "      sq: {cells: 4, per: [query], activation: product}\n      g: {cells: 1"),
            "map A.p, block HO(1)",
        ),
    ];
    for (claim, text, stages) in rows {
        let compiled = agrees_text(claim, text);
        assert_eq!(shape(&compiled), *stages, "{claim}\n{}", compiled.factors);
    }
}

/// Numbers without a library: enough to draw circuits from.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[usize::try_from(self.below(list.len() as u64)).expect("small")]
    }
}

/// Populations per `index` that end on one called `{name}`, of `width` cells.
fn drawn_map(draw: &mut Draw, name: &str, from: &str, index: &str, width: usize) -> (String, String) {
    let (mut populations, mut projections) = (String::new(), String::new());
    let mut sources = vec![(from.to_owned(), 4)];
    let depth = 1 + draw.below(3);
    for layer in 0..depth {
        let last = layer + 1 == depth;
        let own = if last { name.to_owned() } else { format!("{name}{layer}") };
        let cells = if last { width } else { 2 + usize::try_from(draw.below(3)).expect("small") };
        let activation = draw.of(&["relu", "sigmoid", "elu_plus_one", "linear", "product", "sign"]);
        let _ = writeln!(
            populations,
            "      {own}: {{cells: {cells}, per: [{index}], activation: {activation}}}"
        );
        let mut connect = |draw: &mut Draw, compartment: &str, number: u64| {
            let (source, _) = &sources[usize::try_from(draw.below(sources.len() as u64)).expect("small")];
            let _ = writeln!(
                projections,
                "  {own}_{compartment}{number}: {{from: {source}, to: A.{own}.{compartment}, weights: {{normal: {{std: 0.4}}}}}}"
            );
        };
        connect(draw, "basal", 0);
        if activation == "product" || draw.below(3) == 0 {
            connect(draw, "apical", 1);
        }
        if draw.below(3) == 0 {
            let _ = writeln!(populations, "      {own}_i: {{cells: 1, per: [{index}], activation: exp}}");
            let _ = writeln!(
                projections,
                "  {own}_i1: {{from: {from}, to: A.{own}_i.basal, weights: {{normal: {{std: 0.3}}}}}}"
            );
            let _ = writeln!(
                projections,
                "  {own}_i2: {{from: A.{own}_i, to: A.{own}.basal, weights: ones, effect: divisive}}"
            );
        }
        sources.push((format!("A.{own}"), cells));
    }
    (populations, projections)
}

#[test]
fn random_maps_in_random_places() {
    let mut with_maps = 0;
    for seed in 0..120 {
        let mut draw = Draw(seed);
        let (mut populations, mut projections) = (String::new(), String::new());
        let mut read = |draw: &mut Draw, name: &str, relay: &str, index: &str, target: &str| {
            let mut from = relay.to_owned();
            if draw.below(2) == 0 {
                let (p, q) = drawn_map(draw, name, relay, index, 4);
                populations.push_str(&p);
                projections.push_str(&q);
                from = format!("A.{name}");
            }
            let _ = writeln!(
                projections,
                "  {name}_to: {{from: {from}, to: {target}, weights: {{normal: {{std: 0.5}}}}}}"
            );
        };
        read(&mut draw, "q", "X", "query", "A.s.basal");
        read(&mut draw, "k", "C", "context", "A.s.apical");
        read(&mut draw, "v", "C", "context", "A.d.basal");
        read(&mut draw, "r", "X", "query", "H.basal");
        read(&mut draw, "y", "H", "query", "HO.basal");
        projections.push_str("  o: {from: A.d, to: H.basal, weights: {normal: {std: 0.5}}}\n");
        let text = around("  H: {pathway: core, per: [query], cells: 4}\n", &populations, &projections);
        let compiled = agrees_text(&format!("seed {seed}\n{text}"), &text);
        with_maps += usize::from(!compiled.maps.is_empty());
        // The order of lines is no part of the meaning.
        let (head, tail) = text.split_once("projections:\n").expect("projections");
        let (lines, end) = tail.split_once("output").expect("output");
        let turned: String = lines.lines().rev().flat_map(|l| [l, "\n"]).collect();
        agrees_text(&format!("seed {seed}, turned"), &format!("{head}projections:\n{turned}output{end}"));
    }
    assert!(with_maps > 80, "only {with_maps} have maps");
}

#[test]
fn the_relay_that_would_help_is_named() {
    for name in ["norm", "layer", "gate"] {
        let file = root().join(format!("tests/bad/not_attention_{name}_behind_a_sum_without_relay.yaml"));
        let (_, circuit) = load(&file);
        let d = compile(&circuit).expect_err(name);
        let help = d.help.unwrap_or_default();
        assert!(help.starts_with("put a relay behind `A.r`"), "{name}: {help}");
    }
}
