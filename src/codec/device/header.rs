//! `kernels/format.h`: the format's numbers, and those that host and kernels agree on, as C definitions.

use super::wire::STRUCTS;
use super::{launch, order, plain, status, widen};
use crate::codec::tiles::{context, unit};
use crate::codec::{bytes, float, levels};
use crate::entropy::rans;
use crate::format::MAX_PROB_BITS;
use crate::plane::{hybrid, raw};
use crate::predict::tile::Predictor;
use crate::quant;
use crate::transform::{self, Transform};

/// The file's text.
pub(crate) fn text() -> String {
    let position = |predictor| Predictor::ALL.iter().position(|p| *p == predictor).unwrap_or(0) as u64;
    let numbers = [
        ("LANES", rans::LANES as u64),
        ("STATE_LOW", rans::STATE_LOW.into()),
        ("STATES_BYTES", rans::STATES_BYTES as u64),
        ("SEEDS_BYTES", size_of::<rans::Seeds>() as u64),
        ("GROUP", raw::GROUP as u64),
        ("MAX_PROB_BITS", MAX_PROB_BITS.into()),
        ("POSITION_BITS", float::ESCAPE_POSITION_BITS.into()),
        ("ESCAPES_BITS", float::ESCAPES_BITS.into()),
        ("LEVEL_POSITION_BITS", levels::ESCAPE_POSITION_BITS.into()),
        ("LEVEL_LIMIT", quant::LEVEL_LIMIT as u64),
        ("KIND_CODED", bytes::CODED),
        ("KIND_RAW", bytes::RAW),
        ("KIND_CONSTANT", bytes::CONSTANT),
        ("HYBRID_DIRECT", hybrid::DIRECT),
        ("TOKEN_ESCAPE", unit::ESCAPE.into()),
        ("CONTEXT_PREDICTOR", context::PREDICTOR.into()),
        ("CONTEXT_TRANSFORMS", context::TRANSFORMS.into()),
        ("CONTEXT_PLAIN", context::PLAIN.into()),
        ("CONTEXT_RESIDUAL", context::RESIDUAL.into()),
        ("PREDICTOR_LEFT", position(Predictor::Left)),
        ("PREDICTOR_TOP", position(Predictor::Top)),
        ("PREDICTOR_AVERAGE", position(Predictor::Average)),
        ("PREDICTOR_LAST", Predictor::ALL.len() as u64 - 1),
        (
            "TRANSFORM_DCT",
            Transform::ALL.iter().position(|t| *t == Transform::Dct).unwrap_or(0) as u64,
        ),
        ("WIDEN_NONE", widen::NONE.into()),
        ("WIDEN_BF16", widen::BF16.into()),
        ("WIDEN_F16", widen::F16.into()),
        ("WIDEN_F32", widen::F32.into()),
        ("ORDER_UNSIGNED", order::UNSIGNED.into()),
        ("ORDER_SIGNED", order::SIGNED.into()),
        ("ORDER_FLOAT", order::FLOAT.into()),
        ("PLAIN_FLOAT", plain::FLOAT.into()),
        ("PLAIN_BYTE", plain::BYTE.into()),
        ("PLAIN_HYBRID", plain::HYBRID.into()),
        ("MAX_THREADS", launch::MAX_THREADS.into()),
        ("RING_BYTES", launch::RING_BYTES.into()),
        ("SYMBOLS_BYTES", launch::SYMBOLS_BYTES.into()),
        ("VALUES", launch::VALUES.into()),
    ];
    let mut text = String::from(
        "// Written by a test from the Rust definitions (tests/kernels): not edited by hand.\n#pragma once\n\n",
    );
    for (name, value) in numbers {
        text += &format!("constexpr u32 {name} = {value};\n");
    }
    // Contexts of coefficients by the sum of their frequencies, a nibble each.
    let edge = |sum: usize| sum.min(transform::BLOCK - 1);
    let context = |sum: usize| context::COEFFICIENT[edge(sum) * transform::BLOCK + sum - edge(sum)];
    let nibbles = (0..2 * transform::BLOCK - 1).fold(0u64, |all, sum| all | u64::from(context(sum)) << (4 * sum));
    text += &format!("constexpr u64 COEFFICIENT_CONTEXTS = {nibbles:#x};\n\n");
    text += status::CODES;
    text += "\n";
    text += STRUCTS;
    text += "\n";
    text += &transform::header::text();
    text
}
