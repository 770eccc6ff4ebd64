//! Tables: comma-separated numbers, one row per line.
//!
//! The first line may be a header: no cell in it is a number, or its cells are 0, 1, 2, ... A column that numbers the rows is
//! refused. Blank lines and lines that start with `#` are
//! skipped; LF and CRLF, a byte-order mark and double-quoted cells are understood. `[rows, columns]` comes out.
//!
//! **Deliberately absent:** other separators, decimal commas, text columns, cells that span lines.

use super::array::within_cap;
use super::{Array, Bad, Dtype, atomic_write};
use crate::diag::Diagnostic;
use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Write};
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

/// Longest cell, in bytes: a number has fewer than 400 digits before its point.
const LONGEST_CELL: usize = 10_000;

/// A table, and what was made of its first line.
pub(super) struct Read {
    pub array: Array,
    /// the first line was 0, 1, 2, ... and taken for names of columns
    pub numbered: bool,
}

/// Reads a table as `[rows, columns]`; its header has names.
pub(super) fn read(file: impl io::Read) -> Result<Array, Bad> {
    read_all(file, false).map(|read| read.array)
}

/// Reads a table cell by cell: apart from its numbers no more than one cell is in memory. Columns may be `numbered`: of tokens, whose
/// tables have as many columns as one likes, and not of spikes, of which `0,1,2` is one.
pub(super) fn read_all(file: impl io::Read, may_be_numbered: bool) -> Result<Read, Bad> {
    let mut cells = Cells::new(BufReader::new(file));
    let mut data = Vec::new();
    let (mut rows, mut width, mut numbered) = (0usize, None, false);
    let mut only_integers = true;
    while cells.start_line()? {
        let mut first = First::default();
        let mut column = 0;
        while cells.next()? {
            let cell = cells.text()?;
            let number: Option<f64> = cell.parse().ok();
            match number {
                Some(x) => data.push(x),
                None if width.is_some() => {
                    return Err(not_a_number(cells.line, column + 1, cell));
                }
                None => {}
            }
            if width.is_none() {
                first.see(column, cell, number);
            } else {
                only_integers &= cell.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-'));
            }
            column += 1;
            within_cap(data.len())?;
        }
        match width {
            None => {
                width = Some(column);
                numbered = may_be_numbered && first.counts;
                if first.is_header(cells.line, numbered)? {
                    data.clear();
                } else {
                    rows += 1;
                }
            }
            Some(width) if width != column => return Err(uneven(cells.line, column, width, rows == 0)),
            Some(_) => rows += 1,
        }
    }
    let Some(width) = width else { return Err(Bad::malformed("holds no rows")) };
    // One or two columns of whole numbers may well begin with 0 and 1: neither is guessed.
    if numbered && only_integers && width <= 2 && rows > 0 {
        let line = if width == 1 { "0" } else { "0,1" };
        return Err(Bad::malformed(format!(
            "the first line, `{line}`, may be numbers of columns or a row of numbers"
        ))
        .help("write a first line of names, or the numbers of the rows with a point: 0.0"));
    }
    Ok(Read {
        array: Array {
            shape: vec![rows, usize::try_from(width).unwrap_or(usize::MAX)],
            data,
            dtype: Dtype::F64,
        },
        numbered,
    })
}

/// What the cells of the first line have been so far.
struct First {
    /// cell k is the number k
    counts: bool,
    any_number: bool,
    /// the first cell that is no number, and its column
    word: Option<(u64, String)>,
    index: Option<String>,
}

impl Default for First {
    fn default() -> Self {
        Self { counts: true, any_number: false, word: None, index: None }
    }
}

impl First {
    fn see(&mut self, column: u64, cell: &str, number: Option<f64>) {
        self.counts &= cell == column.to_string();
        self.any_number |= number.is_some();
        if number.is_none() && self.word.is_none() {
            self.word = Some((column + 1, cell.to_owned()));
        }
        let named = cell.is_empty()
            || ["index", "unnamed: 0", "row.names", "rownames"].contains(&cell.to_lowercase().as_str());
        if column == 0 && named {
            self.index = Some(cell.to_owned());
        }
    }

    /// A first line without any number is a header, and so is 0, 1, 2, ... where columns may be `numbered`. Where numbers stand beside other cells (`1.0,2.O`), taking
    /// the line for names would lose a row in silence.
    fn is_header(&self, line: u64, numbered: bool) -> Result<bool, Bad> {
        if let Some(name) = &self.index {
            let named = if name.is_empty() { "an empty name".to_owned() } else { format!("`{name}`") };
            return Err(Bad::malformed(format!(
                "line {line} begins with {named}: a column that numbers the rows"
            ))
            .help(WITHOUT_INDEX));
        }
        match &self.word {
            Some((column, cell)) if self.any_number => Err(not_a_number(line, *column, cell)),
            Some(_) => Ok(true),
            None => Ok(numbered),
        }
    }
}

