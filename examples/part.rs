//! Some tensors of a model on the Hugging Face Hub, and some rows of one, by HTTP ranges.
//!
//! ```text
//! cargo run --release --example part -- org/model 'model\.layers\.0\..*'
//! ```

use anyhow::{Context, Result};
use wcodec::candle::LoadOptions;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let id = arguments.next().context("name a repository: org/model")?;
    let pattern = arguments.next().unwrap_or(r"model\.layers\.0\..*".into());

    // The index alone is read here.
    let part = wcodec::hub::repo(id).load_part(&pattern, LoadOptions::default())?;
    let names: Vec<String> = part.names().map(str::to_owned).collect();
    for name in &names {
        // And here the tensor's own range.
        let tensor = part.tensor(name)?;
        let bytes = tensor.decode()?;
        println!(
            "{name} {} {:?}: {} bytes",
            tensor.info().dtype(),
            tensor.info().shape(),
            bytes.len()
        );
    }
    // Rows: the chunks that hold them.
    if let Some(tensor) = names.first().map(|name| part.tensor(name)).transpose()?
        && let Some(row) = tensor.row_len()
    {
        let mut first = vec![0; row as usize];
        tensor.decode_rows(0..1, &mut first)?;
        println!("the first row of {}: {} bytes", tensor.info().name(), first.len());
    }
    Ok(())
}
