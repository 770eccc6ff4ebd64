//! From a recipe of weights to numbers.

use super::synapses::Weights;
use crate::diag::{Diagnostic, codes};
use crate::seed;
use crate::spec::{Pairing, Spread, WeightsSpec};
use nalgebra::DMatrix;
use std::path::Path;

/// What a draw needs to know.
pub struct Draw<'a> {
    pub seed: u64,
    /// the random stream's name
    pub stream: &'a str,
    pub rows: usize,
    pub columns: usize,
    /// for messages
    pub path: &'a str,
    /// relative file names start here
    pub folder: &'a Path,
}

/// Draws (or reads) a matrix. Ties (`same_as`, `transpose_of`) are resolved by the caller.
///
/// # Errors
/// Shapes that do not fit, files that cannot be read.
pub fn draw(spec: &WeightsSpec, d: &Draw<'_>) -> Result<Weights, Diagnostic> {
    let (rows, columns) = (d.rows, d.columns);
    Ok(match spec {
        WeightsSpec::Ones => Weights::Constant { rows, columns, value: 1.0 },
        WeightsSpec::Zeros => Weights::Constant { rows, columns, value: 0.0 },
        WeightsSpec::Identity => {
            if rows != columns {
                return Err(Diagnostic::error(
                    codes::C020,
                    d.path,
                    format!("`identity` needs as many rows as columns, but the matrix is {rows} x {columns}"),
                )
                .help("make source and target equally large, or use another form of weights"));
            }
            Weights::Identity { n: rows, gain: 1.0 }
        }
        WeightsSpec::Centre => {
            if rows != columns {
                let what =
                    format!("`centre` needs as many rows as columns, but the matrix is {rows} x {columns}");
                return Err(Diagnostic::error(codes::C036, d.path, what)
                    .help(format!("give source and target {rows} cells each, or {columns}")));
            }
            #[allow(clippy::cast_precision_loss)]
            let mean = 1.0 / rows as f64;
            Weights::Dense(DMatrix::from_fn(rows, columns, |i, j| f64::from(u8::from(i == j)) - mean))
        }
        WeightsSpec::Rotate(pairing) => rotate(*pairing, d)?,
        WeightsSpec::Kron(factors) => kron(factors, d)?,
        WeightsSpec::Shaped(shaped) => {
            if shaped.shape() != (rows, columns) {
                return Err(shape(d, shaped.shape(), "this form"));
            }
            draw(&shaped.form(), d)?
        }
        WeightsSpec::Normal(spread) => {
            let std = match spread {
                Spread::Std(s) => *s,
                #[allow(clippy::cast_precision_loss)]
                Spread::FanIn(c) => (c / columns as f64).sqrt(),
            };
            let mut rng = seed::stream(d.seed, d.stream);
            Weights::Dense(row_major(rows, columns, || std * seed::normal(&mut rng)))
        }
        WeightsSpec::Uniform { low, high } => {
            let mut rng = seed::stream(d.seed, d.stream);
            Weights::Dense(row_major(rows, columns, || seed::uniform(&mut rng, *low, *high)))
        }
        WeightsSpec::Values(values) => {
            let found = (values.len(), values.first().map_or(0, Vec::len));
            if found != (rows, columns) {
                let path = format!("{}.values", d.path);
                return Err(shape(&Draw { path: &path, ..*d }, found, "`values`"));
            }
            Weights::Dense(DMatrix::from_fn(rows, columns, |i, j| values[i][j]))
        }
        WeightsSpec::File { path, tensor } => {
            let place = format!("{}.file.path", d.path);
            file(path, tensor.as_deref(), &Draw { path: &place, ..*d })?
        }
        WeightsSpec::Blocks { count, of } => blocks(*count, of, d)?,
        WeightsSpec::Rank { of, std } => {
            if *of > rows.min(columns) {
                return Err(Diagnostic::error(
                    codes::C021,
                    format!("{}.rank.of", d.path),
                    format!("rank {of} is more than a {rows} x {columns} matrix can have"),
                )
                .help(format!("choose a rank from 1 to {}", rows.min(columns))));
            }
            let mut rng = seed::stream(d.seed, d.stream);
            let left = row_major(rows, *of, || seed::normal(&mut rng));
            let right = row_major(*of, columns, || seed::normal(&mut rng));
            #[allow(clippy::cast_precision_loss)]
            let scale = std / (*of as f64).sqrt();
            Weights::Dense(left * right * scale)
        }
        WeightsSpec::PlusOf { weights, draw: name } => part(weights, name, d, 1.0)?,
        WeightsSpec::MinusOf { weights, draw: name } => part(weights, name, d, -1.0)?,
        WeightsSpec::SameAs(name) | WeightsSpec::TransposeOf(name) => {
            return Err(Diagnostic::error(
                codes::C022,
                d.path,
                format!("a tie to `{name}` cannot stand inside another form of weights"),
            )
            .help("give the inner weights a form of their own"));
        }
    })
}

