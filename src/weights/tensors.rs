//! The shapes of one layer: which axis is which, and whether everything fits.

use super::Scheme;
use super::layers::{Form, Layer};
use super::model::fusing::{self, Fusing};
use crate::files::{Bad, Entry};

/// Repeating shared heads may make this many times more numbers than the file holds.
const MOST_GROWTH: usize = 16;

/// How the rows of the matrices fall into heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    /// query heads
    pub heads: usize,
    /// heads of keys and values, each shared by consecutive query heads
    pub shared: usize,
    pub d_key: usize,
    pub d_value: usize,
}

/// How many heads there are and how their rows are fused, where `config.json` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub heads: usize,
    pub shared: usize,
    pub fusing: Fusing,
}

/// A layer whose output matrix has been found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    pub layer: Layer<'a>,
    entries: &'a [Entry],
    /// names of the output matrix and its bias
    pub output: (&'static str, &'static str),
}

/// A layer whose shapes fit each other.
#[derive(Debug)]
pub(super) struct Shapes<'a> {
    pub named: Named<'a>,
    /// any form but [`Form::Either`]
    pub form: Form,
    /// query, key, value: rows and columns
    pub sides: [(usize, usize); 3],
    /// columns of the output matrix
    reads: usize,
    /// what `config.json` says
    counts: Option<Counts>,
    /// query, key and value rows of a matrix that holds them fused another way than a third each
    pub fused: Option<[Vec<usize>; 3]>,
}

pub(super) fn shape_error(name: &str, found: &[usize], needed: &str) -> Bad {
    Bad::new("F009", format!("tensor `{name}` has shape {found:?}, {needed} is needed"))
}

impl<'a> Named<'a> {
    /// Finds the output matrix.
    pub(super) fn of(layer: Layer<'a>, entries: &'a [Entry]) -> Result<Self, Bad> {
        let outputs = layer.layout.output;
        let mut named = Self { layer, entries, output: outputs[0] };
        let found: Vec<_> = outputs.iter().filter(|(weight, _)| named.entry(weight).is_some()).collect();
        if let [(one, _), (other, _), ..] = found[..] {
            return Err(Bad::new(
                "F015",
                format!(
                    "the layer has two output matrices, `{}` and `{}`",
                    layer.name(one),
                    layer.name(other)
                ),
            )
            .help("which one is meant? save the layer without the other"));
        }
        if let [one] = found[..] {
            named.output = *one;
        }
        Ok(named)
    }

    pub(super) fn entry(&self, stem: &str) -> Option<&'a Entry> {
        let name = self.layer.name(stem);
        // Sorted by name.
        self.entries.binary_search_by(|e| e.name.as_str().cmp(&name)).ok().map(|i| &self.entries[i])
    }

    /// Whether a tensor of the layer is one of its matrices or biases.
    pub(super) fn reads(&self, stem: &str) -> bool {
        let layout = self.layer.layout;
        layout.weights.contains(&stem)
            || layout.biases.contains(&stem)
            || stem == self.output.0
            || stem == self.output.1
    }

    fn needed(&self, stem: &str) -> Result<&'a Entry, Bad> {
        self.entry(stem).ok_or_else(|| {
            let scheme = self.layer.layout.scheme.name();
            let there = self.layer.name(self.layer.layout.weights[0]);
            Bad::new("F008", format!("no tensor `{}`", self.layer.name(stem)))
                .help(format!("the layer has `{there}` and is read as {scheme}"))
        })
    }

    /// The two axes of a matrix as the file has them.
    fn axes(&self, stem: &str, needed: &str) -> Result<[usize; 2], Bad> {
        let entry = self.needed(stem)?;
        match entry.shape[..] {
            [a, b] if a > 0 && b > 0 => Ok([a, b]),
            _ => Err(shape_error(&entry.name, &entry.shape, needed)),
        }
    }

    /// Which of the two ways a packed matrix is stored: no shapes of both matrices fit both.
    fn either(&self) -> Result<Form, Bad> {
        let all = self.layer.layout.weights[0];
        let [a, b] = self.axes(all, "[D, 3 n] or [3 n, D]")?;
        let [c, e] = self.axes(self.output.0, "[n, D] or [D, n]")?;
        let fits =
            |long: usize, d: usize, n: usize, out: usize| long.is_multiple_of(3) && n == long / 3 && out == d;
        if fits(b, a, c, e) {
            return Ok(Form::Columns);
        }
        if fits(a, b, e, c) {
            return Ok(Form::Rows);
        }
        let (name, output) = (self.layer.name(all), self.layer.name(self.output.0));
        if fits(b, a, e, c) || fits(a, b, c, e) {
            return Err(Bad::new(
                "F009",
                format!("`{name}` [{a}, {b}] and `{output}` [{c}, {e}] are stored two ways, one of them transposed"),
            )
            .help("GPT-2 stores both as [inputs, outputs], linear layers both as [outputs, inputs]"));
        }
        let fused = |long: usize, d: usize| long.is_multiple_of(3) && long / 3 <= d;
        // A packed matrix that is right by itself: then the output matrix is at fault.
        let fewer = "if keys and values have fewer heads than queries, they need matrices of their own";
        for (is, needed) in [(fused(b, a), [b / 3, a]), (fused(a, b), [b, a / 3])] {
            if is {
                return Err(shape_error(&output, &[c, e], &format!("{needed:?}")).help(format!(
                    "`{name}` has shape [{a}, {b}], a third each for queries, keys and values; {fewer}"
                )));
            }
        }
        Err(shape_error(&name, &[a, b], &format!("[D, 3 n] or [3 n, D] with `{output}` [n, D] or [D, n]"))
            .help(format!("queries, keys and values take a third each; {fewer}")))
    }

    /// Checks shapes.
    pub(super) fn measured(self, counts: Option<Counts>) -> Result<Shapes<'a>, Bad> {
        let layout = self.layer.layout;
        let form = if layout.form == Form::Either { self.either()? } else { layout.form };
        let mut shapes = Shapes { named: self, form, sides: [(0, 0); 3], reads: 0, counts, fused: None };
        if form == Form::Cubes {
            shapes.cubes()?;
            return Ok(shapes);
        }
        if let [all] = layout.weights {
            let (rows, columns) = shapes.matrix(all, "[3 D, D]")?;
            // Pruned heads leave fewer rows; torch's module has no such thing.
            if layout.scheme == Scheme::Torch && rows != columns.saturating_mul(3) {
                return Err(shapes.not_three(all, rows, columns));
            }
            shapes.sides = [(rows / 3, columns); 3];
            shapes.unfuse(all, rows, columns)?;
        } else {
            for (i, stem) in layout.weights.iter().enumerate() {
                shapes.sides[i] = shapes.matrix(stem, "[rows, columns]")?;
            }
        }
        let (rows, reads) = shapes.matrix(self.output.0, "[rows, columns]")?;
        let d = shapes.sides[0].1;
        if rows != d {
            let found = &self.needed(self.output.0)?.shape;
            return Err(shape_error(&self.layer.name(self.output.0), found, &shapes.stored(d, "any"))
                .help(format!("the output has the width of the query tokens, {d}")));
        }
        shapes.reads = reads;
        Ok(shapes)
    }
}

