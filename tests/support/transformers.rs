//! candle-transformers' own models, small.

use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{llama, mistral, qwen2, qwen3};
use serde_json::{Value, json};

/// Of so many layers, with 96 tokens.
pub fn config(layers: usize, model_type: &str, tied: bool) -> Value {
    json!({
        "model_type": model_type, "vocab_size": 96, "hidden_size": 64, "intermediate_size": 80,
        "num_hidden_layers": layers, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 64,
        "tie_word_embeddings": tied, "hidden_act": "silu", "attention_bias": false,
        "sliding_window": 64, "max_window_layers": layers, "use_sliding_window": false,
    })
}

/// What a model makes of some tokens, as candle-transformers gives it: of the last one, of some kinds.
pub fn logits(config: &Value, vb: VarBuilder<'static>, tokens: &[u32]) -> Tensor {
    fn parse<T: serde::de::DeserializeOwned>(config: &Value) -> T {
        serde_json::from_value(config.clone()).unwrap()
    }
    let dtype = vb.dtype();
    let tokens = Tensor::new(tokens, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    let logits = match config["model_type"].as_str().unwrap() {
        "llama" => {
            let config = parse::<llama::LlamaConfig>(config).into_config(false);
            let mut cache = llama::Cache::new(true, dtype, &config, &Device::Cpu).unwrap();
            llama::Llama::load(vb, &config).unwrap().forward(&tokens, 0, &mut cache)
        }
        "mistral" => mistral::Model::new(&parse(config), vb).unwrap().forward(&tokens, 0),
        "qwen2" => qwen2::ModelForCausalLM::new(&parse(config), vb)
            .unwrap()
            .forward(&tokens, 0),
        "qwen3" => qwen3::ModelForCausalLM::new(&parse(config), vb)
            .unwrap()
            .forward(&tokens, 0),
        other => panic!("{other}"),
    };
    logits.unwrap()
}
