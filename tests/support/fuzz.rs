//! Bodies of the fuzz targets: each takes any bytes, and panics if the codec does what it must not.

use super::data::{Kind, fill};
use super::judge::{check_error, decode_all, judge, open};
use super::sample;
use super::wire::{Hand, Layout, with_index};
use std::sync::OnceLock;
use wcodec::{Backend, DType, Decoder, Effort, EncodeOptions, Encoder, TensorSpec};

/// Bytes taken from the front of an input; zeros past its end.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }

    fn take(&mut self, n: usize) -> &'a [u8] {
        let (now, later) = self.0.split_at(n.min(self.0.len()));
        self.0 = later;
        now
    }
}

/// Any bytes as a file; as an index; as a certificate; as the parameters and chunk of a tensor, under checksums that
/// hold.
pub fn arbitrary_bytes(data: &[u8]) {
    let mut input = Input(data);
    let bytes = match input.byte() % 5 {
        0 => input.0.to_vec(),
        1 => with_index(input.0),
        2 => {
            let certificate = String::from_utf8_lossy(input.0);
            with_index(
                format!(r#"{{"wcodec":{{"version":"","writer":""}},"certificate":{certificate},"tensors":[]}}"#)
                    .as_bytes(),
            )
        }
        _ => {
            let dtype = input.pick(DType::ALL);
            let shape = [u64::from(input.byte()), u64::from(input.byte()) * 8];
            let columns = input.pick(&[0, 1, 8, shape[1], shape[0] * shape[1], 1 << 40]);
            let (chunk, prob) = (input.pick(&[1u32, 256, 2048, 65536]), input.pick(&[8, 11, 12]));
            let stored = input.pick(&[dtype, DType::BF16, DType::F16, DType::F32]);
            let fraction = if columns == 0 { 0 } else { input.byte() % 5 };
            let tables = if columns == 0 { 1 } else { 1 + input.byte() % 16 };
            let shape_of_tile = input.pick(&["16x16", "8x32", "32x8"]);
            let mantissa = input.byte() % 5;
            let recipe = match input.byte() % 7 {
                0 => format!("raw chunk={chunk}"),
                1 => format!("constant chunk={chunk}"),
                2 => format!(
                    "float stored={stored} mantissa={mantissa} columns={columns} fraction={fraction} prob={prob} chunk={chunk}"
                ),
                3 => format!("bytes columns={columns} tables={tables} prob={prob} chunk={chunk}"),
                4 => format!("levels columns={columns} tables={tables} prob={prob} chunk={chunk}"),
                5 => {
                    let (integers, steps) = (input.pick(&["I8", "I16"]), input.pick(&[1, shape[1], columns]));
                    format!(
                        "tiled-levels stored={integers} shape={shape_of_tile} columns={columns} steps={steps} prob={prob} chunk={chunk}"
                    )
                }
                _ => format!("tiles shape={shape_of_tile} columns={columns} prob={prob} chunk={chunk}"),
            };
            let escapes = u32::from(input.byte());
            let parameters = input.take(usize::from(data.len() as u16) / 2);
            Hand::new()
                .tensor("t", dtype.name(), &shape, &recipe, parameters, &[(input.0, escapes)])
                .bytes()
        }
    };
    drop(decode_all(&bytes));
}

/// A good file with some of its bytes changed, its checksums left or made right.
pub fn mutated_file(data: &[u8]) {
    let mut input = Input(data);
    let sample = [sample::small(), sample::quantised()][usize::from(input.byte() % 2)];
    let mut bytes = sample.bytes.clone();
    let sealed = input.byte() % 4 > 0;
    for _ in 0..1 + input.byte() % 16 {
        let at = input.word() as usize % bytes.len();
        match input.byte() % 4 {
            0 => bytes[at] = input.byte(),
            1 => bytes[at] = bytes[at].wrapping_add(1),
            2 => bytes[at] ^= 1 << (input.byte() % 8),
            _ => {
                let from = input.word() as usize % bytes.len();
                let n = usize::from(input.byte()).min(bytes.len() - at.max(from));
                bytes.copy_within(from..from + n, at);
            }
        }
    }
    if sealed {
        bytes[16..24].copy_from_slice(&sample.bytes[16..24]);
        sample.layout.reseal(&mut bytes);
    }
    judge(sample, &bytes, sealed, |_| true);
}

/// Any tensor, there and back, whole and by rows.
pub fn round_trip(data: &[u8]) {
    let mut input = Input(data);
    let effort = input.pick(&Effort::ALL);
    let dtype = input.pick(DType::ALL);
    // Packed elements fill whole bytes in rows of eight.
    let shape = [
        usize::from(input.byte()),
        usize::from(input.byte() % 64) * if dtype.bits() < 8 { 8 } else { 1 },
    ];
    let kind = input.byte();
    let len = shape[0] * shape[1] * dtype.bits() / 8;
    let mut tensor = match Kind::ALL.get(usize::from(kind % 16)) {
        Some(&kind) => fill(kind, dtype, &shape, input.word().into()),
        // The input itself, over and over.
        None => input.0.iter().copied().cycle().take(len).collect(),
    };
    tensor.resize(len, 0);
    // A few elements of the fuzzer's choice.
    for _ in 0..input.byte() % 8 {
        if len > 0 {
            let at = input.word() as usize % len;
            tensor[at] = input.byte();
        }
    }
    let bytes = encode(dtype, &shape, &tensor, effort);
    let rows = [input.byte(), input.byte()].map(|r| usize::from(r) % (shape[0] + 1));
    check(&bytes, &tensor, rows[0].min(rows[1])..rows[0].max(rows[1]));
}

/// A file of one tensor.
pub fn encode(dtype: DType, shape: &[usize], tensor: &[u8], effort: Effort) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.wcodec");
    let options = EncodeOptions::lossless().effort(effort);
    let mut encoder = Encoder::create(&path, vec![TensorSpec::new("t", dtype, shape)], options).unwrap();
    encoder.add("t", tensor).unwrap();
    encoder.finish().unwrap();
    std::fs::read(path).unwrap()
}