impl<'a> Shapes<'a> {
    pub(super) fn layer(&self) -> Layer<'a> {
        self.named.layer
    }

    /// Rows and columns of a matrix as this program has it: a row per cell that receives.
    fn matrix(&self, stem: &str, needed: &str) -> Result<(usize, usize), Bad> {
        let [a, b] = self.named.axes(stem, needed)?;
        Ok(if self.form == Form::Columns { (b, a) } else { (a, b) })
    }

    /// The shape of a matrix as the file has to store it.
    fn stored(&self, rows: impl std::fmt::Display, columns: impl std::fmt::Display) -> String {
        if self.form == Form::Columns {
            format!("[{columns}, {rows}]")
        } else {
            format!("[{rows}, {columns}]")
        }
    }

    /// Finds the rows of queries, keys and values in a matrix that holds them as `config.json` says.
    fn unfuse(&mut self, all: &str, rows: usize, columns: usize) -> Result<(), Bad> {
        let Some(counts) = self.counts.filter(|_| self.form == Form::Rows) else { return Ok(()) };
        let parts = counts.heads.saturating_add(counts.shared.saturating_mul(2));
        let d = rows / parts.max(1);
        let of =
            (d * parts == rows && d > 0 && counts.shared > 0).then(|| fusing::rows(counts.fusing, counts, d));
        let Some(fused) = of.flatten() else {
            let name = self.layer().name(all);
            let Counts { heads, shared, .. } = counts;
            return Err(Bad::new("F009", format!("`{name}` has {rows} rows, which {heads} query heads and {shared} key and value heads do not divide"))
                .help("is `config.json` that of this model?"));
        };
        self.sides = [fused[0].len(), fused[1].len(), fused[2].len()].map(|n| (n, columns));
        self.fused = Some(fused);
        Ok(())
    }

    /// `W_Q [heads, D, d_k]` and so on, `W_O [heads, d_v, D]`.
    fn cubes(&mut self) -> Result<(), Bad> {
        let layer = self.layer();
        let cube = |stem: &str| -> Result<[usize; 3], Bad> {
            let entry = self.named.needed(stem)?;
            match entry.shape[..] {
                [h, a, b] if h > 0 && a > 0 && b > 0 => Ok([h, a, b]),
                _ => Err(shape_error(&entry.name, &entry.shape, "[heads, d_model, d_head]")),
            }
        };
        let [q, k, v] = [cube("W_Q")?, cube("W_K")?, cube("W_V")?];
        let o = cube(self.named.output.0)?;
        let fits = k[2] == q[2] && v[0] == k[0] && o[0] == q[0] && o[1] == v[2] && o[2] == q[1];
        if !fits {
            return Err(Bad::new(
                "F009",
                format!(
                    "`{}` {q:?}, `W_K` {k:?}, `W_V` {v:?} and `W_O` {o:?} are not [heads, d_model, d_head] three times and \
                     [heads, d_head, d_model]",
                    layer.name("W_Q")
                ),
            )
            .help("TransformerLens stores them so; a native heads file, [heads, d_head, d_model] and [heads, d_model, d_head], \
                   has no prefix but `block.N.` and says what it is in its metadata"));
        }
        let product = |a: usize, b: usize| {
            a.checked_mul(b)
                .ok_or_else(|| Bad::new("F005", format!("heads of {a} times {b} cells are too many")))
        };
        self.sides =
            [(product(q[0], q[2])?, q[1]), (product(k[0], k[2])?, k[1]), (product(v[0], v[2])?, v[1])];
        self.reads = product(o[0], o[1])?;
        Ok(())
    }

    /// The number of heads, where the shapes say it.
    pub(super) fn heads(&self) -> Option<usize> {
        let cubes = self.form == Form::Cubes;
        cubes.then(|| self.named.entry("W_Q").and_then(|e| e.shape.first().copied())).flatten()
    }

    /// Whether one of two matrices that may be stored either way is square: then only the other says which.
    pub(super) fn is_square_by_chance(&self) -> bool {
        let (rows, d) = self.sides[0];
        self.layer().layout.form == Form::Either && (self.reads == d || rows.checked_mul(3) == Some(d))
    }

    /// A packed matrix that is not three square ones.
    fn not_three(&self, stem: &str, rows: usize, columns: usize) -> Bad {
        let needed = format!("[3 D, D], for example [{}, {columns}],", columns.saturating_mul(3));
        let bad = shape_error(&self.layer().name(stem), &[rows, columns], &needed);
        if columns == rows.saturating_mul(3) {
            return bad.help("it seems to be transposed; write it as its layout has it");
        }
        bad
    }

    /// How `heads` heads share the rows.
    pub(super) fn split(&self, heads: usize) -> Result<Split, Bad> {
        let [(q, d), (k, _), (v, _)] = self.sides;
        let layout = self.layer().layout;
        let name = |i: usize| self.layer().name(layout.weights.get(i).unwrap_or(&layout.weights[0]));
        if heads == 0 || q % heads != 0 {
            let each = if layout.weights.len() == 1 { "the query part of " } else { "" };
            return Err(Bad::new(
                "F016",
                format!("{heads} heads do not divide the {q} rows of {each}`{}`", name(0)),
            )
            .help(possible(q)));
        }
        let d_key = q / heads;
        let grouped = matches!(layout.scheme, Scheme::Separate | Scheme::TransformerLens | Scheme::Fused);
        let shared = if grouped { k / d_key } else { heads };
        if k % d_key != 0 || shared == 0 || !heads.is_multiple_of(shared) || shared * d_key != k {
            let rows = if grouped { format!("n * {d_key}") } else { q.to_string() };
            let bad = shape_error(&name(1), &self.needed_shape(1), &format!("[{rows}, any]"));
            return Err(if grouped {
                bad.help(format!("{heads} heads have keys of {d_key} rows each; n must divide {heads}"))
            } else {
                bad
            });
        }
        if v % shared != 0 {
            return Err(shape_error(
                &name(2),
                &self.needed_shape(2),
                &format!("[a multiple of {shared}, any]"),
            ));
        }
        let d_value = v / shared;
        if heads.checked_mul(d_value) != Some(self.reads) {
            let needed = self.stored(d, heads.saturating_mul(d_value));
            let entry = self.named.needed(self.named.output.0)?;
            return Err(shape_error(&entry.name, &entry.shape, &needed)
                .help(format!("{heads} heads with values of {d_value} rows each")));
        }
        // Shared heads are repeated: a small file must not grow without bounds.
        let held: usize =
            self.sides.iter().map(|(rows, width)| rows.saturating_mul(*width)).fold(0, usize::saturating_add);
        let limit = held.saturating_mul(MOST_GROWTH);
        for (rows, (_, width)) in [(q, self.sides[1]), (self.reads, self.sides[2])] {
            if rows.checked_mul(width).is_none_or(|n| n > limit) {
                return Err(Bad::new(
                    "F005",
                    format!("heads that share keys or values would hold {rows} rows of {width} numbers each, but the file holds {held} in all"),
                )
                .help("so much sharing is found in no transformer; are heads and prefix right?"));
            }
        }
        Ok(Split { heads, shared, d_key, d_value })
    }

    fn needed_shape(&self, i: usize) -> Vec<usize> {
        let layout = self.layer().layout;
        let stem = layout.weights.get(i).unwrap_or(&layout.weights[0]);
        self.named.entry(stem).map(|e| e.shape.clone()).unwrap_or_default()
    }
}

/// Numbers of heads that divide `rows`.
pub(super) fn possible(rows: usize) -> String {
    let divisors: Vec<String> =
        (1..=rows.min(4096)).filter(|h| rows.is_multiple_of(*h)).take(16).map(|h| h.to_string()).collect();
    format!("--heads must divide {rows}: {}", divisors.join(", "))
}
