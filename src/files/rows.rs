//! Rows of `.npy` files piece by piece: neither file has to fit in memory.

use super::array::{decode, little_endian};
use super::npy::{Header, put_header, read_header};
use super::{Bad, Dtype, atomic_write, guard};
use crate::diag::Diagnostic;
use crate::linalg::{Real, real};
use nalgebra::DMatrix;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes read at a time.
const BUFFER: usize = 1 << 16;

/// The rows of an array `[n_tokens, d_model]`, read from the first on.
#[derive(Debug)]
pub struct NpyRows {
    from: BufReader<File>,
    path: PathBuf,
    header: Header,
    /// where the numbers start
    start: u64,
    next: usize,
}

impl NpyRows {
    /// Opens a file of any length.
    ///
    /// # Errors
    /// As [`super::read_array`], and `F009` unless the array has two axes, the last one fastest.
    pub fn open(path: &Path) -> Result<Self, Diagnostic> {
        let (file, length) = guard::open(path, u64::MAX)?;
        let mut from = BufReader::with_capacity(BUFFER, file);
        let header = read_header(&mut from, length).map_err(|bad| bad.in_file(path))?;
        let wrong = |what: String, help: &str| Err(Bad::new("F009", what).help(help).in_file(path));
        if header.shape.len() != 2 {
            let what =
                format!("tokens need two axes [n_tokens, d_model], this array has shape {:?}", header.shape);
            return wrong(what, "reshape it; one token is one row");
        }
        if header.fortran && !header.shape.contains(&1) {
            let help = "write it with `np.save(file, np.ascontiguousarray(tokens))`";
            return wrong("its rows are not contiguous, so it cannot be read row by row".to_owned(), help);
        }
        let start = from.stream_position().map_err(|e| Bad::from(e).in_file(path))?;
        Ok(Self { from, path: path.to_owned(), header, start, next: 0 })
    }

    /// `(n_tokens, d_model)`.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        (self.header.shape[0], self.header.shape[1])
    }

    /// The next `count` rows as the columns of `tokens`, fewer where the file ends.
    ///
    /// # Errors
    /// `F003`, `F007` when the file cannot be read or has changed, `F009` for an integer that `f64` cannot hold, `F010` for the
    /// first number that is not finite.
    pub fn read<T: Real>(&mut self, count: usize, tokens: &mut DMatrix<T>) -> Result<(), Diagnostic> {
        let (n, width) = self.shape();
        let count = count.min(n - self.next);
        if tokens.shape() != (width, count) {
            *tokens = DMatrix::zeros(width, count);
        }
        self.fill(tokens.as_mut_slice()).map_err(|bad| bad.in_file(&self.path))?;
        self.next += count;
        Ok(())
    }

    fn fill<T: Real>(&mut self, numbers: &mut [T]) -> Result<(), Bad> {
        let Header { dtype, big, .. } = self.header;
        let (width, size) = (self.header.shape[1], dtype.bytes());
        let mut bytes = [0; BUFFER];
        let mut wide = Vec::with_capacity(BUFFER / size);
        for (p, part) in numbers.chunks_mut(BUFFER / size).enumerate() {
            let bytes = &mut bytes[..part.len() * size];
            self.from.read_exact(bytes)?;
            wide.clear();
            decode(bytes, dtype, big, &mut wide)?;
            if let Some(bad) = wide.iter().position(|x| !x.is_finite()) {
                let at = p * (BUFFER / size) + bad;
                let index = [self.next + at / width, at % width];
                return Err(Bad::not_finite("tokens", &index, wide[bad]));
            }
            part.iter_mut().zip(&wide).for_each(|(to, x)| *to = real(*x));
        }
        Ok(())
    }

    /// Back to the first row.
    ///
    /// # Errors
    /// `F003` when the system refuses.
    pub fn rewind(&mut self) -> Result<(), Diagnostic> {
        self.from.seek(SeekFrom::Start(self.start)).map_err(|e| Bad::from(e).in_file(&self.path))?;
        self.next = 0;
        Ok(())
    }
}

/// What takes tokens on their way into a file.
pub type PutRows<'a, T> = &'a mut dyn FnMut(&DMatrix<T>) -> io::Result<()>;

