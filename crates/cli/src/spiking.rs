//! `pulvinar simulate FILE --mode spiking`: trials of match and control, and their run directory.

use super::args::{Precision, Simulate};
use super::page::begun;
use super::report::{Failure, Outcome, Reporter, not_yet};
use super::run_files::{RunFiles, claim};
use super::spiking_report::{object, rows, section, text};
use pulvinar::circuit::SpikeCircuit;
use pulvinar::diag::{Diagnostic, codes, did_you_mean};
use pulvinar::files::{Array, Claim, Dtype, write_csv, write_npz};
use pulvinar::model::Model;
use pulvinar::seed::sha256_hex;
use pulvinar::simulate::Fingerprint;
use pulvinar::simulate::spiking::{Plan, Runs, run as run_trials};
use pulvinar::spec::{Document, SpikeCompartment, SpikeTraceSpec, SpikeTrainsSpec, SpikeVariable};
use serde_json::{Map, json};

/// Spikes of every trial, in a run directory; also what `spike_trains: {file: ...}` reads.
const SPIKES: &str = "spikes.npz";

pub fn run(args: &Simulate, model: Model, out: &Reporter) -> Outcome {
    if !model.spec().spikes() {
        let d = Diagnostic::error(codes::U004, "output", "this circuit has rates, not spikes")
            .help("leave `--mode` out; a circuit of spikes has `spike_trains` and `cable`: `circuits/match_and_control.yaml`");
        return Err(model.placed(d).into());
    }
    only_spikes(args)?;
    let traces = args.record.iter().map(|text| trace(text)).collect::<Result<Vec<_>, _>>()?;
    let model = model.changed(|spec| {
        spec.reserved.traces.extend(traces);
        let protocol = spec.reserved.protocol.as_mut().and_then(|p| p.match_and_control.as_mut());
        if let (Some(trials), Some(p)) = (args.trials, protocol) {
            p.trials = trials as usize;
        }
    });
    let (document, circuit) = (model.document(), model.spikes()?);
    let plan = Plan::of(&circuit, &document.folder).map_err(|d| model.placed(d))?;
    let claim = args.output.as_ref().map(|dir| claim(dir, args.force)).transpose()?;
    let bar = super::progress::bar(out, plan.trials, "trials");
    let result = run_trials(&plan, |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    let runs = result.map_err(|e| model.placed(e.at(circuit.cable_path())))?;
    let files = match &claim {
        Some(claim) => write(claim, document, &circuit, &plan, &runs)?,
        None => Vec::new(),
    };
    if out.json {
        let mut rest = object(&circuit, &plan, &runs);
        rest.insert("mode".to_owned(), json!("spiking"));
        // The output are the neuron's somatic spikes: rows `trial, cell, ms`. The closed form has none.
        let output = plan.event.is_none().then(|| spikes(&runs).swap_remove(2).1);
        rest.insert("output_shape".to_owned(), json!(output.as_ref().map(|a| &a.shape)));
        let hash = |a: &Array| sha256_hex(&a.data.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
        rest.insert("output_sha256".to_owned(), json!(output.as_ref().map(hash)));
        let rows = |a: &Array| nalgebra::DMatrix::from_column_slice(3, a.data.len() / 3, &a.data);
        let print = output.as_ref().and_then(|a| Fingerprint::of(&rows(a)));
        rest.insert("output_fingerprint".to_owned(), json!(print));
        rest.insert("seed".to_owned(), json!(document.spec.seed));
        rest.insert("files".to_owned(), json!(files));
        out.object("simulate", true, rest);
    } else {
        out.result(&text(&circuit, &plan, &runs));
        if let Some(dir) = &args.output {
            out.result(&format!("wrote {}: {}\n", dir.display(), files.join(", ")));
        }
    }
    Ok(0)
}

/// Flags that speak of tokens and rates.
fn only_spikes(args: &Simulate) -> Result<(), Failure> {
    if args.precision == Precision::F32 {
        return Err(not_yet("`--precision f32` for spikes", "trials run in f64; leave it out"));
    }
    let flags = [
        ("--tokens", !args.tokens.is_empty(), "trains are those of the circuit: `spike_trains`"),
        ("--lesion", !args.lesion.is_empty(), "change the numbers of the circuit, for example by --set"),
        ("--prospective", args.prospective, "leave it out"),
        ("--stream", args.stream, "leave it out; spikes have no tokens"),
    ];
    match flags.into_iter().find(|(_, given, _)| *given) {
        Some((flag, _, help)) => {
            let what = format!("{flag} says nothing about spikes");
            Err(Diagnostic::error(codes::U005, "", what).help(help).into())
        }
        None => Ok(()),
    }
}

/// `A1.neuron.soma@4` or `A1.neuron.spines:calcium@40`.
fn trace(text: &str) -> Result<SpikeTraceSpec, Diagnostic> {
    let wrong = |what: String, help: String| Err(Diagnostic::error(codes::U005, "", what).help(help));
    let form = "write `A1.neuron.soma@4` or `A1.neuron.spines:calcium@40`";
    let (rest, every) = match text.rsplit_once('@') {
        Some((rest, number)) => match number.parse() {
            Ok(n) if n > 0 => (rest, n),
            _ => return wrong(format!("--record {text}: `{number}` is no number of steps"), form.to_owned()),
        },
        None => (text, 1),
    };
    let (place, variable) = rest.split_once(':').map_or((rest, "potential"), |(p, v)| (p, v));
    let Some((population, compartment)) = place.rsplit_once('.') else {
        return wrong(format!("--record {text} names no compartment"), form.to_owned());
    };
    let Some((_, compartment)) = SpikeCompartment::NAMES.into_iter().find(|(n, _)| *n == compartment) else {
        let names = SpikeCompartment::NAMES.map(|(n, _)| n);
        return wrong(
            format!("--record {text}: no compartment `{compartment}`"),
            did_you_mean(compartment, names),
        );
    };
    let Some((_, variable)) = SpikeVariable::NAMES.into_iter().find(|(n, _)| *n == variable) else {
        let names = SpikeVariable::NAMES.map(|(n, _)| n);
        return wrong(format!("--record {text}: no variable `{variable}`"), did_you_mean(variable, names));
    };
    if compartment == SpikeCompartment::Soma && variable != SpikeVariable::Potential {
        return wrong(format!("--record {text}: the soma has no {}", variable.name()), form.to_owned());
    }
    let population = population.to_owned();
    Ok(SpikeTraceSpec { population, compartment, variable, axons: None, from: None, until: None, every })
}

fn write(
    claim: &Claim,
    document: &Document,
    circuit: &SpikeCircuit,
    plan: &Plan,
    runs: &Runs,
) -> Result<Vec<String>, Failure> {
    let mut folder =
        RunFiles::of_spikes(claim, document, &pulvinar::spec::to_yaml(&standing_alone(document)))?;
    write_npz(&folder.path(SPIKES), &spikes(runs))?;
    if !plan.traces.is_empty() {
        write_npz(&folder.path("traces.npz"), &traces(plan, runs))?;
    }
    let (header, table) = rows(runs);
    write_csv(&folder.path("metrics.csv"), &header, table)?;
    let mut page = begun(document, &circuit.drawn(), "simulate", &[("mode", "spiking".to_owned())])?;
    page.sections.push(section(circuit, plan, runs));
    folder.report(&page)?;
    let mut about = Map::new();
    about.insert("mode".to_owned(), json!("spiking"));
    about.insert("trials".to_owned(), json!(plan.trials));
    let units: Map<_, _> = plan
        .traces
        .iter()
        .map(|t| {
            let about = json!({"unit": t.unit, "axons": t.axons, "axes": "trials, samples, places"});
            (t.name.clone(), about)
        })
        .collect();
    about.insert("traces".to_owned(), json!(units));
    about.insert("delays_ms".to_owned(), json!(runs.delays_ms));
    folder.close(about)
}

/// The circuit with files of trains replaced by the spikes in the run directory: `keys` and `queries` hold them.
fn standing_alone(document: &Document) -> pulvinar::spec::CircuitSpec {
    let mut spec = document.spec.clone();
    let soma = spec.projections.iter().find(|(_, p)| p.to.ends_with(".soma")).map(|(_, p)| p.from.clone());
    let file = |name: &str, trains: &mut Option<SpikeTrainsSpec>| {
        if let Some(SpikeTrainsSpec::File { path, array }) = trains {
            let is_query = soma.as_deref() == Some(name);
            SPIKES.clone_into(path);
            *array = Some(if is_query { "queries" } else { "keys" }.to_owned());
        }
    };
    for (name, relay) in &mut spec.thalamus.0 {
        file(name, &mut relay.options.spike_trains);
    }
    for (area, a) in &mut spec.areas.0 {
        for (short, p) in &mut a.populations.0 {
            file(&format!("{area}.{short}"), &mut p.options.spike_trains);
        }
    }
    spec
}

/// Rows `trial, cell, ms` of keys, queries and somatic spikes.
fn spikes(runs: &Runs) -> Vec<(String, Array)> {
    let array = |rows: Vec<[f64; 3]>| Array {
        shape: vec![rows.len(), 3],
        data: rows.into_iter().flatten().collect(),
        dtype: Dtype::F64,
    };
    let (mut keys, mut queries, mut soma) = (Vec::new(), Vec::new(), Vec::new());
    for (trial, (input, spikes)) in runs.inputs.iter().zip(&runs.spikes_ms).enumerate() {
        let trial = trial as f64;
        for (axon, train) in input.keys.iter().enumerate() {
            keys.extend(train.iter().map(|t| [trial, axon as f64, *t]));
        }
        queries.extend(input.queries.iter().map(|t| [trial, 0.0, *t]));
        soma.extend(spikes.iter().map(|t| [trial, 0.0, *t]));
    }
    [("keys", keys), ("queries", queries), ("soma", soma)].map(|(n, r)| (n.to_owned(), array(r))).to_vec()
}

/// Each trace `[trials, samples, places]`, and its times in ms.
fn traces(plan: &Plan, runs: &Runs) -> Vec<(String, Array)> {
    let mut arrays = Vec::new();
    for (trace, values) in plan.traces.iter().zip(&runs.traces) {
        let shape = vec![plan.trials, trace.samples(), trace.what.len()];
        arrays.push((trace.name.clone(), Array { shape, data: values.clone(), dtype: Dtype::F64 }));
        let times = trace.times_ms(plan.settings.dt_ms);
        let shape = vec![times.len()];
        arrays.push((format!("{}.t_ms", trace.name), Array { shape, data: times, dtype: Dtype::F64 }));
    }
    arrays
}
