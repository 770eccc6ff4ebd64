use super::super::testing::{code, folder};
use super::super::{read_array, read_tokens};
use super::*;
use std::fs;

/// A version 1 file with any header text.
fn file(header: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], &[1, 0]].concat();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(body);
    bytes
}

fn describe(descr: &str, fortran: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n")
}

fn parse(bytes: &[u8]) -> Result<Array, Bad> {
    read(bytes, bytes.len() as u64)
}

#[test]
fn every_type_and_byte_order() {
    let rows: &[(&str, &[u8], f64)] = &[
        ("<f8", &1.5f64.to_le_bytes(), 1.5),
        (">f8", &1.5f64.to_be_bytes(), 1.5),
        ("<f4", &(-2.25f32).to_le_bytes(), -2.25),
        (">f4", &(-2.25f32).to_be_bytes(), -2.25),
        ("<f2", &half::f16::from_f64(0.5).to_le_bytes(), 0.5),
        (">f2", &half::f16::from_f64(0.5).to_be_bytes(), 0.5),
        ("<i8", &(-7i64).to_le_bytes(), -7.0),
        (">i8", &(-7i64).to_be_bytes(), -7.0),
        ("<u8", &(1u64 << 60).to_le_bytes(), 2f64.powi(60)),
        ("<i4", &(-70_000i32).to_le_bytes(), -70_000.0),
        (">u4", &70_000u32.to_be_bytes(), 70_000.0),
        ("<i2", &(-300i16).to_le_bytes(), -300.0),
        (">u2", &300u16.to_be_bytes(), 300.0),
        ("|i1", &[0xff], -1.0),
        ("|u1", &[0xff], 255.0),
        ("|b1", &[1], 1.0),
        ("?", &[0], 0.0),
    ];
    for (descr, body, want) in rows {
        let array = parse(&file(&describe(descr, "False", "(1,)"), body)).unwrap();
        assert_eq!((array.shape, array.data), (vec![1], vec![*want]), "{descr}");
    }
    let big = parse(&file(&describe("<u8", "False", "(1,)"), &u64::MAX.to_le_bytes())).unwrap_err();
    assert_eq!(big.code, "F009");
    for descr in ["<c16", "|O", "<U3", "<M8[ns]", "|V2", "<f16", "", "<", "8"] {
        assert_eq!(
            parse(&file(&describe(descr, "False", "(1,)"), &[0; 16])).unwrap_err().code,
            "F009",
            "{descr}"
        );
    }
}