/// Checks that a file's one tensor decodes to this, by every backend, whole and by rows.
pub fn check(bytes: &[u8], tensor: &[u8], rows: std::ops::Range<usize>) {
    for backend in Backend::available() {
        let decoder: Decoder = open(bytes.to_vec(), backend).unwrap();
        let t = decoder.tensor("t").unwrap();
        let recipe = t.info().recipe_text();
        assert!(t.decode().unwrap() == tensor, "{recipe} by {backend}");
        t.verify().unwrap();
        t.check().unwrap();
        let Some(row) = t.row_len() else { continue };
        let range = rows.start * row as usize..rows.end * row as usize;
        let mut out = vec![0xee; range.len()];
        t.decode_rows(rows.clone(), &mut out).unwrap();
        assert!(out == tensor[range], "rows {rows:?} of {recipe} by {backend}");
    }
}

/// Coder states and words that no encoder made, behind tables that one did: every backend must walk
/// the same way through them, whatever number of chunks it decodes side by side.
pub fn backends(data: &[u8]) {
    let files = files();
    let mut input = Input(data);
    let file = &files[usize::from(input.byte()) % files.len()];
    let bytes = if input.byte() % 2 == 0 {
        repeated(file, &mut input)
    } else {
        let layout = Layout::of(file);
        let mut bytes = file.clone();
        spoil(&mut bytes[layout.tensors[0].chunks[0].clone()], &mut input);
        layout.reseal(&mut bytes);
        bytes
    };
    match decode_all(&bytes) {
        Ok(results) => results
            .iter()
            .filter_map(|(_, r)| r.as_ref().err())
            .for_each(check_error),
        Err(error) => panic!("its index is good: {error}"),
    }
}

/// The first chunk of a file several times, some of them spoilt; as it is if it has a matrix, of which
/// there would be more rows.
fn repeated(file: &[u8], input: &mut Input) -> Vec<u8> {
    let decoder = Decoder::from_bytes(file.to_vec(), "memory").unwrap();
    let info = decoder.tensors().next().unwrap().info().clone();
    let recipe = info.recipe_text();
    let payload = &Layout::of(file).tensors[0];
    let chunk = &file[payload.chunks[0].clone()];
    let units = recipe
        .rsplit_once('=')
        .and_then(|(_, n)| n.parse::<u64>().ok())
        .unwrap();
    let whole = payload.chunks.len() == 1 && units as usize * info.dtype().bits() / 8 == info.byte_len() as usize;
    if !recipe.contains("columns=0") || !whole {
        return file.to_vec();
    }
    let escapes = u32::from_le_bytes(std::array::from_fn(|i| file[payload.head.start + 20 + i]));
    let mut chunks = vec![chunk.to_vec(); 1 + usize::from(input.byte() % 20)];
    let count = chunks.len();
    for _ in 0..input.byte() % 3 {
        let at = usize::from(input.byte()) % count;
        spoil(&mut chunks[at], &mut Input(input.take(200)));
    }
    let chunks: Vec<(&[u8], u32)> = chunks.iter().map(|c| (&c[..], escapes)).collect();
    let shape = [units * count as u64];
    let parameters = &file[payload.parameters.clone()];
    Hand::new()
        .tensor("t", info.dtype().name(), &shape, recipe, parameters, &chunks)
        .bytes()
}

/// Puts the input into a chunk: over its states or behind them, or at its end.
fn spoil(chunk: &mut [u8], input: &mut Input) {
    let from = input.pick(&[0, 64, 128, 136]).min(chunk.len());
    let to = &mut chunk[from..];
    let at_end = input.byte() % 2 == 1;
    let at = if at_end {
        to.len().saturating_sub(input.0.len())
    } else {
        0
    };
    to[at..].iter_mut().zip(input.0).for_each(|(to, from)| *to = *from);
}

/// Files of one tensor, the first ones of one chunk and no matrix.
fn files() -> &'static [Vec<u8>] {
    static FILES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let file = |dtype, shape: &[usize], kind, effort| encode(dtype, shape, &fill(kind, dtype, shape, 8), effort);
        vec![
            file(DType::BF16, &[2048], Kind::Normal, Effort::Fast),
            file(DType::F8_E4M3, &[4096], Kind::Normal, Effort::Fast),
            file(DType::I8, &[2048], Kind::Normal, Effort::Default),
            file(DType::I64, &[768], Kind::Ramp, Effort::Default),
            file(DType::BF16, &[40, 512], Kind::Scaled, Effort::Default),
            file(DType::I8, &[64, 256], Kind::Scaled, Effort::Default),
            file(DType::F32, &[64, 64], Kind::Smooth, Effort::Max),
            sample::quantised().bytes.clone(),
        ]
    })
}

/// How many chunks each of the files decodes to when nine are asked for.
pub fn repeated_sizes() -> Vec<usize> {
    let one = |file: &Vec<u8>| {
        let bytes = repeated(file, &mut Input(&[8]));
        assert!(decode_all(&bytes).unwrap().iter().all(|(_, r)| r.is_ok()));
        Layout::of(&bytes).tensors[0].chunks.len()
    };
    files().iter().map(one).collect()
}
