//! Encoding with the `bytes` method.

use super::classes::merge;
use super::{Candidate, Effort, Encoded, Input, assemble, balanced_chunk, map_chunks};
use crate::bits::BitWriter;
use crate::codec::bytes::{CODED, CONSTANT, RAW, SEGMENT_ALIGNMENT, lengths_len};
use crate::context::Classes;
use crate::cost::{COST_BITS, entropy};
use crate::dtype::DType;
use crate::entropy::rans::{self, LANES, STATES_BYTES};
use crate::entropy::{EncodeTables, Frequencies, SYMBOLS};
use crate::format::{MAX_PROB_BITS, MAX_TABLES, Method, Recipe};
use crate::predict::{scale::Scale, scale_fit};

/// Units of a chunk of single bytes, about.
const BYTE_CHUNK: usize = 1 << 17;
/// About what a table takes in the head, in 2^-16 bits.
const TABLE: u64 = 600 << COST_BITS;
/// Units of a chunk of wider units, about.
const WIDE_CHUNK: usize = 1 << 16;

/// How to code one byte plane.
enum Plane {
    Coded { mask: u8, tables: Vec<Frequencies> },
    Raw,
    Constant(u8),
}

/// Scale prediction of single bytes: the thresholds between the tables.
struct Prediction {
    columns: usize,
    scale: Scale,
    classes: Classes,
}

struct Plan {
    planes: Vec<Plane>,
    prediction: Option<Prediction>,
    cost: u64,
}

/// Ways to code a tensor by its bytes.
pub(super) fn candidates<'a>(input: Input<'a>, effort: Effort) -> Vec<Candidate<'a>> {
    let mut best = plain(input);
    if input.dtype.unit_bytes() == 1 && effort > Effort::Fast {
        let fractions = if effort == Effort::Max { 1..=3 } else { 2..=2 };
        for columns in input.matrices() {
            for fraction_bits in fractions.clone() {
                for kind in kinds(input.dtype) {
                    if let Some(plan) = predicted(input, columns, fraction_bits, *kind)
                        && plan.cost < best.cost
                    {
                        best = plan;
                    }
                }
            }
        }
    }
    vec![Candidate {
        cost: best.cost,
        encode: Box::new(move || encode(input, &best)),
    }]
}

/// XOR mask of a byte plane: brings a signed integer's values around zero together.
fn mask(dtype: DType, index: usize) -> u8 {
    let top = index + 1 == dtype.unit_bytes();
    match dtype {
        DType::I8 | DType::I16 | DType::I32 | DType::I64 if top => 0x80,
        _ => 0,
    }
}

/// What is fixed a chunk, in bits: states, less the final state's information; table entry; padding.
fn chunk_bits(units: usize, target: usize) -> u64 {
    (units.div_ceil(balanced_chunk(units, target) as usize) * 8 * (STATES_BYTES + 16)) as u64
}

/// Order-0 coding of each byte plane.
fn plain(input: Input) -> Plan {
    let width = input.dtype.unit_bytes();
    let units = input.units();
    let mut counts = vec![[0u64; SYMBOLS]; width];
    for unit in input.data.chunks_exact(width) {
        for (counts, &byte) in counts.iter_mut().zip(unit) {
            counts[usize::from(byte)] += 1;
        }
    }
    let mut cost = 0;
    let mut planes = Vec::new();
    let target = if width == 1 { BYTE_CHUNK } else { WIDE_CHUNK };
    for (index, counts) in counts.iter().enumerate() {
        let mask = mask(input.dtype, index);
        let symbols: [u64; SYMBOLS] = std::array::from_fn(|s| counts[s ^ usize::from(mask)]);
        let plain = (8 * units as u64) << COST_BITS;
        if let Some(only) = counts.iter().position(|&c| c as usize == units) {
            planes.push(Plane::Constant(only as u8));
            continue;
        }
        let table = Frequencies::normalise(&symbols, MAX_PROB_BITS);
        let coded = table.cost(&symbols) + ((table.bits() + chunk_bits(units, target)) << COST_BITS);
        if coded < plain || width == 1 {
            planes.push(Plane::Coded {
                mask,
                tables: vec![table],
            });
            cost += coded;
        } else {
            planes.push(Plane::Raw);
            cost += plain;
        }
    }
    Plan {
        planes,
        prediction: None,
        cost,
    }
}

/// What a byte stands for, when magnitudes are wanted of it.
#[derive(Clone, Copy)]
enum Kind {
    Signed,
    Unsigned,
    /// Two 4-bit levels around 8.
    Nibbles,
}

fn kinds(dtype: DType) -> &'static [Kind] {
    match dtype {
        DType::I8 => &[Kind::Signed],
        DType::U8 => &[Kind::Nibbles, Kind::Unsigned],
        _ => &[],
    }
}

/// A tensor as a matrix of magnitudes.
struct ByteMatrix<'a> {
    kind: Kind,
    data: &'a [u8],
    columns: usize,
}

impl scale_fit::Magnitudes for ByteMatrix<'_> {
    #[inline(always)]
    fn write(&self, row: usize, column: usize, out: &mut [f32]) {
        let bytes = &self.data[row * self.columns + column..][..out.len()];
        for (out, &b) in out.iter_mut().zip(bytes) {
            *out = f32::from(match self.kind {
                Kind::Signed => b.cast_signed().unsigned_abs(),
                Kind::Unsigned => b.abs_diff(128),
                Kind::Nibbles => (b & 15).abs_diff(8) + (b >> 4).abs_diff(8),
            });
        }
    }
}

