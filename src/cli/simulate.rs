//! `pulvinar simulate FILE`: runs the compiled circuit and writes a run directory.

use super::args::{Mode, Precision, Simulate};
use super::report::{Failure, Outcome, Reporter};
use super::run_files::RunFiles;
use super::{load, page};
use crate::attention::Streams;
use crate::circuit::Circuit;
use crate::compile::Compiled;
use crate::diag::{Diagnostic, codes};
use crate::files::{prepare_output_dir, write_npy};
use crate::linalg::Real;
use crate::report::Page;
use crate::seed::sha256_hex;
use crate::simulate::inputs::Overrides;
use crate::simulate::{Run, inputs, run as simulate};
use crate::spec::Document;
use nalgebra::DMatrix;
use serde_json::{Map, json};
use std::fmt::Write as _;
use std::path::Path;

pub fn run(args: &Simulate, out: &Reporter) -> Outcome {
    match args.mode {
        Some(Mode::Spiking) => return super::spiking::run(args, load::document(&args.file, &args.reading)?, out),
        Some(Mode::Cells) => return super::cells::run(args, out),
        Some(Mode::Algebraic) => {}
        None => {
            let document = load::document(&args.file, &args.reading)?;
            if document.spec.spikes() {
                return super::spiking::run(args, document, out);
            }
        }
    }
    no_trials(args)?;
    if !args.record.is_empty() || !args.lesion.is_empty() || args.prospective {
        return Err(Diagnostic::error(
            codes::U005,
            "",
            "--record, --lesion and --prospective act on cells in time",
        )
        .help("add `--mode cells`, or leave them out")
        .into());
    }
    let document = load::document(&args.file, &args.reading)?;
    let circuit = load::circuit(&document, &args.file)?;
    refuse_reserved(&document, &circuit).map_err(|d| load::placed(&document, &args.file, d))?;
    let compiled = load::compiled(&document, &circuit, &args.file)?;
    let overrides = load::overrides(&args.tokens, &circuit)?;
    // Refused before the work, not after it.
    if let Some(dir) = &args.output {
        prepare_output_dir(dir, args.force)?;
    }
    let streams =
        inputs(&circuit, &document.folder, &overrides).map_err(|d| load::placed(&document, &args.file, d))?;
    let job = Job {
        args,
        document: &document,
        circuit: &circuit,
        compiled: &compiled,
        inputs: &streams,
        overrides: &overrides,
        out,
    };
    let blocks = compiled.plain_blocks();
    for (name, tokens) in &streams {
        out.detail(&format!("stream {name}: {} tokens x {}", tokens.ncols(), tokens.nrows()));
    }
    match args.precision {
        Precision::F64 => job.finish(&simulate::<f64>(&blocks, &streams)?),
        Precision::F32 => job.finish(&simulate::<f32>(&blocks, &streams)?),
    }
}

/// Only spikes come in trials.
pub(super) fn no_trials(args: &Simulate) -> Result<(), Diagnostic> {
    if args.trials.is_none() {
        return Ok(());
    }
    Err(Diagnostic::error(codes::U005, "", "--trials is of circuits of spikes")
        .help("leave it out; tokens say how much is run"))
}

/// Keys of the file that would change the answer, and that the algebra cannot follow.
fn refuse_reserved(document: &Document, circuit: &Circuit) -> Result<(), Diagnostic> {
    let refuse = |path: &str, what: &str| {
        Err(Diagnostic::error(
            codes::U004,
            path,
            format!("{what} act on cells in time, not on compiled heads"),
        )
        .help("`--mode cells` follows the key; remove it to run the compiled heads"))
    };
    let r = &document.spec.reserved;
    if !r.lesions.is_empty() {
        return refuse("lesions", "lesions");
    }
    if !r.record.is_empty() {
        return refuse("record", "recordings");
    }
    if r.noise.is_some() {
        return refuse("noise", "noise currents");
    }
    for id in &circuit.order {
        let p = circuit.population(*id);
        if p.options.noise.is_some() {
            return refuse(&format!("{}.noise", p.path), "noise currents");
        }
        if p.options.limits.is_some() {
            return refuse(&format!("{}.limits", p.path), "rate limits");
        }
    }
    Ok(())
}

struct Job<'a> {
    args: &'a Simulate,
    document: &'a Document,
    circuit: &'a Circuit,
    compiled: &'a Compiled,
    inputs: &'a crate::attention::Streams,
    overrides: &'a Overrides,
    out: &'a Reporter,
}

