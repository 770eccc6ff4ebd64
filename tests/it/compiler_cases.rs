//! Circuits that were once answered wrongly, each with its right value or refusal.

use crate::binary::{run as run_program, text};
use crate::support::{from_text, load, oracle_output, relative, root};
use nalgebra::DMatrix;
use pulvinar::attention::equivalence::{Wish, compare};
use pulvinar::attention::{Block, Residual};
use pulvinar::circuit::Circuit;
use pulvinar::compile::{Compiled, compile};
use pulvinar::simulate::cells::{Cause, Divisions, End, Settings, divisions, run as run_cells};
use pulvinar::simulate::{inputs, run};
use pulvinar::spec::Document;
use std::collections::BTreeMap;

fn case(name: &str) -> (Document, Circuit) {
    load(&root().join("tests/cases/compiler").join(format!("{name}.yaml")))
}

fn compiled(name: &str) -> (Document, Circuit, Compiled) {
    let (document, circuit) = case(name);
    let compiled = compile(&circuit).unwrap_or_else(|d| panic!("{name}: {d}"));
    (document, circuit, compiled)
}

#[test]
fn a_rectified_output_is_refused() {
    for (name, relay) in [("part_output", "HO"), ("part_output_pair", "HO")] {
        let (document, circuit) = case(name);
        let d = compile(&circuit).expect_err(name);
        assert_eq!((d.code, d.path.as_str()), ("N013", format!("thalamus.{relay}").as_str()), "{name}: {d}");
        // What it would have to be is what the cells give.
        let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
        let cells = oracle_output(&circuit, &tokens);
        if name == "part_output" {
            assert_eq!(cells.as_slice(), [0.0, 1.0]);
        }
    }
}

#[test]
fn cells_and_heads_divide_alike() {
    for (name, population) in [("divide_value_by_zero_total", "A.d"), ("dead_division", "A.x")] {
        let (document, circuit, _) = compiled(name);
        let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
        let d = divisions(&circuit, &tokens).expect_err(name);
        assert!(d.code == "R001" && d.message.contains(&format!("`{population}` diverged")), "{name}: {d}");
        assert_eq!(d.path, format!("areas.A.populations.{}", &population[2..]), "{name}");
        let ran = run_cells(&circuit, &tokens, &Settings::default()).expect("fits");
        let End::Diverged { population: at, cause, .. } = ran.end else { panic!("{name}: {:?}", ran.end) };
        assert_eq!((at.as_str(), cause), (population, Cause::DividedByZero), "{name}");
    }
}

#[test]
fn divisors_that_are_never_zero_cost_nothing() {
    for file in crate::support::shipped() {
        let (_, circuit) = load(&file);
        let doubtful = pulvinar::simulate::cells::doubtful(&circuit);
        let names: Vec<&str> = doubtful.iter().map(|id| circuit.population(*id).name.as_str()).collect();
        assert!(names.is_empty(), "{}: {names:?}", file.display());
    }
}

#[test]
fn a_divisor_that_may_be_zero_is_looked_at() {
    let (document, circuit, compiled) = compiled("order_a");
    let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
    assert_eq!(divisions(&circuit, &tokens), Ok(Divisions::Sound));
    // q k = 0 and v = 0: 0/0 is 0 in both
    let zero: BTreeMap<String, DMatrix<f64>> = [("main".to_owned(), DMatrix::zeros(2, 3))].into();
    assert_eq!(divisions(&circuit, &zero), Ok(Divisions::Sound));
    assert!(run::<f64>(&compiled.plain_blocks(), &zero).expect("0/0").output.iter().all(|x| *x == 0.0));
    let many: BTreeMap<String, DMatrix<f64>> =
        [("main".to_owned(), DMatrix::from_element(2, 4000, 1.0))].into();
    assert_eq!(divisions(&circuit, &many), Ok(Divisions::Unchecked));
}

#[test]
fn one_circuit_in_three_orders_is_one_head() {
    for name in ["order_a", "order_b", "order_c"] {
        let (document, circuit, compiled) = compiled(name);
        let heads: Vec<usize> = compiled.blocks.iter().map(|b| b.heads.len()).collect();
        assert_eq!(heads, [1], "{name}");
        let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
        let got = run::<f64>(&compiled.plain_blocks(), &tokens).expect("runs").output;
        assert!((got - oracle_output(&circuit, &tokens)).amax() < 1e-15, "{name}");
    }
}

fn wish() -> Wish {
    Wish { tolerance: 1e-9, inputs: Vec::new(), exact: false, seed: 0 }
}

#[test]
fn small_heads_do_not_hide_behind_a_residual() {
    let block = |name: &str| compiled(name).2.plain_blocks().remove(0);
    let (a, b) = (block("tiny_heads_a"), block("tiny_heads_b"));
    let found = compare(&a, &b, &wish()).expect("same tokens");
    assert!(!found.equivalent && (found.relative_distance - 4.0).abs() < 1e-6, "{}", found.relative_distance);
    assert!(compare(&a, &a, &wish()).expect("same tokens").equivalent);
}

