//! What experiments find beyond their laws: rules named from recalls, and converged memories by every criterion.

use crate::experiments::{entry, number, ran, setup, text};
use pulvinar_lab::experiments::find;

/// An observer that was tuned on other circuits: 200 new ones, of another seed.
#[test]
fn rules_of_circuits_never_seen_are_named() {
    let mut setup = setup("identify", &[], &[], None);
    setup.seed = Some(20_261_122);
    let report = find("identify").expect("there").run(&setup).expect("runs");
    let table = report.tables.iter().find(|t| t.name == "circuits").expect("each circuit");
    assert_eq!(table.rows.len(), 200);
    for row in &table.rows {
        let pairs = number(&row[1]);
        assert!((8.0..=32.0).contains(&pairs), "{pairs} pairs of keys in R^16");
        assert_eq!(text(&row[2]), text(&row[4]), "{row:?}");
    }
    assert!(report.verdict().ok, "{}", report.text());
}

/// Many passes: as good as least squares by every criterion, and perfect below d pairs.
#[test]
fn a_converged_delta_memory_is_measured_by_every_criterion() {
    let report = ran("capacity", &[], &[("d", "16")], Some(60));
    let at = |m: &str, column: &str| number(entry(&report, "converged", &["16", m, "delta"], column));
    for m in ["2", "4", "8"] {
        assert_eq!([at(m, "sign"), at(m, "nearest")], [0.0, 1.0], "M {m}");
    }
    let once = |column: &str| number(entry(&report, "capacity", &["32", "delta"], column));
    assert!(at("32", "sign") < once("sign") && at("32", "nearest") > once("nearest"), "{}", report.text());
}
