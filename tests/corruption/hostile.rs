//! Heads and chunks that no encoder writes, under checksums that hold.

use crate::support::judge::{decode_all, open};
use crate::support::wire::{Bits, Hand};
use serde_json::json;
use wcodec::{Backend, Error, Section};

const HALF: [u64; 2] = [2048, 2048];

/// What the only tensor's decoding fails with, the same by every backend; `section` is where.
#[track_caller]
fn fails(hand: &Hand, section: Section, what: &str) {
    let mut results = decode_all(&hand.bytes()).expect("the index is good");
    let error = results.remove(0).1.expect_err("a hostile tensor");
    let Error::Corrupt { at, what: got } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(at.section, section, "{error}");
    assert!(got.contains(what), "{got:?} does not say {what:?}");
}

fn bf16(shape: &[u64], columns: u64, fraction: u32, parameters: &[u8], chunks: &[(&[u8], u32)]) -> Hand {
    let recipe = format!("float stored=BF16 mantissa=2 columns={columns} fraction={fraction} prob=12 chunk=65536");
    Hand::new().tensor("t", "BF16", shape, &recipe, parameters, chunks)
}

fn i8s(shape: &[u64], columns: u64, tables: u32, parameters: &[u8], chunks: &[(&[u8], u32)]) -> Hand {
    let recipe = format!("bytes columns={columns} tables={tables} prob=12 chunk=65536");
    Hand::new().tensor("t", "I8", shape, &recipe, parameters, chunks)
}

/// 32 states that are where they have to end after one symbol of half the probability.
fn states() -> Vec<u8> {
    [0, 0, 2, 0].repeat(32)
}

fn table(first: u64, frequencies: &[u64]) -> Vec<u8> {
    Bits::default().bits(0, 16).table(first, frequencies).finish()
}

/// A chunk of 8 BF16 units: states, 6 bytes of raw bits of which 2 are in the seeds; escapes.
fn chunk(escapes: &[u32]) -> Vec<u8> {
    let mut chunk = states();
    chunk.extend([0; 4]);
    escapes.iter().for_each(|e| chunk.extend(e.to_le_bytes()));
    chunk
}

#[test]
fn frequency_tables() {
    let fails = |frequencies: &[u64], what| {
        fails(
            &bf16(&[8], 0, 0, &table(3, frequencies), &[(&chunk(&[]), 0)]),
            Section::Head,
            what,
        );
    };
    fails(&[2048, 2047], "sum");
    fails(&[4095, 4095], "sum");
    fails(&[2048, 2048, 0], "no room");
    fails(&[0, 4095], "no room");
    fails(&[4096, 1], "out of range");
    let mut short = table(3, &[4095, 1]);
    short.truncate(short.len() - 1);
    let chunks = chunk(&[]);
    let chunks = [(&chunks[..], 0)];
    self::fails(&bf16(&[8], 0, 0, &short, &chunks), Section::Head, "cut off");
    self::fails(&bf16(&[8], 0, 0, &[0], &chunks), Section::Head, "cut off");
    let ones = [vec![0, 0], vec![0xff; 100]].concat();
    self::fails(&bf16(&[8], 0, 0, &ones, &chunks), Section::Head, "table");
    let one_symbol = Bits::default().bits(0, 16).bits(5, 8).bits(5, 8).bits(0, 64).finish();
    self::fails(&bf16(&[8], 0, 0, &one_symbol, &chunks), Section::Head, "fewer than two");
    let backwards = Bits::default().bits(0, 16).bits(5, 8).bits(4, 8).bits(0, 64).finish();
    self::fails(&bf16(&[8], 0, 0, &backwards, &chunks), Section::Head, "fewer than two");
}

