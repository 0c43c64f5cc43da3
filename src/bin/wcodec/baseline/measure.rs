//! What is found of each tensor, and sums over tensors.

use super::quantised::{Quantised, quantise};
use crate::failure::Failure;
use crate::inspect::tools::kind;
use rayon::prelude::*;
use std::collections::BTreeMap;
use wcodec::analysis::{self, Field, Ideal, Statistics, TOOLS};
use wcodec::{DType, Decoder, Error, Progress};

/// All that is found of a tensor.
pub(super) struct TensorFacts {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    pub(super) sum: Sum,
    pub(super) recipe: String,
    pub(super) statistics: Option<Statistics>,
    pub(super) fields: Vec<Field>,
    pub(super) ideal: Ideal,
    pub(super) quantised: Vec<Quantised>,
}

/// Sums over tensors. Bits are of all elements together.
#[derive(Clone, Default)]
pub(super) struct Sum {
    pub(super) tensors: usize,
    pub(super) elements: u64,
    pub(super) zeros: u64,
    pub(super) outliers: u64,
    pub(super) bytes: u64,
    pub(super) encoded: u64,
    /// Elements whose entropy bound is known, the bound of these, and their encoded bits.
    pub(super) bounded: (u64, f64, f64),
    /// By tool.
    pub(super) tools: BTreeMap<String, f64>,
    /// Tensors by the tool that is best for them.
    pub(super) won: BTreeMap<String, usize>,
    pub(super) histogram: Vec<u64>,
}

impl Sum {
    fn add(&mut self, other: &Self) {
        self.tensors += other.tensors;
        self.elements += other.elements;
        self.zeros += other.zeros;
        self.outliers += other.outliers;
        self.bytes += other.bytes;
        self.encoded += other.encoded;
        let (a, b) = (&mut self.bounded, other.bounded);
        (a.0, a.1, a.2) = (a.0 + b.0, a.1 + b.1, a.2 + b.2);
        for (tool, bits) in &other.tools {
            *self.tools.entry(tool.clone()).or_default() += bits;
        }
        for (tool, tensors) in &other.won {
            *self.won.entry(tool.clone()).or_default() += tensors;
        }
        self.histogram
            .resize(self.histogram.len().max(other.histogram.len()), 0);
        self.histogram
            .iter_mut()
            .zip(&other.histogram)
            .for_each(|(a, b)| *a += b);
    }

    /// Bits an element of a number of bits.
    pub(super) fn per_element(&self, bits: f64) -> f64 {
        bits / self.elements.max(1) as f64
    }

    /// The entropy bound in bits an element, and what the same elements take.
    pub(super) fn bound(&self) -> Option<(f64, f64)> {
        let (elements, bound, encoded) = self.bounded;
        (elements > 0).then(|| (bound / elements as f64, encoded / elements as f64))
    }

    /// The cheapest tool, in bits.
    pub(super) fn best(&self) -> Option<(&str, f64)> {
        let least = self.tools.iter().min_by(|a, b| a.1.total_cmp(b.1))?;
        Some((least.0, *least.1))
    }
}

/// Looks at all tensors of an encoded file, side by side.
pub(super) fn tensors(decoder: &Decoder, progress: &dyn Progress) -> Result<Vec<TensorFacts>, Failure> {
    let all: Vec<_> = decoder.tensors().collect();
    let found = all.into_par_iter().map(|tensor| {
        if progress.cancelled() {
            return Err(Error::Cancelled.into());
        }
        let (info, data) = (tensor.info(), tensor.decode()?);
        let (dtype, shape) = (info.dtype(), info.shape());
        let facts = TensorFacts {
            name: info.name().into(),
            kind: kind(info.name()),
            dtype,
            shape: shape.to_vec(),
            sum: Sum::default(),
            recipe: info.recipe_text().to_owned(),
            statistics: analysis::statistics(dtype, shape, &data)?,
            fields: analysis::fields(dtype, shape, &data)?,
            ideal: analysis::ideal(dtype, shape, &data)?,
            quantised: quantise(dtype, shape, &data)?,
        };
        let facts = with_sum(facts, &data, info.encoded_len())?;
        progress.advance(info.byte_len(), info.name());
        Ok(facts)
    });
    found.collect()
}

fn with_sum(mut facts: TensorFacts, data: &[u8], encoded: u64) -> Result<TensorFacts, Failure> {
    let elements: u64 = facts.shape.iter().map(|&d| d as u64).product();
    let costs = analysis::tool_costs(facts.dtype, &facts.shape, data)?;
    let bits = |tool: &str| costs.iter().find(|c| c.tool == tool).map(|c| c.bits * elements as f64);
    // A tool that does not apply saves nothing: so kinds add up over all their tensors.
    let tools: BTreeMap<String, f64> = TOOLS
        .iter()
        .filter_map(|&tool| Some((tool.to_owned(), bits(tool).or(bits("none"))?)))
        .collect();
    let statistics = facts.statistics.as_ref();
    let mut sum = Sum {
        tensors: 1,
        elements,
        zeros: statistics.map_or(0, |s| s.zeros),
        outliers: statistics.map_or(0, |s| s.outliers),
        bytes: data.len() as u64,
        encoded,
        bounded: (0, 0.0, 0.0),
        tools,
        won: BTreeMap::new(),
        histogram: statistics.map_or(Vec::new(), |s| s.histogram.clone()),
    };
    if let Some(bound) = facts.ideal.least() {
        sum.bounded = (elements, bound * elements as f64, encoded as f64 * 8.0);
    }
    if let Some((tool, _)) = sum.best() {
        sum.won.insert(tool.to_owned(), 1);
    }
    facts.sum = sum;
    Ok(facts)
}

/// Sums by a label, the largest first.
pub(super) fn sums(tensors: &[TensorFacts], label: impl Fn(&TensorFacts) -> String) -> Vec<(String, Sum)> {
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for tensor in tensors {
        sums.entry(label(tensor)).or_default().add(&tensor.sum);
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.bytes));
    sums
}

/// Entropies of the fields of each dtype, in bits an element of all its tensors together: tensor by tensor,
/// each by its own frequencies.
pub(super) fn fields(tensors: &[TensorFacts]) -> Vec<(DType, Vec<Field>)> {
    let mut all: Vec<(DType, u64, Vec<Field>)> = Vec::new();
    for tensor in tensors.iter().filter(|t| !t.fields.is_empty()) {
        let n = tensor.sum.elements;
        let weighted = tensor.fields.iter().map(|f| Field {
            entropy: f.entropy * n as f64,
            ..f.clone()
        });
        match all.iter_mut().find(|(dtype, ..)| *dtype == tensor.dtype) {
            Some((_, elements, fields)) => {
                *elements += n;
                fields
                    .iter_mut()
                    .zip(weighted)
                    .for_each(|(a, b)| a.entropy += b.entropy);
            }
            None => all.push((tensor.dtype, n, weighted.collect())),
        }
    }
    all.sort_by_key(|(_, n, _)| std::cmp::Reverse(*n));
    let mean = |(dtype, n, fields): (DType, u64, Vec<Field>)| {
        let fields = fields.into_iter().map(|f| Field {
            entropy: f.entropy / n.max(1) as f64,
            ..f
        });
        (dtype, fields.collect())
    };
    all.into_iter().map(mean).collect()
}
