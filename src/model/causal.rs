//! A whole model.

use super::attention::Place;
use super::config::ModelConfig;
use super::layer::Layer;
use super::rope::{Rope, frequencies};
use super::tree::Tree;
use candle_core::{DType, Device, Error, Result, Tensor};
use candle_nn::{Embedding, Linear, Module, RmsNorm, VarBuilder, embedding, linear_no_bias, rms_norm};

/// A language model in memory.
pub struct CausalModel {
    config: ModelConfig,
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: Linear,
    frequencies: Tensor,
    dtype: DType,
    device: Device,
}

impl CausalModel {
    /// Loads the weights. Computation is in the `VarBuilder`'s element type; attention in F32.
    ///
    /// # Errors
    /// Those of the `VarBuilder`: a tensor is missing, or has another shape than `config` says.
    pub fn load(config: ModelConfig, vb: VarBuilder) -> Result<Self> {
        let (dtype, device) = (vb.dtype(), vb.device().clone());
        let embedding = embedding(config.vocab, config.hidden, vb.pp("model.embed_tokens"))?;
        let has_head = vb.contains_tensor("lm_head.weight");
        let head = if config.shares_embedding(has_head) {
            Linear::new(embedding.embeddings().clone(), None)
        } else if !has_head {
            candle_core::bail!(
                "there is no tensor lm_head.weight, and tie_word_embeddings is false in the configuration: is a shard \
                 missing, or is it another model's configuration?"
            );
        } else {
            linear_no_bias(config.hidden, config.vocab, vb.pp("lm_head"))?
        };
        let norm = rms_norm(config.hidden, config.norm_eps, vb.pp("model.norm"))?;
        let layers = (0..config.layers).map(|i| Layer::load(&config, i, vb.pp(format!("model.layers.{i}"))));
        Ok(Self {
            layers: layers.collect::<Result<_>>()?,
            frequencies: Tensor::new(frequencies(&config), &device)?,
            config,
            embedding,
            norm,
            head,
            dtype,
            device,
        })
    }

    /// Loads no more than [`CausalModel::logits`] needs: the model without its layers.
    ///
    /// # Errors
    /// As [`CausalModel::load`].
    pub fn load_head(config: ModelConfig, vb: VarBuilder) -> Result<Self> {
        Self::load(ModelConfig { layers: 0, ..config }, vb)
    }

    /// Kind and sizes.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Element type of the states.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The last layer's states, normalised: a row for each token, tree by tree, in the order of
    /// [`Tree::rows`]. [`CausalModel::logits`] takes any of them.
    ///
    /// # Errors
    /// Candle's; no tokens at all, a token outside the vocabulary, and a sequence longer than the
    /// model's positions are refused.
    pub fn states(&self, trees: &[Tree]) -> Result<Tensor> {
        let tokens: Vec<u32> = trees.iter().flat_map(Tree::tokens).collect();
        if tokens.is_empty() {
            return Err(Error::Msg("no tokens".into()).bt());
        }
        let longest = trees.iter().map(Tree::longest).max().unwrap_or(0);
        if longest > self.config.positions {
            let most = self.config.positions;
            return Err(Error::Msg(format!(
                "a sequence of {longest} tokens: the model has {most} positions"
            ))
            .bt());
        }
        if let Some(token) = tokens.iter().find(|&&t| t as usize >= self.config.vocab) {
            return Err(Error::Msg(format!(
                "token {token} is outside the vocabulary of {}",
                self.config.vocab
            ))
            .bt());
        }
        let positions: Vec<u32> = trees.iter().flat_map(Tree::positions).map(|p| p as u32).collect();
        let rope = Rope::new(&self.frequencies, &positions, self.dtype, &self.device)?;
        let places = self.places(trees)?;
        let mut x = self.embedding.forward(&Tensor::new(tokens, &self.device)?)?;
        for layer in &self.layers {
            x = layer.forward(&x, &rope, &places)?;
        }
        self.norm.forward(&x)
    }

    /// Logits in F32, (rows, vocabulary), of rows that [`CausalModel::states`] gave.
    ///
    /// # Errors
    /// Candle's.
    pub fn logits(&self, states: &Tensor) -> Result<Tensor> {
        self.head.forward(&states.contiguous()?)?.to_dtype(DType::F32)
    }

    fn places<'a>(&self, trees: &'a [Tree]) -> Result<Vec<Place<'a>>> {
        let mut places = Vec::new();
        let mut start = 0;
        for tree in trees.iter().filter(|tree| tree.rows() > 0) {
            places.push(Place::new(tree, start, &self.config, &self.device)?);
            start += tree.rows();
        }
        Ok(places)
    }
}