/// Writes `n` tokens of `width` numbers, `[n, width]`, `<f8` or `<f4` by their precision; `work` hands them over from the first
/// on, as many at a time as it likes. The file appears when `work` is done, whole; if it fails the earlier one stays.
///
/// # Errors
/// What `work` says, else as [`atomic_write`]; `F004` for another number of tokens than was promised.
pub fn write_npy_rows<T: Real, R, E: From<Diagnostic>>(
    path: &Path,
    (n, width): (usize, usize),
    work: impl FnOnce(PutRows<'_, T>) -> Result<R, E>,
) -> Result<R, E> {
    let mut answer = None;
    let written = atomic_write(path, |out| {
        put_header(Dtype::of::<T>(), &[n, width], out)?;
        let mut missing = n;
        let mut put = |tokens: &DMatrix<T>| {
            missing = missing
                .checked_sub(tokens.ncols())
                .filter(|_| tokens.nrows() == width)
                .ok_or_else(|| io::Error::other("more tokens than promised"))?;
            out.write_all(&little_endian(tokens.as_slice()))
        };
        let done = work(&mut put);
        let whole = done.is_ok() && missing == 0;
        answer = Some(done);
        if whole { Ok(()) } else { Err(io::Error::other(format!("{missing} tokens were not written"))) }
    });
    match (answer, written) {
        (Some(Err(why)), _) => Err(why),
        (_, Err(why)) => Err(why.into()),
        (Some(Ok(answer)), Ok(())) => Ok(answer),
        (None, Ok(())) => unreachable!("a file was written"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{code, folder};
    use super::super::{Array, read_tokens, write_npy, write_npy_array};
    use super::*;

    fn numbers(width: usize, n: usize) -> DMatrix<f64> {
        DMatrix::from_fn(width, n, |i, j| (i * 31 + j * 7) as f64 / 8.0)
    }

    #[test]
    fn pieces_are_the_whole() {
        let dir = folder();
        let path = dir.path().join("x.npy");
        for (width, n) in [(3, 0), (0, 4), (1, 1), (5, 97), (300, 64)] {
            let tokens = numbers(width, n);
            write_npy(&path, &tokens).unwrap();
            let mut rows = NpyRows::open(&path).unwrap();
            assert_eq!(rows.shape(), (n, width));
            for _ in 0..2 {
                let (mut piece, mut all) = (DMatrix::<f64>::zeros(0, 0), Vec::new());
                while {
                    rows.read(13, &mut piece).unwrap();
                    piece.ncols() > 0
                } {
                    all.extend_from_slice(piece.as_slice());
                }
                assert_eq!(all, tokens.as_slice(), "{width} {n}");
                rows.rewind().unwrap();
            }
            let mut single = DMatrix::<f32>::zeros(0, 0);
            rows.read(usize::MAX, &mut single).unwrap();
            assert_eq!(single, tokens.map(|x| x as f32));
        }
    }

    #[test]
    fn written_in_pieces_as_at_once() {
        let dir = folder();
        let (path, other) = (dir.path().join("x.npy"), dir.path().join("y.npy"));
        let tokens = numbers(4, 50);
        write_npy(&other, &tokens).unwrap();
        let work = |put: PutRows<'_, f64>| {
            for first in (0..50).step_by(20) {
                put(&tokens.columns(first, 20.min(50 - first)).into_owned())
                    .map_err(|e| Bad::from(e).in_file(&path))?;
            }
            Ok::<_, Diagnostic>(7)
        };
        assert_eq!(write_npy_rows(&path, (50, 4), work).unwrap(), 7);
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&other).unwrap());
        assert_eq!(read_tokens(&path, None).unwrap(), tokens);

        // Neither a failure nor a wrong number of tokens touches the file.
        let stop = |_: PutRows<'_, f32>| Err::<(), _>(Diagnostic::error("R001", "", "stop"));
        assert_eq!(write_npy_rows(&path, (2, 4), stop).unwrap_err().code, "R001");
        for n in [1, 3] {
            let two = |put: PutRows<'_, f64>| {
                let _ = put(&numbers(4, 2));
                Ok::<_, Diagnostic>(())
            };
            assert_eq!(write_npy_rows(&path, (n, 4), two).unwrap_err().code, "F004", "{n}");
        }
        assert_eq!(read_tokens(&path, None).unwrap(), tokens);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_cannot_be_read_row_by_row() {
        let dir = folder();
        let path = dir.path().join("x.npy");
        let mut tokens = numbers(3, 40_000);
        tokens[(2, 39_999)] = f64::NAN;
        write_npy(&path, &tokens).unwrap();
        let mut rows = NpyRows::open(&path).unwrap();
        let mut piece = DMatrix::<f64>::zeros(0, 0);
        rows.read(39_000, &mut piece).unwrap();
        let error = rows.read(1_000, &mut piece).unwrap_err();
        assert!(error.code == "F010" && error.message.contains("[39999, 2] is NaN"), "{error}");
        write_npy_array(&path, &Array { shape: vec![2, 2, 1], data: vec![0.0; 4], dtype: Dtype::F64 })
            .unwrap();
        assert_eq!(code(NpyRows::open(&path)), "F009");
        std::fs::write(&path, b"no npy").unwrap();
        assert_eq!(code(NpyRows::open(&path)), "F007");
        assert_eq!(code(NpyRows::open(&dir.path().join("none.npy"))), "F001");
        let header = b"{'descr': '<f8', 'fortran_order': True, 'shape': (2, 2), }";
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
        bytes.extend(header);
        bytes.extend([0; 32]);
        std::fs::write(&path, bytes).unwrap();
        let error = NpyRows::open(&path).unwrap_err();
        assert!(error.code == "F009" && error.help.unwrap().contains("ascontiguousarray"));
    }
}