/// Numbers are drawn row by row, as a reader of the matrix would.
fn row_major(rows: usize, columns: usize, mut next: impl FnMut() -> f64) -> DMatrix<f64> {
    let numbers: Vec<f64> = (0..rows * columns).map(|_| next()).collect();
    DMatrix::from_row_slice(rows, columns, &numbers)
}

fn shape(d: &Draw<'_>, found: (usize, usize), what: &str) -> Diagnostic {
    let turned = if found == (d.columns, d.rows) { "; it is transposed" } else { "" };
    Diagnostic::error(
        codes::C023,
        d.path,
        format!(
            "{what} is {} x {}, but {} x {} is needed (targets x sources){turned}",
            found.0, found.1, d.rows, d.columns
        ),
    )
    .help("rows are target cells, columns are source cells, after `onto` and `pool`")
}

fn blocks(count: usize, of: &WeightsSpec, d: &Draw<'_>) -> Result<Weights, Diagnostic> {
    if !d.rows.is_multiple_of(count) || !d.columns.is_multiple_of(count) {
        return Err(Diagnostic::error(
            codes::C024,
            format!("{}.blocks.count", d.path),
            format!("{count} blocks do not divide a {} x {} matrix", d.rows, d.columns),
        )
        .help("choose a number of blocks that divides both source and target"));
    }
    let (r, c) = (d.rows / count, d.columns / count);
    let mut all = DMatrix::zeros(d.rows, d.columns);
    for block in 0..count {
        let stream = format!("{}/block{block}", d.stream);
        let path = format!("{}.blocks.of", d.path);
        let inner = draw(of, &Draw { stream: &stream, rows: r, columns: c, path: &path, ..*d })?;
        for i in 0..r {
            for j in 0..c {
                all[(block * r + i, block * c + j)] = inner.get(i, j);
            }
        }
    }
    Ok(Weights::Dense(all))
}

/// `[I; J]`, J the quarter turn: `[2 n, n]`.
fn rotate(pairing: Pairing, d: &Draw<'_>) -> Result<Weights, Diagnostic> {
    let (rows, n) = (d.rows, d.columns);
    if !n.is_multiple_of(2) || rows != 2 * n {
        let what = format!(
            "`rotate` turns an even number of cells and doubles them, but the matrix is {rows} x {n} (targets x sources)"
        );
        let even = |n: usize| 2 * n.max(1).div_ceil(2);
        let fits = [even(rows / 2), even(n)].map(|n| format!("{} x {n}", 2 * n));
        let help = if fits[0] == fits[1] {
            format!("{} would fit", fits[0])
        } else {
            format!("{} or {} would fit", fits[0], fits[1])
        };
        return Err(Diagnostic::error(codes::C036, d.path, what).help(help));
    }
    let mut all = DMatrix::zeros(rows, n);
    for i in 0..n {
        let (from, sign) = pairing.quarter_turn(i, n);
        all[(i, i)] = 1.0;
        all[(n + i, from)] = sign;
    }
    Ok(Weights::Dense(all))
}

