//! Layers and native blocks to what is handed back.

use super::assumption::{About, Assumption};
use super::model::Beyond;
use super::numbers::Matrices;
use super::said::Said;
use super::settings::{Hints, Wishes, overrule};
use super::tensors::{Counts, Named, Split, possible};
use super::usual::{Streams, Usual};
use super::{Loaded, NativeBlock, Options, Scheme, Stated, inside, layers};
use crate::attention::{Block, Head, Memory};
use crate::diag::one_of;
use crate::files::{Bad, Entry, Tensors};
use std::collections::BTreeSet;

/// What is known of a layer before its numbers are read.
pub(super) struct Found<'a> {
    pub named: Named<'a>,
    pub said: Said,
    pub usual: Usual,
    /// what `config.json` says
    pub counts: Option<Counts>,
    pub beyond: Beyond,
    /// tensors beside the matrices that were read, by their whole names
    pub read: BTreeSet<String>,
    /// tensors of the module that act before its queries or after its output matrix
    pub around: Vec<String>,
    /// keys of `config.json` that are left out as asked for
    pub ignored: Vec<String>,
    /// the type of models that this one is said to be like, if not by itself
    pub like: Option<String>,
}

/// A layer of any layout but the native one, known by the names of its tensors alone.
pub(super) fn foreign(file: &mut Tensors, options: &Options, hints: Hints) -> Result<Loaded, Bad> {
    let entries = file.entries();
    let layer = layers::choose(&entries, options.prefix.as_deref())?;
    if options.block.is_some_and(|b| b != 1) {
        return Err(Bad::new("F015", "only native files hold several blocks, this one holds layers")
            .help("choose a layer with --prefix"));
    }
    let found = Found {
        named: Named::of(layer, &entries)?,
        said: Said::of_metadata(&file.metadata())?,
        usual: Usual::of(layer),
        counts: None,
        beyond: Beyond::default(),
        read: BTreeSet::new(),
        around: Vec::new(),
        ignored: Vec::new(),
        like: None,
    };
    take(file, &entries, found, options, hints)
}

/// Reads the numbers of a layer.
pub(super) fn take(
    file: &mut Tensors,
    entries: &[Entry],
    found: Found,
    options: &Options,
    hints: Hints,
) -> Result<Loaded, Bad> {
    let Found { named, said, usual, .. } = &found;
    let (named, layer) = (*named, named.layer);
    let beside = inside::survey(file, entries, layer, &options.ignore, &found)?;
    let shapes = named.measured(found.counts)?;
    let mut stated = Stated::default();
    let mut overruled = Vec::new();
    let mut wishes =
        Wishes { said, options, hints, usual: *usual, stated: &mut stated, overruled: &mut overruled };
    let Some(heads) = wishes.heads(shapes.heads())? else {
        return Err(Bad::new("F016", "the file does not say how many heads there are: give --heads H")
            .help(possible(shapes.sides[0].0)));
    };
    let split = shapes.split(heads)?;
    let [query, context, value] = shapes.sides.map(|(_, width)| width);
    let buffer = beside.mask.as_ref().map(|(_, mask)| *mask);
    let settings = wishes.settle(split.d_key, context == query, buffer)?;
    let selected = select(heads, options)?;
    let matrices = shapes.read(file)?;

    let mut assumed = settings.assumed.clone();
    if shapes.is_square_by_chance() {
        let (output, first) = (named.output.0, layer.layout.weights[0]);
        let words = format!("`{output}` is stored the way `{first}` is");
        assumed.push(Assumption::usual(About::Storage, words));
    }
    if layer.layout.scheme == Scheme::TransformerLens && split.d_key >= query {
        let words = "matrices are [heads, d_model, d_head], though native axes would fit better";
        assumed.push(Assumption::usual(About::Storage, words));
    }
    if let Some(like) = &found.like {
        let words = format!("the model computes attention as models of type `{like}` do");
        assumed.push(Assumption::usual(About::Attention, words));
    }
    assumed.sort();
    let context_stream = if settings.streams == Streams::Two { "context" } else { "main" };
    let value_stream = if value == context { context_stream } else { "values" };
    let surroundings = vec![
        if (context_stream, value_stream) == ("main", "main") {
            "queries, keys and values come from one stream, `main`".to_owned()
        } else {
            format!(
                "by widths and names queries come from stream `main` ({query}), keys from `{context_stream}` ({context}), \
                 values from `{value_stream}` ({value})"
            )
        },
        "no residual: files of this layout hold none".to_owned(),
    ];
    let mut notes = surroundings.clone();
    if !matrices.unbiased.is_empty() {
        notes.push(format!("no {} bias: the file holds none", matrices.unbiased.join(", ")));
    }
    notes.extend(whole_biases(&selected, heads, matrices.b_o.iter().any(|b| *b != 0.0)));

    let head = |&h: &usize| Head {
        query_stream: "main".to_owned(),
        context_stream: context_stream.to_owned(),
        value_stream: value_stream.to_owned(),
        scale: settings.scale,
        kernel: settings.kernel,
        normalisation: settings.normalisation,
        mask: settings.mask,
        memory: Memory::None,
        area: String::new(),
        ..cut(&matrices, split, h)
    };
    let block = Block {
        relay: "output".to_owned(),
        d_model: query,
        clock_stream: "main".to_owned(),
        heads: selected.iter().map(head).collect(),
        residual: Vec::new(),
        b_o: matrices.b_o.clone(),
    };
    let grouped = layer.layout.scheme == Scheme::Separate && split.shared < heads;
    Ok(Loaded {
        block,
        scheme: if grouped { Scheme::Grouped } else { layer.layout.scheme },
        prefix: layer.prefix.to_owned(),
        blocks: 1,
        heads,
        shared: split.shared,
        selected,
        dtypes: matrices.dtypes.iter().map(|d| (*d).to_owned()).collect(),
        stated,
        assumed,
        notes,
        surroundings,
        overruled,
        mask_tensor: beside.mask.map(|(name, _)| name),
        not_read: beside.not_read,
        ignored: beside.ignored,
        record: super::record::lines(layer, &named, context_stream),
        beyond: found.beyond,
    })
}