const WITHOUT_INDEX: &str = "write the table without it: `df.to_csv(file, index=False)` in pandas, `write.csv(x, file, row.names = FALSE)` in R";

fn uneven(line: u64, found: u64, wanted: u64, after_first: bool) -> Bad {
    let bad = Bad::malformed(format!("line {line} has {found} cells, the lines before have {wanted}"));
    if after_first && found == wanted + 1 {
        // R's `write.table` gives its column of row names no name.
        return bad.help(format!(
            "every row needs the same number of cells; if the first one numbers the rows, {WITHOUT_INDEX}"
        ));
    }
    bad.help("every row needs the same number of cells, separated by commas")
}

/// The cells of a table, one at a time.
struct Cells<R> {
    from: BufReader<R>,
    /// number of the line, from 1
    line: u64,
    cell: Vec<u8>,
    /// the line goes on after this cell
    more: bool,
}

impl<R: io::Read> Cells<R> {
    fn new(from: BufReader<R>) -> Self {
        Self { from, line: 0, cell: Vec::new(), more: false }
    }

    fn peek(&mut self) -> Result<Option<u8>, Bad> {
        Ok(self.from.fill_buf()?.first().copied())
    }

    /// Goes to the next line that holds cells; blank lines and comments are passed over.
    fn start_line(&mut self) -> Result<bool, Bad> {
        loop {
            self.line += 1;
            loop {
                let Some(byte) = self.peek()? else { return Ok(false) };
                if byte == 0xEF && self.from.fill_buf()?.starts_with(b"\xEF\xBB\xBF") {
                    self.from.consume(3);
                } else if byte != b'\n' && byte.is_ascii_whitespace() {
                    self.from.consume(1);
                } else {
                    break;
                }
            }
            match self.peek()? {
                Some(b'\n') => self.from.consume(1),
                Some(b'#') => {
                    while self.peek()?.is_some_and(|b| b != b'\n') {
                        let buffer = self.from.fill_buf()?;
                        let length = buffer.iter().position(|b| *b == b'\n').unwrap_or(buffer.len());
                        self.from.consume(length);
                    }
                    let ends = self.peek()?.is_some();
                    self.from.consume(usize::from(ends));
                }
                _ => {
                    self.more = true;
                    return Ok(true);
                }
            }
        }
    }

    /// Reads the next cell of the line into `cell`, without the quotes around it; false at its end.
    fn next(&mut self) -> Result<bool, Bad> {
        if !self.more {
            return Ok(false);
        }
        self.cell.clear();
        let mut inside = false;
        loop {
            let buffer = self.from.fill_buf()?;
            // What is neither quote, comma nor end of line is taken as a whole.
            let plain = buffer.iter().position(|b| matches!(b, b'"' | b',' | b'\n')).unwrap_or(buffer.len());
            let room = LONGEST_CELL.saturating_sub(self.cell.len());
            self.cell.extend_from_slice(&buffer[..plain.min(room)]);
            if plain > room {
                let line = self.line;
                return Err(Bad::malformed(format!(
                    "line {line} has a cell of more than {LONGEST_CELL} bytes"
                ))
                .help("cells are separated by commas, rows by line ends"));
            }
            let ended = buffer.is_empty();
            let byte = buffer.get(plain).copied();
            self.from.consume(plain + usize::from(byte.is_some()));
            match byte {
                Some(b'"') if inside && self.peek()? == Some(b'"') => {
                    self.from.consume(1);
                    self.cell.push(b'"');
                }
                Some(b'"') => inside = !inside,
                Some(b',') if !inside => return Ok(true),
                Some(b'\n') => break,
                Some(byte) => self.cell.push(byte),
                None if ended => break,
                None => {}
            }
        }
        self.more = false;
        if inside {
            return Err(Bad::malformed(format!("line {} has an open quote", self.line)));
        }
        Ok(true)
    }

    fn text(&self) -> Result<&str, Bad> {
        let line = self.line;
        std::str::from_utf8(&self.cell)
            .map(str::trim)
            .map_err(|_| Bad::malformed(format!("line {line} is not text in UTF-8")))
    }
}

fn not_a_number(line: u64, column: u64, cell: &str) -> Bad {
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
#[path = "csv_tests.rs"]
mod tests;
