//! What tensors a model asks for, from its configuration.

use crate::{Error, Result};
use serde::Deserialize;

/// Models have hundreds of layers at most.
const MAX_LAYERS: usize = 10_000;
/// Bound of every size: models are far below, and the bytes of a product of two can be counted.
const MAX_SIZE: usize = 1 << 29;

/// A name, and the shape that a model gives it.
pub type ExpectedTensor = (String, Vec<usize>);

/// The part of a `config.json` that decides over shapes.
#[derive(Deserialize)]
struct Config {
    model_type: String,
    hidden_size: usize,
    intermediate_size: usize,
    vocab_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    tie_word_embeddings: Option<bool>,
    attention_bias: Option<bool>,
}

/// The tensors that Candle's `llama`, `mistral`, `qwen2` and `qwen3` models ask for, from the bytes
/// of a `config.json`: for [`WcodecBackend::require`](super::WcodecBackend::require).
///
/// # Errors
/// [`Error::Input`] if it is no such configuration, of another kind of model, or has sizes that no model has.
pub fn model_tensors(config_json: &[u8]) -> Result<Vec<ExpectedTensor>> {
    let wrong = |what: String| Error::input("config.json", what);
    let config: Config = serde_json::from_slice(config_json).map_err(|e| wrong(e.to_string()))?;
    let kind = config.model_type.as_str();
    if !["llama", "mistral", "qwen2", "qwen3"].contains(&kind) {
        return Err(wrong(format!(
            "model_type {kind:?}: only llama, mistral, qwen2 and qwen3 are known"
        )));
    }
    if config.num_attention_heads == 0 {
        return Err(wrong("num_attention_heads is 0".into()));
    }
    let hidden = config.hidden_size;
    let derived = hidden / config.num_attention_heads;
    // Candle's llama and qwen2 take no other head size than this one.
    let head = if matches!(kind, "llama" | "qwen2") {
        derived
    } else {
        config.head_dim.unwrap_or(derived)
    };
    let heads = config.num_key_value_heads.unwrap_or(config.num_attention_heads);
    let bounded = |name: &str, size: Option<usize>, max: usize| match size {
        Some(size) if size <= max => Ok(size),
        _ => Err(wrong(format!("{name} is above {max}"))),
    };
    for (name, size) in [
        ("hidden_size", hidden),
        ("intermediate_size", config.intermediate_size),
        ("vocab_size", config.vocab_size),
    ] {
        bounded(name, Some(size), MAX_SIZE)?;
    }
    let layers = bounded("num_hidden_layers", Some(config.num_hidden_layers), MAX_LAYERS)?;
    let query = head.checked_mul(config.num_attention_heads);
    let query = bounded("num_attention_heads times the head's size", query, MAX_SIZE)?;
    let key = bounded(
        "num_key_value_heads times the head's size",
        head.checked_mul(heads),
        MAX_SIZE,
    )?;
    // Candle's qwen2 always asks for these biases, llama and mistral never.
    let bias = kind == "qwen2" || kind == "qwen3" && config.attention_bias == Some(true);

    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![config.vocab_size, hidden]),
        ("model.norm.weight".to_owned(), vec![hidden]),
    ];
    // Candle's mistral knows no tied embeddings.
    if kind == "mistral" || !config.tie_word_embeddings.unwrap_or(false) {
        tensors.push(("lm_head.weight".to_owned(), vec![config.vocab_size, hidden]));
    }
    for layer in 0..layers {
        let mut add = |name: &str, shape: &[usize]| {
            tensors.push((format!("model.layers.{layer}.{name}"), shape.to_vec()));
        };
        for (name, rows, columns) in [
            ("q_proj", query, hidden),
            ("k_proj", key, hidden),
            ("v_proj", key, hidden),
            ("o_proj", hidden, query),
        ] {
            add(&format!("self_attn.{name}.weight"), &[rows, columns]);
            // Of these biases qwen2 has no output's.
            if bias && (name != "o_proj" || kind == "qwen3") {
                add(&format!("self_attn.{name}.bias"), &[rows]);
            }
        }
        if kind == "qwen3" {
            add("self_attn.q_norm.weight", &[head]);
            add("self_attn.k_norm.weight", &[head]);
        }
        add("mlp.gate_proj.weight", &[config.intermediate_size, hidden]);
        add("mlp.up_proj.weight", &[config.intermediate_size, hidden]);
        add("mlp.down_proj.weight", &[hidden, config.intermediate_size]);
        add("input_layernorm.weight", &[hidden]);
        add("post_attention_layernorm.weight", &[hidden]);
    }
    Ok(tensors)
}
