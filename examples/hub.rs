//! A Llama from the Hugging Face Hub: what has arrived is decoded while the rest is on its way.
//!
//! ```text
//! cargo run --release --example hub -- org/model "Once upon a time"
//! ```
//!
//! The repository holds config.json, tokenizer.json and `.wcodec` files, as `wcodec publish` makes them.

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use candle_transformers::models::llama::{Cache, Llama, LlamaConfig};
use tokenizers::Tokenizer;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let id = arguments.next().context("name a repository: org/model")?;
    let prompt = arguments.next().unwrap_or("Once upon a time".into());

    // One commit for all files.
    let repo = wcodec::hub::repo(id).pin()?;
    let json = std::fs::read(repo.download("config.json", &())?)?;
    let tokenizer = Tokenizer::from_file(repo.download("tokenizer.json", &())?).map_err(anyhow::Error::msg)?;
    let load = repo.load(Default::default(), std::sync::Arc::new(()))?;
    // Names and shapes are known before anything else has arrived.
    load.backend().require(&wcodec::candle::model_tensors(&json)?)?;

    let config = serde_json::from_slice::<LlamaConfig>(&json)?.into_config(false);
    // Llama::load panics on what damage on the way may do: `build` makes it an error.
    let build = |vb| Llama::load(vb, &config).map_err(anyhow::Error::from);
    let llama = load.backend().build(DType::F32, &Device::Cpu, build)?;
    load.finish()?;

    let encoded = tokenizer.encode(prompt, true).map_err(anyhow::Error::msg)?;
    let mut tokens = encoded.get_ids().to_vec();
    let mut cache = Cache::new(true, DType::F32, &config, &Device::Cpu)?;
    let mut seen = 0;
    for _ in 0..50 {
        let input = Tensor::new(&tokens[seen..], &Device::Cpu)?.unsqueeze(0)?;
        let logits = llama.forward(&input, seen, &mut cache)?.squeeze(0)?;
        seen = tokens.len();
        tokens.push(logits.argmax(0)?.to_scalar()?);
    }
    println!("{}", tokenizer.decode(&tokens, true).map_err(anyhow::Error::msg)?);
    Ok(())
}
