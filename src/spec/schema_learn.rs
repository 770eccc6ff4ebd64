//! The part of the JSON Schema that is about learning: `plasticity`, `task`, `train`, `loss`.

use super::schema::{object, one_of, r, word};
use super::types::{RouteSpec, RuleName, ScheduleSpec};
use serde_json::{Value, json};

/// A learning rule and its parameters.
pub fn plasticity() -> Value {
    let rules = RuleName::NAMES.map(|(name, rule)| {
        let mut keys = json!({"rate": r("number")});
        if rule == RuleName::KolenPollack {
            keys["decay"] = r("number");
        }
        (name, object(keys, &["rate"]))
    });
    one_of(&rules)
}

/// Where examples and question stand.
pub fn tokens_of() -> Value {
    let text = || json!({"type": "string"});
    let two = object(json!({"query": text(), "context": text()}), &["query", "context"]);
    json!({"anyOf": [text(), two], "description": "one stream, the question last; or two"})
}

pub fn task() -> Value {
    let text = || json!({"type": "string"});
    let arrays = || json!({"type": "object", "additionalProperties": {"type": "string"}});
    one_of(&[
        (
            "teacher",
            object(
                json!({"heads": text(), "prefix": text(), "circuit": text(), "tokens": text(), "target": text()}),
                &[],
            ),
        ),
        (
            "in_context_regression",
            object(
                json!({"context": r("count"), "noise": r("number"), "tokens": r("tokens_of"), "target": text()}),
                &["context"],
            ),
        ),
        (
            "associative_recall",
            object(json!({"pairs": r("count"), "tokens": r("tokens_of"), "target": text()}), &["pairs"]),
        ),
        (
            "digits",
            object(
                json!({"path": text(), "held_out": r("number"), "tokens": text(), "target": text()}),
                &["path"],
            ),
        ),
        (
            "file",
            object(
                json!({
                    "path": text(), "tokens": arrays(), "target": {"anyOf": [text(), arrays()]},
                    "held_out": r("number"),
                }),
                &["path", "tokens", "target"],
            ),
        ),
    ])
}

pub fn train() -> Value {
    let momentum = object(json!({"beta": r("number")}), &["beta"]);
    let adam = object(json!({"beta1": r("number"), "beta2": r("number"), "epsilon": r("number")}), &[]);
    object(
        json!({
            "steps": r("count"), "batch": r("count"),
            "optimiser": {"anyOf": [
                word(&["plain", "momentum", "adam"], ""),
                one_of(&[("momentum", momentum), ("adam", adam)]),
            ]},
            "rate": r("number"),
            "schedule": word(&ScheduleSpec::NAMES.map(|(name, _)| name), "of the learning rate"),
            "update": word(&["sequence", "token"], "when weights change"),
            "evaluate": object(json!({"every": r("count"), "sequences": r("count"), "at_end": r("count")}), &[]),
            "checkpoint": object(json!({"every": r("count")}), &["every"]),
            "rule": word(&RouteSpec::NAMES.map(|(name, _)| name), "in place of the projections' own rules"),
            "stop_below": r("number"),
        }),
        &[],
    )
}
