//! Attention, tree by tree.

use super::config::{Family, ModelConfig};
use super::rope::Rope;
use super::tree::Tree;
use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::{Linear, Module, RmsNorm, VarBuilder, linear_b, rms_norm};
use std::ops::Range;

/// Most elements of a matrix of all heads' scores: 128 MiB in F32. Four of that size are held at a time.
const MOST_SCORES: usize = 1 << 25;

/// Where a tree's rows lie in the batch, and which of them see which.
pub(super) struct Place<'a> {
    tree: &'a Tree,
    start: usize,
    rows: usize,
    /// Rows whose scores are there at a time: memory grows with a sequence's length, not with its square.
    block: usize,
    /// Window that hides something, if a layer has one.
    window: Option<usize>,
    /// (rows, rows): 0 or minus infinity, for layers without and with a window. Of several blocks each makes its own.
    masks: Option<[Tensor; 2]>,
}

impl<'a> Place<'a> {
    pub(super) fn new(tree: &'a Tree, start: usize, config: &ModelConfig, device: &Device) -> Result<Self> {
        let block = MOST_SCORES / config.heads / tree.rows().max(1);
        Self::in_blocks(tree, start, block.max(1), config, device)
    }

    fn in_blocks(tree: &'a Tree, start: usize, block: usize, config: &ModelConfig, device: &Device) -> Result<Self> {
        // A window that reaches all the way hides nothing.
        let window = config.sliding.as_ref().map(|s| s.tokens);
        let mut place = Self {
            tree,
            start,
            rows: tree.rows(),
            block,
            window: window.filter(|&window| window < tree.longest()),
            masks: None,
        };
        if place.rows <= block {
            let all = place.new_mask(0..place.rows, None, device)?;
            let windowed = match place.window {
                Some(window) => place.new_mask(0..place.rows, Some(window), device)?,
                None => all.clone(),
            };
            place.masks = Some([all, windowed]);
        }
        Ok(place)
    }

    fn mask(&self, of: &Range<usize>, windowed: bool, device: &Device) -> Result<Tensor> {
        match &self.masks {
            Some(masks) => Ok(masks[usize::from(windowed)].clone()),
            None => self.new_mask(of.clone(), self.window.filter(|_| windowed), device),
        }
    }

    fn new_mask(&self, of: Range<usize>, window: Option<usize>, device: &Device) -> Result<Tensor> {
        Tensor::from_vec(self.tree.mask(of.clone(), window), (of.len(), self.rows), device)
    }

    fn blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = (0..self.rows).step_by(self.block);
        starts.map(|start| start..(start + self.block).min(self.rows))
    }
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
            windowed: config.window(layer).is_some(),
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
        let k = k.transpose(1, 2)?;
        let group = self.heads / self.kv_heads;
        let of_block = |of: Range<usize>| {
            // The query heads of a key-value head lie one after the other: they are one matrix.
            let q = q.narrow(1, of.start, of.len())?.contiguous()?;
            let q = q.reshape((self.kv_heads, group * of.len(), dim))?;
            let scores = (q.matmul(&k)? / (dim as f64).sqrt())?;
            let mask = place.mask(&of, self.windowed, q.device())?;
            let scores = scores.reshape((self.heads, of.len(), rows))?.broadcast_add(&mask)?;
            let weights = candle_nn::ops::softmax_last_dim(&scores)?;
            let weights = weights.reshape((self.kv_heads, group * of.len(), rows))?;
            let y = weights.matmul(&v)?.reshape((self.heads, of.len(), dim))?;
            y.to_dtype(dtype)?.transpose(0, 1)?.flatten_from(D::Minus2)
        };
        let blocks = place.blocks().map(of_block).collect::<Result<Vec<_>>>()?;
        Tensor::cat(&blocks, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rope::frequencies;
    use super::*;
    use candle_nn::VarMap;
    use serde_json::json;

    const CPU: Device = Device::Cpu;

    fn config(window: usize) -> ModelConfig {
        let json = json!({
            "model_type": "mistral", "vocab_size": 50, "hidden_size": 64, "intermediate_size": 40,
            "num_hidden_layers": 1, "num_attention_heads": 8, "num_key_value_heads": 4, "rms_norm_eps": 1e-5,
            "max_position_embeddings": 100_000, "sliding_window": window,
        });
        ModelConfig::parse(json.to_string().as_bytes(), "config.json").unwrap()
    }

    /// Blocks of rows change no bit, nor does it matter where they end.
    #[test]
    fn blocks_of_rows_are_the_whole() {
        let tree = Tree {
            stem: vec![1; 180],
            branches: vec![vec![2; 90], vec![3; 41]],
        };
        let rows = tree.rows();
        for window in [20, 1000] {
            let config = config(window);
            let vars = VarMap::new();
            let attention = Attention::load(&config, 0, VarBuilder::from_varmap(&vars, DType::F32, &CPU)).unwrap();
            let positions: Vec<u32> = tree.positions().map(|p| p as u32).collect();
            let frequencies = Tensor::new(frequencies(&config), &CPU).unwrap();
            let rope = Rope::new(&frequencies, &positions, DType::F32, &CPU).unwrap();
            let x = Tensor::randn(0f32, 2.0, (rows, 64), &CPU).unwrap();
            let bits = |block| {
                let place = Place::in_blocks(&tree, 0, block, &config, &CPU).unwrap();
                let y = attention.forward(&x, &rope, &[place]).unwrap();
                let y: Vec<f32> = y.flatten_all().unwrap().to_vec1().unwrap();
                y.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            let whole = bits(rows);
            for block in [rows - 1, 200, 64, 33, 8, 3] {
                assert!(bits(block) == whole, "window {window}, blocks of {block}");
            }
        }
    }

    #[test]
    fn memory_does_not_grow_with_the_square_of_the_length() {
        let tree = Tree::sequence(vec![1; 60_000]);
        let config = config(1000);
        let place = Place::new(&tree, 0, &config, &CPU).unwrap();
        assert!(place.masks.is_none() && place.block * config.heads * place.rows <= MOST_SCORES);
        assert_eq!(place.blocks().map(|of| of.len()).sum::<usize>(), 60_000);
        // A usual window is one block.
        let tree = Tree::sequence(vec![1; 1024]);
        assert_eq!(Place::new(&tree, 0, &config, &CPU).unwrap().blocks().count(), 1);
    }
}
