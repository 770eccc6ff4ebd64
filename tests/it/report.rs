//! `report.html`: one page that opens from disk, loads nothing, and shows the numbers of its run.

use crate::binary::{json_in, run_in};
use crate::support::root;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

fn circuit(name: &str) -> String {
    root().join(format!("circuits/{name}.yaml")).to_string_lossy().into_owned()
}

/// Runs into a folder and reads its page.
fn page(folder: &Path, words: &[&str]) -> String {
    let mut all = words.to_vec();
    all.extend(["-o", "run"]);
    let (code, object) = json_in(folder, &all);
    assert_eq!(code, 0, "{object}");
    let files = object["files"].as_array().expect("files");
    assert!(files.iter().any(|f| f == "report.html"), "{object}");
    let manifest = fs::read_to_string(folder.join("run/manifest.json")).expect("written");
    assert!(manifest.contains("\"report.html\""), "{manifest}");
    fs::read_to_string(folder.join("run/report.html")).expect("written")
}

/// Nothing is loaded, no scripts, and every tag is closed in the order in which it was opened.
fn check(html: &str) {
    for word in
        ["src=\"http", "href=\"http", "url(http", "url(//", "src=\"//", "@import", "<script", "<link rel=\"s"]
    {
        assert!(!html.contains(word), "{word}");
    }
    let mut open: Vec<&str> = Vec::new();
    for part in html.split('<').skip(1) {
        let (inside, _) = part.split_once('>').unwrap_or_else(|| panic!("a tag without an end: {part:.60}"));
        let name = inside.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap_or_default();
        if inside.starts_with('!') || inside.ends_with('/') || matches!(name, "meta" | "link") {
            continue;
        }
        if inside.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "closed in the order of opening");
        } else {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
    for (at, _) in html.match_indices('&') {
        let known = ["&lt;", "&gt;", "&amp;", "&quot;", "&apos;", "&#39;"];
        assert!(known.iter().any(|k| html[at..].starts_with(k)), "{:.40}", &html[at..]);
    }
}

#[test]
fn a_run_of_heads_has_its_page() {
    let dir = tempfile::tempdir().expect("a folder");
    let html = page(dir.path(), &["simulate", &circuit("two_heads_by_blocks")]);
    check(&html);
    let manifest: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(dir.path().join("run/manifest.json")).expect("written"))
            .expect("JSON");
    assert!(html.contains(manifest["output_sha256"].as_str().expect("a hash")), "the hash of the output");
    assert!(html.contains("<h2>Circuit</h2>") && html.contains("<h2>Compiled heads</h2>"));
    // The strengths of the table are those that `compile` prints.
    let (_, compiled) = json_in(dir.path(), &["compile", &circuit("two_heads_by_blocks")]);
    for head in compiled["blocks"][0]["heads"].as_array().expect("heads") {
        let strength = format!(">{:.4}<", head["strength"].as_f64().expect("a number"));
        assert!(html.contains(&strength), "{strength}");
    }
    assert!(html.contains("head 0") && html.contains("head 1"), "a map for each head");
}

#[test]
fn a_run_of_cells_shows_how_near_it_came() {
    let dir = tempfile::tempdir().expect("a folder");
    let html = page(dir.path(), &["simulate", &circuit("one_head_attention_mask"), "--mode", "cells"]);
    check(&html);
    assert!(html.contains("<h2>Cells in time</h2>") && html.contains("distance to the compiled heads"));
    assert!(html.contains("the compiled heads differ by"), "agreement in words");
    assert!(html.contains("largest difference to the compiled heads, relative"));
}

#[test]
fn a_training_shows_its_curve() {
    let dir = tempfile::tempdir().expect("a folder");
    let html = page(dir.path(), &["train", &circuit("learn_oja"), "--steps", "20"]);
    check(&html);
    let metrics = fs::read_to_string(dir.path().join("run/metrics.csv")).expect("written");
    assert!(metrics.lines().count() > 2);
    assert!(html.contains("<h2>Learning</h2>") && html.contains("held out"));
    let manifest = fs::read_to_string(dir.path().join("run/manifest.json")).expect("written");
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
    let loss = manifest["held_out_loss"].as_f64().expect("a number");
    assert!(html.contains(&format!(">{loss:.6} (standard error ")), "{loss}");
}

#[test]
fn names_of_users_stay_words() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = fs::read_to_string(circuit("one_microcolumn")).expect("there");
    let text = text.replace(
        "description: Four pyramidal cells per pair of tokens, the smallest attention head.",
        "description: \"<img src=x onerror=alert(1)> & </svg><b>\"",
    );
    fs::write(dir.path().join("bad.yaml"), &text).expect("written");
    let html = page(dir.path(), &["simulate", "bad.yaml"]);
    check(&html);
    assert!(!html.contains("<img") && html.contains("&lt;img src=x onerror=alert(1)&gt; &amp; &lt;/svg&gt;"));
}

/// A browser on this machine.
fn browser() -> String {
    let named = std::env::var("CHROME").ok();
    let known = ["chromium", "chromium-browser", "google-chrome", "chrome"].map(str::to_owned);
    let runs = |name: &String| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
    named
        .into_iter()
        .chain(known)
        .find(runs)
        .expect("chromium, google-chrome or another one named by $CHROME")
}

#[test]
#[ignore = "needs a browser: cargo test --release --test it a_browser -- --ignored"]
fn a_browser_opens_the_page_from_disk() {
    let browser = browser();
    let dir = tempfile::tempdir().expect("a folder");
    let ran = run_in(
        dir.path(),
        &["simulate", &circuit("one_head_attention_mask"), "--mode", "cells", "-o", "run"],
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let url = format!("file://{}", dir.path().join("run/report.html").display());
    let profile = format!("--user-data-dir={}", dir.path().join("profile").display());
    let flags =
        ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0", "--dump-dom"];
    let (out, err) = (dir.path().join("dom.html"), dir.path().join("log.txt"));
    let mut child = Command::new(&browser)
        .args(flags)
        .args([&profile, &url])
        .stdout(fs::File::create(&out).expect("a file"))
        .stderr(fs::File::create(&err).expect("a file"))
        .spawn()
        .expect("the browser runs");
    let until = Instant::now() + Duration::from_secs(60);
    let status = loop {
        if let Some(status) = child.try_wait().expect("a status") {
            break status;
        }
        if Instant::now() > until {
            child.kill().expect("killed");
            panic!("`{browser}` does not answer; name another browser with $CHROME");
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let read = |path| String::from_utf8_lossy(&fs::read(path).expect("written")).into_owned();
    let (dom, log) = (read(out), read(err));
    assert!(status.success(), "{log}");
    assert!(dom.contains("<svg") && dom.contains("Compiled heads"), "{dom:.400}");
    assert!(!log.contains(":CONSOLE"), "{log}");
}
