//! `pulvinar experiment [NAME] [FILE]`: runs a circuit, prints tables, and says whether their laws hold.

use super::args::Experiment as Args;
use super::load;
use super::progress::Bar;
use super::report::{Failure, Outcome, Reporter};
use super::run_files::{claim, close, earlier};
use pulvinar::diag::{Diagnostic, Diagnostics, codes, did_you_mean};
use pulvinar::files::{Claim, atomic_write};
use pulvinar::seed::sha256_hex;
use pulvinar::spec::read_bytes;
use pulvinar_lab::experiments::{ALL, Experiment, Report, Setup, find};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Exit code when a law is left.
const LEFT: u8 = 1;

pub fn run(args: &Args, out: &Reporter) -> Outcome {
    let Some(name) = &args.name else {
        if args.output.is_some() || args.check || args.print {
            return Err(Diagnostic::error(codes::U005, "", "which experiment?")
                .help("`pulvinar experiment` lists them")
                .into());
        }
        list(out);
        return Ok(0);
    };
    let Some(experiment) = find(name) else {
        return Err(Diagnostic::error(codes::U005, "", format!("no experiment `{name}`"))
            .help(did_you_mean(name, ALL.iter().map(|e| e.name)))
            .into());
    };
    if args.print {
        out.text("experiment", experiment.text);
        return Ok(0);
    }
    load::use_threads(args.reading.threads);
    let (text, folder, shown) = match &args.file {
        Some(file) => {
            let text = read_bytes(file).map_err(|d| Diagnostics::from(d).in_file(&Arc::new(file.clone())))?;
            (text, file.parent().unwrap_or(Path::new("")).to_owned(), file.display().to_string())
        }
        None => (
            experiment.text.as_bytes().to_vec(),
            shipped_folder(),
            format!("circuits/{}.yaml, as shipped", experiment.circuit),
        ),
    };
    let claim = args.output.as_ref().map(|dir| claim(dir, args.force)).transpose()?;
    let bar = Bar::new(out, experiment.name);
    let setup = Setup {
        experiment: experiment.name,
        text,
        folder,
        set: args.reading.set.clone(),
        seed: args.reading.seed,
        trials: args.trials,
        progress: &bar,
    };
    let report = experiment.run(&setup).map_err(|mut diagnostics| {
        if args.file.is_none() {
            for d in diagnostics.0.iter_mut().filter(|d| d.code == codes::F001) {
                d.help = Some(format!(
                    "only the circuit is built in, not what it reads: run this in the project's folder (or below), or \
                     copy `circuits/{}.yaml` with that file and give its name",
                    experiment.circuit
                ));
            }
        }
        match &args.file {
            Some(file) => diagnostics.in_file(&Arc::new(file.clone())),
            None => diagnostics,
        }
    });
    bar.end();
    let report = report?;
    let files = match &claim {
        Some(claim) => write(claim, experiment, &setup, &report)?,
        None => Vec::new(),
    };
    let kept = report.verdict().ok;
    if out.json {
        let mut rest = Map::new();
        rest.insert("experiment".to_owned(), json!(experiment.name));
        rest.append(&mut report.json());
        rest.insert("files".to_owned(), json!(files));
        out.object("experiment", kept || !args.check, rest);
    } else {
        out.result(&format!("{}: {shown} (seed {})\n\n{}", experiment.name, report.seed, report.text()));
        if let Some(dir) = &args.output {
            out.result(&format!("wrote {}: {}\n", dir.display(), files.join(", ")));
        }
    }
    Ok(if args.check && !kept { LEFT } else { 0 })
}

/// The folder `circuits` with its data, here or above: shipped circuits read files beside them.
fn shipped_folder() -> PathBuf {
    let near = PathBuf::from("circuits");
    if near.join("data").is_dir() {
        return near;
    }
    let here = std::env::current_dir().unwrap_or_default();
    here.ancestors().map(|f| f.join("circuits")).find(|f| f.join("data").is_dir()).unwrap_or(near)
}

fn list(out: &Reporter) {
    if out.json {
        let all: Vec<Value> = ALL
            .iter()
            .map(|e| json!({"name": e.name, "about": e.about, "circuit": format!("circuits/{}.yaml", e.circuit)}))
            .collect();
        let mut rest = Map::new();
        rest.insert("experiments".to_owned(), json!(all));
        out.object("experiment", true, rest);
        return;
    }
    let mut text = String::new();
    for e in ALL {
        let _ = writeln!(text, "{:<18} {} (circuits/{}.yaml)", e.name, e.about, e.circuit);
    }
    out.result(&text);
}

/// Tables, the circuit as it was run, and a manifest, which is written last.
fn write(
    claim: &Claim,
    experiment: &Experiment,
    setup: &Setup<'_>,
    report: &Report,
) -> Result<Vec<String>, Failure> {
    let stage = claim.begin()?;
    let mut files = Vec::new();
    let mut text = |name: String, content: &str| -> Result<(), Failure> {
        atomic_write(&stage.path(&name), |sink| sink.write_all(content.as_bytes()))?;
        files.push(name);
        Ok(())
    };
    for table in &report.tables {
        text(format!("{}.csv", table.name), &table.csv())?;
    }
    let document = setup.document(&[])?;
    let yaml = pulvinar::spec::to_yaml(&document.spec);
    text("circuit.yaml".to_owned(), &yaml)?;
    let mut manifest = Map::new();
    let mut put = |key: &str, value: Value| manifest.insert(key.to_owned(), value);
    put("pulvinar", json!(env!("CARGO_PKG_VERSION")));
    put("verb", json!("experiment"));
    put("experiment", json!(experiment.name));
    put("circuit", json!(document.spec.name));
    put("circuit_sha256", json!(sha256_hex(yaml.as_bytes())));
    put("parameters", json!(document.spec.parameters));
    put("seed", json!(document.spec.seed));
    put("trials", json!(setup.trials));
    put("threads", json!(rayon::current_num_threads()));
    put("laws", report.json().remove("laws").unwrap_or_default());
    let gone = earlier(claim.folder());
    close(stage, manifest, files, &gone)
}
