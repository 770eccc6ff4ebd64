//! `pulvinar figures [NAME...]`: draws figures and the tables behind them, or compares them with those in the folder.

use super::args::{Figures as Args, Image};
use super::load;
use super::progress::Bar;
use super::report::{Failure, Outcome, Reporter};
use pulvinar::diag::{Diagnostic, codes, did_you_mean};
use pulvinar::files::{Claim, Stage, atomic_write};
use pulvinar_lab::figures::canvas::svg::Fonts;
use pulvinar_lab::figures::catalogue::{ALL, Entry, Group, Making};
use pulvinar_lab::figures::sheet::Figure;
use pulvinar_lab::figures::{compare, page, plot, table};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// Exit code when figures differ.
const DIFFERS: u8 = 1;
/// Differences that are listed of one file.
const LISTED: usize = 12;
/// The page beside the figures.
const PAGE: &str = "README.md";

pub fn run(args: &Args, out: &Reporter) -> Outcome {
    let chosen = chosen(&args.names)?;
    if args.list {
        list(&chosen, out);
        return Ok(0);
    }
    load::use_threads(args.threads);
    let drawn = made(args, &chosen, out)?;
    let mut all = Vec::new();
    if args.check {
        for (entry, figure) in &drawn {
            all.push(check(args, entry, figure)?);
        }
    }
    // The page is about all figures as they are kept.
    let pairs: Vec<(&Entry, &Figure)> =
        drawn.iter().filter(|(e, _)| !e.stands_apart()).map(|(e, f)| (*e, f)).collect();
    let is_whole = args.names.is_empty() && !args.full && args.image == Image::Svg && !pairs.is_empty();
    let page = is_whole.then(|| page::page(&pairs));
    let mut of_page = Vec::new();
    if let (true, Some(text)) = (args.check, &page) {
        of_page = against(&args.output.join(PAGE), |kept| compare::pages(text, kept));
    }
    if !args.check {
        // A picture never stands beside another run's numbers.
        let claim = Claim::waiting(&args.output)?;
        let stage = claim.begin()?;
        for (entry, figure) in &drawn {
            all.push(write(args, &stage, entry, figure)?);
        }
        if let Some(text) = &page {
            save(&stage.path(PAGE), text.as_bytes())?;
        }
        stage.commit(None, &[])?;
    }
    let ok = of_page.is_empty() && all.iter().all(|d| d.differences.is_empty());
    if out.json {
        let figures: Vec<Value> = all.iter().map(Done::json).collect();
        let mut rest = Map::new();
        rest.insert("figures".to_owned(), json!(figures));
        rest.insert("differences".to_owned(), json!(of_page));
        out.object("figures", ok, rest);
    } else {
        out.result(&text(args, &all, &of_page, is_whole));
    }
    Ok(if ok { 0 } else { DIFFERS })
}

/// Entries by name or group, in the order of the list; all without names.
fn chosen(names: &[String]) -> Result<Vec<&'static Entry>, Failure> {
    let groups = Group::ALL.map(Group::name);
    for name in names {
        if !groups.contains(&name.as_str()) && !ALL.iter().any(|e| e.name == name) {
            let all: Vec<&str> = ALL.iter().map(|e| e.name).chain(groups).collect();
            return Err(Diagnostic::error(codes::U005, "", format!("no figure or group `{name}`"))
                .help(format!("{}; `pulvinar figures --list`", did_you_mean(name, all)))
                .into());
        }
    }
    let is_meant = |e: &&Entry| names.iter().any(|n| n == e.name || n == e.group.name());
    Ok(ALL.iter().filter(|e| names.is_empty() || is_meant(e)).collect())
}