/// The matrices of one head; all else is to be filled in.
fn cut(from: &Matrices, split: Split, h: usize) -> Head {
    let Split { heads, shared, d_key, d_value } = split;
    let kv = h / (heads / shared);
    let [query, key, value] = &from.weights;
    let [b_q, b_k, b_v] = &from.biases;
    Head {
        w_q: query.rows(h * d_key, d_key).into_owned(),
        w_k: key.rows(kv * d_key, d_key).into_owned(),
        w_v: value.rows(kv * d_value, d_value).into_owned(),
        w_o: from.output.columns(h * d_value, d_value).into_owned(),
        b_q: b_q.rows(h * d_key, d_key).into_owned(),
        b_k: b_k.rows(kv * d_key, d_key).into_owned(),
        b_v: b_v.rows(kv * d_value, d_value).into_owned(),
        scale: 1.0,
        kernel: crate::attention::Kernel::Linear,
        normalisation: crate::attention::Normalisation::None,
        mask: crate::attention::Mask::Full,
        memory: Memory::None,
        query_stream: String::new(),
        context_stream: String::new(),
        value_stream: String::new(),
        function: Vec::new(),
        sink: None,
        area: String::new(),
    }
}

/// One block of a native file.
pub(super) fn native(
    file: &Tensors,
    mut blocks: Vec<NativeBlock>,
    options: &Options,
    hints: Hints,
) -> Result<Loaded, Bad> {
    let entries = file.entries();
    let count = blocks.len();
    let prefixes: Vec<String> =
        if count == 1 { vec![String::new()] } else { (1..=count).map(|b| format!("block.{b}.")).collect() };
    // A stack of one block may have a prefix all the same.
    let bare = entries.iter().any(|e| e.name == "W_O");
    let prefixes = if count == 1 && !bare { vec!["block.1.".to_owned()] } else { prefixes };
    let index = native_index(&prefixes, options)?;
    let NativeBlock { mut block, assumed: keys } = blocks.swap_remove(index);
    let heads = block.heads.len();
    if let Some(asked) = options.heads.filter(|h| *h != heads) {
        return Err(Bad::new("F016", format!("the block has {heads} heads, --heads says {asked}"))
            .help("native files say how many heads there are; leave --heads out"));
    }
    if let Some(stranger) = options.ignore.first() {
        return Err(Bad::new("F008", format!("no tensor `{stranger}` to ignore"))
            .help("of native heads files everything is read"));
    }
    let selected = select(heads, options)?;
    block.heads = selected.iter().map(|&h| block.heads[h].clone()).collect();

    let silent = |key: &str| keys.contains(&key);
    let stated = Stated {
        heads: true,
        attention: !silent("kernel") && !silent("normalisation"),
        scale: !silent("scale"),
        mask: !silent("mask"),
        memory: !silent("memory"),
        streams: !silent("query_stream") && !silent("context_stream"),
        residual: true,
    };
    let mut overruled = Vec::new();
    let mut assumed = overrule(&mut block, options, hints, stated, &mut overruled)?;
    if silent("memory") {
        assumed.push(Assumption::usual(About::Memory, "there is no memory that fades or is corrected"));
    }
    if !stated.streams {
        assumed.push(Assumption::usual(About::Streams, "queries and keys come from one stream"));
    }
    if is_native_by_shape_alone(file, &block) {
        let words = "matrices are [heads, d_head, d_model], though other axes would fit";
        assumed.push(Assumption::usual(About::Storage, words));
    }
    assumed.sort();
    let note = |key: &str, words: &str| silent(key).then(|| format!("{words}: the file does not say"));
    let relay = format!("relay `{}`", block.relay);
    let clock = format!("the output has the clock of stream `{}`", block.clock_stream);
    let surroundings: Vec<String> =
        [note("relay", &relay), note("clock_stream", &clock)].into_iter().flatten().collect();
    let mut notes = surroundings.clone();
    let rest = !block.residual.is_empty() || block.b_o.iter().any(|b| *b != 0.0);
    notes.extend(whole_biases(&selected, heads, rest));
    let prefix = prefixes[index].clone();
    let of_block = |name: &str| name.starts_with(&prefix);
    let dtypes: BTreeSet<String> =
        entries.into_iter().filter(|e| of_block(&e.name)).map(|e| e.dtype).collect();
    Ok(Loaded {
        block,
        scheme: Scheme::Native,
        blocks: count,
        heads,
        shared: heads,
        selected,
        dtypes: dtypes.into_iter().collect(),
        stated,
        assumed,
        notes,
        surroundings,
        overruled,
        mask_tensor: None,
        not_read: Vec::new(),
        ignored: Vec::new(),
        record: Vec::new(),
        beyond: Beyond::default(),
        prefix,
    })
}

