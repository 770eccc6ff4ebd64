//! Wrong calls of `check` and `import`.

use crate::binary::{json_in, run_in, text};
use crate::cli_check::{folder, import};
use crate::support::root;
use crate::weights::fixture;
use serde_json::Value;
use std::fs;

#[test]
fn wrong_calls_are_answered() {
    let dir = folder();
    let here = dir.path();
    let bert = fixture("bert.safetensors");
    let bert = text(&bert);
    import(here, "ok", &[bert, "--prefix", "encoder.layer.1", "--heads", "2"]);
    fs::copy(root().join("circuits/decoder.yaml"), here.join("decoder.yaml")).expect("copied");
    let digits = root().join("circuits/data/transformer/model.safetensors");
    let digits = text(&digits);
    fs::write(here.join("cut.safetensors"), &fs::read(bert).expect("there")[..200]).expect("written");
    fs::write(here.join("huge.safetensors"), [0xff; 64]).expect("written");
    fs::write(here.join("bad.yaml"), "schema: pulvinar/1\nname: [").expect("written");
    let layer = ["--prefix", "encoder.layer.1", "--heads", "2"];
    // arguments, exit code, code, part of the message
    let cases: &[(&[&str], i32, &str, &str)] = &[
        (&["import", "none.safetensors", "-o", "x.yaml"], 4, "F001", "none.safetensors"),
        (&["import", "cut.safetensors", "-o", "x.yaml"], 4, "F007", "cut.safetensors"),
        (&["import", "huge.safetensors", "-o", "x.yaml"], 4, "F007", "huge.safetensors"),
        (&["import", bert, "-o", "x.yaml"], 4, "F015", "--prefix"),
        (&["import", bert, "--prefix", "encoder.layer.1", "-o", "x.yaml"], 4, "F016", "--heads"),
        (
            &["import", bert, "--prefix", "encoder.layer.1", "--heads", "3", "-o", "x.yaml"],
            4,
            "F016",
            "divide",
        ),
        (
            &[
                "import",
                bert,
                "--prefix",
                "encoder.layer.1",
                "--heads",
                "2",
                "--select",
                "0,2",
                "-o",
                "x.yaml",
            ],
            4,
            "F015",
            "head 2",
        ),
        (&["import", bert, "--prefix", "encoder.layer.1", "--heads", "2", "-o", "x.txt"], 2, "U005", "x.txt"),
        (
            &[
                "import",
                bert,
                "--prefix",
                "encoder.layer.1",
                "--heads",
                "2",
                "--attention",
                "softmax",
                "--circuit",
                "key-value-memory",
                "-o",
                "x.yaml",
            ],
            4,
            "F012",
            "softmax",
        ),
        (&["import", "ok.weights.safetensors", "-o", "x.yaml"], 4, "F014", "H0_W_K"),
        (&["check", "ok.yaml", "--against", "none.safetensors"], 4, "F001", "none.safetensors"),
        (&["check", "ok.yaml", "--against", bert], 4, "F015", "--prefix"),
        (&["check", "none.yaml", "--against", bert], 4, "F001", "none.yaml"),
        (&["check", "bad.yaml", "--against", bert], 3, "Y003", "bad.yaml"),
        (&["check", "ok.yaml"], 2, "U005", "--against"),
        (&["check", "ok.yaml", "--against", bert, "--tolerance", "-1"], 2, "U005", "tolerance"),
        (
            &["check", "ok.yaml", "--against", digits, layer[0], layer[1], layer[2], layer[3]],
            1,
            "R004",
            "wide",
        ),
        (
            &[
                "check",
                "decoder.yaml",
                "--against",
                bert,
                "--block",
                "9",
                layer[0],
                layer[1],
                layer[2],
                layer[3],
            ],
            2,
            "U005",
            "2 blocks",
        ),
        (
            &[
                "check",
                "ok.yaml",
                "--against",
                bert,
                "--tokens",
                "none.csv",
                layer[0],
                layer[1],
                layer[2],
                layer[3],
            ],
            4,
            "F001",
            "none.csv",
        ),
    ];
    for (args, code, name, says) in cases {
        let ran = run_in(here, args);
        assert_eq!(ran.code, *code, "{}: {}{}", ran.line, ran.stdout, ran.stderr);
        if *name != "U005" {
            assert!(ran.stderr.contains(name), "{}: {}", ran.line, ran.stderr);
        }
        assert!(ran.stderr.contains(says), "{}: {}", ran.line, ran.stderr);
        assert!(ran.stdout.is_empty(), "{}: {}", ran.line, ran.stdout);
        let (json_code, object) = json_in(here, args);
        assert_eq!(
            (json_code, &object["diagnostics"][0]["code"]),
            (*code, &Value::from(*name)),
            "{}",
            ran.line
        );
        assert!(
            !here.join("x.yaml").exists() && !here.join("x.weights.safetensors").exists(),
            "{}",
            ran.line
        );
    }
}
