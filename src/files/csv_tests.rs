//! Tables that can be read, and tables that cannot.

use super::super::read_array;
use super::super::testing::{code, folder};
use super::*;
use std::fs;

fn parse(text: &str) -> Result<Array, Bad> {
    read_all(text.as_bytes(), true).map(|read| read.array)
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
        ("numbers of columns", "0,1,2\n1,2,3\n", 3, &[1.0, 2.0, 3.0]),
        ("numbers of two columns", "0,1\n1.5,2\n", 2, &[1.5, 2.0]),
        ("numbers of columns in quotes", "\"0\",\"1\"\n.5,2\n", 2, &[0.5, 2.0]),
        ("numbers with a point are a row", "0.0,1.0,2.0\n", 3, &[0.0, 1.0, 2.0]),
        ("numbers from 1 are a row", "1,2,3\n", 3, &[1.0, 2.0, 3.0]),
        ("R without row names", "\"V1\",\"V2\"\n0.1,-2\n", 2, &[0.1, -2.0]),
        ("a comma within quotes", "\"a,b\",\"c\"\"d\"\n1,2\n", 2, &[1.0, 2.0]),
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
        ("pandas with its index", ",a,b\n0,1,2\n", "begins with an empty name"),
        ("pandas with index and numbers", ",0,1\n0,1,2\n", "begins with an empty name"),
        ("R with row names", "\"\",\"V1\"\n\"1\",2\n", "begins with an empty name"),
        ("an index that has a name", "Unnamed: 0,a\n0,1\n", "begins with `Unnamed: 0`"),
        ("an index called so", "index,a\n0,1\n", "begins with `index`"),
        ("R's write.table", "\"V1\",\"V2\"\n\"1\",2,3\n", "line 2 has 3 cells, the lines before have 2"),
        ("one-hot rows or names", "0,1\n1,0\n", "may be numbers of columns or a row"),
        ("a column of whole numbers", "0\n1\n2\n", "may be numbers of columns or a row"),
        ("a cell without end", &"1".repeat(20_000), "a cell of more than 10000 bytes"),
        ("a quote without end", &format!("\"{}", "1\n".repeat(9)), "line 1 has an open quote"),
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
    let numbered = |text: &str| read_all(text.as_bytes(), true).unwrap().numbered;
    assert_eq!(read(&b"0,1,2\n1,1,1\n"[..]).unwrap().shape, [2, 3], "spikes have no numbered columns");
    assert!(numbered("0,1,2\n1,1,1\n") && !numbered("a,b\n1,1\n") && !numbered("1,2\n"));
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
