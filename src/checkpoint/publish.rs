//! A model's folder, ready to upload to a hub.

use super::plan::read_blocks;
use super::{EXTENSION, encode_only, folder, hex};
use crate::Decoder;
use crate::container::NewFile;
use crate::encoder::{EncodeOptions, Report};
use crate::error::{Error, Result, display};
use crate::progress::Progress;
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Keeps such files out of Git itself: hubs name them by their SHA-256 then.
const ATTRIBUTES: &str = "*.wcodec filter=lfs diff=lfs merge=lfs -text\n";
pub(super) const CARD: &str = "README.md";
pub(super) const ATTRIBUTES_FILE: &str = ".gitattributes";

/// Encodes a model's folder as [`encode_only`] does, and adds to its model card (`README.md`) what the files
/// hold, their digests, and how to load them. `repo` is where it will be: `organisation/name`.
///
/// Only files whose name `wanted` takes are encoded or copied: the others are as if they were not there.
///
/// # Errors
/// As [`encode`](super::encode()); [`Error::Usage`] if the input is no folder.
pub fn publish(
    input: &Path,
    output: &Path,
    repo: &str,
    options: &EncodeOptions,
    progress: &dyn Progress,
    wanted: &dyn Fn(&OsStr) -> bool,
) -> Result<Vec<Report>> {
    if !input.is_dir() {
        return Err(Error::usage(format!("{} is no folder with a model", display(input))));
    }
    let reports = encode_only(input, output, options, progress, wanted)?;
    // Not the output's, which has a section of its own if it was published before.
    let mut card = match wanted(OsStr::new(CARD)) {
        true => text(&input.join(CARD))?,
        false => String::new(),
    };
    if card.is_empty() {
        let name = repo.rsplit('/').next().unwrap_or(repo);
        card = format!("---\ntags:\n- wcodec\n---\n\n# {name}\n");
    }
    write!(card, "\n{}", section(output, repo, progress)?).map_err(|_| Error::usage("the model card is too long"))?;
    save(&output.join(CARD), &card)?;
    let path = output.join(ATTRIBUTES_FILE);
    let mut attributes = text(&path)?;
    if !attributes.contains(ATTRIBUTES.trim_end()) {
        if !attributes.is_empty() && !attributes.ends_with('\n') {
            attributes.push('\n');
        }
        save(&path, &(attributes + ATTRIBUTES))?;
    }
    Ok(reports)
}

/// A file's text; none if there is no such file.
fn text(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        text => text.map_err(Error::io(format!("reading {}", display(path)))),
    }
}

fn save(path: &Path, text: &str) -> Result<()> {
    let mut file = NewFile::create(path)?;
    file.write(text.as_bytes())?;
    file.finish()
}

/// SHA-256 of a file, in hexadecimal.
pub(crate) fn digest(path: &Path, progress: &dyn Progress) -> Result<String> {
    let mut hasher = Sha256::new();
    read_blocks(path, progress, |block| {
        hasher.update(block);
        Ok(())
    })?;
    Ok(hex(&hasher.finalize()))
}

/// What the card says of the weights.
fn section(output: &Path, repo: &str, progress: &dyn Progress) -> Result<String> {
    let mut rows = String::new();
    for path in folder::files(output)? {
        if !folder::has_extension(&path, EXTENSION) {
            continue;
        }
        let decoder = Decoder::open(&path)?;
        let digest = digest(&path, progress)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (original, restored) = match decoder.index().source() {
            Some(source) => (source.bytes, source.sha256.as_str()),
            None => (0, "-"),
        };
        rows += &format!(
            "| `{name}` | {} | `{digest}` | {original} | `{restored}` |\n",
            decoder.file_len()
        );
    }
    Ok(format!(
        "## Weights in wcodec files

The weights are `.wcodec` files: smaller than the safetensors files that they were made from, which they
restore byte for byte.

| file | bytes | SHA-256 | original bytes | original SHA-256 |
| --- | ---: | --- | ---: | --- |
{rows}
In Rust, with Candle, decoded while they arrive:

```rust
let vb = wcodec::hub::repo(\"{repo}\").var_builder(DType::BF16, &Device::Cpu)?;
```

As safetensors, for any other program:

```text
wcodec decode hf://{repo} -o folder
```
"
    ))
}
