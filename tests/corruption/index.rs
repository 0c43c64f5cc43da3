//! Hostile prefixes and indices.

use crate::support::judge::{check_error, open};
use crate::support::wire::{Hand, with_index};
use serde_json::json;
use std::sync::Arc;
use wcodec::{Backend, DecodeOptions, Decoder, Error, Limits, Section};

const RAW: &str = "raw chunk=1048576";

/// A file of one tensor of four bytes that decodes.
fn good() -> Hand {
    Hand::new().tensor("t", "U8", &[4], RAW, &[], &[(&[1, 2, 3, 4], 0)])
}

fn fails(bytes: &[u8]) -> Error {
    let error = open(bytes.to_vec(), Backend::Scalar).expect_err("a hostile file");
    check_error(&error);
    error
}

#[track_caller]
fn corrupt(bytes: &[u8], what: &str) {
    corrupt_error(fails(bytes), what);
}

#[track_caller]
fn corrupt_error(error: Error, what: &str) {
    match error {
        Error::Corrupt { what: got, .. } => assert!(got.contains(what), "{got:?} does not say {what:?}"),
        other => panic!("{other:?}"),
    }
}

/// As `corrupt`, for a file whose last tensor's entry was spoilt; the error names it.
#[track_caller]
fn corrupt_entry(key: &str, value: serde_json::Value, what: &str) {
    let mut hand = good();
    hand.last()[key] = value;
    let bytes = hand.bytes();
    corrupt(&bytes, what);
    let error = fails(&bytes);
    assert_eq!(
        error.location().and_then(|at| at.tensor.as_deref()),
        Some("t"),
        "{error}"
    );
}

#[test]
fn a_good_file_made_by_hand() {
    let decoder = open(good().bytes(), Backend::Scalar).unwrap();
    assert_eq!(decoder.tensor("t").unwrap().decode().unwrap(), [1, 2, 3, 4]);
    assert!(decoder.tensor("t").unwrap().verify().is_err(), "its digest is made up");
}

#[test]
fn prefixes() {
    let good = good().bytes();
    let spoilt = |at: usize, to: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to);
        fails(&bytes)
    };
    assert!(matches!(spoilt(0, b"GGUF"), Error::NotWcodec { .. }));
    assert!(matches!(spoilt(4, b"\n"), Error::NotWcodec { .. }));
    assert!(matches!(fails(b""), Error::NotWcodec { .. }));
    assert!(matches!(
        spoilt(8, &[2]),
        Error::Version {
            major: 2,
            minor: 0,
            supported: 1,
            ..
        }
    ));
    assert!(matches!(spoilt(8, &[0]), Error::Corrupt { .. }));
    assert!(matches!(spoilt(12, &[1]), Error::Corrupt { .. }));
    for len in [u64::MAX, u64::MAX - 31, 1 << 62, (1 << 30) + 1] {
        let error = spoilt(16, &len.to_le_bytes());
        assert!(
            matches!(&error, Error::Limit { at, .. } if at.section == Section::Index),
            "{error:?}"
        );
    }
    for len in [good.len() as u64, good.len() as u64 - 31, 1 << 30] {
        let error = spoilt(16, &len.to_le_bytes());
        assert!(
            matches!(&error, Error::Corrupt { at, .. } if at.offset == Some(32)),
            "{error:?}"
        );
    }
}

#[test]
fn a_later_minor_version_is_read_as_far_as_it_is_known() {
    let mut hand = good()
        .tensor("later", "U8", &[4], "wavelet level=3 chunk=65536", &[], &[(b"what", 0)])
        .tensor("more", "U8", &[4], "raw chunk=65536 shuffle=2", &[], &[(b"what", 0)])
        .tensor("last", "U8", &[1], RAW, &[], &[(&[9], 0)]);
    hand.minor = 7;
    hand.index["wcodec"]["licence"] = json!("ours");
    hand.index["graph"] = json!({ "nodes": [1, { "deep": [null, true, -1.5e300] }] });
    hand.last()["statistics"] = json!([1, 2, 3]);
    let decoder = open(hand.bytes(), Backend::Scalar).unwrap();
    assert_eq!(decoder.tensor("t").unwrap().decode().unwrap(), [1, 2, 3, 4]);
    assert_eq!(decoder.tensor("last").unwrap().decode().unwrap(), [9]);
    for name in ["later", "more"] {
        let tensor = decoder.tensor(name).unwrap();
        assert!(tensor.info().recipe().is_none());
        let mut out = [0; 4];
        for error in [
            tensor.decode().unwrap_err(),
            tensor.decode_rows(0..4, &mut out).unwrap_err(),
        ] {
            assert!(
                matches!(&error, Error::Unsupported { at, .. } if at.tensor.as_deref() == Some(name)),
                "{error:?}"
            );
        }
    }
}

