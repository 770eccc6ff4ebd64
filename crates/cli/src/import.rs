//! `pulvinar import MODEL.safetensors -o FILE.yaml`: transformer heads -> circuit.

mod apart;
mod kinds;

use super::args::Import;
use super::check;
use super::dale;
use super::report::{Failure, Outcome, Reporter};
use pulvinar::diag::{Diagnostic, codes};
use pulvinar::files::{Claim, atomic_write, not_an_input, write_safetensors};
use pulvinar::model::{Model, Parameters};
use pulvinar::weights::{self, Imported, Loaded, Style, import::import_layer};
use serde_json::{Map, json};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

pub fn run(args: &Import, out: &Reporter) -> Outcome {
    let file = &args.output;
    let beside = weights_beside(file)?;
    // A circuit that was written by hand, or weights that belong to none of ours.
    let taken = if file.exists() { !is_imported(file) } else { beside.exists() };
    if taken && !args.force {
        let file = if file.exists() { file } else { &beside };
        return Err(Diagnostic::error(
            codes::F011,
            "",
            format!("`{}` exists and was not written by `import`", file.display()),
        )
        .help("give another name, or --force to replace it")
        .into());
    }
    // Only heads can be compared with the file that they are from.
    let read = if args.check { weights::read } else { weights::read_layer };
    let loaded = read(&args.model, &args.layer.options())?;
    not_an_input(file)?;
    not_an_input(&beside)?;
    let style = Style {
        name: circuit_name(file),
        weights_file: beside.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
        wiring: args.circuit.map(Into::into),
        ignored: loaded.ignored.clone(),
    };
    let imported = import_layer(&args.model, &loaded, &style)
        .map_err(|refused| apart::advice(&args.model, &loaded, &style, refused))?;
    let yaml = if args.dale { plus_minus(&imported, &style)? } else { imported.yaml.clone() };
    // Both or none; the circuit vouches for its weights.
    let claim = Claim::beside(file)?;
    let stage = claim.begin()?;
    let name = file.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    write_safetensors(&stage.path(&style.weights_file), &imported.weights, &[])?;
    atomic_write(&stage.path(&name), |sink| sink.write_all(yaml.as_bytes()))?;
    stage.commit(Some(&name), &[])?;
    let checked = if args.check { Some(check::answer(&args.as_check(), &args.model, out)?) } else { None };
    let yes = checked.as_ref().is_none_or(|c| c.yes);
    if out.json {
        let mut rest = object(&loaded, &imported, file, &beside);
        if let Some(answer) = checked {
            rest.insert("check".to_owned(), serde_json::Value::Object(answer.object));
        }
        out.object("import", yes, rest);
    } else {
        out.result(&report(args, &loaded, &imported, &beside));
        if let Some(answer) = checked {
            out.result(&format!("\n{}", answer.text));
        }
    }
    Ok(u8::from(!yes))
}

/// The circuit rewritten with plus and minus cells; nothing is written but to a folder that goes again.
fn plus_minus(imported: &Imported, style: &Style) -> Result<String, Failure> {
    let folder = tempfile::tempdir().map_err(|e| {
        Diagnostic::error(codes::F004, "", format!("no temporary folder: {e}"))
            .help("set TMPDIR to one that is writable")
    })?;
    write_safetensors(&folder.path().join(&style.weights_file), &imported.weights, &[])?;
    let model = Model::read(imported.yaml.as_bytes(), folder.path(), &Parameters::default())?;
    let opening: String =
        imported.yaml.lines().take_while(|l| l.starts_with('#')).map(|l| format!("{l}\n")).collect();
    Ok(format!("{opening}#\n{}", dale::plus_minus(&model)?.1))
}

/// `FILE.yaml` -> `FILE.weights.safetensors`.
fn weights_beside(file: &Path) -> Result<PathBuf, Diagnostic> {
    let stem = file.file_stem().filter(|s| !s.is_empty());
    let known = file.extension().is_some_and(|e| e == "yaml" || e == "yml");
    let Some(stem) = stem.filter(|_| known) else {
        return Err(Diagnostic::error(
            codes::U005,
            "",
            format!("-o `{}` is not the name of a circuit file", file.display()),
        )
        .help("write -o FILE.yaml; the weights go to FILE.weights.safetensors beside it"));
    };
    let mut name = stem.to_os_string();
    name.push(".weights.safetensors");
    Ok(file.with_file_name(name))
}

/// Whether a file may be replaced without being asked: an earlier import.
fn is_imported(file: &Path) -> bool {
    // Not as an input: it is the output.
    let mut opening = vec![0; weights::import::OPENING.len()];
    let read = std::fs::File::open(file).and_then(|mut f| f.read_exact(&mut opening));
    read.is_ok() && opening == weights::import::OPENING.as_bytes()
}

