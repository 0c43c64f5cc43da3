//! `wcodec verify --certificate`.

use crate::Global;
use crate::encode::progress;
use crate::failure::Failure;
use crate::input;
use crate::output::{self, count};
use crate::table::{Align, Table};
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wcodec::rate_control::{self, Compared, Verification, Watch};

#[derive(Args)]
pub(super) struct CertificateArguments {
    /// Measure again what the file's certificate claims
    #[arg(long, requires = "against")]
    certificate: bool,
    /// A text that it was measured on; of a held-out part, the whole text
    #[arg(long, value_name = "FILE", requires = "certificate")]
    text: Vec<PathBuf>,
    /// A task that it was measured on
    #[arg(long, value_name = "FILE", requires = "certificate")]
    task: Vec<PathBuf>,
}

impl CertificateArguments {
    pub(super) fn is_asked(&self) -> bool {
        self.certificate
    }

    pub(super) fn run(&self, file: &Path, against: Option<&Path>, global: &Global) -> Result<(), Failure> {
        let begun = Instant::now();
        let found = input::local(file, "safetensors", global)?;
        let reference = input::model(&against.unwrap_or(file).to_string_lossy(), global)?;
        let watch = Watch {
            progress: &|stage| progress(stage, global),
            probed: &|_| (),
        };
        let files = [&self.text[..], &self.task[..]];
        let found = rate_control::verify(&found.path, &reference, files, global.decode_options(), &watch)?;
        if global.json {
            output::print_json(&as_json(file, &found, begun.elapsed()))?;
        } else if !global.quiet {
            output::print(&as_text(file, &found, begun.elapsed()))?;
        }
        match found.compared.iter().find(|c| !c.agrees()) {
            None => Ok(()),
            Some(c) => Err(Failure::after_result(
                "differs",
                format!(
                    "{}: its certificate claims {} {}, and it is {}",
                    file.display(),
                    named(c),
                    output::figure(c.claimed),
                    output::figure(c.measured)
                ),
            )),
        }
    }
}

fn named(c: &Compared) -> String {
    match c.file.is_empty() {
        true => c.figure.to_owned(),
        false => format!("{}: {}", c.file, c.figure),
    }
}

fn as_json(file: &Path, found: &Verification, time: Duration) -> Value {
    let compared = found.compared.iter().map(|c| {
        json!({
            "file": c.file,
            "figure": c.figure,
            "claimed": c.claimed,
            "measured": c.measured,
            "tolerance": c.tolerance,
            "agrees": c.agrees(),
        })
    });
    json!({
        "command": "verify",
        "file": file.to_string_lossy(),
        "ok": found.agrees(),
        "compared": compared.collect::<Vec<_>>(),
        "tensors": found.verified.tensors,
        "bytes": found.verified.bytes,
        "certificate": found.certificate,
        "seconds": time.as_secs_f64(),
    })
}

fn as_text(file: &Path, found: &Verification, time: Duration) -> String {
    let columns = [
        ("figure", Align::Left),
        ("claimed", Align::Right),
        ("measured", Align::Right),
        ("", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for c in &found.compared {
        let value = |v: f64| match v.fract() == 0.0 {
            _ if v.abs() >= 1e15 => output::figure(v),
            true => format!("{v:.0}"),
            false => format!("{v:.6}"),
        };
        let agrees = match c.agrees() {
            true if c.claimed == c.measured => "same",
            true => "near",
            false => "DIFFERS",
        };
        table.row(vec![named(c), value(c.claimed), value(c.measured), agrees.into()]);
    }
    let word = if found.agrees() { "fine" } else { "NOT as claimed" };
    format!(
        "{}\n{}: {word}: {} have their digests, {} measured again ({})\n",
        table.render(),
        file.display(),
        count(found.verified.tensors, "tensor"),
        count(found.compared.len(), "figure"),
        output::duration(time)
    )
}