#[test]
fn escapes() {
    let parameters = table(0, &HALF);
    let fails = |escapes: &[u32], count: u32, what| {
        fails(
            &bf16(&[8], 0, 0, &parameters, &[(&chunk(escapes), count)]),
            Section::Chunk,
            what,
        );
    };
    let at = |position: u32, token: u32| token << 20 | position;
    fails(&[at(8, 0)], 1, "out of range");
    fails(&[at(0xf_ffff, 0)], 1, "out of range");
    fails(&[at(0, 1 << 10)], 1, "out of range");
    fails(&[at(2, 0), at(1, 0)], 2, "out of order");
    fails(&[at(2, 0), at(2, 0)], 2, "out of order");
    fails(&[at(1, 0)], 2, "shorter than its parts");
    fails(&[], (1 << 24) - 1, "shorter than its parts");
    fails(&[], 1 << 20, "shorter than its parts");
    // A BF16 whose token has two mantissa bits leaves five.
    fails(&[], 6 << 24, "more bits than the tokens leave");
    fails(&[], u32::MAX, "more bits than the tokens leave");
    // Words that are taken for escapes, and the other way round.
    fails(&[at(1, 0)], 0, "words do not end");
}

#[test]
fn chunk_tables() {
    let parameters = table(0, &HALF);
    let good = chunk(&[]);
    fails(&bf16(&[8], 0, 0, &parameters, &[]), Section::Head, "lists 0 chunks");
    fails(
        &bf16(&[8], 0, 0, &parameters, &[(&good, 0), (&good, 0)]),
        Section::Head,
        "lists 2 chunks",
    );
    fails(
        &bf16(&[0], 0, 0, &parameters, &[(&good, 0)]),
        Section::Head,
        "lists 1 chunks",
    );
    fails(&bf16(&[8], 0, 0, &parameters, &[(&[], 0)]), Section::Chunk, "0 bytes");
    fails(
        &bf16(&[8], 0, 0, &parameters, &[(&good[..131], 0)]),
        Section::Chunk,
        "131 bytes",
    );
    fails(
        &bf16(&[8], 0, 0, &parameters, &[(&[good.clone(), vec![0]].concat(), 0)]),
        Section::Chunk,
        "words",
    );
    let mut hand = bf16(&[8], 0, 0, &parameters, &[(&good, 0)]);
    let len = hand.last()["data"][1].as_u64().unwrap();
    for (head, what) in [
        (0, "cut off"),
        (15, "cut off"),
        (16, "does not match"),
        (len, "does not match"),
    ] {
        hand.last()["data"][2] = json!(head);
        fails(&hand, Section::Head, what);
    }
    let zero = Hand::new().tensor("t", "U8", &[4], "raw chunk=0", &[], &[]);
    let error = open(zero.bytes(), Backend::Scalar).expect_err("a chunk of no units");
    assert!(
        matches!(&error, Error::Corrupt { at, .. } if at.tensor.is_some()),
        "{error:?}"
    );
}

#[test]
fn recipes_out_of_range() {
    let float = |parts: &str| format!("float {parts} chunk=65536");
    for recipe in [
        "raw chunk=1048577".into(),
        "raw chunk=-1".into(),
        "raw chunk=18446744073709551616".into(),
        "raw chunk=".into(),
        "raw".into(),
        float("stored=BF16 mantissa=5 columns=0 fraction=0 prob=12"),
        float("stored=BF16 mantissa=2 columns=0 fraction=1 prob=12"),
        float("stored=BF16 mantissa=2 columns=8 fraction=5 prob=12"),
        float("stored=BF16 mantissa=2 columns=0 fraction=0 prob=13"),
        float("stored=BF16 mantissa=2 columns=0 fraction=0 prob=7"),
        float("stored=I8 mantissa=0 columns=0 fraction=0 prob=12"),
        "bytes columns=0 tables=2 prob=12 chunk=65536".into(),
        "bytes columns=8 tables=17 prob=12 chunk=65536".into(),
        "bytes columns=8 tables=0 prob=12 chunk=65536".into(),
        "levels columns=8 tables=1 prob=11 chunk=131073".into(),
        "levels columns=0 tables=1 prob=11 chunk=65536".into(),
        "levels columns=8 tables=17 prob=11 chunk=65536".into(),
        "levels columns=8 tables=1 prob=12 chunk=65536".into(),
        "tiled-levels stored=I32 shape=16x16 columns=8 steps=8 prob=12 chunk=65536".into(),
        "tiled-levels stored=I8 shape=8x8 columns=8 steps=8 prob=12 chunk=65536".into(),
        "tiled-levels stored=I8 shape=16x16 columns=0 steps=8 prob=12 chunk=65536".into(),
        "tiled-levels stored=I8 shape=16x16 columns=8 steps=0 prob=12 chunk=65536".into(),
        "tiled-levels stored=I8 shape=16x16 columns=8 steps=8 prob=12 chunk=1048592".into(),
        "tiles shape=4x64 columns=8 prob=12 chunk=65536".into(),
        "tiles shape=16x16 columns=0 prob=12 chunk=65536".into(),
    ] {
        let hand = Hand::new().tensor("t", "BF16", &[8], &recipe, &[], &[(&[0; 16], 0)]);
        let error = open(hand.bytes(), Backend::Scalar).expect_err(&recipe);
        assert!(
            matches!(&error, Error::Corrupt { at, .. } if at.tensor.is_some()),
            "{recipe}: {error:?}"
        );
    }
}

