//! A model's folder made ready for the Hugging Face Hub: encoded, with a card that says how to load it.
//!
//! ```text
//! cargo run --release --example publish -- models/kjv me/kjv-wcodec
//! ```
//!
//! Nothing is uploaded: that is `hf upload`'s work.

use anyhow::{Context, Result};
use std::path::PathBuf;
use wcodec::{EncodeOptions, checkpoint};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().context("name a model's folder")?);
    let repo = arguments.next().context("name the repository: org/model")?;
    let output = std::env::temp_dir().join(repo.replace('/', "--"));

    let options = EncodeOptions::lossless();
    let reports = checkpoint::publish(&folder, &output, &repo, &options, &(), &|_| true)?;
    for report in &reports {
        println!(
            "{} bytes of {} tensors in {}",
            report.encoded,
            report.tensors.len(),
            report.bytes
        );
    }
    // Decodes everything, and compares it with the folder.
    checkpoint::verify(&output, Some(&folder), Default::default(), &())?;
    println!("hf upload {repo} {}", output.display());
    Ok(())
}