#[test]
fn indices_that_are_not_the_json_expected() {
    let tensors = |n: &str| format!(r#"{{"wcodec":{{"version":"1.0","writer":""}},"tensors":{n}}}"#).into_bytes();
    assert!(open(with_index(&tensors("[]")), Backend::Scalar).is_ok());
    let deep = 1_000_000;
    let brackets = ["[".repeat(deep), "]".repeat(deep)].concat();
    let braces = [r#"{"":"#.repeat(deep), "0".into(), "}".repeat(deep)].concat();
    for hostile in [
        "",
        "{",
        "null",
        "[[]]",
        "{}",
        "\u{0}",
        "\u{ff}",
        "NaN",
        &brackets,
        &braces,
        &"[".repeat(deep),
    ] {
        corrupt(&with_index(hostile.as_bytes()), "JSON");
        corrupt(&with_index(&tensors(hostile)), "JSON");
    }
    corrupt(&with_index(b"\xff\xfe"), "JSON");
    // An array of its values is no object, null is not absent, and spaces alone fill up.
    for hostile in [
        r#"[{"version":"1.0","writer":""},null,[]]"#,
        r#"{"wcodec":["1.0",""],"tensors":[]}"#,
        r#"{"wcodec":{"version":"1.0","writer":""},"source":null,"tensors":[]}"#,
        r#"{"wcodec":{"version":"1.0","writer":""},"source":["safetensors",8,"",[0,0],""],"tensors":[]}"#,
        r#"{"wcodec":{"version":"1.0","writer":""},"tensors":[["t","U8",[0],"raw chunk=1",[0,0,0],""]]}"#,
    ] {
        corrupt(&with_index(hostile.as_bytes()), "JSON");
    }
    corrupt(&with_index(&[&tensors("[]")[..], b"  \n "].concat()), "filled up");
    // In a field that is skipped, depth does no harm either.
    let skipped = format!(r#"{{"wcodec":{{"version":"1.0","writer":""}},"tensors":[],"x":{brackets}}}"#);
    if let Err(error) = open(with_index(skipped.as_bytes()), Backend::Scalar) {
        check_error(&error);
    }
    corrupt(
        &with_index(br#"{"wcodec":{"version":"1.0","writer":""},"tensors":[],"tensors":[]}"#),
        "JSON",
    );
}

/// A certificate is no reason to refuse the weights, unless it is too large to be looked at.
#[test]
fn certificates() {
    let with = |certificate: &str| {
        let index = format!(r#"{{"wcodec":{{"version":"1.0","writer":""}},"certificate":{certificate},"tensors":[]}}"#);
        open(with_index(index.as_bytes()), Backend::Scalar)
    };
    let deep = 200_000;
    let brackets = ["[".repeat(deep), "]".repeat(deep)].concat();
    for hostile in [
        "null",
        "{}",
        "[]",
        "1e999",
        r#"{"version":1}"#,
        r#"{"version":1e99}"#,
        r#"{"version":1,"version":1}"#,
        &brackets,
        &format!(r#"{{"version":1,"files":{brackets}}}"#),
    ] {
        let decoder = with(hostile).unwrap();
        let error = decoder.certificate().expect_err("no certificate");
        check_error(&error);
        assert!(error.to_string().len() < 400, "{error}");
    }
    assert!(with(r#""#).is_err() && with("{").is_err());
    let huge = format!(r#"{{"version":1,"x":"{}"}}"#, "a".repeat(1 << 20));
    corrupt_error(with(&huge).expect_err("too large"), "certificate of");
    let later = with(r#"{"version":2,"signature":"x"}"#).unwrap().certificate();
    assert!(matches!(later, Err(Error::Unsupported { .. })), "{later:?}");
}

#[test]
fn offsets_and_lengths() {
    let data = |offset: u64, len: u64, head: u64| json!([offset, len, head]);
    corrupt_entry("data", data(16384 + 64, 48, 32), "misaligned");
    corrupt_entry("data", data(0, 48, 32), "overlaps");
    corrupt_entry("data", data(128, 48, 32), "overlaps");
    corrupt_entry("data", data(16384, 49, 32), "past the end");
    corrupt_entry("data", data(16384, u64::MAX, 32), "past the end");
    corrupt_entry("data", data(u64::MAX - 127, 256, 32), "past the end");
    corrupt_entry("data", data(16384 + 128, 48, 32), "past the end");
    corrupt_entry("data", data(16384, 48, 49), "longer than its payload");
    corrupt_entry("digest", json!("z".repeat(64)), "digest");
    corrupt_entry("digest", json!("00"), "digest");
    corrupt_entry("digest", json!("é".repeat(32)), "digest");
    // Two tensors in one place.
    let mut hand = good().tensor("u", "U8", &[4], RAW, &[], &[(&[1, 2, 3, 4], 0)]);
    hand.last()["data"] = json!([16384, 48, 32]);
    corrupt(&hand.bytes(), "overlaps");
    let hand = good().tensor("t", "U8", &[4], RAW, &[], &[(&[1, 2, 3, 4], 0)]);
    corrupt(&hand.bytes(), "this name");
}

#[test]
fn shapes() {
    let huge = 1u64 << 32;
    corrupt_entry("shape", json!([huge, huge]), "overflows");
    corrupt_entry("shape", json!([u64::MAX]), "overflows");
    corrupt_entry("shape", json!([huge, huge, 0]), "overflows");
    let mut hand = good();
    hand.last()["shape"] = json!([(8 << 20) + 1]);
    let error = fails(&hand.bytes());
    assert!(
        matches!(&error, Error::Limit { at, .. } if at.tensor.as_deref() == Some("t")),
        "{error:?}"
    );
    let mut hand = Hand::new().tensor("t", "F4", &[2], RAW, &[], &[(&[1], 0)]);
    assert!(open(hand.bytes(), Backend::Scalar).is_ok());
    hand.last()["shape"] = json!([3]);
    corrupt(&hand.bytes(), "whole bytes");
    hand.last()["dtype"] = json!("F5");
    assert!(matches!(fails(&hand.bytes()), Error::Unsupported { .. }));
    // Without rows, the other dimensions may be anything.
    let hand = Hand::new().tensor("t", "F32", &[0, huge, huge], RAW, &[], &[]);
    let decoder = open(hand.bytes(), Backend::Scalar).unwrap();
    let tensor = decoder.tensor("t").unwrap();
    assert_eq!(tensor.row_len(), None);
    assert!(tensor.decode().unwrap().is_empty());
}

#[test]
fn limits_are_kept() {
    let bytes = source_file(|_| {});
    let open = |set: &dyn Fn(&mut Limits)| {
        let mut limits = Limits::default();
        set(&mut limits);
        let source = crate::support::judge::Unmapped(bytes.clone());
        Decoder::from_source(Arc::new(source), DecodeOptions::default().limits(limits))
    };
    assert!(open(&|_| {}).is_ok());
    let cases: [&dyn Fn(&mut Limits); 5] = [
        &|l| l.max_index_bytes = 100,
        &|l| l.max_tensors = 0,
        &|l| l.max_tensor_bytes = 3,
        &|l| l.max_head_bytes = 31,
        &|l| l.max_source_header_bytes = 15,
    ];
    for (i, set) in cases.iter().enumerate() {
        let error = open(set).expect_err("a limit");
        assert!(matches!(error, Error::Limit { .. }), "{i}: {error:?}");
        check_error(&error);
    }
}

#[test]
fn a_small_payload_makes_no_huge_tensor() {
    let claim = |units: u64| {
        let hand = Hand::new().tensor("t", "U8", &[units], "constant chunk=1048576", &[7], &[(&[], 0)]);
        open(hand.bytes(), Backend::Scalar).map(|_| ())
    };
    claim(1 << 20).unwrap();
    let error = claim(1 << 30).expect_err("a limit");
    assert!(matches!(error, Error::Limit { .. }), "{error:?}");
    check_error(&error);
}

/// A file with a kept header of 16 bytes, in a place of its own before a tensor of 4 bytes.
fn source_file(spoil: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
    // A first tensor makes room for the header, and leaves.
    let mut hand = Hand::new().tensor("header", "U8", &[0], RAW, &[], &[]);
    hand = hand.tensor("t", "U8", &[4], RAW, &[], &[(&[1, 2, 3, 4], 0)]);
    let tensors = hand.index["tensors"].as_array_mut().unwrap();
    tensors.remove(0);
    hand.index["source"] = json!({
        "format": "safetensors",
        "bytes": 20,
        "sha256": "0".repeat(64),
        "header": [16384, 16],
        "checksum": "0".repeat(16),
    });
    spoil(&mut hand.index["source"]);
    hand.bytes()
}

#[test]
fn sources() {
    let decoder = open(source_file(|_| {}), Backend::Scalar).unwrap();
    let error = decoder.source_header().unwrap_err();
    assert!(matches!(&error, Error::Corrupt { at, .. } if at.section == Section::SourceHeader && at.offset.is_some()));
    corrupt(&source_file(|s| s["bytes"] = json!(21)), "add up");
    corrupt(&source_file(|s| s["bytes"] = json!(u64::MAX)), "add up");
    corrupt(&source_file(|s| s["header"] = json!([16384, 1 << 20])), "past the end");
    corrupt(&source_file(|s| s["header"] = json!([32, 16])), "overlaps");
    corrupt(&source_file(|s| s["sha256"] = json!("g".repeat(64))), "digest");
    corrupt(&source_file(|s| s["sha256"] = json!("0".repeat(63))), "digest");
    for checksum in [
        "",
        "+00000000000000a",
        "0",
        "00000000000000000",
        "000000000000000g",
        "-000000000000001",
    ] {
        corrupt(&source_file(|s| s["checksum"] = json!(checksum)), "16 digits");
    }
    let error = fails(&source_file(|s| s["format"] = json!("gguf")));
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
}
