use super::super::testing::{code, folder};
use super::super::{list_arrays, read_array};
use super::*;
use std::fs;
use std::io::Cursor;

fn parse(bytes: &[u8]) -> Result<Reader<Cursor<&[u8]>>, Bad> {
    Reader::new(Cursor::new(bytes), bytes.len() as u64)
}

/// A file with any header text.
fn file(header: &str, body: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), body].concat()
}

#[test]
fn round_trip_and_equal_bytes_in_any_order() {
    let dir = folder();
    let path = dir.path().join("w.safetensors");
    use Dtype::{BF16, Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
    let mut tensors: Vec<(String, Array)> = [F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8, Bool]
        .into_iter()
        .map(|dtype| {
            (format!("w \"{}\"", dtype.name()), Array { shape: vec![3, 1], data: vec![0.0, 1.0, 1.0], dtype })
        })
        .collect();
    tensors.push(("none".into(), Array { shape: vec![0, 4], data: vec![], dtype: F32 }));
    tensors.push(("one".into(), Array { shape: vec![], data: vec![-0.0], dtype: F64 }));
    let mut metadata: Vec<(String, String)> = ["kernel", "mask", "a\n\"b\"", "zeta", "é"]
        .iter()
        .map(|k| ((*k).into(), format!("{k},{k}")))
        .collect();
    write_safetensors(&path, &tensors, &metadata).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(u64::from_le_bytes(bytes[..8].try_into().unwrap()) % 8, 0);
    for (name, array) in &tensors {
        let back = read_array(&path, Some(name)).unwrap();
        assert_eq!(&back, array);
        assert_eq!(back.data.first().map(|x| x.to_bits()), array.data.first().map(|x| x.to_bits()));
    }
    // The crate that defines the format agrees.
    let theirs = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(theirs.len(), tensors.len());
    let want: BTreeMap<String, String> = metadata.iter().cloned().collect();
    assert_eq!(open(&path).unwrap().metadata(), want);
    tensors.reverse();
    metadata.reverse();
    write_safetensors(&path, &tensors, &metadata).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);

    let names: Vec<String> = list_arrays(&path).unwrap().into_iter().map(|e| e.name).collect();
    assert!(names.is_sorted() && names.len() == 15);
    let error = read_array(&path, Some("non")).unwrap_err();
    assert_eq!(error.code, "F008");
    assert!(error.help.unwrap().contains("did you mean `none`?"));
    assert_eq!(code(read_array(&path, None)), "F008");
}

#[test]
fn rounding_to_half_precision() {
    let dir = folder();
    let path = dir.path().join("w.safetensors");
    for (dtype, want) in [(Dtype::F16, 0.333_251_953_125), (Dtype::BF16, 0.333_984_375)] {
        let array = Array { shape: vec![1], data: vec![1.0 / 3.0], dtype };
        write_safetensors(&path, &[("x".into(), array)], &[]).unwrap();
        assert_eq!(read_array(&path, None).unwrap().data, [want]);
    }
}