/// `(A kron B)[(i, k), (j, l)] = A[i, j] B[k, l]`, from the left; one factor at most takes the shape that is left.
fn kron(factors: &[WeightsSpec], d: &Draw<'_>) -> Result<Weights, Diagnostic> {
    let path = format!("{}.kron", d.path);
    let known = factors.iter().filter_map(WeightsSpec::shape);
    let (r, c) = known.fold((1usize, 1usize), |(r, c), (m, n)| (r.saturating_mul(m), c.saturating_mul(n)));
    let open = factors.iter().any(|f| f.shape().is_none());
    let fits = |have: usize, of: usize| have == of || (open && have.is_multiple_of(of));
    if !fits(d.rows, r) || !fits(d.columns, c) {
        let (what, help) = if open {
            let near = |have: usize, of: usize| have.div_ceil(of).saturating_mul(of);
            (
                format!(
                    "the factors that say their shape make {r} x {c}, which does not divide {} x {} (targets x sources)",
                    d.rows, d.columns
                ),
                format!("{} x {} would fit", near(d.rows, r), near(d.columns, c)),
            )
        } else {
            (
                format!(
                    "the factors make {r} x {c}, but {} x {} is needed (targets x sources)",
                    d.rows, d.columns
                ),
                format!("{r} target and {c} source cells would fit, after `onto` and `pool`"),
            )
        };
        return Err(Diagnostic::error(codes::C036, &path, what).help(help));
    }
    let mut all = DMatrix::from_element(1, 1, 1.0);
    for (number, factor) in factors.iter().enumerate() {
        let (rows, columns) = factor.shape().unwrap_or((d.rows / r, d.columns / c));
        let path = format!("{path}.{number}");
        let stream = format!("{}/factor{number}", d.stream);
        let inner = draw(factor, &Draw { stream: &stream, rows, columns, path: &path, ..*d })?;
        all = all.kronecker(&inner.dense());
    }
    Ok(Weights::Dense(all))
}

/// Non-negative part of a named draw: all that name it see the same numbers. `projections.NAME` names the draw that a
/// projection of that name makes for itself.
fn part(of: &WeightsSpec, name: &str, d: &Draw<'_>, sign: f64) -> Result<Weights, Diagnostic> {
    let stream = if name.starts_with("projections.") { name.to_owned() } else { format!("draw.{name}") };
    let form = if sign > 0.0 { "plus_of" } else { "minus_of" };
    let path = format!("{}.{form}.weights", d.path);
    let inner = draw(of, &Draw { stream: &stream, path: &path, ..*d })?;
    Ok(Weights::Dense(inner.dense().map(|w| (w * sign).max(0.0))))
}

fn file(path: &str, tensor: Option<&str>, d: &Draw<'_>) -> Result<Weights, Diagnostic> {
    let array = crate::files::read_array(&d.folder.join(path), tensor).map_err(|e| {
        let advice = codes::explain(e.code).map(|c| c.text.to_owned());
        Diagnostic { path: d.path.to_owned(), help: e.help.clone().or(advice), ..e }
    })?;
    let found = match array.shape[..] {
        [rows, columns] => (rows, columns),
        [rows] => (rows, 1),
        _ => {
            return Err(Diagnostic::error(
                codes::C023,
                d.path,
                format!("`{path}` holds an array with {} axes, but a matrix is needed", array.shape.len()),
            )
            .help("save a two-dimensional array"));
        }
    };
    if found != (d.rows, d.columns) {
        return Err(shape(d, found, &format!("`{path}`")));
    }
    if let Some(i) = array.data.iter().position(|x| !x.is_finite()) {
        return Err(Diagnostic::error(
            codes::F010,
            d.path,
            format!(
                "`{path}` holds {} in row {}, column {}",
                array.data[i],
                i / found.1 + 1,
                i % found.1 + 1
            ),
        )
        .help("weights must be finite"));
    }
    Ok(Weights::Dense(DMatrix::from_row_slice(found.0, found.1, &array.data)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Spread;

    #[test]
    fn halves_of_a_projections_own_draw() {
        let made = |spec: &WeightsSpec, stream: &str| {
            let d = Draw { seed: 3, stream, rows: 4, columns: 5, path: "", folder: Path::new(".") };
            draw(spec, &d).unwrap_or_else(|e| panic!("{e}")).dense()
        };
        let recipes = [
            WeightsSpec::Normal(Spread::FanIn(1.0)),
            WeightsSpec::Rank { of: 2, std: 1.0 },
            WeightsSpec::Blocks { count: 1, of: Box::new(WeightsSpec::Uniform { low: -1.0, high: 1.0 }) },
        ];
        for own in recipes {
            let weights = Box::new(own.clone());
            let plus = |draw: &str| WeightsSpec::PlusOf { weights: weights.clone(), draw: draw.to_owned() };
            let minus = WeightsSpec::MinusOf { weights: weights.clone(), draw: "projections.K".to_owned() };
            let whole = made(&plus("projections.K"), "projections.other") - made(&minus, "projections.more");
            assert_eq!(whole, made(&own, "projections.K"), "the same bits");
            assert_ne!(made(&plus("K"), "x"), made(&plus("projections.K"), "x"), "a name of its own");
        }
    }
}
