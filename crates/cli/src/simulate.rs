//! `pulvinar simulate FILE`: runs the compiled circuit and writes a run directory.

use super::args::{Mode, Precision, Simulate};
use super::report::{Failure, Outcome, Reporter, diagnostics_json};
use super::resolved::Tokens;
use super::run_files::{RunFiles, claim};
use super::{load, page, pieces};
use nalgebra::DMatrix;
use pulvinar::answer::Compile;
use pulvinar::attention::{Memory, Streams};
use pulvinar::circuit::Circuit;
use pulvinar::compile::Compiled;
use pulvinar::diag::{Diagnostic, Diagnostics, codes};
use pulvinar::files::{Claim, little_endian, write_npy};
use pulvinar::linalg::Real;
use pulvinar::model::Model;
use pulvinar::seed::sha256_hex;
use pulvinar::simulate::cells::{Divisions, divisions, doubtful};
use pulvinar::simulate::inputs::Overrides;
use pulvinar::simulate::{Fingerprint, Run, run as simulate, runaway};
use pulvinar::spec::Document;
use pulvinar_lab::report::Page;
use serde_json::{Map, json};
use std::fmt::Write as _;

pub fn run(args: &Simulate, out: &Reporter) -> Outcome {
    match args.mode {
        Some(Mode::Spiking) => {
            return super::spiking::run(args, load::model(&args.file, &args.reading)?, out);
        }
        Some(Mode::Cells) => return super::cells::run(args, out),
        Some(Mode::Algebraic) => {}
        None => {
            let model = load::model(&args.file, &args.reading)?;
            if model.spec().spikes() {
                return super::spiking::run(args, model, out);
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
    let model = load::model(&args.file, &args.reading)?;
    let circuit = model.circuit()?;
    refuse_reserved(model.document(), &circuit).map_err(|d| model.placed(d))?;
    let compiled = if args.stream { model.heads()? } else { model.compiled()? };
    let overrides = load::overrides(&args.tokens, &circuit)?;
    if args.stream {
        if !doubtful(&circuit).is_empty() {
            out.note(UNCHECKED);
        }
        let job = pieces::Job {
            args,
            model: &model,
            circuit: &circuit,
            compiled: &compiled,
            overrides: &overrides,
        };
        return job.run(out);
    }
    let streams = load::tokens(&model, &overrides, out)?;
    // Refused before the work, not after it.
    if divisions(&circuit, &streams).map_err(|d| model.placed(d))? == Divisions::Unchecked {
        out.note(UNCHECKED);
    }
    let claim = args.output.as_ref().map(|dir| claim(dir, args.force)).transpose()?;
    let job = Job {
        claim: claim.as_ref(),
        args,
        model: &model,
        circuit: &circuit,
        compiled: &compiled,
        inputs: &streams,
        overrides: &overrides,
        out,
    };
    let stages = compiled.stages();
    for (name, tokens) in &streams {
        out.detail(&format!("stream {name}: {} tokens x {}", tokens.ncols(), tokens.nrows()));
    }
    match args.precision {
        Precision::F64 => job.finish(&simulate::<f64>(&stages, &streams)?),
        Precision::F32 => job.finish(&simulate::<f32>(&stages, &streams)?),
    }
}

/// Said where [`divisions`] has not looked.
const UNCHECKED: &str = "note: cells that divide by a sum which may be 0 were not computed one by one for so many tokens; x/0 in them is seen only where a head divides";

/// Only spikes come in trials.
pub(super) fn no_trials(args: &Simulate) -> Result<(), Diagnostic> {
    if args.trials.is_none() {
        return Ok(());
    }
    Err(Diagnostic::error(codes::U005, "", "--trials is of circuits of spikes")
        .help("leave it out; tokens say how much is run"))
}

/// Only compiled heads read tokens piece by piece.
pub(super) fn no_stream(args: &Simulate) -> Result<(), Diagnostic> {
    if !args.stream {
        return Ok(());
    }
    Err(Diagnostic::error(codes::U005, "", "--stream is of compiled heads; cells hold all tokens")
        .help("leave it out, or run `--mode algebraic`"))
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
    claim: Option<&'a Claim>,
    args: &'a Simulate,
    model: &'a Model,
    circuit: &'a Circuit,
    compiled: &'a Compiled,
    inputs: &'a pulvinar::attention::Streams,
    overrides: &'a Overrides,
    out: &'a Reporter,
}

/// What a run came to.
pub(super) struct Ending<'a> {
    /// `[n_tokens, d_model]`
    pub shape: [usize; 2],
    pub sha256: &'a str,
    /// equal on other processors; none in single precision
    pub fingerprint: Option<&'a str>,
    /// largest |y|
    pub largest: f64,
    pub files: &'a [String],
    /// name, number of tokens and width of every stream
    pub tokens: Vec<(&'a str, usize, usize)>,
    /// memories that ran away
    pub warnings: Diagnostics,
}

impl Ending<'_> {
    pub fn tell(&self, args: &Simulate, circuit: &Circuit, compiled: &Compiled, out: &Reporter) {
        let relay = compiled.output_name();
        let [n, width] = self.shape;
        if out.json {
            let mut rest = Map::new();
            rest.insert("output_shape".to_owned(), json!(self.shape));
            rest.insert("output_sha256".to_owned(), json!(self.sha256));
            rest.insert("output_fingerprint".to_owned(), json!(self.fingerprint));
            rest.insert("files".to_owned(), json!(self.files));
            rest.insert("relay".to_owned(), json!(relay));
            rest.insert("mode".to_owned(), json!("algebraic"));
            rest.insert("precision".to_owned(), json!(precision(args)));
            rest.insert("seed".to_owned(), json!(circuit.seed));
            if !self.warnings.0.is_empty() {
                rest.insert("diagnostics".to_owned(), diagnostics_json(&self.warnings));
            }
            out.object("simulate", true, rest);
            return;
        }
        let mut text = Compile::of(circuit, compiled).to_string();
        for (name, n, width) in &self.tokens {
            let _ = write!(text, "\ntokens {name}: {n} x {width}");
        }
        let largest = self.largest;
        let _ = writeln!(
            text,
            "\noutput {relay}: {n} x {width} ({}), largest |y| {}, {}",
            precision(args),
            if largest < 1e6 { format!("{largest:.6}") } else { format!("{largest:.6e}") },
            match self.fingerprint {
                Some(print) => format!("fingerprint {}", &print[..16]),
                None => format!("sha256 {}", &self.sha256[..16]),
            },
        );
        out.result(text.trim_start_matches('\n'));
        if let Some(dir) = &args.output {
            out.result(&format!("wrote {}: {}\n", dir.display(), self.files.join(", ")));
        }
        out.draw(&self.warnings);
    }

    /// Closes a run directory.
    pub fn close(&self, args: &Simulate, folder: RunFiles<'_>) -> Result<Vec<String>, Failure> {
        let mut about = Map::new();
        about.insert("mode".to_owned(), json!("algebraic"));
        about.insert("precision".to_owned(), json!(precision(args)));
        about.insert("output_shape".to_owned(), json!(self.shape));
        about.insert("output_sha256".to_owned(), json!(self.sha256));
        about.insert("output_fingerprint".to_owned(), json!(self.fingerprint));
        about.insert("tokens".to_owned(), json!(args.tokens));
        folder.close(about)
    }

    /// What the page about the run says first.
    pub fn facts(&self, args: &Simulate) -> [(&'static str, String); 4] {
        let [n, width] = self.shape;
        [
            ("mode", format!("algebraic, {}", precision(args))),
            ("output", format!("{n} tokens x {width}")),
            ("largest |y|", self.largest.to_string()),
            ("sha256 of the output", self.sha256.to_owned()),
        ]
    }
}

fn precision(args: &Simulate) -> &'static str {
    match args.precision {
        Precision::F64 => "f64",
        Precision::F32 => "f32",
    }
}

impl Job<'_> {
    fn finish<T: Real>(&self, run: &Run<T>) -> Outcome {
        let sha256 = sha256_hex(&little_endian(run.output.as_slice()));
        let fingerprint = Fingerprint::of(&run.output);
        let mut ending = Ending {
            fingerprint: fingerprint.as_deref(),
            shape: [run.output.ncols(), run.output.nrows()],
            sha256: &sha256,
            largest: run.output.iter().map(|x| Real::to_f64(*x).abs()).fold(0.0, f64::max),
            files: &[],
            tokens: self.inputs.iter().map(|(name, x)| (name.as_str(), x.ncols(), x.nrows())).collect(),
            warnings: self.runaway(run),
        };
        let files = match self.claim {
            Some(claim) => self.write(claim, run, &ending)?,
            None => Vec::new(),
        };
        ending.files = &files;
        ending.tell(self.args, self.circuit, self.compiled, self.out);
        Ok(0)
    }

    /// Warnings of memories that ran away.
    fn runaway<T: Real>(&self, run: &Run<T>) -> Diagnostics {
        let blocks = self.compiled.plain_blocks();
        if !blocks.iter().flat_map(|b| &b.heads).any(|h| matches!(h.memory, Memory::Delta(_))) {
            return Diagnostics::default();
        }
        let wide = |x: &DMatrix<T>| x.map(Real::to_f64);
        let streams: Streams = run.streams.iter().map(|(name, x)| (name.clone(), wide(x))).collect();
        self.model.placed(runaway(self.circuit, &blocks, &streams))
    }

    /// The page about the run.
    fn page<T: Real>(&self, run: &Run<T>, ending: &Ending<'_>) -> Result<Page, Failure> {
        let mut page =
            page::begun(self.model.document(), self.circuit, "simulate", &ending.facts(self.args))?;
        let wide = |x: &DMatrix<T>| x.map(Real::to_f64);
        let streams: Streams = run.streams.iter().map(|(name, x)| (name.clone(), wide(x))).collect();
        page.sections.extend(page::attention(Ok(self.compiled), Some(&streams))?);
        Ok(page)
    }

    fn write<T: Real>(
        &self,
        claim: &Claim,
        run: &Run<T>,
        ending: &Ending<'_>,
    ) -> Result<Vec<String>, Failure> {
        let tokens = Tokens::Copied(self.inputs);
        let mut folder = RunFiles::open(claim, self.model.document(), self.circuit, tokens, self.overrides)?;
        write_npy(&folder.path("output.npy"), &run.output)?;
        folder.report(&self.page(run, ending)?)?;
        ending.close(self.args, folder)
    }
}