#[test]
fn headers_that_lie_or_are_damaged() {
    let tensor = |shape: &str, from: u64, to: u64| {
        format!("{{\"x\":{{\"dtype\":\"F64\",\"shape\":{shape},\"data_offsets\":[{from},{to}]}}}}")
    };
    parse(&file(&tensor("[2]", 0, 16), &[0; 16])).unwrap();
    let huge = 1u64 << 61;
    let rows: &[(&str, String)] = &[
        ("more than there is", tensor("[1000000000000]", 0, 8_000_000_000_000)),
        ("shape and offsets disagree", tensor("[1000000000000]", 0, 16)),
        ("overflow", tensor("[4294967296,4294967296]", 0, 16)),
        ("nearly 2^64 bytes", tensor(&format!("[{}]", huge - 1), 0, (huge - 1) * 8)),
        ("negative", tensor("[-2]", 0, 16)),
        ("a hole in front", tensor("[1]", 8, 16)),
        ("backwards", tensor("[2]", 16, 0)),
        ("less than there is", tensor("[1]", 0, 8)),
        ("not JSON", "{".into()),
        ("deep", "[".repeat(5000)),
        ("a list", "[]".into()),
        ("empty", String::new()),
        ("metadata of numbers", "{\"__metadata__\":{\"a\":1}}".into()),
    ];
    for (claim, header) in rows {
        let bad = parse(&file(header, &[0; 16])).unwrap_err();
        assert_eq!(bad.code, "F007", "{claim}: {}", bad.message);
    }
    // Sums of tensors that pass 2^64 only together.
    let each = huge - 1;
    let many: Vec<String> = (0..8)
        .map(|i| {
            let (from, to) = (i * each, (i + 1) * each);
            format!("\"x{i}\":{{\"dtype\":\"U8\",\"shape\":[{each}],\"data_offsets\":[{from},{to}]}}")
        })
        .collect();
    assert_eq!(parse(&file(&format!("{{{}}}", many.join(",")), &[])).unwrap_err().code, "F007");
    for size in [17, u64::MAX, u64::MAX - 7, 100_000_001, 1 << 40] {
        let bytes = [&size.to_le_bytes()[..], &[b' '; 16]].concat();
        assert_eq!(parse(&bytes).unwrap_err().code, "F007", "{size}");
    }
    assert_eq!(parse(b"0123456789").unwrap_err().code, "F007");
    // Nothing in it, but of an impossible width.
    let flat = file(&tensor("[0,9000000000000000]", 0, 0), &[]);
    assert_eq!(parse(&flat).unwrap().read("x").unwrap_err().code, "F007");
    let odd = "{\"x\":{\"dtype\":\"F8_E4M3\",\"shape\":[16],\"data_offsets\":[0,16]}}";
    assert_eq!(parse(&file(odd, &[0; 16])).unwrap().read("x").unwrap_err().code, "F009");
}

#[test]
fn truncated_at_every_byte() {
    let header = "{\"x\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}";
    let good = file(header, &[0; 16]);
    for n in 0..good.len() {
        assert_eq!(parse(&good[..n]).unwrap_err().code, "F007", "{n}");
    }
    assert_eq!(parse(&[good, vec![0]].concat()).unwrap_err().code, "F007");
}

#[test]
fn tensors_that_cannot_be_written() {
    let dir = folder();
    let path = dir.path().join("w.safetensors");
    let x = || Array::from_slice(&[1.0f64]);
    let twice = [("a".to_owned(), x()), ("a".to_owned(), x())];
    assert_eq!(code(write_safetensors(&path, &twice, &[])), "F009");
    assert_eq!(code(write_safetensors(&path, &[("__metadata__".into(), x())], &[])), "F009");
    let keys = [("k".to_owned(), String::new()), ("k".to_owned(), String::new())];
    assert_eq!(code(write_safetensors(&path, &[], &keys)), "F009");
    assert!(!path.exists());
    write_safetensors(&path, &[], &[]).unwrap();
    assert!(list_arrays(&path).unwrap().is_empty());
}

/// The same file without the checksum, so that damage reaches what reads the rest.
pub(crate) fn unsealed(bytes: &[u8]) -> Vec<u8> {
    let size = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + size]).unwrap();
    let metadata = header["__metadata__"].as_object_mut().unwrap();
    metadata.remove(SEAL).unwrap();
    if metadata.is_empty() {
        header.as_object_mut().unwrap().remove("__metadata__");
    }
    file(&header.to_string(), &bytes[8 + size..])
}

#[test]
fn every_flipped_bit_is_noticed() {
    let dir = folder();
    let path = dir.path().join("w.safetensors");
    let x = Array { shape: vec![2, 3], data: vec![1.0, -2.0, 0.5, 0.0, 4.0, 1e-3], dtype: Dtype::F64 };
    write_safetensors(&path, &[("x".into(), x.clone())], &[("mask".into(), "full".into())]).unwrap();
    let whole = fs::read(&path).unwrap();
    let other = dir.path().join("y.safetensors");
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        // Each file anew: what was compared once is not compared again.
        let _ = fs::remove_file(&other);
        fs::write(&other, &bytes).unwrap();
        // Without the key of the checksum it is a file of another program: then nothing else may have changed.
        match open(&other) {
            Err(d) => assert!(["F007", "F022"].contains(&d.code), "bit {bit}: {d}"),
            Ok(mut reader) => {
                assert!(reader.seal().is_none(), "bit {bit}");
                let back = reader.read("x").unwrap();
                assert_eq!((back, reader.metadata()["mask"].as_str()), (x.clone(), "full"), "bit {bit}");
            }
        }
    }
    assert_eq!(open(&path).unwrap().seal().map(str::len), Some(64));
}