/// Blocks whose parts are of very different size: a change of the smaller part is seen, whichever it is.
#[test]
fn heads_residual_and_bias_are_each_compared_by_their_own_size() {
    let base = compiled("tiny_heads_a").2.plain_blocks().remove(0);
    let with = |heads: f64, residual: f64, bias: f64| {
        let mut block = base.clone();
        block.heads[0].w_o.fill(heads);
        block.residual =
            vec![Residual { stream: "main".into(), matrix: DMatrix::from_element(1, 1, residual) }];
        block.b_o.fill(bias);
        block
    };
    let feature = |block: &Block| {
        let mut block = block.clone();
        let map = pulvinar::attention::FeatureMap::EluPlusOne;
        block.heads[0].kernel = pulvinar::attention::Kernel::Feature { key: map, query: map };
        block
    };
    let rows: &[(&str, [f64; 3], [f64; 3], bool)] = &[
        ("equal", [1e150, 1.0, 1e-20], [1e150, 1.0, 1e-20], true),
        ("a residual beside heads of 1e150", [1e150, 1.0, 0.0], [1e150, 1.5, 0.0], false),
        ("a bias beside a residual of 1e30", [0.0, 1e30, 1.0], [0.0, 1e30, 2.0], false),
        ("a bias beside heads", [1e30, 0.0, 1.0], [1e30, 0.0, -1.0], false),
        ("heads of 1e-100", [1e-100, 1.0, 1.0], [2e-100, 1.0, 1.0], false),
        ("a residual that is not there", [1.0, 1e-40, 0.0], [1.0, 0.0, 0.0], false),
        ("rounding", [1.0, 1.0, 1.0], [1.0 + 4e-16, 1.0 - 2e-16, 1.0 + 2e-16], true),
    ];
    for (claim, a, b, want) in rows {
        let (a, b) = (with(a[0], a[1], a[2]), with(b[0], b[1], b[2]));
        let found = compare(&a, &b, &wish()).unwrap_or_else(|e| panic!("{claim}: {e}"));
        assert_eq!(found.equivalent, *want, "{claim}: {}", found.relative_distance);
    }
    // The same where only running decides.
    for (claim, a, b, want) in rows.iter().filter(|(_, a, ..)| a[0] < 1e100) {
        let (a, b) = (feature(&with(a[0], a[1], a[2])), feature(&with(b[0], b[1], b[2])));
        let found = compare(&a, &b, &wish()).unwrap_or_else(|e| panic!("{claim}: {e}"));
        assert_eq!(found.equivalent, *want, "feature heads, {claim}: {}", found.relative_distance);
    }
}

#[test]
fn heads_of_equal_output_weights_say_where_each_came_from() {
    let (_, circuit, compiled) = compiled("provenance");
    let of = |ids: &[u32]| -> Vec<&str> {
        ids.iter().map(|p| circuit.projections[*p as usize].name.as_str()).collect()
    };
    let heads = &compiled.blocks[0].heads;
    assert_eq!(heads.len(), 2);
    for (n, (h, area)) in heads.iter().zip(["A1", "B1"]).enumerate() {
        let name = |x: &str| format!("{x}{}", n + 1);
        assert_eq!(h.head.area, area);
        for (ids, letter) in
            [(&h.query, "q"), (&h.key, "k"), (&h.value, "v"), (&h.output, "o"), (&h.lateral, "a")]
        {
            assert_eq!(of(ids), [name(letter)], "head {n}, {letter}");
        }
    }
}

#[test]
fn plus_minus_forms_are_verified_before_they_are_printed() {
    let path = |name: &str| root().join("tests/cases/compiler").join(format!("{name}.yaml"));
    // Halves cancel to rounding, relative to what was added up: the form compiles to the circuit.
    let ran = run_program(&["compile", text(&path("dale_rounding")), "--dale"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let (_, plus_minus) = from_text(&ran.stdout).unwrap_or_else(|e| panic!("{e}"));
    let (document, _, signed) = compiled("dale_rounding");
    let again = compile(&plus_minus).unwrap_or_else(|d| panic!("{d}"));
    let tokens = inputs(&plus_minus, &document.folder, &BTreeMap::new()).expect("tokens");
    let output =
        |c: &Compiled| run::<f64>(&c.plain_blocks(), &tokens).unwrap_or_else(|d| panic!("{d}")).output;
    let error = relative(&output(&again), &output(&signed));
    assert!(error < 1e-14 && output(&signed).amax() > 1.0, "{error:e}");
    // What `compile` refuses, `--dale` refuses with the same words.
    for name in ["tonic_only", "part_output"] {
        let file = path(name);
        let (plain, dale) =
            (run_program(&["compile", text(&file)]), run_program(&["compile", text(&file), "--dale"]));
        assert_eq!((dale.code, dale.stdout.as_str()), (plain.code, ""), "{name}");
        assert!(plain.code != 0 && dale.stderr == plain.stderr, "{name}: {}", dale.stderr);
    }
}