/// The file's name as the circuit's.
fn circuit_name(file: &Path) -> String {
    file.file_stem().map_or_else(|| "imported".to_owned(), |s| s.to_string_lossy().into_owned())
}

fn object(
    loaded: &Loaded,
    imported: &Imported,
    file: &Path,
    beside: &Path,
) -> Map<String, serde_json::Value> {
    let mut rest = Map::new();
    let mut put = |key: &str, value: serde_json::Value| rest.insert(key.to_owned(), value);
    put("files", json!([file.display().to_string(), beside.display().to_string()]));
    put("scheme", json!(loaded.scheme.name()));
    put("prefix", json!(loaded.prefix));
    put("circuit", json!(imported.wiring.name()));
    put("d_model", json!(loaded.block.d_model));
    put("n_heads", json!(loaded.heads));
    put("selected", json!(loaded.selected));
    put("areas", json!(imported.areas));
    put("left_out", json!(imported.left_out));
    put("beside", json!(loaded.beyond.names()));
    put("dtypes", json!(loaded.dtypes));
    put("tensors", json!(imported.weights.iter().map(|(name, _)| name).collect::<Vec<_>>()));
    put("conditional", json!(!loaded.assumed.is_empty()));
    put("assumed", json!(loaded.assumed.iter().map(|a| &a.clause).collect::<Vec<_>>()));
    put("notes", json!(loaded.notes));
    put("overruled", json!(loaded.overruled));
    put("unused", json!(loaded.not_read));
    put("not_read", json!(loaded.not_read));
    put("ignored", json!(loaded.ignored));
    put("record", json!(loaded.record));
    kinds::object(loaded, &mut rest);
    rest
}

fn report(args: &Import, loaded: &Loaded, imported: &Imported, beside: &Path) -> String {
    let mut text = String::new();
    let (n, of) = (loaded.selected.len(), loaded.heads);
    let which = if n == of {
        format!("{n} head{}", if n == 1 { "" } else { "s" })
    } else {
        let list: Vec<String> = loaded.selected.iter().map(ToString::to_string).collect();
        format!("{} of {of} heads ({})", n, list.join(", "))
    };
    let layer = if loaded.prefix.is_empty() {
        String::new()
    } else {
        format!(", layer `{}`", loaded.prefix.trim_end_matches('.'))
    };
    let _ = writeln!(
        text,
        "{}: {which}, d_model {}, {} layout{layer}, {}",
        args.model.display(),
        loaded.block.d_model,
        loaded.scheme.name(),
        loaded.dtypes.join(" and "),
    );
    let _ = writeln!(text, "  {}", kinds::line(loaded));
    let more = loaded.beyond.names();
    if !more.is_empty() {
        let _ = writeln!(text, "  beside the heads: {}", more.join(", "));
    }
    said(&mut text, loaded);
    let areas = &imported.areas;
    let named = if areas.len() > 4 {
        format!("{} ... {}", areas[0], areas[areas.len() - 1])
    } else {
        areas.join(", ")
    };
    let _ = writeln!(
        text,
        "\nwrote {}: circuit `{}`, areas {named}",
        args.output.display(),
        imported.wiring.name()
    );
    let examples: Vec<&str> = imported.weights.iter().take(3).map(|(name, _)| name.as_str()).collect();
    if !imported.left_out.is_empty() {
        let list: Vec<String> = imported.left_out.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "left out, as they are zero whatever the tokens: heads {}", list.join(", "));
    }
    let _ = writeln!(
        text,
        "wrote {}: {} tensors, named like their projections ({}, ...)",
        beside.display(),
        imported.weights.len(),
        examples.join(", ")
    );
    recorded(&mut text, args, loaded);
    text
}

/// What was chosen where the file is silent, overruled, or left out.
fn said(text: &mut String, loaded: &Loaded) {
    for line in &loaded.assumed {
        let _ = writeln!(text, "  assumed: {line}");
    }
    for line in &loaded.notes {
        let _ = writeln!(text, "  {line}");
    }
    for line in &loaded.overruled {
        let _ = writeln!(text, "  overruled: {line}");
    }
    text.push_str(&check::unread(loaded));
}

/// How to compare with what the layer gives in PyTorch.
fn recorded(text: &mut String, args: &Import, loaded: &Loaded) {
    let Some((_, before)) = loaded.record.split_last() else { return };
    let more: Vec<&str> = if before.len() > 1 { vec![" --tokens context=context.npy"] } else { vec![] };
    let _ = writeln!(
        text,
        "\nto compare with the model itself, record what the layer reads and writes in PyTorch (after `import numpy`):"
    );
    for line in &loaded.record {
        let _ = writeln!(text, "  {line}");
    }
    let _ = writeln!(
        text,
        "  pulvinar check {} --tokens x.npy{} --outputs y.npy",
        args.output.display(),
        more.concat()
    );
}
