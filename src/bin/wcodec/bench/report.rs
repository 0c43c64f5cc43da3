//! What was measured, for people and for programs.

use super::measure::{DecodeTimes, EncodeTimes, median};
use crate::output;
use crate::table::{Align, Table};
use serde_json::{Value, json};
use std::path::Path;
use wcodec::{Backend, Effort};

/// All that was measured.
pub(super) struct Report<'a> {
    pub(super) file: &'a Path,
    pub(super) scratch: &'a Path,
    /// Bytes of the original file.
    pub(super) bytes: u64,
    /// Bytes of its tensors.
    pub(super) data: u64,
    pub(super) tensors: usize,
    pub(super) cores: usize,
    /// Threads that encoded.
    pub(super) threads: usize,
    /// The effort and backend of the results at the top of the JSON object.
    pub(super) effort: Effort,
    pub(super) backend: Backend,
    pub(super) encode: Vec<EncodeTimes>,
    pub(super) decode: Vec<DecodeTimes>,
}

impl Report<'_> {
    pub(super) fn json(&self) -> Value {
        let main = self.encode.iter().find(|e| e.effort == self.effort);
        let decode = self
            .decode
            .iter()
            .find(|d| d.backend == self.backend && d.threads == self.threads);
        json!({
            "command": "bench",
            "file": self.file.to_string_lossy(),
            "bytes": self.bytes,
            "data_bytes": self.data,
            "tensors": self.tensors,
            "encoded_bytes": main.map(|e| e.encoded),
            "encode_seconds": main.map(|e| &e.seconds),
            "decode_seconds": decode.map(|d| &d.seconds),
            "copy_seconds": decode.map(|d| &d.copy),
            // A run that gives other bytes ends the program with an error.
            "lossless": true,
            "threads": self.threads,
            "cores": self.cores,
            "effort": self.effort.name(),
            "backend": self.backend.name(),
            "scratch": self.scratch.to_string_lossy(),
            "encode": self.encode.iter().map(|e| self.encode_json(e)).collect::<Vec<_>>(),
            "decode": self.decode.iter().map(|d| self.decode_json(d)).collect::<Vec<_>>(),
        })
    }

    fn encode_json(&self, times: &EncodeTimes) -> Value {
        let seconds = median(&times.seconds);
        json!({
            "effort": times.effort.name(),
            "threads": self.threads,
            "encoded_bytes": times.encoded,
            "saved_percent": output::saved(self.bytes, times.encoded),
            "seconds": times.seconds,
            "median_seconds": seconds,
            "bytes_per_second": self.bytes as f64 / seconds,
            "memory_bytes": times.memory,
        })
    }

    fn decode_json(&self, times: &DecodeTimes) -> Value {
        let (seconds, copy) = (median(&times.seconds), median(&times.copy));
        json!({
            "backend": times.backend.name(),
            "threads": times.threads,
            "seconds": times.seconds,
            "median_seconds": seconds,
            "bytes_per_second": self.data as f64 / seconds,
            "copy_seconds": times.copy,
            "copy_median_seconds": copy,
            "copy_bytes_per_second": self.data as f64 / copy,
            "speed_of_copy": copy / seconds,
            "memory_bytes": times.memory,
        })
    }

    pub(super) fn text(&self) -> String {
        use Align::{Left, Right};
        let memory = |bytes: Option<u64>| bytes.map_or("-".into(), output::bytes);
        let mut encode = Table::new(&[
            ("effort", Left),
            ("threads", Right),
            ("encoded", Right),
            ("saved", Right),
            ("seconds", Right),
            ("encode", Right),
            ("memory", Right),
            ("runs", Right),
        ]);
        for e in &self.encode {
            encode.row([
                e.effort.name().into(),
                self.threads.to_string(),
                output::bytes(e.encoded),
                format!("{:.2}%", output::saved(self.bytes, e.encoded)),
                format!("{:.3}", median(&e.seconds)),
                output::rate(self.bytes, median(&e.seconds)),
                memory(e.memory),
                e.seconds.len().to_string(),
            ]);
        }
        let mut decode = Table::new(&[
            ("backend", Left),
            ("threads", Right),
            ("seconds", Right),
            ("decode", Right),
            ("copy", Right),
            ("of copy", Right),
            ("memory", Right),
            ("runs", Right),
        ]);
        for d in &self.decode {
            let (seconds, copy) = (median(&d.seconds), median(&d.copy));
            decode.row([
                d.backend.name().into(),
                d.threads.to_string(),
                format!("{seconds:.3}"),
                output::rate(self.data, seconds),
                output::rate(self.data, copy),
                if seconds > 0.0 {
                    format!("{:.1}%", 100.0 * copy / seconds)
                } else {
                    "-".into()
                },
                memory(d.memory),
                d.seconds.len().to_string(),
            ]);
        }
        let (file, effort) = (self.file.display(), self.effort.name());
        let (bytes, tensors) = (output::bytes(self.bytes), output::count(self.tensors, "tensor"));
        format!(
            "{file}: {bytes}, {tensors}; {}; medians\n\n\
             Encoding, files in {}, digests included\n{}\n\
             Decoding effort {effort} from memory to memory, and a plain copy of the same bytes; all bytes equal\n{}",
            output::count(self.cores, "core"),
            self.scratch.display(),
            encode.render(),
            decode.render(),
        )
    }
}
