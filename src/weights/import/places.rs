//! Streams of positions, and the relays that carry them.

use super::super::model::{Beyond, Distance, Pairing, Window};
use super::plan::{Places, Relay, Stream, free};
use crate::attention::{Block, Mask};
use crate::files::Bad;

/// The streams that a layer needs to know where its tokens are; their relays come after the others.
pub(super) fn places(
    beyond: &Beyond,
    block: &Block,
    streams: &[Stream],
    relays: &mut Vec<Relay>,
) -> Result<Vec<Places>, Bad> {
    let clock = block.clock_stream.clone();
    let one_clock = block.heads.iter().all(|h| h.query_stream == h.context_stream);
    if !beyond.is_plain()
        && !one_clock
        && (beyond.rotary.is_some() || beyond.distance.is_some() || beyond.window.is_some())
    {
        return Err(Bad::new("F018", "places of tokens of two streams cannot be compared"));
    }
    windowed(beyond, block)?;
    let mut out = Vec::new();
    let mut add = |wish: &str, width: usize, positions: String, both: bool| {
        let taken: Vec<&str> =
            streams.iter().map(|s| s.name.as_str()).chain(relays.iter().map(|r| r.name.as_str())).collect();
        let name = free(wish, &taken);
        let mut names = [String::new(), String::new()];
        for (side, (is_query, end)) in [(true, "core"), (false, "matrix")].into_iter().enumerate() {
            if is_query && !both {
                continue;
            }
            let taken: Vec<&str> = relays.iter().map(|r| r.name.as_str()).chain([name.as_str()]).collect();
            names[side] = free(&format!("{wish}_{end}"), &taken);
            let carries = if is_query { "place of token i" } else { "place of token j" };
            relays.push(Relay { name: names[side].clone(), stream: name.clone(), is_query, carries });
        }
        out.push(Places { name, width, positions, clock: clock.clone(), relays: names });
    };
    if let Some(rotary) = &beyond.rotary {
        let pairing = match rotary.pairing {
            Pairing::Halves => "halves",
            Pairing::Pairs => "pairs",
        };
        let turns = match rotary.theta {
            Some(theta) => format!("theta: {theta:?}"),
            None => {
                let list: Vec<String> = rotary.frequencies.iter().map(|f| format!("{f:?}")).collect();
                format!("frequencies: [{}]", list.join(", "))
            }
        };
        let scale = if rotary.scale.to_bits() == 1f64.to_bits() {
            String::new()
        } else {
            format!(", scale: {:?}", rotary.scale)
        };
        let text = format!("{{rotary: {{dims: {}, {turns}{scale}, pairing: {pairing}}}}}", rotary.dims);
        add("angle", 2 * rotary.dims, text, true);
    }
    match &beyond.distance {
        None => {}
        Some(Distance::Slopes(_)) => add("place", 1, "{index: {}}".to_owned(), false),
        Some(table) => {
            let longest = beyond.length.or(table.longest()).ok_or_else(|| {
                Bad::new("F018", "scores depend on distances by a table, which a circuit holds for sequences of a given length")
                    .help("fix it: --length N")
            })?;
            if table.longest().is_some_and(|most| longest > most) {
                return Err(Bad::new(
                    "F018",
                    format!(
                        "the table knows {:?} places, --length says {longest}",
                        table.longest().unwrap_or(0)
                    ),
                )
                .help("leave --length out"));
            }
            add("place", longest, format!("{{one_hot: {longest}}}"), true);
        }
    }
    Ok(out)
}

/// A window goes with the mask.
fn windowed(beyond: &Beyond, block: &Block) -> Result<(), Bad> {
    let needed = match beyond.window {
        None => return Ok(()),
        Some(Window::Back(_)) => Mask::Causal,
        Some(Window::Both(_)) => Mask::Full,
    };
    match block.heads.iter().find(|h| h.mask != needed) {
        None => Ok(()),
        Some(h) => Err(Bad::new(
            "F018",
            format!("a window of a {} mask, but the mask is {}", needed.name(), h.mask.name()),
        )
        .help("leave --mask out")),
    }
}
