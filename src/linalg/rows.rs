//! Rows of many columns from one matrix to another.

/// Copies the first `rows` of columns of `from_rows` to those of columns of `to_rows`; slices start at the first number to copy.
///
/// # Panics
/// If `rows` is more than either has.
pub fn copy_rows<T: Copy>(to: &mut [T], to_rows: usize, from: &[T], from_rows: usize, rows: usize) {
    assert!(rows <= to_rows.min(from_rows), "copy_rows: {rows} of {from_rows} to {to_rows}");
    if rows == 0 {
        return;
    }
    let columns = to.chunks_mut(to_rows).zip(from.chunks(from_rows));
    // Heads are often as narrow: no call for each column.
    match rows {
        8 => columns.for_each(|(to, from)| exactly::<T, 8>(to, from)),
        16 => columns.for_each(|(to, from)| exactly::<T, 16>(to, from)),
        _ => columns.for_each(|(to, from)| to[..rows].copy_from_slice(&from[..rows])),
    }
}

#[inline(always)]
fn exactly<T: Copy, const R: usize>(to: &mut [T], from: &[T]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<R>(), from.first_chunk::<R>()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_rows_are_copied() {
        for rows in [0, 1, 7, 8, 9, 16, 17] {
            let from: Vec<usize> = (0..20 * 3).collect();
            let mut to = vec![100; 18 * 3];
            copy_rows(&mut to[1..], 18, &from[2..], 20, rows);
            for (j, column) in to.chunks(18).enumerate() {
                for (i, x) in column.iter().enumerate() {
                    let copied = (1..=rows).contains(&i);
                    assert_eq!(*x, if copied { j * 20 + i + 1 } else { 100 }, "{rows} rows: {i}, {j}");
                }
            }
        }
    }
}