fn list(chosen: &[&Entry], out: &Reporter) {
    let state = |e: &Entry| if e.absent().is_some() { "absent" } else { "drawn" };
    if out.json {
        let of = |e: &&Entry| {
            let group = e.group.name();
            json!({"name": e.name, "group": group, "state": state(e), "about": e.about, "absent": e.absent()})
        };
        let mut rest = Map::new();
        rest.insert("figures".to_owned(), chosen.iter().map(of).collect());
        out.object("figures", true, rest);
        return;
    }
    let long = chosen.iter().map(|e| e.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for e in chosen {
        let _ = write!(text, "{:<long$}  {:<17}  {:<7}  {}", e.name, e.group.name(), state(e), e.about);
        let _ = match e.absent() {
            Some(why) => writeln!(text, "; {why}"),
            None => writeln!(text),
        };
    }
    out.result(&text);
}

/// Makes the figures that can be made.
fn made(
    args: &Args,
    chosen: &[&'static Entry],
    out: &Reporter,
) -> Result<Vec<(&'static Entry, Figure)>, Failure> {
    if !args.circuits.is_dir() {
        let what = format!("no folder `{}` with the circuits of the figures", args.circuits.display());
        let help = "run it where the project lies, or name its folder: --circuits DIR";
        return Err(Diagnostic::error(codes::F001, "", what).help(help).into());
    }
    // What this machine has no files for is made where it is named, and says why it cannot be.
    let is_named = |e: &Entry| args.names.iter().any(|n| n == e.name);
    let mut all = Vec::new();
    for entry in chosen.iter().filter(|e| is_named(e) || e.absent().is_none()) {
        let bar = Bar::new(out, entry.name);
        let making = Making { circuits: &args.circuits, full: args.full, progress: &bar };
        let figure = (entry.make)(&making);
        bar.end();
        all.push((*entry, figure?));
    }
    Ok(all)
}

/// What became of one figure.
struct Done {
    entry: &'static Entry,
    files: Vec<String>,
    differences: Vec<String>,
}

impl Done {
    fn json(&self) -> Value {
        json!({
            "name": self.entry.name,
            "group": self.entry.group.name(),
            "files": self.files,
            "ok": self.differences.is_empty(),
            "differences": self.differences,
        })
    }
}

fn undrawn(name: &str, e: &str) -> Failure {
    Diagnostic::error(codes::F004, "", format!("`{name}` could not be drawn: {e}")).into()
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    Ok(atomic_write(path, |sink| sink.write_all(bytes))?)
}

fn write(args: &Args, stage: &Stage<'_>, entry: &'static Entry, figure: &Figure) -> Result<Done, Failure> {
    let (name, picture) = (entry.name, plot::picture(figure));
    let (end, bytes) = match args.image {
        Image::Svg => ("svg", picture.svg("mm", Fonts::Inside).map(String::into_bytes)),
        Image::Png => ("png", picture.png(args.dpi)),
    };
    let files = vec![format!("{name}.{end}"), format!("{name}.csv")];
    save(&stage.path(&files[0]), &bytes.map_err(|e| undrawn(name, &e))?)?;
    save(&stage.path(&files[1]), table::csv(figure).as_bytes())?;
    Ok(Done { entry, files, differences: Vec::new() })
}

/// Compares with what is in the folder.
fn check(args: &Args, entry: &'static Entry, figure: &Figure) -> Result<Done, Failure> {
    let name = entry.name;
    let files = vec![format!("{name}.svg"), format!("{name}.csv")];
    let svg = plot::picture(figure).svg("mm", Fonts::Inside).map_err(|e| undrawn(name, &e))?;
    let numbers = table::csv(figure);
    let mut differences =
        against(&args.output.join(&files[1]), |kept| compare::tables(&numbers, kept, figure.tolerance));
    differences.extend(against(&args.output.join(&files[0]), |kept| compare::drawings(&svg, kept)));
    Ok(Done { entry, files, differences })
}

/// Differences to a kept file, each with its name.
fn against(path: &Path, differences: impl FnOnce(&str) -> Vec<String>) -> Vec<String> {
    let name = path.display();
    match std::fs::read_to_string(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => vec![format!("{name} is not there")],
        Err(e) => vec![format!("{name} cannot be read: {e}")],
        Ok(kept) => {
            let all = differences(&kept.replace("\r\n", "\n"));
            let more = all.len().saturating_sub(LISTED);
            let mut lines: Vec<String> = all.iter().take(LISTED).map(|d| format!("{name}: {d}")).collect();
            if more > 0 {
                lines.push(format!("{name}: {more} further differences"));
            }
            lines
        }
    }
}

fn text(args: &Args, all: &[Done], of_page: &[String], is_whole: bool) -> String {
    let mut text = String::new();
    if args.check {
        for d in all {
            let _ = writeln!(
                text,
                "{}: {}",
                d.entry.name,
                if d.differences.is_empty() { "same" } else { "differs" }
            );
        }
        for line in all.iter().flat_map(|d| &d.differences).chain(of_page) {
            let _ = writeln!(text, "  {line}");
        }
        return text;
    }
    for d in all {
        let _ = writeln!(text, "{}: {}", d.entry.name, d.files.join(", "));
    }
    let page = if is_whole { format!(", and {PAGE}") } else { String::new() };
    let _ = writeln!(
        text,
        "wrote {} figure{}{page} to {}",
        all.len(),
        if all.len() == 1 { "" } else { "s" },
        args.output.display()
    );
    text
}
