//! `pulvinar figures`: lists, draws the same bytes twice, and sees what was changed.

use crate::binary::{command, finish, run_in};
use crate::support::root;
use pulvinar::files::csv::split;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The command with the project's circuits, in a folder of its own.
fn figures(folder: &Path, words: &[&str]) -> crate::binary::Ran {
    let circuits = root().join("circuits").to_string_lossy().into_owned();
    let mut all = vec!["figures", "--circuits", &circuits];
    all.extend(words);
    run_in(folder, &all)
}

#[test]
fn figures_are_listed_by_name_and_group() {
    let dir = tempfile::tempdir().expect("a folder");
    let all = run_in(dir.path(), &["figures", "--list"]);
    assert_eq!(all.code, 0, "{}", all.stderr);
    let line = all.stdout.lines().find(|l| l.starts_with("identity ")).expect("identity");
    assert!(line.contains("cortico-thalamic") && line.contains("drawn"), "{line}");
    let group = run_in(dir.path(), &["figures", "--list", "--format", "json", "cortico-thalamic"]);
    let object: Value = serde_json::from_str(&group.stdout).expect("JSON");
    assert_eq!(object["schema"], "pulvinar.figures/1");
    let own = object["figures"].as_array().expect("a list");
    assert!(!own.is_empty() && own.iter().all(|f| f["group"] == "cortico-thalamic"), "{object}");
}

#[test]
fn wrong_names_and_folders_are_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let name = figures(dir.path(), &["identiti"]);
    assert_eq!(name.code, 2, "{}", name.stdout);
    assert!(name.stderr.contains("did you mean `identity`?"), "{}", name.stderr);
    let folder = run_in(dir.path(), &["figures", "identity"]);
    assert_eq!(folder.code, 4);
    assert!(
        folder.stderr.contains("`circuits`") && folder.stderr.contains("--circuits DIR"),
        "{}",
        folder.stderr
    );
    assert!(!dir.path().join("figures").exists(), "nothing was written");
}

#[test]
fn a_figure_is_the_same_twice_and_changes_are_seen() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("one")).expect("a folder");
    fs::write(dir.path().join("one/kept.txt"), "mine").expect("written");
    let drawn = figures(dir.path(), &["identity", "-o", "one", "--format", "json", "--threads", "1"]);
    assert_eq!(drawn.code, 0, "{}", drawn.stderr);
    let object: Value = serde_json::from_str(&drawn.stdout).expect("JSON");
    assert_eq!(object["figures"][0]["files"], serde_json::json!(["identity.svg", "identity.csv"]));
    assert_eq!(figures(dir.path(), &["identity", "-o", "two", "--threads", "2"]).code, 0);
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect("written");
    for end in ["svg", "csv"] {
        assert!(read(&format!("one/identity.{end}")) == read(&format!("two/identity.{end}")), "{end}");
    }
    assert_eq!(read("one/kept.txt"), "mine");
    assert!(!dir.path().join("one/README.md").exists(), "the page is about all figures");
    let check = |folder: &str| figures(dir.path(), &["identity", "-o", folder, "--check"]);
    let same = check("one");
    assert_eq!((same.code, same.stdout.trim()), (0, "identity: same"));

    // One number, beyond what the figure allows.
    let table = read("one/identity.csv");
    let row = table.lines().nth(40).expect("rows");
    let cells: Vec<&str> = row.split(',').collect();
    // The name of the series holds a comma.
    let x: f64 = cells[4].parse().expect("a number");
    let other = format!("{}", x + 1e-3);
    let changed: Vec<&str> =
        cells.iter().enumerate().map(|(k, c)| if k == 4 { &other } else { *c }).collect();
    let changed = changed.join(",");
    fs::write(dir.path().join("one/identity.csv"), table.replacen(row, &changed, 1)).expect("written");
    let differs = check("one");
    assert_eq!(differs.code, 1, "{}", differs.stdout);
    assert!(differs.stdout.contains("identity.csv: line 41, y: "), "{}", differs.stdout);

    // One word.
    let picture = read("two/identity.svg");
    fs::write(
        dir.path().join("two/identity.svg"),
        picture.replacen("settled rate of a deep cell", "settled rate of a cell", 1),
    )
    .expect("written");
    let differs = check("two");
    assert_eq!(differs.code, 1, "{}", differs.stdout);
    assert!(differs.stdout.contains("identity.svg: element "), "{}", differs.stdout);
    fs::remove_file(dir.path().join("two/identity.csv")).expect("removed");
    assert!(check("two").stdout.contains("identity.csv is not there"));
}

#[test]
fn png_has_the_size_that_it_says() {
    let dir = tempfile::tempdir().expect("a folder");
    let drawn = figures(dir.path(), &["identity", "-o", "p", "--image", "png", "--dpi", "72"]);
    assert_eq!(drawn.code, 0, "{}", drawn.stderr);
    let bytes = fs::read(dir.path().join("p/identity.png")).expect("written");
    let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().expect("a PNG");
    let info = reader.info();
    // 180 mm at 72 dots per inch.
    assert_eq!(info.width, 510);
    assert_eq!(info.pixel_dims.expect("dots per metre").xppu, 2835);
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    reader.next_frame(&mut pixels).expect("whole");
    let dark = pixels.chunks(3).filter(|p| p.iter().all(|c| *c < 90)).count();
    assert!(dark > 200 && dark < pixels.len() / 10, "{dark} dark pixels: letters and lines on white");
}