/// Coding of single bytes with scale prediction.
fn predicted(input: Input, columns: usize, fraction_bits: u32, kind: Kind) -> Option<Plan> {
    let units = input.units();
    let data = input.data;
    let scale = scale_fit::fit(
        input.backend,
        units / columns,
        columns,
        fraction_bits,
        &ByteMatrix { kind, data, columns },
    )?;
    let mask = mask(input.dtype, 0);
    let mut by_step = vec![[0u32; SYMBOLS]; 256];
    let mut steps = vec![0u8; columns];
    for (row, bytes) in input.data.chunks_exact(columns).enumerate() {
        scale.steps(row * columns, &mut steps);
        for (&step, &byte) in steps.iter().zip(bytes) {
            let count = &mut by_step[usize::from(step)][usize::from(byte ^ mask)];
            *count = count.saturating_add(1);
        }
    }
    let classes = merge(&by_step, |counts| entropy(counts) + TABLE, (MAX_TABLES, 0));
    let tables: Vec<_> = classes
        .iter()
        .map(|c| Frequencies::normalise(&c.counts, MAX_PROB_BITS))
        .collect();
    let mut writer = BitWriter::default();
    scale.write(&mut writer);
    let fixed = writer.len() + tables.iter().map(Frequencies::bits).sum::<u64>() + chunk_bits(units, BYTE_CHUNK);
    let coded: u64 = tables.iter().zip(&classes).map(|(t, c)| t.cost(&c.counts)).sum();
    let thresholds = Classes::Thresholds(classes[1..].iter().map(|c| c.first).collect());
    Some(Plan {
        planes: vec![Plane::Coded { mask, tables }],
        prediction: Some(Prediction {
            columns,
            scale,
            classes: thresholds,
        }),
        cost: coded + (fixed << COST_BITS),
    })
}

fn encode(input: Input, plan: &Plan) -> Encoded {
    let width = input.dtype.unit_bytes();
    let units = input.units();
    let chunk = balanced_chunk(units, if width == 1 { BYTE_CHUNK } else { WIDE_CHUNK });
    let mut writer = BitWriter::default();
    if let Some(p) = &plan.prediction {
        p.scale.write(&mut writer);
        if let Classes::Thresholds(thresholds) = &p.classes {
            thresholds.iter().for_each(|&t| writer.bits(u64::from(t), 8));
        }
    }
    let mut encoders = Vec::new();
    for plane in &plan.planes {
        match plane {
            Plane::Coded { mask, tables } => {
                writer.bits(CODED, 2);
                writer.bits(u64::from(*mask), 8);
                tables.iter().for_each(|t| t.write(&mut writer));
                encoders.push(Some(EncodeTables::new(tables)));
            }
            Plane::Raw => {
                writer.bits(RAW, 2);
                encoders.push(None);
            }
            Plane::Constant(byte) => {
                writer.bits(CONSTANT, 2);
                writer.bits(u64::from(*byte), 8);
                encoders.push(None);
            }
        }
    }
    let chunks = map_chunks(units, chunk, Vec::new, |room, range| {
        encode_chunk(input, plan, &encoders, range, room)
    });
    let tables = encoders.first().and_then(Option::as_ref).map_or(1, EncodeTables::count) as u32;
    let (columns, tables) = plan.prediction.as_ref().map_or((0, 1), |p| (p.columns as u64, tables));
    let method = Method::Bytes {
        columns,
        tables,
        prob: MAX_PROB_BITS,
    };
    assemble(Recipe { method, chunk }, &writer.finish(), chunks)
}

fn encode_chunk(
    input: Input,
    plan: &Plan,
    encoders: &[Option<EncodeTables>],
    range: std::ops::Range<usize>,
    room: &mut Vec<[u8; 2]>,
) -> (Vec<u8>, u32) {
    let width = input.dtype.unit_bytes();
    let data = &input.data[range.start * width..range.end * width];
    let units = range.clone();
    let mut contexts = Vec::new();
    if let Some(p) = &plan.prediction {
        let mut steps = vec![0; range.len()];
        p.scale.steps(range.start, &mut steps);
        contexts.resize(steps.len(), 0);
        p.classes.pick(&steps, &mut contexts);
    }
    let mut out = vec![0; lengths_len(width)];
    let mut lengths = Vec::new();
    for (index, (plane, encoder)) in plan.planes.iter().zip(encoders).enumerate() {
        let start = out.len();
        let bytes = data[index..].iter().step_by(width);
        match (plane, encoder) {
            (Plane::Coded { mask, .. }, Some(tables)) => {
                let symbols: Vec<u8> = bytes.map(|b| b ^ mask).collect();
                rans::encode(input.backend, tables, &symbols, &contexts, &[0; LANES], room, &mut out);
            }
            (Plane::Raw, _) => {
                out.extend(bytes);
                out.resize(out.len().next_multiple_of(SEGMENT_ALIGNMENT), 0);
            }
            _ => {}
        }
        lengths.push((out.len() - start) as u32);
    }
    input.used(units);
    if width > 1 {
        for (to, length) in out.as_chunks_mut().0.iter_mut().zip(lengths) {
            *to = length.to_le_bytes();
        }
    }
    (out, 0)
}
