//! `config.json`: what kind of model, and its sizes.

use super::rotary::{self, RopeScaling};
use super::sliding::Sliding;
use crate::{Error, Result};
use serde::Deserialize;
use serde_json::Value;

/// Kinds of models that differ in what their layers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Llama 2 and 3, SmolLM2.
    Llama,
    /// Mistral: attention may reach back a window only.
    Mistral,
    /// Qwen2 and Qwen2.5: queries, keys and values have a bias.
    Qwen2,
    /// Qwen3: queries and keys are normalised.
    Qwen3,
}

const KNOWN: [(Family, &str, &str); 4] = [
    (Family::Llama, "llama", "LlamaForCausalLM"),
    (Family::Mistral, "mistral", "MistralForCausalLM"),
    (Family::Qwen2, "qwen2", "Qwen2ForCausalLM"),
    (Family::Qwen3, "qwen3", "Qwen3ForCausalLM"),
];

/// A model's kind and sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    pub(crate) family: Family,
    pub(crate) hidden: usize,
    pub(crate) intermediate: usize,
    pub(crate) vocab: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) positions: usize,
    pub(crate) norm_eps: f64,
    pub(super) rope_theta: f32,
    pub(super) rope_scaling: RopeScaling,
    /// Whether the head is the embedding, if the configuration says it.
    pub(super) tied: Option<bool>,
    /// Of queries, keys and values.
    pub(crate) qkv_bias: bool,
    pub(crate) output_bias: bool,
    pub(crate) mlp_bias: bool,
    pub(crate) sliding: Option<Sliding>,
    pub(crate) bos: Option<u32>,
}

#[derive(Deserialize)]
struct Raw {
    hidden_size: usize,
    intermediate_size: usize,
    vocab_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    tie_word_embeddings: Option<bool>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    hidden_act: Option<String>,
    bos_token_id: Option<Value>,
}

impl ModelConfig {
    /// Reads the bytes of a `config.json`; `file` is its name for messages.
    ///
    /// # Errors
    /// [`Error::Input`] if it is no such configuration; for a model of another kind the text lists
    /// the known ones.
    pub fn parse(json: &[u8], file: &str) -> Result<Self> {
        let wrong = |what: String| Error::input(file, what);
        let value: Value = serde_json::from_slice(json).map_err(|e| wrong(e.to_string()))?;
        // The kind comes first: a model of another kind may have none of the other fields.
        let family = family(&value).map_err(wrong)?;
        not_quantised(&value).map_err(wrong)?;
        let raw = Raw::deserialize(&value).map_err(|e| wrong(e.to_string()))?;
        let kv_heads = raw.num_key_value_heads.unwrap_or(raw.num_attention_heads);
        let head_dim = raw.head_dim.unwrap_or(raw.hidden_size / raw.num_attention_heads.max(1));
        // Memory is taken for layers and for the elements of a head before any weight is seen.
        let sizes = [
            ("hidden_size", raw.hidden_size, 1 << 32),
            ("intermediate_size", raw.intermediate_size, 1 << 32),
            ("vocab_size", raw.vocab_size, 1 << 32),
            ("num_hidden_layers", raw.num_hidden_layers, 1 << 16),
            ("num_attention_heads", raw.num_attention_heads, 1 << 16),
            ("num_key_value_heads", kv_heads, 1 << 16),
            ("head_dim", head_dim, 1 << 16),
            ("max_position_embeddings", raw.max_position_embeddings, 1 << 32),
        ];
        if let Some((name, size, most)) = sizes.iter().find(|(_, size, most)| !(1..=*most).contains(size)) {
            return Err(wrong(format!("{name} is {size}: known are 1 to {most}")));
        }
        if !raw.num_attention_heads.is_multiple_of(kv_heads) || !head_dim.is_multiple_of(2) {
            let heads = raw.num_attention_heads;
            return Err(wrong(format!(
                "{heads} heads of {head_dim} with {kv_heads} key-value heads do not fit"
            )));
        }
        let act = raw.hidden_act.as_deref().unwrap_or("silu");
        if act != "silu" {
            return Err(wrong(format!("hidden_act {act:?} is not known: known is \"silu\"")));
        }
        let bias = raw.attention_bias.unwrap_or(false);
        let object = value.as_object().ok_or_else(|| wrong("not a JSON object".into()))?;
        let (rope_theta, rope_scaling) = rotary::read(object).map_err(wrong)?;
        Ok(Self {
            family,
            hidden: raw.hidden_size,
            intermediate: raw.intermediate_size,
            vocab: raw.vocab_size,
            layers: raw.num_hidden_layers,
            heads: raw.num_attention_heads,
            kv_heads,
            head_dim,
            positions: raw.max_position_embeddings,
            norm_eps: raw.rms_norm_eps,
            rope_theta,
            rope_scaling,
            tied: raw.tie_word_embeddings,
            qkv_bias: family == Family::Qwen2 || family != Family::Mistral && bias,
            output_bias: matches!(family, Family::Llama | Family::Qwen3) && bias,
            mlp_bias: family == Family::Llama && raw.mlp_bias.unwrap_or(false),
            sliding: Sliding::read(family, &value, raw.num_hidden_layers).map_err(wrong)?,
            // Some configurations list several.
            bos: raw
                .bos_token_id
                .and_then(|id| id.as_u64())
                .and_then(|id| u32::try_from(id).ok()),
        })
    }