#[test]
fn matrices() {
    let scale = |row: u64, column: u64| {
        Bits::default()
            .bits(0, 16)
            .bits(0, 1)
            .bits(row, 8)
            .bits(0, 1)
            .bits(column, 8)
    };
    let good = chunk(&[]);
    let chunks = [(&good[..], 0)];
    let with = |bits: Bits| bits.table(0, &HALF).finish();
    fails(
        &bf16(&[8], 3, 0, &with(scale(0, 0)), &chunks),
        Section::Head,
        "do not divide",
    );
    fails(
        &bf16(&[8], 16, 0, &with(scale(0, 0)), &chunks),
        Section::Head,
        "do not divide",
    );
    fails(
        &bf16(&[8], u64::MAX, 0, &with(scale(0, 0)), &chunks),
        Section::Head,
        "do not divide",
    );
    fails(
        &bf16(&[8], 4, 0, &with(scale(255, 1)), &chunks),
        Section::Head,
        "more than 255",
    );
    fails(
        &bf16(&[8], 4, 0, &with(scale(200, 56)), &chunks),
        Section::Head,
        "more than 255",
    );
    // What is just within bounds moves the token window as far as it goes, and decodes.
    let edge = bf16(&[8], 4, 0, &with(scale(200, 55)), &chunks);
    assert_eq!(decode_all(&edge.bytes()).unwrap()[0].1.as_ref().unwrap().0.len(), 16);
    // Steps that are coded, and cut off.
    let cut = Bits::default()
        .bits(0, 16)
        .bits(1, 1)
        .table(0, &HALF)
        .bits(0, 8)
        .finish();
    fails(&bf16(&[8], 4, 0, &cut, &chunks), Section::Head, "cut off");
    let wrong_end = Bits::default()
        .bits(0, 16)
        .bits(1, 1)
        .table(0, &HALF)
        .bits(0x1_2345, 32)
        .bits(0, 64)
        .finish();
    fails(&bf16(&[8], 4, 0, &wrong_end, &chunks), Section::Head, "start state");
    // A tensor without elements has any matrix; steps for it must not be made.
    for columns in [1u64 << 24 | 1, 1 << 36, 1 << 63, u64::MAX] {
        fails(
            &bf16(&[0], columns, 0, &with(scale(0, 0)), &[]),
            Section::Head,
            "more rows or columns",
        );
        fails(
            &i8s(&[0], columns, 1, &with(scale(0, 0)), &[]),
            Section::Head,
            "more rows or columns",
        );
    }
    let two_bytes = Hand::new().tensor(
        "t",
        "I16",
        &[8],
        "bytes columns=4 tables=1 prob=12 chunk=65536",
        &[],
        &chunks,
    );
    fails(&two_bytes, Section::Head, "units of one byte");
}

