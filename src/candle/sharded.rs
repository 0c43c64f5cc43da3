//! Parts of tensors, for tensor parallelism.

use super::WcodecBackend;
use candle_core::{DType, Device, Error, Result, Shape, Tensor};
use candle_nn::var_builder::{Backend, Shard, SimpleBackend, VarBuilderArgs};

/// A `VarBuilder` whose hints are [`Shard`]s.
pub type ShardedVarBuilder = VarBuilderArgs<'static, ShardedBackend>;

/// Hands out the part of a tensor that a [`Shard`] names, as
/// `candle_nn::var_builder::ShardedSafeTensors` does: rows by decoding the chunks that hold them,
/// parts along other dimensions by decoding all of the tensor. On a GPU both are decoded there.
#[derive(Clone, Debug)]
pub struct ShardedBackend(pub(super) WcodecBackend);

impl Backend for ShardedBackend {
    type Hints = Shard;

    /// The shape is only checked where `world_size` is 1, as in Candle's own.
    fn get(&self, shape: Shape, name: &str, shard: Shard, dtype: DType, device: &Device) -> Result<Tensor> {
        let Shard { dim, rank, world_size } = shard;
        if world_size == 1 {
            return SimpleBackend::get(&self.0, shape, name, candle_nn::Init::default(), dtype, device);
        }
        let dims = self.0.stored_shape(name)?;
        let Some(&size) = dims.get(dim) else {
            return Err(Error::DimOutOfRange {
                shape: dims.into(),
                dim: dim as i32,
                op: "get sharded",
            }
            .bt());
        };
        if world_size == 0 || rank >= world_size {
            candle_core::bail!("tensor {name}: there is no shard {rank} of {world_size}");
        }
        if size % world_size != 0 {
            return Err(Error::ShapeMismatchSplit {
                shape: dims.into(),
                dim,
                n_parts: world_size,
            });
        }
        let len = size / world_size;
        let part = if dim == 0 {
            self.0.stored_rows(name, rank * len..(rank + 1) * len, device)?
        } else {
            let whole = self.0.stored(name, device)?;
            whole.narrow(dim, rank * len, len)?.contiguous()?
        };
        part.to_dtype(dtype)
    }

    fn get_unchecked(&self, _: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("`get_unchecked` does not make sense for `ShardedBackend`, use `get`.")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}