#[test]
fn fortran_order_becomes_row_major() {
    let body: Vec<u8> = (0..6).collect();
    let flat = parse(&file(&describe("|u1", "True", "(2, 3)"), &body)).unwrap();
    assert_eq!(flat.data, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
    let body: Vec<u8> = (0..24).collect();
    let cube = parse(&file(&describe("|u1", "True", "(2, 3, 4)"), &body)).unwrap();
    for (at, &x) in cube.data.iter().enumerate() {
        let (i, j, k) = (at / 12, at / 4 % 3, at % 4);
        assert_eq!(x, f64::from(u8::try_from(i + 2 * j + 6 * k).unwrap()));
    }
    for (shape, n) in [("()", 1), ("(0, 3)", 0), ("(5,)", 5), ("(1, 1, 1)", 1)] {
        let (c, f) = (describe("|u1", "False", shape), describe("|u1", "True", shape));
        assert_eq!(parse(&file(&f, &body[..n])).unwrap(), parse(&file(&c, &body[..n])).unwrap());
    }
}

#[test]
fn headers_that_lie_or_are_damaged() {
    let rows: &[(&str, String)] = &[
        ("too many elements", describe("<f8", "False", "(1000000, 1000000)")),
        ("product overflows", describe("<f8", "False", "(2147483648, 2147483648, 2147483648)")),
        ("bytes overflow", describe("<f8", "False", "(2147483648, 2147483648)")),
        ("axis beyond 64 bits", describe("<f8", "False", "(99999999999999999999999,)")),
        ("axis too long beside none", describe("<f8", "False", "(0, 9999999999999)")),
        ("negative", describe("<f8", "False", "(-1,)")),
        ("fraction", describe("<f8", "False", "(1.5,)")),
        ("not a tuple", describe("<f8", "False", "3")),
        ("open tuple", describe("<f8", "False", "(3")),
        ("many axes", describe("<f8", "False", &format!("({})", "1,".repeat(100)))),
        ("too few elements", describe("<f8", "False", "(1,)")),
        ("order", describe("<f8", "Maybe", "(2,)")),
        ("lacks shape", "{'descr': '<f8', 'fortran_order': False}".into()),
        ("twice", "{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (2,)}".into()),
        ("unknown key", "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), 'x': 1}".into()),
        ("rubbish after", describe("<f8", "False", "(2,)") + "x"),
        ("open quote", "{'descr".into()),
        ("nothing", String::new()),
    ];
    for (claim, header) in rows {
        let error = parse(&file(header, &[0; 16])).unwrap_err();
        assert_eq!(error.code, "F007", "{claim}: {}", error.message);
    }
    let structured = "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (2,)}";
    assert_eq!(parse(&file(structured, &[0; 16])).unwrap_err().code, "F009");
    let odd = "{\"shape\":(2L,),'fortran_order':False,'descr':'<f8'}";
    assert_eq!(parse(&file(odd, &[0; 16])).unwrap().data, [0.0, 0.0]);
    // A version 2 header that claims 4 GB.
    let huge = [&MAGIC[..], &[2, 0], &u32::MAX.to_le_bytes(), &[b' '; 100]].concat();
    assert_eq!(parse(&huge).unwrap_err().code, "F007");
    for version in [0, 4, 255] {
        assert_eq!(parse(&[&MAGIC[..], &[version, 0], &[b' '; 100]].concat()).unwrap_err().code, "F007");
    }
}

#[test]
fn truncated_at_every_byte() {
    let good = file(&describe("<f4", "False", "(3, 2)"), &[0; 24]);
    parse(&good).unwrap();
    for n in 0..good.len() {
        assert_eq!(parse(&good[..n]).unwrap_err().code, "F007", "{n}");
        // A length that was only claimed, as in an archive.
        assert_eq!(read_from(&mut &good[..n], good.len() as u64, false).unwrap_err().code, "F007", "{n}");
    }
    assert_eq!(parse(&[good, vec![0]].concat()).unwrap_err().code, "F007");
    assert_eq!(parse(b"0123456789").unwrap_err().code, "F007");
}

#[test]
fn round_trips() {
    let dir = folder();
    let path = dir.path().join("x.npy");
    let tokens = DMatrix::from_fn(3, 5, |d, n| d as f64 * 0.1 - n as f64 / 3.0);
    write_npy(&path, &tokens).unwrap();
    assert_eq!(read_tokens(&path, None).unwrap(), tokens);
    let bytes = fs::read(&path).unwrap();
    assert_eq!((bytes.len() - 15 * 8) % 64, 0);
    assert!(String::from_utf8_lossy(&bytes[..80]).contains("'shape': (5, 3), }"));
    write_npy(&path, &tokens).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);

    let single = tokens.map(|x| x as f32);
    write_npy(&path, &single).unwrap();
    let back = read_array(&path, None).unwrap();
    assert_eq!((back.dtype, back.shape), (Dtype::F32, vec![5, 3]));
    assert_eq!(read_tokens(&path, None).unwrap().map(|x| x as f32), single);

    use Dtype::{Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
    for dtype in [F64, F32, F16, I64, I32, I16, I8, U64, U32, U16, U8, Bool] {
        for shape in [vec![], vec![2], vec![0], vec![1, 2], vec![2, 1, 1], vec![1; 40]] {
            let n = shape.iter().product();
            let array = Array { shape, data: [0.0, 1.0].into_iter().cycle().take(n).collect(), dtype };
            write_npy_array(&path, &array).unwrap();
            assert_eq!(read_array(&path, None).unwrap(), array);
        }
    }
    for bits in [f64::NAN.to_bits(), (-0.0f64).to_bits(), 1, f64::NEG_INFINITY.to_bits()] {
        write_npy_array(&path, &Array::from_slice(&[f64::from_bits(bits)])).unwrap();
        assert_eq!(read_array(&path, None).unwrap().data[0].to_bits(), bits);
    }
}

#[test]
fn arrays_that_cannot_be_written() {
    let dir = folder();
    let path = dir.path().join("x.npy");
    let rows = [
        (vec![2], vec![1.0], Dtype::F64),
        (vec![1], vec![1.0], Dtype::BF16),
        (vec![1], vec![0.5], Dtype::I8),
    ];
    for (shape, data, dtype) in rows {
        assert_eq!(code(write_npy_array(&path, &Array { shape, data, dtype })), "F009");
    }
    assert_eq!(
        code(write_npy_array(&path, &Array { shape: vec![1], data: vec![300.0], dtype: Dtype::U8 })),
        "F009"
    );
    assert!(!path.exists());
}
