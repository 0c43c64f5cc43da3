//! Memory that hostile files make the decoder take: little, before they have earned more.
#![cfg(feature = "safetensors")]

#[path = "support/counting.rs"]
mod counting;
mod support;

use counting::{Counting, peak};
use support::data::Rng;
use support::wire::{Bits, Hand, with_index};
use support::{fuzz, sample};
use wcodec::{Decoder, Error};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `work` and checks the most that was allocated at any time meanwhile, besides what was before.
fn within(most: usize, what: &str, work: impl FnOnce()) {
    let ((), peak) = peak(work);
    assert!(peak <= most, "{what}: {peak} bytes, {most} allowed");
}

const MIB: usize = 1 << 20;

/// What a file of so many bytes may take when nothing in it decodes.
fn allowance(file: usize) -> usize {
    64 * MIB + 16 * file
}

/// Opens a file under default limits and decodes its tensors, of which all must fail.
fn fails(what: &str, bytes: Vec<u8>) {
    let most = allowance(bytes.len());
    within(most, what, || {
        let Ok(decoder) = Decoder::from_bytes(bytes, what) else {
            return;
        };
        for tensor in decoder.tensors() {
            let failed = tensor.decode();
            assert!(
                matches!(failed, Err(Error::Corrupt { .. } | Error::Limit { .. })),
                "{what}: {failed:?}"
            );
            let rows = tensor.info().shape().first().map_or(0, |&n| n.min(1));
            if let Some(row) = tensor.row_len().filter(|&r| r < 1 << 20) {
                drop(tensor.decode_rows(0..rows, &mut vec![0; rows * row as usize]));
            }
        }
    });
}

// One test: the counts are the process's.
#[test]
fn hostile_files_take_little_memory() {
    const CHUNK: u64 = 1 << 20;
    let huge = 1u64 << 37;
    let raw = format!("raw chunk={CHUNK}");
    let float =
        |columns: u64| format!("float stored=BF16 mantissa=2 columns={columns} fraction=0 prob=12 chunk={CHUNK}");
    let bytes = |columns: u64| format!("bytes columns={columns} tables=1 prob=12 chunk={CHUNK}");
    let table = |bits: Bits| bits.table(0, &[2048, 2048]).finish();

    // Shapes of 128 GiB with one chunk, or with all chunks but nothing in them.
    let one: &[(&[u8], u32)] = &[(&[0; 16], 0)];
    let all = vec![(&[][..], 0); (huge / CHUNK) as usize];
    for (name, chunks) in [("one chunk", one), ("empty chunks", &all)] {
        fails(name, Hand::new().tensor("t", "U8", &[huge], &raw, &[], chunks).bytes());
        let parameters = table(Bits::default().bits(0, 16));
        fails(
            name,
            Hand::new()
                .tensor("t", "BF16", &[huge / 2], &float(0), &parameters, chunks)
                .bytes(),
        );
        let parameters = table(Bits::default().bits(0, 10));
        fails(
            name,
            Hand::new()
                .tensor("t", "U8", &[huge], &bytes(0), &parameters, chunks)
                .bytes(),
        );
        let tiles = format!("tiles shape=16x16 columns=64 prob=12 chunk={CHUNK}");
        let parameters = (0..8)
            .fold(Bits::default().bits(0, 16), |b, _| b.table(0, &[2048, 2048]))
            .finish();
        fails(
            name,
            Hand::new()
                .tensor("t", "U8", &[huge / 64, 64], &tiles, &parameters, chunks)
                .bytes(),
        );
    }
    fails(
        "a constant",
        Hand::new()
            .tensor("t", "U64", &[huge / 8], "constant chunk=1048576", &[7; 8], &[])
            .bytes(),
    );
    let many = Hand::new().tensor("t", "U8", &[huge, 2], &raw, &[], one);
    fails("over the limit", many.bytes());

    // Scale steps that one bit stands for, for every row or column; with and without elements.
    let steps = Bits::default().bits(0, 16).bits(0, 1).bits(0, 8).bits(0, 1).bits(0, 8);
    let parameters = table(steps);
    for columns in [1, 2, huge / 4, huge / 2] {
        fails(
            "scales",
            Hand::new()
                .tensor("t", "BF16", &[huge / 2], &float(columns), &parameters, &all[..1 << 16])
                .bytes(),
        );
    }
    for columns in [1u64 << 30, 1 << 36, 1 << 40, u64::MAX] {
        fails(
            "scales of nothing",
            Hand::new()
                .tensor("t", "BF16", &[0], &float(columns), &parameters, &[])
                .bytes(),
        );
        fails(
            "scales of nothing",
            Hand::new()
                .tensor("t", "U8", &[0], &bytes(columns), &parameters, &[])
                .bytes(),
        );
    }

    // Lengths beyond the file.
    let mut hand = Hand::new().tensor("t", "U8", &[4], &raw, &[], one);
    hand.last()["data"][1] = (1u64 << 40).into();
    fails("a payload beyond the file", hand.bytes());
    let mut prefix = with_index(b"{}");
    prefix[16..24].copy_from_slice(&(1u64 << 30).to_le_bytes());
    fails("an index beyond the file", prefix);
    let nested = "[".repeat(4 * MIB);
    fails("brackets", with_index(nested.as_bytes()));
    let zeros = format!(
        r#"{{"wcodec":{{"version":"","writer":""}},"tensors":[{{"shape":[{}"#,
        "0,".repeat(2 * MIB)
    );
    fails("a long shape", with_index(zeros.as_bytes()));

    // Damage at random, within the samples' own size and the fuzz bodies' limits.
    sample::small();
    let mut rng = Rng::new(77);
    for _ in 0..300 {
        let input = rng.bytes(300);
        within(64 * MIB, "arbitrary bytes", || fuzz::arbitrary_bytes(&input));
        within(64 * MIB, "a mutated file", || fuzz::mutated_file(&input));
    }
}
