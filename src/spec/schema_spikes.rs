//! The part of the JSON Schema that is about spikes: trains, neurons as cables, their synapses and traces.

use super::declare::Kind;
use super::schema::{object, one_of, r, word};
use super::types::{ResolutionSpec, SpikeCompartment, SpikeVariable};
use super::types_run::INDICES;
use serde_json::{Map, Value, json};

/// Named parts that sections refer to.
pub fn definitions() -> Map<String, Value> {
    let times = json!({"type": "array", "items": r("time_or_zero")});
    let receptor = object(json!({"peak": r("measured"), "rise": r("time"), "decay": r("time")}), &[]);
    let potentiation = json!({
        "theta": r("measured"), "gain": r("number"), "sharpness": r("number"), "decay": r("time"), "lag": r("time"),
    });
    let text = json!({"type": "string"});
    let all = [
        (
            "measured",
            json!({"type": "string", "description": "a number with its unit: 6 Hz, 0.032 nS, 4 nA, -75 mV"}),
        ),
        (
            "spike_trains",
            one_of(&[
                (
                    "renewal",
                    object(json!({"rate": r("measured"), "dead_time": r("time_or_zero")}), &["rate"]),
                ),
                ("times", object(json!({"trains": {"type": "array", "items": times}}), &["trains"])),
                ("file", object(json!({"path": text, "array": text}), &["path"])),
                ("follow", object(json!({"population": text}), &["population"])),
            ]),
        ),
        (
            "cable",
            object(
                json!({
                    "resolution": word(&ResolutionSpec::NAMES.map(|(n, _)| n), ""),
                    "shaft": r("count"), "top": r("count"), "tuft": r("count"), "spines": r("count"),
                    "spines_per_head": r("count"), "necks": r("flag"), "start": r("measured"),
                }),
                &[],
            ),
        ),
        ("receptor", receptor),
        (
            "synapses",
            object(
                json!({
                    "ampa": r("receptor"), "nmda": r("receptor"),
                    "calcium": object(json!({"decay": r("time")}), &["decay"]),
                    "potentiation": object(potentiation, &[]),
                }),
                &[],
            ),
        ),
        ("pulse", object(json!({"current": r("measured"), "duration": r("time")}), &["current", "duration"])),
        (
            "spike_trace",
            object(
                json!({
                    "population": text, "compartment": word(&SpikeCompartment::NAMES.map(|(n, _)| n), ""),
                    "variable": word(&SpikeVariable::NAMES.map(|(n, _)| n), ""), "axons": INDICES.schema(),
                    "from": r("time_or_zero"), "until": r("time"), "every": r("count"),
                }),
                &["population", "compartment"],
            ),
        ),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

pub fn fidelity() -> Value {
    let event = json!({"jump": r("measured"), "power": r("number"), "noise": r("number")});
    json!({"anyOf": [word(&["cable", "event"], ""), one_of(&[("event", object(event, &[]))])]})
}

pub fn match_and_control() -> Value {
    let phase = object(json!({"from": r("time_or_zero"), "duration": r("time")}), &["from", "duration"]);
    let control = object(json!({"pause": r("time_or_zero"), "duration": r("time")}), &["pause", "duration"]);
    let matched = json!({"anyOf": [{"type": "integer", "minimum": 0}, word(&["in_turn", "nobody"], "")]});
    object(
        json!({
            "match": phase, "control": control, "trials": r("count"), "matched": matched,
            "lead": r("time_or_zero"), "jitter": r("time_or_zero"), "delay_runs": r("count"),
        }),
        &["match"],
    )
}
