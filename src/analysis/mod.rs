//! What weights look like, and what each tool would make of them: the evidence for which tools win where,
//! and for how much can be won at all.

mod fields;
mod ideal;
mod statistics;
mod values;

pub use fields::{Field, fields};
pub use ideal::{Ideal, ideal};
pub use statistics::{HISTOGRAM_BINS, HISTOGRAM_REACH, QUANTILES, Statistics, statistics};
pub use values::numbers;

use crate::backend::Backend;
use crate::codec::encode::{self, Effort, Input};
use crate::decoder::Tensor;
use crate::dtype::DType;
use crate::error::{Error, Result};

/// Every tool that [`tool_costs`] prices, the baseline first.
pub const TOOLS: [&str; 9] = [
    "none", "scale", "left", "top", "average", "planar", "dct", "adst", "tiles",
];

/// The estimated size of a tensor with one tool.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ToolCost {
    /// `none` (one frequency table, no prediction), `scale` (row x column), `left`, `top`, `average`,
    /// `planar`, `dct`, `adst` (tiles that may choose between that tool and none), or `tiles` (all of
    /// those at once).
    pub tool: &'static str,
    /// Bits of the whole payload, tables and all, an element.
    pub bits: f64,
}

/// Prices a tensor with each tool by itself, `none` first. Row x column scales
/// are as the default effort fits them; tiles are priced on a sample, in their best shape. Tiles are
/// left out where the tensor is no matrix. Empty for tensors without elements.
///
/// # Errors
/// [`Error::Usage`] if the data's length is not that of dtype and shape, or as [`Backend::detect`].
pub fn tool_costs(dtype: DType, shape: &[usize], data: &[u8]) -> Result<Vec<ToolCost>> {
    let elements = elements(dtype, shape, data)?;
    let backend = Backend::detect()?;
    let costs = encode::tool_costs(Input {
        dtype,
        shape,
        data,
        backend,
        used: &|_| (),
    });
    Ok(an_element(costs, elements))
}

/// As [`tool_costs`], of a tensor of a file. Of a quantised one its levels are priced, steps included, not the weights that
/// they make.
///
/// # Errors
/// As [`Tensor::decode`], or as [`Backend::detect`].
pub fn tensor_costs(tensor: Tensor<'_>) -> Result<Vec<ToolCost>> {
    let info = tensor.info();
    match tensor.levels()? {
        Some(levels) => {
            let costs = encode::quantised::tool_costs(Backend::detect()?, info.shape(), &levels);
            Ok(an_element(costs, info.units()))
        }
        None => tool_costs(info.dtype(), info.shape(), &tensor.decode()?),
    }
}

/// Costs of a tensor of so many elements, in bits of each.
fn an_element(costs: Vec<(&'static str, u64)>, elements: u64) -> Vec<ToolCost> {
    let elements = elements.max(1) as f64;
    let cost = |(tool, cost): (&'static str, u64)| ToolCost {
        tool,
        bits: cost as f64 / 65536.0 / elements,
    };
    costs.into_iter().map(cost).collect()
}

/// Bytes that a tensor takes when it is encoded at the default effort: the whole payload.
///
/// # Errors
/// As [`tool_costs`].
pub fn encoded_len(dtype: DType, shape: &[usize], data: &[u8]) -> Result<u64> {
    elements(dtype, shape, data)?;
    let backend = Backend::detect()?;
    let input = Input {
        dtype,
        shape,
        data,
        backend,
        used: &|_| (),
    };
    Ok(encode::encode(input, Effort::Default).len())
}

/// The number of elements.
fn elements(dtype: DType, shape: &[usize], data: &[u8]) -> Result<u64> {
    let elements = shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d as u64));
    if elements.and_then(|n| dtype.byte_len(n)) != Some(data.len() as u64) {
        let got = data.len();
        return Err(Error::usage(format!(
            "{got} bytes are not a {dtype} tensor of shape {shape:?}"
        )));
    }
    Ok(elements.unwrap_or(0))
}

/// Entropy of a table of counts, in bits an element.
fn entropy(counts: &[u64]) -> f64 {
    let total: u64 = counts.iter().sum();
    let bits = counts.iter().filter(|&&c| c > 0).map(|&c| {
        let share = c as f64 / total as f64;
        -share * share.log2()
    });
    // 0 added makes 0 of -0.
    bits.sum::<f64>() + 0.0
}
