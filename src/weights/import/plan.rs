//! Names, and what every head needs, before a line is written.

use super::super::model::{Beyond, Window};
use super::{Style, Wiring};
use crate::attention::{Block, Head, Kernel, Mask, Memory, Normalisation, Rate};
use crate::files::Bad;
use crate::spec::is_name;

/// A token stream of the circuit.
#[derive(Debug)]
pub(super) struct Stream {
    pub name: String,
    pub width: usize,
    /// the stream whose tokens it goes with
    pub clock: Option<String>,
}

/// A relay that carries a stream in.
#[derive(Debug)]
pub(super) struct Relay {
    pub name: String,
    pub stream: String,
    pub is_query: bool,
    /// for what, in words
    pub carries: &'static str,
}

/// A stream of the places of tokens.
#[derive(Debug)]
pub(super) struct Places {
    pub name: String,
    pub width: usize,
    /// what goes after `positions:`
    pub positions: String,
    pub clock: String,
    /// the relays that bring them to queries and to keys
    pub relays: [String; 2],
}

/// One head and its area.
pub(super) struct Area<'a> {
    pub name: String,
    pub head: &'a Head,
    /// of the head in its file
    pub number: usize,
}

pub(super) struct Plan<'a> {
    pub block: &'a Block,
    pub style: &'a Style,
    pub wiring: Wiring,
    pub areas: Vec<Area<'a>>,
    pub streams: Vec<Stream>,
    pub relays: Vec<Relay>,
    /// the relay that the heads end on
    pub output: String,
    /// the mask of most heads
    pub mask: Mask,
    /// what the layer does beside its heads
    pub beyond: &'a Beyond,
    /// query heads that share a key and value head
    pub group: usize,
    pub places: Vec<Places>,
}

impl<'a> Plan<'a> {
    pub(super) fn of(
        block: &'a Block,
        numbers: &[usize],
        style: &'a Style,
        beyond: &'a Beyond,
        group: usize,
    ) -> Result<Self, Bad> {
        let wiring = style.wiring.unwrap_or_else(|| wiring_of(block));
        if block.heads.is_empty() {
            return Err(Bad::new("F012", "there is no head to make a circuit of"));
        }
        for (head, number) in block.heads.iter().zip(numbers) {
            check(head, wiring).map_err(|bad| bad.within(&format!("head {number}")))?;
        }
        let streams = streams(block)?;
        let mut relays = relays(block, &streams);
        let places = super::places::places(beyond, block, &streams, &mut relays)?;
        let mut taken: Vec<&str> = relays.iter().map(|r| r.name.as_str()).collect();
        taken.extend(places.iter().map(|p| p.name.as_str()));
        taken.extend(streams.iter().map(|s| s.name.as_str()));
        taken.push("tonic");
        let output = free("HO", &taken);
        taken.push(&output);
        let areas = areas(block, numbers, &taken);
        let count = |mask: Mask| block.heads.iter().filter(|h| h.mask == mask).count();
        let first = block.heads[0].mask;
        let mask = [Mask::Full, Mask::Causal, Mask::Strict]
            .into_iter()
            .fold(first, |best, m| if count(m) > count(best) { m } else { best });
        Ok(Self { block, style, wiring, areas, streams, relays, output, mask, beyond, group, places })
    }

    /// The relay that brings `stream` to the queries or to keys and values.
    pub(super) fn relay(&self, stream: &str, is_query: bool) -> &str {
        let found = self.relays.iter().find(|r| r.stream == stream && r.is_query == is_query);
        found.map_or("", |r| r.name.as_str())
    }

    /// How far the masks reach.
    pub(super) fn window(&self) -> Option<usize> {
        self.beyond.window.map(|w| match w {
            Window::Back(w) | Window::Both(w) => w,
        })
    }

    /// What all heads agree on.
    pub(super) fn shared(&self, of: fn(&Head) -> usize) -> Option<usize> {
        let first = of(self.areas[0].head);
        self.areas.iter().all(|a| of(a.head) == first).then_some(first)
    }
}

/// A memory where a head has one that only a memory can be.
fn wiring_of(block: &Block) -> Wiring {
    if block.heads.iter().any(|h| !matches!(h.memory, Memory::None)) {
        Wiring::KeyValueMemory
    } else {
        Wiring::AttentionMask
    }
}

fn check(head: &Head, wiring: Wiring) -> Result<(), Bad> {
    let cannot = |what: String, help: &str| Err(Bad::new("F012", what).help(help));
    match wiring {
        Wiring::AttentionMask => match head.memory {
            Memory::None | Memory::Hebbian => {}
            _ => {
                return cannot(
                    format!("an attention mask has no memory of kind `{}`", head.memory.name()),
                    "import it with --circuit key-value-memory",
                );
            }
        },
        Wiring::KeyValueMemory => {
            let linear = head.kernel == Kernel::Linear && head.normalisation == Normalisation::None;
            if !linear {
                let what = match (head.kernel, head.normalisation) {
                    (Kernel::Exp, Normalisation::Sum) => "softmax attention".to_owned(),
                    (k, Normalisation::Sum) => format!("a {} kernel divided by its sum", k.name()),
                    (k, Normalisation::None) => format!("a kernel of kind `{}`", k.name()),
                };
                return cannot(
                    format!(
                        "a key-value memory cannot compute {what}: it holds sums over tokens, not their scores"
                    ),
                    "import it with --circuit attention-mask, or as --attention linear",
                );
            }
        }
    }
    match (&head.memory, head.kernel) {
        (Memory::Gated { .. } | Memory::Delta(Rate::Gate(_)), _) => cannot(
            "a memory whose gate depends on the token has no import".into(),
            "write its circuit by hand",
        ),
        (Memory::Decay(g), _) if !(*g > 0.0 && *g <= 1.0) => {
            cannot(format!("its decay {g} is not in (0, 1]"), "a memory fades by a factor of at most 1")
        }
        (_, Kernel::Feature { .. }) => {
            cannot("a feature-map kernel has no import".into(), "write its circuit by hand")
        }
        (_, Kernel::Function) => {
            cannot("a chain of functions of the score has no import".into(), "write its circuit by hand")
        }
        _ if head.sink.is_some() => {
            cannot("a sink that joins the sum of scores has no import".into(), "write its circuit by hand")
        }
        _ => Ok(()),
    }
}