/// Whether a file without metadata could hold its matrices the other way round: they are square.
fn is_native_by_shape_alone(file: &Tensors, block: &Block) -> bool {
    !super::native::is_described(&file.metadata())
        && block.heads.iter().any(|h| h.d_key() == h.w_q.ncols() || h.d_value() == h.w_v.ncols())
}

fn native_index(prefixes: &[String], options: &Options) -> Result<usize, Bad> {
    let n = prefixes.len();
    let by_prefix = match options.prefix.as_deref() {
        None | Some("") => None,
        Some(p) => {
            let wanted = format!("{}.", p.strip_suffix('.').unwrap_or(p));
            let found = prefixes.iter().position(|known| *known == wanted).ok_or_else(|| {
                let list = one_of(prefixes.iter().map(String::as_str).filter(|p| !p.is_empty()));
                Bad::new("F015", format!("is a native heads file without a block `{wanted}`"))
                    .help(format!("--prefix can be {list}; a single block has none"))
            })?;
            Some(found)
        }
    };
    match (options.block, by_prefix) {
        (Some(b), _) if b == 0 || b > n => {
            Err(Bad::new("F015", format!("holds {n} blocks, --block says {b}"))
                .help("blocks are counted from 1; without --block the last is taken"))
        }
        (Some(b), Some(p)) if b != p + 1 => {
            Err(Bad::new("F015", format!("--block {b} and --prefix {} are different blocks", prefixes[p]))
                .help("one of the two is enough"))
        }
        (Some(b), _) => Ok(b - 1),
        (None, Some(p)) => Ok(p),
        (None, None) => Ok(n.saturating_sub(1)),
    }
}

/// The heads to keep.
fn select(heads: usize, options: &Options) -> Result<Vec<usize>, Bad> {
    let Some(list) = &options.select else { return Ok((0..heads).collect()) };
    let mut seen = BTreeSet::new();
    for &h in list {
        if h >= heads {
            return Err(Bad::new("F015", format!("--select names head {h} of {heads} heads"))
                .help("heads are counted from 0"));
        }
        if !seen.insert(h) {
            return Err(Bad::new("F015", format!("--select names head {h} twice")));
        }
    }
    if list.is_empty() {
        return Err(Bad::new("F015", "--select names no head").help("leave it out to keep all heads"));
    }
    Ok(list.clone())
}

/// A part of the heads keeps what belongs to all of them.
fn whole_biases(selected: &[usize], heads: usize, any: bool) -> Option<String> {
    (selected.len() < heads && any).then(|| {
        "output bias and residual, which belong to all heads, stay with the selected ones".to_owned()
    })
}
