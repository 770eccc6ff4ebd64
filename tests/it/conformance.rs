//! Every way to run a circuit, on every family of circuits: outputs are those of the plain-loop oracle of the cells.
//!
//! A table stamps one test for each pair of route and family. What is refused is refused by a diagnostic; each family says how much of
//! it may be.

use crate::generate::heads::{KINDS, random_circuit};
use crate::generate::maps::{HEADS, MAPS, maps_circuit};
use crate::generate::wild::random_wiring;
use crate::support::{
    by_cells, from_text, heads_output, load, lost_to_cancellation, net, relative, shipped as files,
};
use nalgebra::DMatrix;
use pulvinar::attention::Streams;
use pulvinar::circuit::Circuit;
use pulvinar::compile::compile;
use pulvinar::oracle::cells as oracle;
use pulvinar::simulate::cells::{End, Settings, run as run_cells};
use pulvinar::simulate::{inputs, run};
use pulvinar::spec::{Document, StopSpec, Time};
use std::collections::{BTreeMap, BTreeSet};

/// What a route makes of a circuit and its tokens.
enum Answer {
    Output(DMatrix<f64>),
    /// by a diagnostic of that code
    Refused(&'static str),
    /// cells did not come to rest, or diverged on the way
    NoRest,
}

struct Route {
    run: fn(&Circuit, &Streams) -> Answer,
    /// on shipped circuits: the same sums in another order
    shipped: f64,
    /// on random ones, relative to the largest output; blocks multiply each other's rounding, settled compartments are within 1e-12
    random: f64,
    /// wirings without a plan cancel more
    wild: f64,
    /// how many random circuits are tried
    seeds: u64,
}

const HEADS_F64: Route =
    Route { run: |c, x| answer(heads_output(c, x)), shipped: 1e-12, random: 1e-12, wild: 1e-9, seeds: 400 };
const HEADS_F32: Route = Route { run: in_single, shipped: 1e-5, ..HEADS_F64 };
const PROSPECTIVE: Route = Route { run: prospective, seeds: 200, ..HEADS_F64 };
const SETTLED: Route = Route { run: settled, random: 1e-8, seeds: 120, ..HEADS_F64 };

fn answer(ran: Result<DMatrix<f64>, pulvinar::diag::Diagnostic>) -> Answer {
    match ran {
        Ok(y) => Answer::Output(y),
        Err(d) => Answer::Refused(d.code),
    }
}

fn in_single(circuit: &Circuit, tokens: &Streams) -> Answer {
    let ran = compile(circuit).and_then(|c| run::<f32>(&c.stages(), tokens));
    answer(ran.map(|r| r.output.map(f64::from)))
}

/// Prospective cells, from potentials that have nothing to do with the tokens: right after one step. Through delays nothing is.
fn prospective(circuit: &Circuit, tokens: &Streams) -> Answer {
    if circuit.projections.iter().any(|p| p.delay_ms.is_some()) {
        return Answer::NoRest;
    }
    let settings = Settings {
        prospective: true,
        start_std: 3.0,
        stop: StopSpec::Duration(Time { ms: 2.0 }),
        dt_ms: Some(1.0),
        ..Settings::default()
    };
    in_time(circuit, tokens, &settings, &End::TimeLimit)
}

/// Leaky cells, until they settle.
fn settled(circuit: &Circuit, tokens: &Streams) -> Answer {
    in_time(circuit, tokens, &Settings::default(), &End::Settled)
}

fn in_time(circuit: &Circuit, tokens: &Streams, settings: &Settings, end: &End) -> Answer {
    match run_cells(circuit, tokens, settings) {
        Ok(ran) if ran.end == *end => Answer::Output(ran.output),
        Ok(_) => Answer::NoRest,
        Err(d) => Answer::Refused(d.code),
    }
}

macro_rules! conformance {
    ($($name:ident = $route:ident on [$($family:ident),*];)*) => {$(
        mod $name {
            $(#[test]
            fn $family() {
                super::$family(&super::$route);
            })*
        }
    )*};
}

conformance! {
    heads_in_double = HEADS_F64 on [shipped, random_heads, random_maps, wild_wirings];
    heads_in_single = HEADS_F32 on [shipped];
    prospective_cells = PROSPECTIVE on [random_heads, random_maps, wild_wirings];
    settled_cells = SETTLED on [random_heads, random_maps];
}

/// The tokens of a circuit; a prefix of the long ones, as the oracle visits every pair cell by cell.
fn tokens(name: &str, document: &Document, circuit: &Circuit) -> Streams {
    let all = inputs(circuit, &document.folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{name}: {d}"));
    all.into_iter().map(|(n, x)| (n, x.columns(0, x.ncols().min(24)).into_owned())).collect()
}

fn shipped(route: &Route) {
    let files = files();
    assert!(files.len() >= 15, "only {} circuits are shipped", files.len());
    for file in files {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let (document, circuit) = load(&file);
        let tokens = tokens(&name, &document, &circuit);
        let (want, _) = by_cells(&circuit, &tokens).unwrap_or_else(|| panic!("{name} diverges"));
        assert!(want.amax() > 1e-3, "{name}: the output is next to nothing");
        let Answer::Output(got) = (route.run)(&circuit, &tokens) else { panic!("{name} does not run") };
        let error = relative(&got, &want);
        let limit = if route.shipped > 1e-10 {
            let blocks = compile(&circuit).expect("compiles").plain_blocks();
            lost_to_cancellation(&name, &blocks, &tokens, &want).unwrap_or(route.shipped)
        } else {
            route.shipped
        };
        assert!(error < limit, "{name}: differs from the cells by {error:e}");
    }
}

/// What came of a family of random circuits.
#[derive(Default)]
struct Came {
    same: usize,
    refused: BTreeMap<&'static str, usize>,
    no_rest: usize,
    /// those of the circuits that were compared
    kinds: BTreeSet<&'static str>,
}

impl Came {
    fn refused(&self) -> usize {
        self.refused.values().sum()
    }

    /// Of those that have an answer.
    fn share(&self) -> f64 {
        self.same as f64 / (self.same + self.refused()).max(1) as f64
    }
}

/// Compares a random circuit with the oracle. Not finite, or too large for a comparison to mean anything: not compared.
fn compare(route: &Route, seed: u64, text: &str, limit: f64, kinds: BTreeSet<&'static str>, came: &mut Came) {
    let Ok((document, circuit)) = from_text(text) else { return };
    let tokens = tokens(&format!("seed {seed}"), &document, &circuit);
    let Some((want, _)) = by_cells(&circuit, &tokens) else { return };
    if want.amax() > 1e6 || want.amax() < 1e-9 {
        return;
    }
    match (route.run)(&circuit, &tokens) {
        Answer::Refused(code) => {
            let n = came.refused.entry(code).or_default();
            *n += 1;
            if std::env::var_os("PULVINAR_REFUSED").is_some() {
                println!("seed {seed} [{code}] {:?}\n{text}", compile(&circuit).err().map(|d| d.to_string()));
            }
        }
        Answer::NoRest => came.no_rest += 1,
        Answer::Output(got) => {
            let error = relative(&got, &want);
            assert!(error < limit, "seed {seed}: differs from its cells by {error:e}\n{text}");
            came.same += 1;
            came.kinds.extend(kinds);
        }
    }
}

fn random_heads(route: &Route) {
    let mut came = Came::default();
    for seed in 0..route.seeds {
        let (text, kinds) = random_circuit(seed);
        from_text(&text).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        compare(route, seed, &text, route.random, kinds.into_iter().collect(), &mut came);
    }
    assert!(came.refused.is_empty(), "{:?}", came.refused);
    for kind in KINDS {
        assert!(came.kinds.contains(kind), "no random circuit of kind {kind} was compared");
    }
    assert!(came.same as u64 * 4 > route.seeds * 3 && came.no_rest * 10 < came.same, "{} same", came.same);
}

/// Circuits that the language has: at least this share of those that are wired is to compile.
const COMPILED: f64 = 0.5;
/// Kinds that heads can run and the compiler does not write yet.
const REFUSED: [&str; 3] = ["ratio", "sink", "softcap"];

fn random_maps(route: &Route) {
    let (mut came, mut wired) = (Came::default(), 0);
    for seed in 0..route.seeds {
        let (text, kinds) = maps_circuit(seed);
        let read = from_text(&text).map_err(|why| why.lines().next().unwrap_or_default().to_owned());
        wired += usize::from(read.is_ok());
        if let (Err(why), true) = (read, std::env::var_os("PULVINAR_REFUSED").is_some()) {
            println!("seed {seed}: {why}");
        }
        compare(route, seed, &text, 1e-9_f64.max(route.random), kinds, &mut came);
    }
    println!(
        "{wired} of {} wired, {} same, {:?} refused, {} without rest; {:?}",
        route.seeds, came.same, came.refused, came.no_rest, came.kinds
    );
    assert!(came.share() >= COMPILED, "{} same, refused: {:?}", came.same, came.refused);
    // Cells refuse none of them, and some do not come to rest there.
    let compiler = came.refused() > 0;
    for kind in MAPS.iter().chain(&HEADS).filter(|kind| compiler && !REFUSED.contains(kind)) {
        assert!(came.kinds.contains(kind), "no random circuit with {kind} was compared");
    }
}

fn wild_wirings(route: &Route) {
    let mut came = Came::default();
    for seed in 0..route.seeds * 20 {
        let text = random_wiring(seed);
        let Ok((document, circuit)) = from_text(&text) else { continue };
        let tokens = tokens(&format!("seed {seed}"), &document, &circuit);
        if oracle::evaluate(&net(&circuit, &tokens)).is_err() {
            assert!(
                compile(&circuit).is_err(),
                "seed {seed}: compiles, but its cells have no meaning\n{text}"
            );
            continue;
        }
        compare(route, seed, &text, route.wild, BTreeSet::new(), &mut came);
    }
    assert!(came.same >= 100, "only {} circuits are compared: the test says too little", came.same);
    let compiles = route.run as usize == HEADS_F64.run as usize;
    assert!(!compiles || came.refused.len() >= 10, "only the reasons {:?}", came.refused);
}

/// The attention-mask circuit and the key-value memory draw the same matrices by name, and are the same function.
#[test]
fn two_wirings_of_one_head_have_equal_outputs() {
    let output = |name: &str| {
        let (document, circuit) = load(&crate::support::root().join("circuits").join(name));
        heads_output(&circuit, &tokens(name, &document, &circuit)).unwrap_or_else(|d| panic!("{name}: {d}"))
    };
    let error = relative(&output("one_head_attention_mask.yaml"), &output("one_head_key_value_memory.yaml"));
    assert!(error < 1e-12, "{error:e}");
}
