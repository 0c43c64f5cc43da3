//! What each tool would make of a tensor: the evidence for which tools win where.

use crate::backend::Backend;
use crate::codec::encode::{self, Input};
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
    let elements = shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d as u64));
    if elements.and_then(|n| dtype.byte_len(n)) != Some(data.len() as u64) {
        let got = data.len();
        return Err(Error::usage(format!(
            "{got} bytes are not a {dtype} tensor of shape {shape:?}"
        )));
    }
    let elements = elements.unwrap_or(0).max(1) as f64;
    let backend = Backend::detect()?;
    let costs = encode::tool_costs(Input {
        dtype,
        shape,
        data,
        backend,
        used: &|_| (),
    });
    let cost = |(tool, cost): (&'static str, u64)| ToolCost {
        tool,
        bits: cost as f64 / 65536.0 / elements,
    };
    Ok(costs.into_iter().map(cost).collect())
}