#[test]
fn tile_matrices() {
    for columns in [1u64 << 59, 1 << 60, 1 << 61, 1 << 63, u64::MAX] {
        for (shape, rows) in [("16x16", 0), ("8x32", 0), ("32x8", 0)] {
            let recipe = format!("tiles shape={shape} columns={columns} prob=12 chunk=65536");
            let hand = Hand::new().tensor("t", "BF16", &[rows], &recipe, &[], &[]);
            fails(&hand, Section::Head, "whole rows of tiles");
        }
    }
    let hand = |columns: u64, shape: &[u64], parameters: &[u8], chunks: &[(&[u8], u32)]| {
        let recipe = format!("tiles shape=16x16 columns={columns} prob=12 chunk=65536");
        Hand::new().tensor("t", "BF16", shape, &recipe, parameters, chunks)
    };
    fails(&hand(3, &[8], &[], &[(&[], 0)]), Section::Head, "do not divide");
    fails(&hand(7, &[7], &[], &[(&[], 0)]), Section::Head, "whole rows of tiles");
    let tables = (0..8)
        .fold(Bits::default().bits(0, 16), |bits, _| bits.table(0, &HALF))
        .finish();
    fails(
        &hand(8, &[8], &tables, &[(&states()[..127], 0)]),
        Section::Chunk,
        "127 bytes",
    );
    fails(
        &hand(8, &[8], &tables, &[(&states(), 129)]),
        Section::Chunk,
        "shorter than its parts",
    );
    fails(
        &hand(8, &[8], &tables, &[(&states(), u32::MAX)]),
        Section::Chunk,
        "shorter than its parts",
    );
    fails(&hand(8, &[8], &tables, &[(&states(), 0)]), Section::Chunk, "");
    // Predictor 5 is not known; the likeliest symbol here.
    let tables = (0..8)
        .fold(Bits::default().bits(0, 16), |bits, _| bits.table(5, &HALF))
        .finish();
    fails(
        &hand(8, &[8], &tables, &[(&[states(), vec![0; 256]].concat(), 0)]),
        Section::Chunk,
        "predictor",
    );
}

#[test]
fn byte_planes() {
    let kind = |kind: u64| Bits::default().bits(kind, 2);
    let i16s = |parameters: &[u8], chunk: &[u8]| {
        Hand::new().tensor(
            "t",
            "I16",
            &[8],
            "bytes columns=0 tables=1 prob=12 chunk=65536",
            parameters,
            &[(chunk, 0)],
        )
    };
    let raw = kind(1).bits(1, 2).finish();
    let lengths = |a: u32, b: u32| [&a.to_le_bytes()[..], &b.to_le_bytes(), &[0; 8 + 32]].concat();
    let good = i16s(&raw, &lengths(16, 16));
    assert_eq!(decode_all(&good.bytes()).unwrap()[0].1.as_ref().unwrap().0, [0; 16]);
    fails(&i16s(&raw, &lengths(16, 15)), Section::Chunk, "do not fill");
    fails(&i16s(&raw, &lengths(16, 17)), Section::Chunk, "past its chunk");
    fails(&i16s(&raw, &lengths(u32::MAX, 1)), Section::Chunk, "past its chunk");
    for (a, b) in [(9, 23), (32, 0), (24, 8)] {
        fails(&i16s(&raw, &lengths(a, b)), Section::Chunk, "not as long as its units");
    }
    fails(&i16s(&raw, &lengths(16, 16)[..31]), Section::Chunk, "31 bytes");
    let and_constant = kind(1).bits(2, 2).bits(7, 8).finish();
    fails(&i16s(&and_constant, &lengths(16, 16)), Section::Chunk, "has bytes");
    fails(
        &i16s(&kind(3).bits(1, 2).finish(), &lengths(16, 16)),
        Section::Head,
        "unknown kind",
    );
    fails(&i16s(&[], &lengths(16, 16)), Section::Head, "cut off");
    let coded = kind(0).bits(0, 8).table(0, &HALF).bits(1, 2).finish();
    fails(
        &i16s(&coded, &[lengths(216, 8), vec![0; 128]].concat()),
        Section::Chunk,
        "past its chunk",
    );
    fails(
        &i16s(&coded, &[lengths(127, 41), vec![0; 136]].concat()),
        Section::Chunk,
        "a plane is cut off",
    );
    let constant = Hand::new().tensor("t", "I16", &[8], "constant chunk=65536", &[1], &[(&[], 0)]);
    fails(&constant, Section::Head, "one unit");
    let filled = Hand::new().tensor("t", "I16", &[8], "constant chunk=65536", &[1, 2], &[(&[0], 0)]);
    fails(&filled, Section::Head, "empty chunks");
    let raw = Hand::new().tensor("t", "U8", &[4], "raw chunk=4", &[], &[(&[1, 2, 3], 0)]);
    fails(&raw, Section::Chunk, "3 bytes");
}

