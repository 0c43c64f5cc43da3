//! `wcodec inspect`.

mod certificate;
mod recipe;
pub(crate) mod tools;
mod totals;

use crate::Global;
use crate::failure::Failure;
use crate::input;
use crate::output::{self, count};
use crate::quantised::{Quantised, encoded_files};
use crate::table::{Align, Table};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;
use totals::Totals;
use wcodec::Decoder;
use wcodec::format::TensorInfo;

/// Show what is in a .wcodec file and what was saved where
#[derive(Args)]
#[command(long_about = "\
Show what is in a .wcodec file and what was saved where.

Reads the index only: it takes no longer for a large file. For each tensor: type, shape, bytes \
before and after, bits per element, what part was saved, and the recipe, which names the tools \
that coded it; then totals by type and by recipe.

Recipes:
  raw        stored as it is
  constant   one value throughout
  float      m2: sign, exponent and 2 mantissa bits entropy-coded, the other bits stored
  bytes      byte planes of integers, entropy-coded
  levels     weights quantised with a step a row and a step a column; noise: their squared error \
against the squared weights; loss: what the encoder expects the model to lose by them, in nats a token, where it was \
calibrated; steps: the least, the middle and the largest
  tiles      tile prediction and transforms
  tiled-levels  the two together: quantised weights whose levels are coded in tiles
  +scale     with prediction of the scale by row and column; 1/4: in quarters of an octave")]
#[command(after_help = "\
Examples:
  wcodec inspect model.wcodec
  wcodec inspect model.wcodec --summary                            totals only
  wcodec inspect model.wcodec --tools --summary                    what each tool would save
  wcodec inspect model.wcodec --json | jq '.tensors[] | select(.saved_percent < 20) | .name'")]
pub(crate) struct Inspect {
    /// .wcodec file, or folder with one such file; or hf://ORG/MODEL[@REVISION]/FILE, of which only what is needed is read
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Totals only, not each tensor
    #[arg(long)]
    summary: bool,
    /// For each tensor, what every tool of the encoder would make of it; of a quantised one, of its levels
    #[arg(long)]
    tools: bool,
}

impl Inspect {
    /// The file as it was named: of one on the Hub not the address that it is read from.
    fn name(&self) -> String {
        self.file.display().to_string()
    }

    /// The file itself, or the only one of a folder.
    fn only_file(&self) -> Result<PathBuf, Failure> {
        if !self.file.is_dir() {
            return Ok(self.file.clone());
        }
        let files = encoded_files(&self.file);
        let what = match &files[..] {
            [file] => return Ok(file.clone()),
            [] => "it has no .wcodec file".to_owned(),
            [first, ..] => format!(
                "it has {} .wcodec files: name one, such as {}",
                files.len(),
                first.display()
            ),
        };
        Err(Failure::usage(format!("{}: {what}", self.file.display())))
    }

    pub(crate) fn run(&self, global: &Global) -> Result<(), Failure> {
        let file = self.only_file()?;
        let decoder = input::open(&file, global)?;
        if self.tools {
            return tools::run(&self.name(), &decoder, self.summary, global);
        }
        let tensors = decoder.index().tensors();
        let by_dtype = Totals::by(tensors, |t| t.dtype().to_string());
        let by_recipe = Totals::by(tensors, recipe::family);
        if global.json {
            let mut value = header_json(&self.name(), &decoder);
            value["certificate"] = certificate::json(&decoder)?;
            if !self.summary {
                value["tensors"] = tensors.iter().map(tensor_json).collect();
            }
            value["by_dtype"] = by_dtype.json();
            value["by_recipe"] = by_recipe.json();
            return output::print_json(&value);
        }
        let mut text = header_text(&self.name(), &decoder);
        for (label, value) in certificate::lines(&decoder)? {
            text += &format!("  {label:<9} {value}\n");
        }
        if !self.summary {
            text += &format!("\n{}", tensor_table(tensors).render());
            if tensors.iter().any(|t| t.noise().is_some()) {
                text += COLUMNS;
            }
        }
        text += &format!(
            "\n{}\n{}",
            by_dtype.table("dtype").render(),
            by_recipe.table("recipe").render()
        );
        output::print(&text)
    }
}

/// What the columns of quantised tensors are.
const COLUMNS: &str = "noise: squared error against the squared weights; loss: expected, in nats a token; steps: least, middle, largest\n";

/// Bytes of all tensors, before and after.
fn sums(decoder: &Decoder) -> (u64, u64) {
    let tensors = decoder.index().tensors();
    (
        tensors.iter().map(TensorInfo::byte_len).sum(),
        tensors.iter().map(TensorInfo::encoded_len).sum(),
    )
}

