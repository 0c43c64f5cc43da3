//! Which tensors a synthetic checkpoint has.

use super::shape::Shape;
use clap::ValueEnum;
use wcodec::DType;

/// Types of the weight matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Elements {
    Bf16,
    F16,
    F32,
    F64,
    /// F32 that were BF16 before: their low halves are zero
    #[value(name = "f32-from-bf16")]
    F32FromBf16,
    #[value(name = "f8-e4m3")]
    F8E4m3,
    #[value(name = "f8-e5m2")]
    F8E5m2,
    /// Quantized by row, with F32 scales
    I8,
    /// Two 4-bit weights to a byte, with F32 scales by row
    U8,
}

impl Elements {
    pub(super) fn dtype(self) -> DType {
        match self {
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
            Self::F32 | Self::F32FromBf16 => DType::F32,
            Self::F64 => DType::F64,
            Self::F8E4m3 => DType::F8_E4M3,
            Self::F8E5m2 => DType::F8_E5M2,
            Self::I8 => DType::I8,
            Self::U8 => DType::U8,
        }
    }

    /// Whether only the matrices of the layers are of this type, as in quantized checkpoints.
    fn is_quantized(self) -> bool {
        matches!(self, Self::F8E4m3 | Self::F8E5m2 | Self::I8 | Self::U8)
    }

    /// The type of embeddings and norms.
    fn unquantized(self) -> Self {
        if self.is_quantized() { Self::Bf16 } else { self }
    }

    /// Bits of a weight in the layers, and of one in the vocabulary.
    pub(super) fn bits(self) -> [u64; 2] {
        let layer = if self == Self::U8 {
            4
        } else {
            self.dtype().bits() as u64
        };
        [layer, self.unquantized().dtype().bits() as u64]
    }
}

/// What a tensor's values are like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Values {
    /// About normal around 0, with a scale for each row and each column.
    Weights {
        /// Deviation where both scales are 1.
        deviation: f32,
        /// Deviation of the logarithm of the rows' scales.
        row_spread: f32,
        /// Deviation of the logarithm of the columns' scales.
        column_spread: f32,
    },
    /// Positive, about this: norms and scales.
    Positive(f32),
}

/// A tensor to be.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) elements: Elements,
    pub(super) shape: Vec<usize>,
    pub(super) values: Values,
}

impl Plan {
    fn new(name: impl Into<String>, elements: Elements, shape: &[usize], values: Values) -> Self {
        Self {
            name: name.into(),
            elements,
            shape: shape.to_vec(),
            values,
        }
    }

    /// Elements in all.
    pub(super) fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes of its data.
    pub(super) fn byte_len(&self) -> u64 {
        self.count() as u64 * self.elements.dtype().bits() as u64 / 8
    }
}

fn weights(row_spread: f32, column_spread: f32) -> Values {
    Values::Weights {
        deviation: 0.02,
        row_spread,
        column_spread,
    }
}

/// The tensors of a model, under the names that the Hub's checkpoints use.
pub(super) fn model(shape: &Shape, elements: Elements) -> Vec<Plan> {
    let (h, kv, i) = (shape.hidden, shape.kv_width(), shape.intermediate);
    let other = elements.unquantized();
    // Spreads are about those of published checkpoints.
    let mut plans = vec![Plan::new(
        "model.embed_tokens.weight",
        other,
        &[shape.vocab, h],
        weights(0.3, 0.1),
    )];
    for layer in 0..shape.layers {
        let mut matrix = |name: &str, [rows, columns]: [usize; 2], values: Values| {
            let name = format!("model.layers.{layer}.{name}");
            let packed = if elements == Elements::U8 {
                columns.div_ceil(2)
            } else {
                columns
            };
            plans.push(Plan::new(format!("{name}.weight"), elements, &[rows, packed], values));
            if elements.is_quantized() {
                let scales = Values::Positive(1e-3);
                plans.push(Plan::new(
                    format!("{name}.weight_scale"),
                    Elements::F32,
                    &[rows, 1],
                    scales,
                ));
            }
        };
        matrix("self_attn.q_proj", [h, h], weights(0.3, 0.35));
        matrix("self_attn.k_proj", [kv, h], weights(0.35, 0.4));
        matrix("self_attn.v_proj", [kv, h], weights(0.1, 0.15));
        matrix("self_attn.o_proj", [h, h], weights(0.1, 0.15));
        matrix("mlp.gate_proj", [i, h], weights(0.15, 0.15));
        matrix("mlp.up_proj", [i, h], weights(0.1, 0.1));
        matrix("mlp.down_proj", [h, i], weights(0.1, 0.12));
        for name in ["input_layernorm", "post_attention_layernorm"] {
            let name = format!("model.layers.{layer}.{name}.weight");
            plans.push(Plan::new(name, other, &[h], Values::Positive(0.5)));
        }
    }
    plans.push(Plan::new("model.norm.weight", other, &[h], Values::Positive(2.0)));
    if !shape.tied {
        plans.push(Plan::new("lm_head.weight", other, &[shape.vocab, h], weights(0.1, 0.1)));
    }
    plans
}

/// Many tensors of one size, named as those of a mixture of experts: for tests of the index.
pub(super) fn many(tensors: usize, elements: Elements, bytes_each: u64) -> Vec<Plan> {
    const EXPERTS: usize = 64;
    const WIDEST_BITS: u32 = 13;
    const MATRICES: [&str; 3] = ["gate_proj", "up_proj", "down_proj"];
    let count = (bytes_each * 8 / elements.dtype().bits() as u64).max(1) as usize;
    // About as wide as long, as matrices of models are, up to their usual widths.
    let columns = (0..=WIDEST_BITS)
        .map(|bits| 1 << bits)
        .take_while(|&c| count.is_multiple_of(c) && c * c <= count)
        .last()
        .unwrap_or(1);
    let plan = |n: usize| {
        let (expert, matrix) = (n / MATRICES.len(), MATRICES[n % MATRICES.len()]);
        let (layer, expert) = (expert / EXPERTS, expert % EXPERTS);
        let name = format!("model.layers.{layer}.mlp.experts.{expert}.{matrix}.weight");
        Plan::new(name, elements, &[count / columns, columns], weights(0.15, 0.15))
    };
    (0..tensors).map(plan).collect()
}