    /// The first way in which another model has another shape, in words.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let sizes = |c: &Self| {
            [
                ("vocab_size", c.vocab),
                ("hidden_size", c.hidden),
                ("intermediate_size", c.intermediate),
                ("num_hidden_layers", c.layers),
                ("num_attention_heads", c.heads),
                ("num_key_value_heads", c.kv_heads),
                ("head_dim", c.head_dim),
            ]
        };
        if self.family != other.family {
            return Some(format!("{:?} and {:?}", self.family, other.family));
        }
        let differing = sizes(self).into_iter().zip(sizes(other)).find(|(a, b)| a != b);
        differing.map(|((name, a), (_, b))| format!("{name} {a} and {b}"))
    }

    /// Every way in which another model computes something else of weights of the same shapes, in words.
    pub fn other_differences(&self, other: &Self) -> Vec<String> {
        let said = |c: &Self| {
            [
                ("max_position_embeddings", c.positions.to_string()),
                ("rms_norm_eps", c.norm_eps.to_string()),
                ("rope_theta", c.rope_theta.to_string()),
                ("rope_scaling", format!("{:?}", c.rope_scaling)),
                ("tie_word_embeddings", c.shares_embedding(true).to_string()),
                ("biases of queries, keys and values", c.qkv_bias.to_string()),
                ("bias of attention's output", c.output_bias.to_string()),
                ("mlp_bias", c.mlp_bias.to_string()),
                ("sliding_window", format!("{:?}", c.sliding)),
            ]
        };
        let both = said(self).into_iter().zip(said(other));
        both.filter(|(a, b)| a != b)
            .map(|((name, a), (_, b))| format!("{name} {a} and {b}"))
            .collect()
    }

    /// Whether the head is the embedding. Some files leave out a head that is, with a configuration that says
    /// nothing; one that says it is not needs the tensor.
    pub(crate) fn shares_embedding(&self, has_head: bool) -> bool {
        self.tied.unwrap_or(!has_head)
    }

    /// Tokens that a layer's attention reaches back, its own included, if that is limited.
    pub(crate) fn window(&self, layer: usize) -> Option<usize> {
        let sliding = self.sliding.as_ref().filter(|s| s.layers.contains(&layer));
        sliding.map(|s| s.tokens)
    }

    /// The kind of model.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Number of tokens that have an embedding.
    pub fn vocab_size(&self) -> usize {
        self.vocab
    }

    /// Elements of a token's state.
    pub fn hidden_size(&self) -> usize {
        self.hidden
    }

    /// Longest sequence, in tokens.
    pub fn max_positions(&self) -> usize {
        self.positions
    }

    /// The token that begins a text, if the configuration names one.
    pub fn bos_token(&self) -> Option<u32> {
        self.bos
    }
}

/// Quantised weights mean something with their scales only.
fn not_quantised(config: &Value) -> Result<(), String> {
    for name in ["quantization_config", "compression_config"] {
        if let Some(how) = config.get(name).filter(|how| !how.is_null()) {
            let method = how.get("quant_method").and_then(Value::as_str).unwrap_or("unknown");
            return Err(format!(
                "{name} names the method {method:?}: weights with scales of their own cannot be computed; convert the \
                 model to BF16 or F32, without {name}"
            ));
        }
    }
    Ok(())
}

fn family(config: &Value) -> Result<Family, String> {
    let architecture = config.pointer("/architectures/0").and_then(Value::as_str);
    let model_type = config.get("model_type").and_then(Value::as_str);
    let known = |f: &&(Family, &str, &str)| architecture.map_or(model_type == Some(f.1), |a| a == f.2);
    KNOWN.iter().find(known).map(|f| f.0).ok_or_else(|| {
        let said = architecture.or(model_type).unwrap_or("none");
        let known: Vec<&str> = KNOWN.iter().map(|f| f.2).collect();
        format!(
            "a model of architecture {said:?} cannot be run: known are {}",
            known.join(", ")
        )
    })
}
