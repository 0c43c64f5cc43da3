//! Attention, tree by tree.

use super::config::{Family, ModelConfig};
use super::rope::Rope;
use candle_core::{D, DType, Result, Tensor};
use candle_nn::{Linear, Module, RmsNorm, VarBuilder, linear_b, rms_norm};

/// Where a tree's rows lie in the batch, and which of them see which.
pub(super) struct Place {
    pub(super) start: usize,
    pub(super) rows: usize,
    /// (rows, rows): 0 or minus infinity.
    pub(super) mask: Tensor,
    /// The same for layers with a sliding window.
    pub(super) window_mask: Option<Tensor>,
}

pub(super) struct Attention {
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    norms: Option<(RmsNorm, RmsNorm)>,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    windowed: bool,
}

impl Attention {
    pub(super) fn load(config: &ModelConfig, layer: usize, vb: VarBuilder) -> Result<Self> {
        let (hidden, dim) = (config.hidden, config.head_dim);
        let (query, key) = (config.heads * dim, config.kv_heads * dim);
        let norm = |name: &str| rms_norm(dim, config.norm_eps, vb.pp(name));
        let norms = match config.family {
            Family::Qwen3 => Some((norm("q_norm")?, norm("k_norm")?)),
            _ => None,
        };
        Ok(Self {
            q: linear_b(hidden, query, config.qkv_bias, vb.pp("q_proj"))?,
            k: linear_b(hidden, key, config.qkv_bias, vb.pp("k_proj"))?,
            v: linear_b(hidden, key, config.qkv_bias, vb.pp("v_proj"))?,
            o: linear_b(query, hidden, config.output_bias, vb.pp("o_proj"))?,
            norms,
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: dim,
            windowed: config.window.is_some_and(|(_, from)| layer >= from),
        })
    }

    /// From (tokens, hidden size) to the same.
    pub(super) fn forward(&self, x: &Tensor, rope: &Rope, places: &[Place]) -> Result<Tensor> {
        let tokens = x.dim(0)?;
        let mut q = self.q.forward(x)?.reshape((tokens, self.heads, self.head_dim))?;
        let mut k = self.k.forward(x)?.reshape((tokens, self.kv_heads, self.head_dim))?;
        let v = self.v.forward(x)?.reshape((tokens, self.kv_heads, self.head_dim))?;
        if let Some((q_norm, k_norm)) = &self.norms {
            (q, k) = (q_norm.forward(&q)?, k_norm.forward(&k)?);
        }
        let (q, k) = (rope.turn(&q)?, rope.turn(&k)?);
        let parts = places
            .iter()
            .map(|place| self.attend(&q, &k, &v, place))
            .collect::<Result<Vec<_>>>()?;
        self.o.forward(&Tensor::cat(&parts, 0)?)
    }

    /// One tree: (rows, all heads' sizes).
    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, place: &Place) -> Result<Tensor> {
        let (rows, dim) = (place.rows, self.head_dim);
        let dtype = q.dtype();
        // (heads, rows, head size), in F32 as Candle's Llama has it.
        let of_tree = |x: &Tensor| {
            let x = x.narrow(0, place.start, rows)?.transpose(0, 1)?.contiguous()?;
            x.to_dtype(DType::F32)
        };
        let (q, k, v) = (of_tree(q)?, of_tree(k)?, of_tree(v)?);
        // The query heads of a key-value head lie one after the other: they are one matrix.
        let group = self.heads / self.kv_heads;
        let q = q.reshape((self.kv_heads, group * rows, dim))?;
        let scores = (q.matmul(&k.transpose(1, 2)?)? / (dim as f64).sqrt())?;
        let mask = match &place.window_mask {
            Some(mask) if self.windowed => mask,
            _ => &place.mask,
        };
        let scores = scores.reshape((self.heads, rows, rows))?.broadcast_add(mask)?;
        let weights = candle_nn::ops::softmax_last_dim(&scores)?;
        let weights = weights.reshape((self.kv_heads, group * rows, rows))?;
        let y = weights.matmul(&v)?.reshape((self.heads, rows, dim))?;
        y.to_dtype(dtype)?.transpose(0, 1)?.flatten_from(D::Minus2)
    }
}