#[test]
fn narrow_floats_that_do_not_widen() {
    let good = chunk(&[]);
    for (stored, dtype) in [
        ("F32", "BF16"),
        ("F16", "BF16"),
        ("BF16", "F64"),
        ("F8_E4M3", "F16"),
        ("C64", "C64"),
    ] {
        let recipe = format!("float stored={stored} mantissa=0 columns=0 fraction=0 prob=12 chunk=65536");
        let hand = Hand::new().tensor("t", dtype, &[8], &recipe, &table(0, &HALF), &[(&good, 0)]);
        fails(&hand, Section::Head, "widen");
    }
}

/// The base of steps, which are all 0: with base 114 a level is its own weight.
fn even_steps(base: u64) -> Bits {
    Bits::default()
        .bits(base, 8)
        .bits(0, 1)
        .bits(0, 8)
        .bits(0, 1)
        .bits(0, 8)
}

#[test]
fn tiled_levels() {
    let hand = |dtype: &str, stored: &str, [columns, steps]: [u64; 2], parameters: &[u8], chunk: &[u8], extra: u32| {
        let recipe =
            format!("tiled-levels stored={stored} shape=16x16 columns={columns} steps={steps} prob=12 chunk=65536");
        Hand::new().tensor("t", dtype, &[2, 4], &recipe, parameters, &[(chunk, extra)])
    };
    // In plain units the lower of two symbols is `plain`.
    let parameters = |base: u64, plain: u64| {
        let tables = (0..8).map(|context| if context == 2 { plain } else { 0 });
        tables.fold(even_steps(base).bits(0, 16), |bits, first| bits.table(first, &HALF))
    };
    // Lanes that end where they began after three symbols, all the first of their tables.
    let chunk = [0, 0, 8, 0].repeat(32);
    let bytes = parameters(114, 0).finish();
    for columns in [[4, 4], [2, 8], [1, 1]] {
        let decoded = decode_all(&hand("F32", "I8", columns, &bytes, &chunk, 0).bytes()).unwrap();
        assert_eq!(decoded[0].1.as_ref().unwrap().0, (-128f32).to_le_bytes().repeat(8));
    }
    // Token 63 and 13 bits that are all 1 are the least level there is.
    let wide = parameters(114, 63).finish();
    let raw = [&chunk[..], &[0xff; 13]].concat();
    for (dtype, weight) in [("F32", &(-32768f32).to_le_bytes()[..]), ("BF16", &[0, 0xc7])] {
        let decoded = decode_all(&hand(dtype, "I16", [4, 4], &wide, &raw, 13).bytes()).unwrap();
        assert_eq!(decoded[0].1.as_ref().unwrap().0, weight.repeat(8));
    }
    for base in [16, 188] {
        let steps = parameters(base, 63).finish();
        let decoded = decode_all(&hand("F16", "I16", [4, 4], &steps, &raw, 13).bytes()).unwrap();
        assert!(decoded[0].1.is_ok());
    }

    let whole = [4, 4];
    for base in [15, 189] {
        let parameters = parameters(base, 0).finish();
        fails(&hand("F32", "I8", whole, &parameters, &chunk, 0), Section::Head, "base");
    }
    fails(
        &hand("I8", "I8", whole, &bytes, &chunk, 0),
        Section::Head,
        "BF16, F16 and F32",
    );
    fails(
        &hand("F32", "I8", [3, 4], &bytes, &chunk, 0),
        Section::Head,
        "do not divide",
    );
    fails(
        &hand("F32", "I8", [4, 3], &bytes, &chunk, 0),
        Section::Head,
        "do not divide",
    );
    let longer = parameters(114, 0).bits(0, 8).finish();
    fails(
        &hand("F32", "I8", whole, &longer, &chunk, 0),
        Section::Head,
        "followed by more",
    );
    fails(
        &hand("F32", "I8", whole, &bytes[..2], &chunk, 0),
        Section::Head,
        "cut off",
    );
    fails(
        &hand("F32", "I8", whole, &bytes[..9], &chunk, 0),
        Section::Head,
        "cut off",
    );
    fails(
        &hand("F32", "I8", whole, &bytes, &chunk[..127], 0),
        Section::Chunk,
        "127 bytes",
    );
    fails(
        &hand("F32", "I8", whole, &bytes, &chunk, 1),
        Section::Chunk,
        "shorter than its parts",
    );
    fails(
        &hand("F32", "I16", whole, &wide, &raw, 12),
        Section::Chunk,
        "words do not end",
    );
    fails(
        &hand("F32", "I16", whole, &wide, &chunk, 0),
        Section::Chunk,
        "raw bits are cut off",
    );
    fails(
        &hand("F32", "I8", whole, &bytes, &raw, 13),
        Section::Chunk,
        "raw bits do not end",
    );
}

