//! `wcodec inspect --tools`: what each tool of the encoder would make of each tensor.

use crate::Global;
use crate::failure::Failure;
use crate::output;
use crate::table::{Align, Table};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use wcodec::analysis::{TOOLS, tensor_costs};
use wcodec::{Decoder, Tensor};

/// The tool that the others are held against: entropy coding without prediction.
const BASELINE: &str = "none";

/// What was found for a tensor, or for all tensors of a kind.
#[derive(Default)]
struct Finding {
    tensors: usize,
    elements: f64,
    /// Bits by tool.
    bits: BTreeMap<String, f64>,
}

impl Finding {
    fn add(&mut self, other: &Self) {
        self.tensors += other.tensors;
        self.elements += other.elements;
        for (tool, bits) in &other.bits {
            *self.bits.entry(tool.clone()).or_default() += bits;
        }
    }

    /// The cheapest tool.
    fn winner(&self) -> Option<(&str, f64)> {
        let least = self.bits.iter().min_by(|a, b| a.1.total_cmp(b.1))?;
        Some((least.0, *least.1))
    }

    /// What the winner saves against the baseline, in percent.
    fn gain(&self) -> Option<f64> {
        let none = *self.bits.get(BASELINE)?;
        let (_, least) = self.winner()?;
        (none > 0.0).then(|| 100.0 - 100.0 * least / none)
    }

    fn per_element(&self, tool: &str) -> Option<f64> {
        let bits = self.bits.get(tool)?;
        (self.elements > 0.0).then(|| bits / self.elements)
    }

    fn json(&self) -> Value {
        let bits: BTreeMap<_, _> = self.bits.keys().map(|tool| (tool, self.per_element(tool))).collect();
        let winner = self.winner().map(|w| w.0);
        json!({ "tensors": self.tensors, "bits_per_element": bits, "winner": winner, "gain_percent": self.gain() })
    }
}

pub(super) fn run(name: &str, decoder: &Decoder, summary: bool, global: &Global) -> Result<(), Failure> {
    let mut findings = Vec::new();
    for tensor in decoder.tensors() {
        findings.push((tensor.info().name().to_owned(), find(tensor)?));
    }
    let mut kinds: BTreeMap<String, Finding> = BTreeMap::new();
    for (name, finding) in &findings {
        kinds.entry(kind(name)).or_default().add(finding);
    }
    let kinds: Vec<_> = kinds.into_iter().collect();
    if global.json {
        let object =
            |all: &[(String, Finding)]| Value::Object(all.iter().map(|(k, f)| (k.clone(), f.json())).collect());
        return output::print_json(&json!({
            "command": "inspect",
            "file": name,
            "baseline": BASELINE,
            "tensors": object(&findings),
            "kinds": object(&kinds),
        }));
    }
    let tensors = if summary {
        String::new()
    } else {
        format!("{}\n", table("tensor", &findings).render())
    };
    let quantised = decoder.tensors().any(|t| t.info().noise().is_some());
    let of = if quantised {
        "; of quantised tensors: of the levels and their steps"
    } else {
        ""
    };
    output::print(&format!(
        "Bits per element under each tool{of}\n\n{tensors}{}",
        table("kind", &kinds).render()
    ))
}

fn find(tensor: Tensor) -> Result<Finding, Failure> {
    let elements: f64 = tensor.info().shape().iter().map(|&d| d as f64).product();
    let costs = tensor_costs(tensor)?;
    let bits = |tool: &str| costs.iter().find(|c| c.tool == tool).map(|c| c.bits * elements);
    // A tool that does not apply saves nothing: so kinds add up over all their tensors.
    let bits = TOOLS
        .iter()
        .filter_map(|&tool| Some((tool.to_owned(), bits(tool).or(bits(BASELINE))?)));
    Ok(Finding {
        tensors: 1,
        elements,
        bits: bits.collect(),
    })
}

/// The last two parts of a tensor's name that are no numbers: the same for all layers.
pub(crate) fn kind(name: &str) -> String {
    let parts: Vec<&str> = name
        .split('.')
        .filter(|p| *p != "weight" && p.parse::<u64>().is_err())
        .collect();
    match parts.as_slice() {
        [] => name.into(),
        parts => parts[parts.len().saturating_sub(2)..].join("."),
    }
}

fn table(label: &str, rows: &[(String, Finding)]) -> Table {
    let mut tools: Vec<&str> = rows
        .iter()
        .flat_map(|(_, f)| f.bits.keys().map(String::as_str))
        .collect();
    tools.sort_by_key(|tool| TOOLS.iter().position(|t| t == tool));
    tools.dedup();
    let mut columns = vec![(label, Align::Left), ("tensors", Align::Right)];
    columns.extend(tools.iter().map(|tool| (*tool, Align::Right)));
    columns.extend([("best", Align::Left), ("gain", Align::Right)]);
    let mut table = Table::new(&columns);
    for (name, finding) in rows {
        let mut cells = vec![name.clone(), finding.tensors.to_string()];
        let bits = |tool: &&str| finding.per_element(tool).map_or("-".into(), |b| format!("{b:.3}"));
        cells.extend(tools.iter().map(bits));
        cells.push(finding.winner().map_or("-".into(), |w| w.0.into()));
        cells.push(finding.gain().map_or("-".into(), |g| format!("{g:.2}%")));
        table.row(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_the_same_for_all_layers() {
        assert_eq!(kind("model.layers.17.self_attn.q_proj.weight"), "self_attn.q_proj");
        assert_eq!(kind("model.layers.3.mlp.experts.12.up_proj.weight"), "experts.up_proj");
        assert_eq!(kind("model.layers.3.self_attn.q_proj.bias"), "q_proj.bias");
        assert_eq!(kind("lm_head.weight"), "lm_head");
        assert_eq!(kind("7"), "7");
    }

    #[test]
    fn the_cheapest_tool_wins() {
        let bits = [(BASELINE, 100.0), ("scale", 90.0)].map(|(tool, bits)| (tool.to_owned(), bits));
        let finding = Finding {
            tensors: 1,
            elements: 10.0,
            bits: bits.into(),
        };
        assert_eq!(finding.winner(), Some(("scale", 90.0)));
        assert_eq!(finding.gain(), Some(10.0));
        let text = table("tensor", &[("a".into(), finding)]).render();
        assert!(
            text.lines()
                .last()
                .is_some_and(|l| l.contains("9.000") && l.ends_with("10.00%")),
            "{text}"
        );
    }
}
