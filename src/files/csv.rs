//! Tables: comma-separated numbers, one row per line.
//!
//! The first line may be a header (no cell in it is a number). Blank lines and lines that start with `#` are
//! skipped; LF and CRLF, a byte-order mark and double-quoted cells are understood. `[rows, columns]` comes out.
//!
//! **Deliberately absent:** other separators, decimal commas, text columns, cells that span lines.

use super::array::within_cap;
use super::{Array, Bad, Dtype, atomic_write};
use crate::diag::Diagnostic;
use std::borrow::Cow;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

/// Writes a table: the header line unless `header` is empty, then one line per row, each number in the fewest
/// digits that read back as the same `f64`.
///
/// # Errors
/// `F009` if a row has another number of cells than the header (or the first row), else as [`atomic_write`].
pub fn write_csv<S, R>(path: &Path, header: &[S], rows: impl IntoIterator<Item = R>) -> Result<(), Diagnostic>
where
    S: AsRef<str>,
    R: AsRef<[f64]>,
{
    let mut width = (!header.is_empty()).then_some(header.len());
    let mut uneven = None;
    let result = atomic_write(path, |out| {
        if !header.is_empty() {
            // A line of nothing would be no header.
            let named = |s: &str| if s.is_empty() { "\"\"".to_owned() } else { quoted(s).into_owned() };
            let cells: Vec<String> = header.iter().map(|s| named(s.as_ref())).collect();
            writeln!(out, "{}", cells.join(","))?;
        }
        for (number, row) in rows.into_iter().enumerate() {
            let row = row.as_ref();
            let wanted = *width.get_or_insert(row.len());
            if row.len() != wanted {
                uneven = Some(format!("row {number} has {} cells, not {wanted}", row.len()));
                return Err(std::io::Error::other("uneven rows"));
            }
            for (column, x) in row.iter().enumerate() {
                write!(out, "{}{x:?}", if column > 0 { "," } else { "" })?;
            }
            writeln!(out)?;
        }
        Ok(())
    });
    match uneven {
        Some(message) => Err(Bad::new("F009", message).in_file(path)),
        None => result,
    }
}

/// A cell of words, in quotes if it needs them; line breaks become blanks.
#[must_use]
pub fn quoted(cell: &str) -> Cow<'_, str> {
    if cell.contains([',', '"', '\n', '\r', '#']) || cell.trim() != cell {
        Cow::Owned(format!("\"{}\"", cell.replace(['\n', '\r'], " ").replace('"', "\"\"")))
    } else {
        Cow::Borrowed(cell)
    }
}

/// Reads a table as `[rows, columns]`.
pub(super) fn read(file: impl Read) -> Result<Array, Bad> {
    let mut file = BufReader::new(file);
    let mut data = Vec::new();
    let (mut rows, mut width) = (0usize, None);
    let mut raw = Vec::new();
    for number in 1u64.. {
        raw.clear();
        if file.read_until(b'\n', &mut raw)? == 0 {
            break;
        }
        let line = std::str::from_utf8(&raw)
            .map_err(|_| Bad::malformed(format!("line {number} is not text in UTF-8")))?
            .trim_start_matches('\u{feff}')
            .trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let cells = split(line).ok_or_else(|| Bad::malformed(format!("line {number} has an open quote")))?;
        let first = width.is_none();
        let wanted = *width.get_or_insert(cells.len());
        if cells.len() != wanted {
            let found = cells.len();
            return Err(Bad::malformed(format!(
                "line {number} has {found} cells, the lines before have {wanted}"
            ))
            .help("every row needs the same number of cells, separated by commas"));
        }
        let numbers: Vec<Option<f64>> = cells.iter().map(|c| c.parse().ok()).collect();
        if first && is_header(&numbers) {
            continue;
        }
        for (column, (cell, x)) in cells.iter().zip(numbers).enumerate() {
            data.push(x.ok_or_else(|| not_a_number(number, column + 1, cell))?);
        }
        rows += 1;
        within_cap(data.len())?;
    }
    match width {
        Some(width) => Ok(Array { shape: vec![rows, width], data, dtype: Dtype::F64 }),
        None => Err(Bad::malformed("holds no rows")),
    }
}

/// A first line without any number is a header. Where numbers stand beside other cells (`1.0,2.O`), taking the line for
/// names would lose a row in silence.
fn is_header(numbers: &[Option<f64>]) -> bool {
    numbers.iter().all(Option::is_none)
}

fn not_a_number(line: u64, column: usize, cell: &str) -> Bad {
    let shown: String = cell.chars().take(40).collect();
    let bad = Bad::malformed(format!("line {line}, column {column}: {shown:?} is not a number"));
    if cell.is_empty() {
        bad.help("a cell is empty; is there a comma too many?")
    } else if cell.contains([';', '\t', ' ']) {
        bad.help("cells are separated by commas")
    } else {
        bad.help("numbers are written like -1.5 or 2e-3; only the first line may hold names")
    }
}