/// Every stream that the block reads, with its width and whether it is on the clock of the output; the first on it leads.
fn streams(block: &Block) -> Result<Vec<Stream>, Bad> {
    let mut out: Vec<(Stream, bool)> = Vec::new();
    let mut add = |name: &str, width: usize, home: bool| -> Result<(), Bad> {
        match out.iter_mut().find(|(s, _)| s.name == name) {
            Some((s, _)) if s.width != width => {
                let known = s.width;
                Err(Bad::new("F012", format!("stream `{name}` is read {known} and {width} numbers wide")))
            }
            Some((_, at_home)) => {
                *at_home |= home;
                Ok(())
            }
            None if is_name(name) => {
                out.push((Stream { name: name.to_owned(), width, clock: None }, home));
                Ok(())
            }
            None => Err(Bad::new("F012", format!("{name:?} cannot be the name of a stream"))
                .help("names have letters, digits and `_`")),
        }
    };
    for h in &block.heads {
        add(&h.query_stream, h.w_q.ncols(), true)?;
    }
    for path in &block.residual {
        add(&path.stream, path.matrix.ncols(), true)?;
    }
    for h in &block.heads {
        // Token numbers can be compared on one clock only.
        let home = h.mask != Mask::Full;
        add(&h.context_stream, h.w_k.ncols(), home)?;
        add(&h.value_stream, h.w_v.ncols(), home)?;
    }
    // Keys and values go together, token by token.
    let place = |name: &str, all: &[(Stream, bool)]| all.iter().position(|(s, _)| s.name == name);
    for _ in 0..out.len() {
        for h in &block.heads {
            let (Some(k), Some(v)) = (place(&h.context_stream, &out), place(&h.value_stream, &out)) else {
                continue;
            };
            let home = out[k].1 || out[v].1;
            (out[k].1, out[v].1) = (home, home);
        }
    }
    let leader = |at: usize| -> Option<usize> {
        if out[at].1 {
            return out.iter().position(|(_, home)| *home);
        }
        let with = block.heads.iter().filter_map(|h| {
            let pair = [place(&h.context_stream, &out)?, place(&h.value_stream, &out)?];
            pair.contains(&at).then_some(pair)
        });
        with.flatten().min()
    };
    let clocks: Vec<Option<String>> = (0..out.len())
        .map(|at| leader(at).filter(|lead| *lead != at).map(|lead| out[lead].0.name.clone()))
        .collect();
    Ok(out.into_iter().zip(clocks).map(|((s, _), clock)| Stream { clock, ..s }).collect())
}

/// One relay for each use of a stream; names say the stream only where there are several.
fn relays(block: &Block, streams: &[Stream]) -> Vec<Relay> {
    let asks = |name: &str| {
        block.heads.iter().any(|h| h.query_stream == name) || block.residual.iter().any(|p| p.stream == name)
    };
    let answers = |name: &str| block.heads.iter().any(|h| h.context_stream == name || h.value_stream == name);
    let mut out: Vec<Relay> = Vec::new();
    for (is_query, base) in [(true, "VP_core"), (false, "VP_matrix")] {
        let used: Vec<&Stream> =
            streams.iter().filter(|s| if is_query { asks(&s.name) } else { answers(&s.name) }).collect();
        for stream in &used {
            let name = if used.len() == 1 { base.to_owned() } else { format!("{base}_{}", stream.name) };
            let taken: Vec<&str> = out.iter().map(|r| r.name.as_str()).chain(["tonic"]).collect();
            let name = free(&name, &taken);
            let some = |of: fn(&Head) -> &String| block.heads.iter().any(|h| *of(h) == stream.name);
            let carries = match (is_query, some(|h| &h.context_stream), some(|h| &h.value_stream)) {
                (true, ..) if some(|h| &h.query_stream) => "token i: queries",
                (true, ..) => "token i: residual path",
                (_, true, true) => "token j: keys and values",
                (_, true, false) => "token j: keys",
                _ => "token j: values",
            };
            out.push(Relay { name, stream: stream.name.clone(), is_query, carries });
        }
    }
    out
}

/// The areas that the heads came from, where those are names; else `H` and the number of the head in its file.
fn areas<'a>(block: &'a Block, numbers: &[usize], taken: &[&str]) -> Vec<Area<'a>> {
    let mut names: Vec<String> = Vec::new();
    for (head, number) in block.heads.iter().zip(numbers) {
        let wish = if is_name(&head.area) { head.area.clone() } else { format!("H{number}") };
        let all: Vec<&str> = names.iter().map(String::as_str).chain(taken.iter().copied()).collect();
        names.push(free(&wish, &all));
    }
    let all = names.into_iter().zip(&block.heads).zip(numbers);
    all.map(|((name, head), &number)| Area { name, head, number }).collect()
}

/// `wish`, or with the first number that makes it free.
pub(super) fn free(wish: &str, taken: &[&str]) -> String {
    if !taken.contains(&wish) {
        return wish.to_owned();
    }
    (2..).map(|n| format!("{wish}_{n}")).find(|name| !taken.contains(&name.as_str())).unwrap_or_default()
}