#[test]
fn levels() {
    let steps = |base: u64| even_steps(base).bits(0, 1).bits(0, 8).bits(0, 1).bits(0, 8);
    let hand = |dtype: &str, columns: u64, parameters: &[u8], chunk: &[u8], escapes: u32| {
        let recipe = format!("levels columns={columns} tables=1 prob=11 chunk=65536");
        Hand::new().tensor("t", dtype, &[8], &recipe, parameters, &[(chunk, escapes)])
    };
    // Magnitudes 0 and 1 alike.
    let good = steps(114).table(0, &[1024, 1024]).finish();
    // Lanes that end where they began after a level of -1: the first slot of 1, and a raw bit.
    let chunk = [1, 4, 4, 0].repeat(32);
    let decoded = decode_all(&hand("F32", 4, &good, &chunk, 0).bytes()).unwrap();
    assert_eq!(decoded[0].1.as_ref().unwrap().0, (-1f32).to_le_bytes().repeat(8));
    let escaped = |position: u32, level: u32| [&chunk[..], &(level << 17 | position).to_le_bytes()].concat();
    let decoded = decode_all(&hand("F32", 4, &good, &escaped(7, 32767), 1).bytes()).unwrap();
    assert_eq!(decoded[0].1.as_ref().unwrap().0[28..], 16383f32.to_le_bytes());

    for base in [0, 15, 189, 255] {
        let parameters = steps(base).table(0, &[1024, 1024]).finish();
        fails(&hand("F32", 4, &parameters, &chunk, 0), Section::Head, "base");
    }
    for base in [16, 188] {
        let parameters = steps(base).table(0, &[1024, 1024]).finish();
        assert!(
            decode_all(&hand("F16", 4, &parameters, &chunk, 0).bytes()).unwrap()[0]
                .1
                .is_ok()
        );
    }
    fails(&hand("F32", 3, &good, &chunk, 0), Section::Head, "do not divide");
    fails(&hand("I16", 4, &good, &chunk, 0), Section::Head, "BF16, F16 and F32");
    let far = steps(114).table(30, &[1024, 1024]).finish();
    fails(&hand("F32", 4, &far, &chunk, 0), Section::Head, "no token");
    let sum = steps(114).table(0, &[2048, 2048]).finish();
    fails(&hand("F32", 4, &sum, &chunk, 0), Section::Head, "frequency");
    fails(&hand("F32", 4, &good[..4], &chunk, 0), Section::Head, "cut off");
    fails(&hand("F32", 4, &good, &chunk[..127], 0), Section::Chunk, "127 bytes");
    fails(&hand("F32", 4, &good, &chunk, 1), Section::Chunk, "128 bytes");
    fails(
        &hand("F32", 4, &good, &escaped(8, 0), 1),
        Section::Chunk,
        "out of range",
    );
    fails(
        &hand("F32", 4, &good, &escaped(0, 0), 0),
        Section::Chunk,
        "words do not end",
    );
    let twice = [&escaped(3, 0)[..], &escaped(3, 0)[128..]].concat();
    fails(&hand("F32", 4, &good, &twice, 2), Section::Chunk, "out of order");
    let seeded = [3, 4, 4, 0].repeat(32);
    fails(&hand("F32", 4, &good, &seeded, 0), Section::Chunk, "seeds");
}
