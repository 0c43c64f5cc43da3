//! Sums over tensors that have something in common.

use crate::output;
use crate::table::{Align, Table};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use wcodec::format::TensorInfo;

#[derive(Default)]
struct Sum {
    tensors: usize,
    elements: f64,
    bytes: u64,
    encoded: u64,
}

/// Sums by a label, the largest first.
pub(super) struct Totals(Vec<(String, Sum)>);

impl Totals {
    pub(super) fn by(tensors: &[TensorInfo], label: impl Fn(&TensorInfo) -> String) -> Self {
        let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
        for t in tensors {
            let sum = sums.entry(label(t)).or_default();
            sum.tensors += 1;
            sum.elements += t.shape().iter().map(|&d| d as f64).product::<f64>();
            sum.bytes += t.byte_len();
            sum.encoded += t.encoded_len();
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.bytes));
        Self(sums)
    }

    pub(super) fn table(&self, label: &str) -> Table {
        use Align::{Left, Right};
        let mut table = Table::new(&[
            (label, Left),
            ("tensors", Right),
            ("bytes", Right),
            ("encoded", Right),
            ("bits", Right),
            ("saved", Right),
        ]);
        for (label, sum) in &self.0 {
            table.row([
                label.clone(),
                sum.tensors.to_string(),
                output::bytes(sum.bytes),
                output::bytes(sum.encoded),
                sum.bits().map_or("-".into(), |b| format!("{b:.2}")),
                format!("{:.1}%", output::saved(sum.bytes, sum.encoded)),
            ]);
        }
        table
    }

    pub(super) fn json(&self) -> Value {
        let object = |(label, sum): &(String, Sum)| {
            let value = json!({
                "tensors": sum.tensors,
                "bytes": sum.bytes,
                "encoded_bytes": sum.encoded,
                "bits_per_element": sum.bits(),
                "saved_percent": output::saved(sum.bytes, sum.encoded),
            });
            (label.clone(), value)
        };
        Value::Object(self.0.iter().map(object).collect())
    }
}

impl Sum {
    fn bits(&self) -> Option<f64> {
        (self.elements > 0.0).then(|| self.encoded as f64 * 8.0 / self.elements)
    }
}