/// Whoever drew them, and on whatever machine.
#[test]
fn no_words_of_kept_figures_touch_or_are_cut() {
    let mut seen = 0;
    for entry in fs::read_dir(root().join("figures")).expect("figures/ is there") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|e| e == "svg") {
            let svg = fs::read_to_string(&path).expect("UTF-8");
            crate::cells_picture::check(&svg, &path.display().to_string());
            seen += 1;
        }
    }
    assert!(seen >= 2, "{seen} figures");
}

/// All kept figures and their page in release; without optimisation, one.
#[test]
fn kept_figures_are_those_that_are_drawn() {
    let kept = root().join("figures").to_string_lossy().into_owned();
    let mut words = vec!["-o", kept.as_str(), "--check"];
    if cfg!(debug_assertions) {
        words.push("identity");
    }
    let dir = tempfile::tempdir().expect("a folder");
    let check = figures(dir.path(), &words);
    assert_eq!(check.code, 0, "{}{}", check.stdout, check.stderr);
}

/// Every figure that can be drawn is kept, with its numbers, and is on the page.
#[test]
fn all_figures_are_kept() {
    let page = fs::read_to_string(root().join("figures/README.md")).expect("the page");
    let dir = tempfile::tempdir().expect("a folder");
    let all = run_in(dir.path(), &["figures", "--list", "--format", "json"]);
    let object: Value = serde_json::from_str(&all.stdout).expect("JSON");
    let names: Vec<&str> =
        object["figures"].as_array().expect("a list").iter().filter_map(|f| f["name"].as_str()).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names.iter().filter(|n| !n.ends_with("-minilm")) {
        assert!(page.contains(&format!("({name}.svg)")), "{name} is on the page");
        for end in ["svg", "csv"] {
            assert!(root().join(format!("figures/{name}.{end}")).is_file(), "{name}.{end} is kept");
        }
    }
}

/// The weights of all-MiniLM-L6-v2 are no part of the repository.
#[test]
fn a_figure_whose_files_are_not_there_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let circuits = root().join("circuits").to_string_lossy().into_owned();
    let run = |words: &[&str]| {
        let mut all = vec!["figures", "--circuits", &circuits];
        all.extend(words);
        finish(command(dir.path(), &all).env_remove("PULVINAR_REAL_WEIGHTS"), &all)
    };
    let listed = run(&["--list"]).stdout;
    let line = listed.lines().find(|l| l.starts_with("softmax-inhibition-minilm ")).expect("listed");
    assert!(line.contains("absent") && line.contains("PULVINAR_REAL_WEIGHTS is not set"), "{line}");
    let named = run(&["softmax-inhibition-minilm"]);
    assert_eq!(named.code, 4, "{}", named.stderr);
    assert!(named.stderr.contains("F001") && named.stderr.contains("minilm.py"), "{}", named.stderr);
}

/// Points of a kept figure: panel, series, what stands at x, y and half its error bar.
fn points(name: &str) -> Vec<(String, String, String, f64, f64)> {
    let text = fs::read_to_string(root().join(format!("figures/{name}.csv"))).expect("kept");
    let rows = text.lines().skip(1).map(|line| split(line).expect("quotes close"));
    let number = |cell: &str| cell.parse().unwrap_or(f64::NAN);
    rows.map(|r| {
        let half = (number(&r[6]) - number(&r[5])) / 2.0;
        (r[0].to_string(), r[1].to_string(), r[2].to_string(), number(&r[3]), half)
    })
    .collect()
}

/// What docs/match-and-control.md says is what its figures show.
#[test]
fn measured_numbers_of_the_document_are_those_of_the_figures() {
    let text = fs::read_to_string(root().join("docs/match-and-control.md")).expect("a document");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let says = |words: String| assert!(text.contains(&words), "the document has not: {words}");

    let line: Vec<_> = points("spine-delay").into_iter().filter(|p| p.1 == "least-squares line").collect();
    let place = |p: &(String, String, String, f64, f64)| p.2.parse::<f64>().expect("a distance");
    says(format!("{:.5} ms/um, correlation", (line[1].3 - line[0].3) / (place(&line[1]) - place(&line[0]))));

    let areas: Vec<f64> =
        points("matching").iter().filter(|p| p.0 == "F" && p.1 == "closed form").map(|p| p.3).collect();
    let [half, one, two, jitter, more] = areas[..] else { panic!("{areas:?}") };
    says(format!("| {half:.3}, {one:.3}, {two:.3}; {jitter:.3}, {more:.3} |"));

    let gains = points("attention-kernel");
    let gain = |panel: &str, series: &str, kernel: &str| {
        let found = gains.iter().find(|p| (&*p.0, &*p.1, &*p.2) == (panel, series, kernel));
        found.map(|p| (p.3, p.4)).unwrap_or_else(|| panic!("{panel} {series} {kernel}"))
    };
    let shown = |panel: &str, kernel: &str| {
        let (y, se) = gain(panel, "closed form", kernel);
        format!("{y:.3} +- {se:.3}")
    };
    let [softmax, power, linear] = ["softmax", "power", "linear"].map(|k| shown("B", k));
    says(format!("softmax {softmax}, a power {power}, linear {linear}"));
    let [softmax, power, linear] = ["softmax", "power", "linear"].map(|k| shown("D", k));
    says(format!("a power (exponent 5.7) {power}, softmax {softmax}, linear {linear}"));
    let [power, softmax, linear] = ["power", "softmax", "linear"].map(|k| gain("D", "cable", k).0);
    says(format!("({power:.2}, {softmax:.2}, {linear:.2}; 32 trials"));
}