/// The trimmed cells of a line; `None` for a quote that never closes.
#[must_use]
pub fn split(line: &str) -> Option<Vec<Cow<'_, str>>> {
    if !line.contains('"') {
        return Some(line.split(',').map(|cell| Cow::Borrowed(cell.trim())).collect());
    }
    let mut cells = Vec::new();
    let (mut cell, mut inside) = (String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if inside && chars.peek() == Some(&'"') => {
                cell.push('"');
                chars.next();
            }
            '"' => inside = !inside,
            ',' if !inside => cells.push(Cow::Owned(std::mem::take(&mut cell).trim().to_owned())),
            c => cell.push(c),
        }
    }
    cells.push(Cow::Owned(cell.trim().to_owned()));
    (!inside).then_some(cells)
}

#[cfg(test)]
mod tests {
    use super::super::read_array;
    use super::super::testing::{code, folder};
    use super::*;
    use std::fs;

    fn parse(text: &str) -> Result<Array, Bad> {
        read(text.as_bytes())
    }

    #[test]
    fn tables_that_can_be_read() {
        let rows: &[(&str, &str, usize, &[f64])] = &[
            ("plain", "1,2\n3,4\n", 2, &[1.0, 2.0, 3.0, 4.0]),
            ("no newline at the end", "1,2\n3,4", 2, &[1.0, 2.0, 3.0, 4.0]),
            ("header, CRLF", "a,b\r\n1,2\r\n", 2, &[1.0, 2.0]),
            ("comments and blanks", "# made by hand\n\n1\n  \n# x\n2\n", 1, &[1.0, 2.0]),
            ("comment before the header", "# x\nname\n1\n", 1, &[1.0]),
            ("blanks around cells", " 1 ,\t-2e-3 \n", 2, &[1.0, -2e-3]),
            ("byte-order mark", "\u{feff}1,2\n", 2, &[1.0, 2.0]),
            ("quoted header", "\"a, b\",c\n1,2\n", 2, &[1.0, 2.0]),
            ("quoted numbers", "\"1\",\"2\"\n", 2, &[1.0, 2.0]),
            ("header alone", "a,b\n", 2, &[]),
            ("names with digits", "1st,2nd\n1,2\n", 2, &[1.0, 2.0]),
        ];
        for (claim, text, width, want) in rows {
            let array = parse(text).unwrap_or_else(|bad| panic!("{claim}: {}", bad.message));
            assert_eq!(array.shape, [want.len() / width, *width], "{claim}");
            assert_eq!(&array.data, want, "{claim}");
        }
    }

    #[test]
    fn tables_that_cannot() {
        let rows: &[(&str, &str, &str)] = &[
            ("nothing", "", "no rows"),
            ("only comments", "# a\n\n", "no rows"),
            ("ragged", "1,2\n\n3\n", "line 3 has 1 cells, the lines before have 2"),
            ("ragged after a header", "a,b,c\n1,2\n", "line 2 has 2 cells"),
            ("a word", "1,2\n3,x4\n", "line 2, column 2: \"x4\" is not a number"),
            ("two headers", "a,b\nc,d\n", "line 2, column 1: \"c\""),
            ("numbers beside a name are no header", "1,x,3\n1,2,3\n", "line 1, column 2: \"x\""),
            ("numbers beside an empty cell are no header", "1,,3\n1,2,3\n", "line 1, column 2: \"\""),
            ("a damaged first row is no header", "1.0,2.O\n3,4\n", "line 1, column 2: \"2.O\""),
            ("empty cell", "1,2\n3,\n", "line 2, column 2: \"\""),
            ("semicolons", "a;b\n1;2\n", "\"1;2\" is not a number"),
            ("open quote", "1,\"2\n", "open quote"),
        ];
        for (claim, text, message) in rows {
            let bad = parse(text).unwrap_err();
            assert_eq!(bad.code, "F007", "{claim}");
            assert!(bad.message.contains(message), "{claim}: {}", bad.message);
        }
        assert_eq!(read(&b"1,2\n\xff\xfe,3\n"[..]).unwrap_err().code, "F007");
    }

    #[test]
    fn round_trip_bit_for_bit() {
        let dir = folder();
        let path = dir.path().join("metrics.csv");
        let numbers = [0.1, -0.0, 1e300, 5e-324, f64::MAX, 1.0 / 3.0, f64::INFINITY, f64::NAN, -3.0];
        write_csv(&path, &["step", "a, \"b\"", "c"], numbers.chunks(3)).unwrap();
        let back = read_array(&path, None).unwrap();
        assert_eq!(back.shape, [3, 3]);
        for (x, y) in numbers.iter().zip(&back.data) {
            assert_eq!(x.to_bits(), y.to_bits());
        }
        assert!(fs::read_to_string(&path).unwrap().starts_with("step,\"a, \"\"b\"\"\",c\n"));
        write_csv::<&str, _>(&path, &[], [[1.0, 2.0]]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1.0,2.0\n");
        assert_eq!(code(write_csv(&path, &["a"], [[1.0, 2.0]])), "F009");
        assert_eq!(code(write_csv::<&str, _>(&path, &[], [vec![1.0], vec![]])), "F009");
        assert_eq!(fs::read_to_string(&path).unwrap(), "1.0,2.0\n");
    }
}