impl Job<'_> {
    fn finish<T: Real>(&self, run: &Run<T>) -> Outcome {
        let shape = [run.output.ncols(), run.output.nrows()];
        let hash = sha256_hex(&bytes(&run.output));
        let files = match &self.args.output {
            Some(dir) => self.write(dir, run, &hash)?,
            None => Vec::new(),
        };
        let relay = self.compiled.blocks.last().map_or("", |b| b.block.relay.as_str());
        if self.out.json {
            let mut rest = Map::new();
            rest.insert("output_shape".to_owned(), json!(shape));
            rest.insert("output_sha256".to_owned(), json!(hash));
            rest.insert("files".to_owned(), json!(files));
            rest.insert("relay".to_owned(), json!(relay));
            rest.insert("mode".to_owned(), json!("algebraic"));
            rest.insert("precision".to_owned(), json!(self.precision()));
            rest.insert("seed".to_owned(), json!(self.document.spec.seed));
            self.out.object("simulate", true, rest);
            return Ok(0);
        }
        let largest = run.output.iter().map(|x| Real::to_f64(*x).abs()).fold(0.0, f64::max);
        let mut text = super::compile::report(self.document, self.compiled);
        for (name, tokens) in self.inputs {
            let _ = write!(text, "\ntokens {name}: {} x {}", tokens.ncols(), tokens.nrows());
        }
        let _ = writeln!(
            text,
            "\noutput {relay}: {} x {} ({}), largest |y| {}, sha256 {}",
            shape[0],
            shape[1],
            self.precision(),
            if largest < 1e6 { format!("{largest:.6}") } else { format!("{largest:.6e}") },
            &hash[..16],
        );
        self.out.result(text.trim_start_matches('\n'));
        if let Some(dir) = &self.args.output {
            self.out.result(&format!("wrote {}: {}\n", dir.display(), files.join(", ")));
        }
        Ok(0)
    }

    fn precision(&self) -> &'static str {
        match self.args.precision {
            Precision::F64 => "f64",
            Precision::F32 => "f32",
        }
    }

    /// The page about the run.
    fn page<T: Real>(&self, run: &Run<T>, hash: &str) -> Result<Page, Failure> {
        let facts = [
            ("mode", format!("algebraic, {}", self.precision())),
            ("output", format!("{} tokens x {}", run.output.ncols(), run.output.nrows())),
            (
                "largest |y|",
                format!("{}", run.output.iter().map(|x| Real::to_f64(*x).abs()).fold(0.0, f64::max)),
            ),
            ("sha256 of the output", hash.to_owned()),
        ];
        let mut page = page::begun(self.document, self.circuit, "simulate", &facts)?;
        let wide = |x: &DMatrix<T>| x.map(Real::to_f64);
        let streams: Streams = run.streams.iter().map(|(name, x)| (name.clone(), wide(x))).collect();
        page.sections.extend(page::attention(Ok(self.compiled), Some(&streams))?);
        Ok(page)
    }

    fn write<T: Real>(&self, dir: &Path, run: &Run<T>, hash: &str) -> Result<Vec<String>, Failure> {
        let mut folder = RunFiles::open(dir, self.document, self.circuit, self.inputs, self.overrides)?;
        write_npy(&folder.path("output.npy"), &run.output)?;
        folder.report(&self.page(run, hash)?)?;
        let mut about = Map::new();
        about.insert("mode".to_owned(), json!("algebraic"));
        about.insert("precision".to_owned(), json!(self.precision()));
        about.insert("output_shape".to_owned(), json!([run.output.ncols(), run.output.nrows()]));
        about.insert("output_sha256".to_owned(), json!(hash));
        about.insert("tokens".to_owned(), json!(self.args.tokens));
        folder.close(about)
    }
}

/// The output's numbers, token after token, little endian.
pub(super) fn bytes<T: Real>(output: &DMatrix<T>) -> Vec<u8> {
    let wide = std::mem::size_of::<T>() == 8;
    let mut bytes = Vec::with_capacity(output.len() * std::mem::size_of::<T>());
    for x in output.iter() {
        let x = Real::to_f64(*x);
        if wide {
            bytes.extend_from_slice(&x.to_le_bytes());
        } else {
            // Exact: the number was an f32.
            #[allow(clippy::cast_possible_truncation)]
            bytes.extend_from_slice(&(x as f32).to_le_bytes());
        }
    }
    bytes
}
