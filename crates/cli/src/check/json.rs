//! The contract's JSON, and more.

use super::blame::{blamed, projections};
use super::{Checked, text};
use nalgebra::DMatrix;
use pulvinar::attention::equivalence::{Blame, ExactDistance, Gap, HeadRow, expected_squared_gap, witness};
use serde_json::{Map, Value, json};

pub(super) fn object(c: &Checked) -> Map<String, Value> {
    let found = c.comparison;
    let mut rest = Map::new();
    let mut put = |key: &str, value: Value| rest.insert(key.to_owned(), value);
    put("equivalent", json!(found.equivalent));
    put("relative_distance", number(found.relative_distance));
    put("tolerance", json!(c.args.tolerance()));
    put("method", json!(found.method.name()));
    put("max_abs_error", number(found.probed.max_abs));
    put("max_rel_error", number(found.probed.max_rel));
    put("heads", json!(heads(c)));
    put("witness", if found.equivalent { Value::Null } else { witness_json(c) });
    put("claim", json!(text::claim(c)));
    put("relay", json!(c.block.block.relay));
    put("block", json!({"number": c.number.0, "of": c.number.1}));
    put("dtypes", json!(c.loaded.dtypes));
    put("scheme", json!(c.loaded.scheme.name()));
    put("prefix", json!(c.loaded.prefix));
    put("from_circuit", json!(c.aligned.taken));
    put("conditional", json!(c.verdict.is_conditional()));
    put("assumed", json!(c.verdict.assumed().iter().map(|a| &a.clause).collect::<Vec<_>>()));
    put("notes", json!(text::notes(c)));
    put("not_read", json!(c.loaded.not_read));
    put("ignored", json!(c.loaded.ignored));
    put("overruled", json!(c.loaded.overruled));
    if let Some(d) = &found.certificate {
        put("attention", gap(&d.attention));
        let residual: Map<String, Value> = d.residual.iter().map(|(s, g)| (s.clone(), gap(g))).collect();
        put("residual", Value::Object(residual));
        put("bias", gap(&d.bias));
        if !found.equivalent
            && let Ok(e) = expected_squared_gap(&c.block.block, &c.aligned.block, text::GAUSSIAN)
        {
            put("expected_squared_gap", json!({"n_tokens": text::GAUSSIAN, "mean": number(e.mean)}));
        }
    }
    if let Some(s) = &found.softmax {
        put(
            "softmax",
            json!({"attention": number(s.attention), "residual": number(s.residual), "bias": number(s.bias)}),
        );
    }
    match &found.exact {
        None => {}
        Some(ExactDistance::Exact(f)) => {
            let whole = json!({
                "numerator": f.numerator.to_string(), "denominator": f.denominator, "halvings": f.halvings
            });
            put("exact_squared_distance", whole);
        }
        Some(ExactDistance::Rounded { why, .. }) => put_none(&mut put, why),
    }
    if let Some(s) = c.softmax {
        put(
            "softmax_gap",
            json!({
                "relative": number(s.probed.relative), "max_abs": number(s.probed.max_abs), "tokens": s.tokens
            }),
        );
    }
    put("ran_on", json!(found.inputs.iter().map(|i| &i.name).collect::<Vec<_>>()));
    put(
        "did_not_run",
        json!(
            found
                .probed
                .failed
                .iter()
                .map(|(i, why)| json!({"tokens": found.inputs[*i].name, "why": why}))
                .collect::<Vec<_>>()
        ),
    );
    rest
}

fn put_none(put: &mut impl FnMut(&str, Value) -> Option<Value>, why: &str) {
    put("exact_squared_distance", Value::Null);
    put("exact_refused", json!(why));
}

/// No infinity and no NaN in JSON.
fn number(x: f64) -> Value {
    if x.is_finite() { json!(x) } else { Value::Null }
}

fn gap(g: &Gap) -> Value {
    json!({
        "relative": number(g.relative()),
        "absolute": number(g.absolute),
        "norm": number(g.norm_a),
        "norm_against": number(g.norm_b),
    })
}

fn heads(c: &Checked) -> Vec<Value> {
    let rows = text::rows(c);
    let blamed = if c.comparison.equivalent { Vec::new() } else { blamed(c) };
    let blame = |row: Option<&HeadRow>| -> Vec<Value> {
        let Some(found) = blamed.iter().find(|b| row.is_some_and(|r| r.matched.a == b.row.matched.a)) else {
            return Vec::new();
        };
        let one = |f: &Blame| {
            let named = projections(c, found.row.matched.a, f.factor);
            let named: Vec<Value> = named.iter().map(|p| json!({"name": p.name, "line": p.line})).collect();
            json!({
                "matrix": f.factor.name(), "change": number(f.change), "residual": number(f.residual),
                "projections": named,
            })
        };
        found.factors.iter().map(one).collect()
    };
    rows.iter()
        .map(|r| {
            json!({
                "head": r.head,
                "area": r.area,
                "against": r.against,
                "relative_distance": r.row.as_ref().map(|m| number(m.relative)),
                "cosine": r.row.as_ref().map(|m| m.matched.cosine),
                "qk_cosine": r.row.as_ref().map(|m| m.matched.qk),
                "ov_cosine": r.row.as_ref().map(|m| m.matched.ov),
                "same_kind": r.row.as_ref().map(|m| m.matched.same_kind),
                "max_abs_error": r.row.as_ref().map(|m| number(m.max_abs)),
                "max_rel_error": r.row.as_ref().map(|m| number(m.max_rel)),
                "share_of_output": r.row.as_ref().map(|m| number(m.share)),
                "dtype": c.loaded.dtypes.join("+"),
                "blame": blame(r.row),
            })
        })
        .collect()
}

/// Two tokens of the certificate, or the input with the largest difference.
fn witness_json(c: &Checked) -> Value {
    let tokens = |m: &DMatrix<f64>| -> Vec<Vec<f64>> {
        m.column_iter().map(|t| t.iter().copied().collect()).collect()
    };
    let streams = |s: &pulvinar::attention::Streams| -> Map<String, Value> {
        s.iter().map(|(name, m)| (name.clone(), json!(tokens(m)))).collect()
    };
    if c.comparison.certificate.is_some() {
        return match witness(&c.block.block, &c.aligned.block) {
            Ok(w) => json!({
                "token": w.at, "predicted": number(w.predicted), "measured": number(w.measured),
                "streams": streams(&w.streams),
            }),
            Err(_) => Value::Null,
        };
    }
    match c.comparison.probed.worst {
        Some(worst) => json!({
            "token": worst.token, "predicted": null, "measured": number(worst.gap),
            "streams": streams(&c.comparison.inputs[worst.input].streams),
        }),
        None => Value::Null,
    }
}