fn header_text(name: &str, decoder: &Decoder) -> String {
    let index = decoder.index();
    let (data, _) = sums(decoder);
    let original = index.source().map_or(data, |s| s.bytes);
    let mut text = format!("{name}\n");
    let mut line = |label: &str, value: String| text += &format!("  {label:<9} {value}\n");
    line(
        "format",
        format!("version {}, written by {}", index.version(), index.writer()),
    );
    line(
        "tensors",
        count(index.tensors().len(), "tensor")
            .replace(" tensors", "")
            .replace(" tensor", ""),
    );
    let saved = output::saved(original, decoder.file_len());
    line(
        "size",
        format!(
            "{} -> {}, {saved:.1}% saved",
            output::bytes(original),
            output::bytes(decoder.file_len())
        ),
    );
    match index.source() {
        Some(source) => {
            line(
                "source",
                format!("safetensors, {} bytes, SHA-256 {}", source.bytes, source.sha256),
            );
            if let Some(original) = &source.original {
                line("quantised", format!("from a file of SHA-256 {original}"));
            }
            let quantised = Quantised::of(decoder);
            if quantised.is_some() {
                line("bits", quantised.text());
            }
        }
        None => line(
            "source",
            "none kept: the file was not made from a safetensors file".into(),
        ),
    }
    text
}

fn header_json(name: &str, decoder: &Decoder) -> Value {
    let index = decoder.index();
    let (data, payload) = sums(decoder);
    let original = index.source().map_or(data, |s| s.bytes);
    let source = index.source().map(
        |s| json!({ "format": "safetensors", "bytes": s.bytes, "sha256": s.sha256, "original_sha256": s.original }),
    );
    let mut value = json!({
        "command": "inspect",
        "file": name,
        "version": index.version(),
        "writer": index.writer(),
        "source": source,
        "file_bytes": decoder.file_len(),
        "original_bytes": original,
        "data_bytes": data,
        "payload_bytes": payload,
        "saved_percent": output::saved(original, decoder.file_len()),
        "tensor_count": index.tensors().len(),
    });
    Quantised::of(decoder).add_to(&mut value);
    value
}

/// Encoded bits per element. `None` if there are no elements.
fn bits(tensor: &TensorInfo) -> Option<f64> {
    let elements = tensor.shape().iter().map(|&d| d as f64).product::<f64>();
    (elements > 0.0).then(|| tensor.encoded_len() as f64 * 8.0 / elements)
}

fn tensor_json(tensor: &TensorInfo) -> Value {
    json!({
        "name": tensor.name(),
        "dtype": tensor.dtype().name(),
        "shape": tensor.shape(),
        "bytes": tensor.byte_len(),
        "encoded_bytes": tensor.encoded_len(),
        "bits_per_element": bits(tensor),
        "saved_percent": output::saved(tensor.byte_len(), tensor.encoded_len()),
        "recipe": tensor.recipe_text(),
        "noise": tensor.noise(),
        "expected_loss": tensor.loss(),
        "steps": tensor.steps().map(|steps| json!({ "least": steps[0], "middle": steps[1], "largest": steps[2] })),
    })
}

fn tensor_table(tensors: &[TensorInfo]) -> Table {
    use Align::{Left, Right};
    let noisy = tensors.iter().any(|t| t.noise().is_some());
    let mut columns = vec![
        ("tensor", Left),
        ("dtype", Left),
        ("shape", Left),
        ("bytes", Right),
        ("encoded", Right),
        ("bits", Right),
        ("saved", Right),
    ];
    columns.extend(
        noisy
            .then_some([("noise", Right), ("loss", Right), ("steps", Right)])
            .into_iter()
            .flatten(),
    );
    columns.push(("recipe", Left));
    let mut table = Table::new(&columns);
    for t in tensors {
        let mut row = vec![
            t.name().to_owned(),
            t.dtype().to_string(),
            shape(t.shape()),
            output::bytes(t.byte_len()),
            output::bytes(t.encoded_len()),
            bits(t).map_or("-".into(), |b| format!("{b:.2}")),
            format!("{:.1}%", output::saved(t.byte_len(), t.encoded_len())),
        ];
        if noisy {
            let [least, middle, largest] = t
                .steps()
                .map_or([String::new(), String::new(), String::new()], |steps| {
                    steps.map(|step| format!("{step:.1e}"))
                });
            row.extend([
                t.noise()
                    .map_or(String::new(), |noise| format!("{:.3}%", 100.0 * noise)),
                t.loss().map_or(String::new(), |loss| format!("{loss:.1e}")),
                if t.steps().is_some() {
                    format!("{least} {middle} {largest}")
                } else {
                    String::new()
                },
            ]);
        }
        row.push(recipe::short(t));
        table.row(row);
    }
    table
}

fn shape(shape: &[usize]) -> String {
    match shape {
        [] => "scalar".into(),
        dimensions => dimensions.iter().map(usize::to_string).collect::<Vec<_>>().join("x"),
    }
}
