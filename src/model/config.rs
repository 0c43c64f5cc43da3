//! `config.json`: what kind of model, and its sizes.

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

/// How positions are stretched beyond those of the training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum RopeScaling {
    None,
    /// All positions divided by the factor.
    Linear(f32),
    /// Llama 3: low frequencies divided by the factor, high ones kept.
    Llama3 {
        factor: f32,
        low: f32,
        high: f32,
        original_positions: f32,
    },
}

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
    pub(crate) tied: bool,
    /// Of queries, keys and values.
    pub(crate) qkv_bias: bool,
    pub(crate) output_bias: bool,
    pub(crate) mlp_bias: bool,
    /// Tokens that attention reaches back, and the first layer where that holds.
    pub(crate) window: Option<(usize, usize)>,
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
    rope_theta: Option<f64>,
    rope_scaling: Option<Value>,
    rope_parameters: Option<Value>,
    tie_word_embeddings: Option<bool>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    hidden_act: Option<String>,
    sliding_window: Option<usize>,
    use_sliding_window: Option<bool>,
    max_window_layers: Option<usize>,
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
        let raw: Raw = serde_json::from_value(value).map_err(|e| wrong(e.to_string()))?;
        let kv_heads = raw.num_key_value_heads.unwrap_or(raw.num_attention_heads);
        let sizes = [
            ("hidden_size", raw.hidden_size),
            ("intermediate_size", raw.intermediate_size),
            ("vocab_size", raw.vocab_size),
            ("num_attention_heads", raw.num_attention_heads),
            ("num_key_value_heads", kv_heads),
            ("max_position_embeddings", raw.max_position_embeddings),
        ];
        if let Some((name, size)) = sizes.iter().find(|(_, size)| !(1..=1 << 32).contains(size)) {
            return Err(wrong(format!("{name} is {size}")));
        }
        let head_dim = raw.head_dim.unwrap_or(raw.hidden_size / raw.num_attention_heads);
        if !raw.num_attention_heads.is_multiple_of(kv_heads) || head_dim == 0 || !head_dim.is_multiple_of(2) {
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
        let rope = raw.rope_parameters.as_ref().or(raw.rope_scaling.as_ref());
        let theta = raw.rope_theta.or_else(|| rope?.get("rope_theta")?.as_f64());
        let window = match family {
            Family::Llama => None,
            Family::Mistral => raw.sliding_window.map(|window| (window, 0)),
            _ if raw.use_sliding_window == Some(true) => raw
                .sliding_window
                .map(|window| (window, raw.max_window_layers.unwrap_or(0))),
            _ => None,
        };
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
            rope_theta: theta.unwrap_or(10_000.0) as f32,
            rope_scaling: scaling(rope).map_err(wrong)?,
            tied: raw.tie_word_embeddings.unwrap_or(false),
            qkv_bias: family == Family::Qwen2 || family != Family::Mistral && bias,
            output_bias: matches!(family, Family::Llama | Family::Qwen3) && bias,
            mlp_bias: family == Family::Llama && raw.mlp_bias.unwrap_or(false),
            window,
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
                ("tie_word_embeddings", c.tied.to_string()),
                ("biases of queries, keys and values", c.qkv_bias.to_string()),
                ("bias of attention's output", c.output_bias.to_string()),
                ("mlp_bias", c.mlp_bias.to_string()),
                ("sliding_window", format!("{:?}", c.window)),
            ]
        };
        let both = said(self).into_iter().zip(said(other));
        both.filter(|(a, b)| a != b)
            .map(|((name, a), (_, b))| format!("{name} {a} and {b}"))
            .collect()
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

fn scaling(rope: Option<&Value>) -> Result<RopeScaling, String> {
    let Some(rope) = rope.filter(|r| !r.is_null()) else {
        return Ok(RopeScaling::None);
    };
    let kind = rope.get("rope_type").or_else(|| rope.get("type"));
    let number = |name: &str| {
        let value = rope.get(name).and_then(Value::as_f64);
        value
            .map(|v| v as f32)
            .ok_or_else(|| format!("rope_scaling has no number {name:?}"))
    };
    match kind.and_then(Value::as_str).unwrap_or("default") {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear(number("factor")?)),
        "llama3" => Ok(RopeScaling::Llama3 {
            factor: number("factor")?,
            low: number("low_freq_factor")?,
            high: number("high_freq_factor")?,
            original_positions: number("original_max_position_embeddings")?,
        }),
        other => Err(format!(
            "rope_scaling of type {other:?} is not known: known are default, linear, llama3"
        )),
    }
}
