//! Signed circuits rewritten with plus and minus cells: the same heads, the same output, no negative rate, no cell with
//! weights of both signs.

use crate::random_circuits::random_circuit;
use crate::support::{from_text, load, net, oracle_output, relative, shipped};
use pulvinar::attention::equivalence::distance;
use pulvinar::attention::{Block, Streams};
use pulvinar::circuit::{Circuit, wire};
use pulvinar::compile::compile;
use pulvinar::diag::Diagnostic;
use pulvinar::oracle::cells as oracle;
use pulvinar::simulate::{inputs, run};
use pulvinar::spec::{Document, Sign, read};
use pulvinar::weights::dale::rewrite;
use std::collections::BTreeMap;

/// The rewritten circuit, read back from its text.
fn rewritten(document: &Document, circuit: &Circuit) -> Result<(String, Document, Circuit), Diagnostic> {
    let new = rewrite(&document.spec, circuit)?;
    let text = new.to_yaml();
    let document = read(text.as_bytes(), &document.folder, &[]).unwrap_or_else(|d| panic!("{d}\n{text}"));
    let circuit = wire(&document.spec, &document.folder).unwrap_or_else(|d| panic!("{d}\n{text}"));
    Ok((text, document, circuit))
}

/// Dale's law: the weights of each cell have one sign, and every projection says which.
fn obeys_the_law(circuit: &Circuit, claim: &str) {
    let mut signs: BTreeMap<usize, Sign> = BTreeMap::new();
    for p in &circuit.projections {
        let sign = p.sign.unwrap_or_else(|| panic!("{claim}: {} has no sign", p.name));
        let wrong = p.synapses.weights.find(|w| if sign == Sign::Excitatory { w < 0.0 } else { w > 0.0 });
        assert_eq!(wrong, None, "{claim}: {}", p.name);
        let first = *signs.entry(p.from.0).or_insert(sign);
        assert_eq!(first, sign, "{claim}: {} sends both signs", circuit.population(p.from).name);
    }
}

/// By loops over all cells: no rate is negative.
fn no_negative_rate(circuit: &Circuit, tokens: &Streams, claim: &str) {
    let sent = oracle::evaluate(&net(circuit, tokens)).unwrap_or_else(|e| panic!("{claim}: {e}"));
    for (s, id) in sent.iter().zip(&circuit.order) {
        let lowest = s.values.iter().flatten().flatten().fold(f64::INFINITY, |m, x| m.min(*x));
        assert!(!(lowest < 0.0), "{claim}: `{}` sends {lowest}", circuit.population(*id).name);
    }
}

/// Streams and relays by the names of the signed circuit.
fn renamed(block: &Block) -> Block {
    let old = |name: &str| name.strip_suffix("_plus").unwrap_or(name).to_owned();
    let mut block = block.clone();
    block.relay = old(block.relay.split(" - ").next().unwrap_or_default());
    for h in &mut block.heads {
        (h.query_stream, h.context_stream, h.value_stream) =
            (old(&h.query_stream), old(&h.context_stream), old(&h.value_stream));
    }
    for r in &mut block.residual {
        r.stream = old(&r.stream);
    }
    block
}

/// Everything that must hold; returns the largest relative error of the output and of blocks of linear heads.
fn same_function(document: &Document, circuit: &Circuit, claim: &str) -> Result<(f64, f64), Diagnostic> {
    let (text, _, dale) = rewritten(document, circuit)?;
    obeys_the_law(&dale, claim);
    let (old, new) = (
        compile(circuit).unwrap_or_else(|d| panic!("{claim}: {d}")),
        compile(&dale).unwrap_or_else(|d| panic!("{claim}: {d}\n{text}")),
    );
    let tokens =
        inputs(circuit, &document.folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{claim}: {d}"));
    let tokens: Streams =
        tokens.into_iter().map(|(n, x)| (n, x.columns(0, x.ncols().min(20)).into_owned())).collect();
    let want = oracle_output(circuit, &tokens);
    if !want.iter().all(|x| x.is_finite()) || want.amax() > 1e6 {
        return Ok((0.0, 0.0)); // stacked powers grow beyond what a comparison means
    }
    no_negative_rate(&dale, &tokens, claim);
    let cells = relative(&oracle_output(&dale, &tokens), &want);
    let output = run::<f64>(&new.plain_blocks(), &tokens).unwrap_or_else(|d| panic!("{claim}: {d}")).output;
    let compiled = relative(&output, &want);
    let dims = |c: &pulvinar::compile::Compiled| -> Vec<Vec<(usize, usize)>> {
        c.blocks.iter().map(|b| b.block.heads.iter().map(|h| (h.d_key(), h.d_value())).collect()).collect()
    };
    if dims(&old) != dims(&new) {
        eprintln!("{claim}: {:?} {:?}", dims(&old), dims(&new));
    }
    let mut apart: f64 = 0.0;
    for (a, b) in old.blocks.iter().zip(&new.blocks) {
        if let Ok(d) = distance(&a.block, &renamed(&b.block)) {
            apart = apart.max(d.total.relative());
        }
    }
    let text = String::new();
    assert!(
        cells < 1e-12 && compiled < 1e-12 && apart < 1e-12,
        "{claim}: {cells:e} {compiled:e} {apart:e}\n{text}"
    );
    Ok((cells.max(compiled), apart))
}

#[test]
fn shipped_circuits_keep_their_heads() {
    for file in shipped() {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let (document, circuit) = load(&file);
        match same_function(&document, &circuit, &name) {
            Ok((a, b)) => eprintln!("{name}: {a:e} {b:e}"),
            Err(d) => eprintln!("{name}: {d}"),
        }
    }
}

#[test]
fn random_circuits_keep_their_heads() {
    let mut count = 0;
    for seed in 0..150 {
        let (text, kinds) = random_circuit(seed);
        let (document, circuit) = from_text(&text).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        match same_function(&document, &circuit, &format!("seed {seed}")) {
            Ok(_) => count += 1,
            Err(d) => eprintln!("{seed} {kinds:?}: {d}"),
        }
    }
    eprintln!("{count}");
}
