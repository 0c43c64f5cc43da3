//! The models that can be run, chosen by the architecture that `config.json` names.

use crate::failure::Failure;
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{llama, mistral, qwen2, qwen3};
use serde::Deserialize;
use serde::de::DeserializeOwned;

const KNOWN: [&str; 4] = [
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
];

/// A model of candle-transformers, with what it remembers of the tokens so far.
pub(super) enum Model {
    Llama(llama::Llama, llama::Cache),
    Mistral(mistral::Model),
    Qwen2(qwen2::ModelForCausalLM),
    Qwen3(qwen3::ModelForCausalLM),
}

#[derive(Deserialize)]
struct Config {
    architectures: Option<Vec<String>>,
    max_position_embeddings: Option<usize>,
}

impl Model {
    /// Builds the model from its configuration and weights. Also gives the tokens that it can see.
    pub(super) fn load(config_json: &[u8], vb: VarBuilder) -> std::result::Result<(Self, usize), Failure> {
        let config: Config = parse(config_json)?;
        let architecture = config
            .architectures
            .and_then(|a| a.into_iter().next())
            .unwrap_or_default();
        if !KNOWN.contains(&architecture.as_str()) {
            let known = KNOWN.join(", ");
            let what = format!("config.json names the architecture {architecture:?}: `run` knows {known}");
            return Err(Failure::new("unsupported", what));
        }
        let (dtype, device) = (vb.dtype(), vb.device().clone());
        let model = match architecture.as_str() {
            "LlamaForCausalLM" => {
                let config = parse::<llama::LlamaConfig>(config_json)?.into_config(false);
                let cache = llama::Cache::new(true, dtype, &config, &device).map_err(failed)?;
                Self::Llama(llama::Llama::load(vb, &config).map_err(failed)?, cache)
            }
            "MistralForCausalLM" => Self::Mistral(mistral::Model::new(&parse(config_json)?, vb).map_err(failed)?),
            "Qwen2ForCausalLM" => {
                Self::Qwen2(qwen2::ModelForCausalLM::new(&parse(&qwen(config_json)?)?, vb).map_err(failed)?)
            }
            _ => Self::Qwen3(qwen3::ModelForCausalLM::new(&parse(&qwen(config_json)?)?, vb).map_err(failed)?),
        };
        Ok((model, config.max_position_embeddings.unwrap_or(usize::MAX)))
    }

    /// Logits of the token after `tokens`, of which `seen` came before these; on the model's device.
    pub(super) fn forward(&mut self, tokens: &[u32], seen: usize, device: &Device) -> Result<Tensor> {
        let input = Tensor::new(tokens, device)?.unsqueeze(0)?;
        let logits = match self {
            Self::Llama(model, cache) => model.forward(&input, seen, cache)?,
            Self::Mistral(model) => model.forward(&input, seen)?,
            Self::Qwen2(model) => model.forward(&input, seen)?,
            Self::Qwen3(model) => model.forward(&input, seen)?,
        };
        logits.flatten_all()?.to_dtype(DType::F32)
    }
}

/// Candle's Qwen configurations have no defaults for what newer files leave out or set to null.
fn qwen(config_json: &[u8]) -> std::result::Result<Vec<u8>, Failure> {
    let mut config: serde_json::Value = parse(config_json)?;
    let positions = config["max_position_embeddings"].clone();
    let layers = config["num_hidden_layers"].clone();
    let Some(fields) = config.as_object_mut() else {
        return Err(Failure::new("input", "config.json is no object"));
    };
    let defaults = [
        ("sliding_window", positions),
        ("max_window_layers", layers),
        ("use_sliding_window", false.into()),
        ("attention_bias", false.into()),
        ("tie_word_embeddings", false.into()),
        ("rope_theta", 10_000.0.into()),
    ];
    for (name, value) in defaults {
        let field = fields.entry(name).or_insert(serde_json::Value::Null);
        if field.is_null() {
            *field = value;
        }
    }
    serde_json::to_vec(&config).map_err(|e| Failure::new("input", format!("config.json: {e}")))
}

fn parse<T: DeserializeOwned>(config_json: &[u8]) -> std::result::Result<T, Failure> {
    serde_json::from_slice(config_json).map_err(|e| Failure::new("input", format!("config.json: {e}")))
}

pub(super) fn failed(error: candle_core::Error) -> Failure {
    Failure::new("model", format!("Candle: {error}"))
}
