//! What was found, for people at a terminal and for programs.

use super::load::Loads;
use super::measure::{self, Sum, TensorFacts};
use super::model::Found;
use super::quantised::{INT4, INT8};
use super::targets::{Against, by_dtype, by_kind, median, targets, was_cold};
use crate::output::{self, count};
use crate::table::{Align, Table};
use serde_json::{Value, json};
use wcodec::analysis::{Field, QUANTILES, Statistics};

/// All models.
pub(super) fn json(found: &[Found]) -> Value {
    json!({ "command": "baseline", "models": found.iter().map(model).collect::<Vec<_>>() })
}

fn model(found: &Found) -> Value {
    let sums = |sums: Vec<(String, Sum)>| -> Value {
        let object = |(label, sum): (String, Sum)| (label, sum_json(&sum));
        Value::Object(sums.into_iter().map(object).collect())
    };
    let fields = measure::fields(&found.tensors).into_iter();
    let fields = fields.map(|(dtype, fields)| (dtype.to_string(), fields_json(&fields)));
    let against = |scheme| Against::rounded(&found.tensors, scheme).map(|a| against_json(&a));
    json!({
        "model": found.name,
        "original_bytes": found.original,
        "encoded_bytes": found.encoded,
        "saved_percent": output::saved(found.original, found.encoded),
        "compared_bytes": found.compared,
        "bit_exact": true,
        "verify_seconds": found.verify_seconds,
        "by_dtype": sums(by_dtype(found)),
        "by_kind": sums(by_kind(found)),
        "fields": Value::Object(fields.collect()),
        "rounded": { INT8: against(INT8), INT4: against(INT4) },
        "loads": found.loads.as_ref().map_or_else(|_| json!([]), |l| l.iter().map(|l| load_json(l, found)).collect()),
        "loads_not_measured": found.loads.as_ref().err(),
        "tensors_not_loaded": found.not_loaded,
        "warm_up_seconds": found.warm_up.as_ref().ok(),
        "warm_up_not_measured": found.warm_up.as_ref().err(),
        "accuracy": found.accuracy.as_ref().map(crate::eval::Report::json),
        "targets": targets(found),
        "tensors": found.tensors.iter().map(tensor_json).collect::<Vec<_>>(),
    })
}

fn sum_json(sum: &Sum) -> Value {
    let tools = sum
        .tools
        .iter()
        .map(|(tool, bits)| (tool.clone(), json!(sum.per_element(*bits))));
    json!({
        "tensors": sum.tensors,
        "elements": sum.elements,
        "zeros": sum.zeros,
        "outliers": sum.outliers,
        "bytes": sum.bytes,
        "encoded_bytes": sum.encoded,
        "saved_percent": output::saved(sum.bytes, sum.encoded),
        "bits_per_element": sum.per_element(sum.encoded as f64 * 8.0),
        "entropy_bound": sum.bound().map(|(bound, encoded)| json!({ "bits": bound, "encoded_bits": encoded })),
        "tools": Value::Object(tools.collect()),
        "best": sum.best().map(|b| b.0),
        "won": sum.won,
        "histogram": sum.histogram,
    })
}

fn fields_json(fields: &[Field]) -> Value {
    let field = |f: &Field| json!({ "name": f.name, "bits": f.bits, "entropy": f.entropy });
    fields.iter().map(field).collect()
}

fn against_json(against: &Against) -> Value {
    let weights = against.weights as f64;
    json!({
        "weights": against.weights,
        "weights_percent": against.share(),
        "matrices": against.matrices[0],
        "of_matrices": against.matrices[1],
        "bits": against.plain / weights,
        "encoded_bits": against.encoded / weights,
        "entropy_bound_bits": against.bound / weights,
        "saved_percent": against.saved(),
        "entropy_bound_saved_percent": against.bound_saved(),
    })
}

fn load_json(loads: &Loads, found: &Found) -> Value {
    json!({
        "format": loads.format,
        "cache": cache(loads, found),
        "seconds": loads.seconds,
        "median_seconds": median(&loads.seconds),
        "memory_bytes": loads.memory,
        "read_from_disk_bytes": loads.from_disk,
    })
}

/// In what state the cache was, as far as it can be told.
pub(super) fn cache(loads: &Loads, found: &Found) -> &'static str {
    let bytes = if loads.format == super::load::WCODEC {
        found.encoded
    } else {
        found.original
    };
    match (loads.cold, was_cold(loads, bytes)) {
        (false, _) => "warm",
        (true, Some(true)) => "cold",
        (true, Some(false)) => "asked to be cold, still in memory",
        (true, None) => "asked to be cold, cannot be told",
    }
}

fn tensor_json(tensor: &TensorFacts) -> Value {
    let mut value = sum_json(&tensor.sum);
    value["name"] = tensor.name.as_str().into();
    value["kind"] = tensor.kind.as_str().into();
    value["dtype"] = tensor.dtype.name().into();
    value["shape"] = json!(tensor.shape);
    value["recipe"] = tensor.recipe.as_str().into();
    value["statistics"] = tensor.statistics.as_ref().map_or(Value::Null, statistics_json);
    value["fields"] = fields_json(&tensor.fields);
    value["entropy"] = json!({ "values": tensor.ideal.values, "given_scales": tensor.ideal.given_scales });
    value
}

fn statistics_json(s: &Statistics) -> Value {
    let quantile = |(q, value): (f64, f64)| (q.to_string(), json!(value));
    json!({
        "mean": s.mean,
        "deviation": s.deviation,
        "excess_kurtosis": s.excess_kurtosis,
        "min": s.min,
        "max": s.max,
        "not_finite": s.not_finite,
        "quantiles": Value::Object(QUANTILES.into_iter().zip(s.quantiles).map(quantile).collect()),
    })
}

/// A model's figures: no single tensors, which `--json` and `--html` have.
pub(super) fn text(found: &Found) -> String {
    let (from, to) = (output::bytes(found.original), output::bytes(found.encoded));
    let saved = output::saved(found.original, found.encoded);
    let tensors = count(found.tensors.len(), "tensor");
    let name = output::printable(&found.name);
    let mut out = format!("{name}: {tensors}, {from} -> {to}, {saved:.2} % saved\n");
    out += &format!("\n{}", sizes("dtype", &by_dtype(found)).render());
    out += &format!("\n{}", sizes("kind", &by_kind(found)).render());
    out += "\nEntropy by field, bits an element\n";
    for (dtype, fields) in measure::fields(&found.tensors) {
        let parts = fields
            .iter()
            .map(|f| format!("{} {:.3} of {}", f.name, f.entropy, f.bits));
        out += &format!("  {dtype}: {}\n", parts.collect::<Vec<_>>().join(", "));
    }
    let rounded = rounded(found);
    if !rounded.is_empty() {
        out += "\nThe same matrices rounded to nearest, bits a weight with scales\n";
        for (scheme, a) in rounded {
            let n = a.weights as f64;
            out += &format!(
                "  {scheme}: {:.3}, coded {:.3} ({:.1} % saved), entropy bound {:.3} ({:.1} %), of {}\n",
                a.plain / n,
                a.encoded / n,
                a.saved(),
                a.bound / n,
                a.bound_saved(),
                a.part()
            );
            out += &a.below_bound().map_or(String::new(), |why| format!("    {why}\n"));
        }
    }
    match &found.loads {
        Ok(loads) => {
            out += &format!(
                "\nLoading into Candle tensors, medians\n{}",
                load_table(loads, found).render()
            )
        }
        Err(why) => out += &format!("\nLoading was not measured: {why}\n"),
    }
    if found.not_loaded > 0 {
        let left_out = count(found.not_loaded, "tensor");
        out += &format!("{left_out} of types that Candle does not have left out\n");
    }
    out += "\nTargets\n";
    for t in targets(found) {
        out += &format!("  {:<12}  {}: {}\n", t.state.word(), t.target, t.measured);
    }
    out
}

/// Both schemes, as far as the model has such matrices.
pub(super) fn rounded(found: &Found) -> Vec<(&'static str, Against)> {
    let schemes = [INT8, INT4].into_iter();
    schemes
        .filter_map(|scheme| Some((scheme, Against::rounded(&found.tensors, scheme)?)))
        .collect()
}

/// Columns of a table of sizes.
pub(super) const SIZES: [(&str, Align); 9] = [
    ("tensors", Align::Right),
    ("bytes", Align::Right),
    ("encoded", Align::Right),
    ("saved", Align::Right),
    ("bits", Align::Right),
    ("bound", Align::Right),
    ("zeros", Align::Right),
    ("outliers", Align::Right),
    ("best tool", Align::Left),
];

fn sizes(label: &str, sums: &[(String, Sum)]) -> Table {
    let columns: Vec<_> = [(label, Align::Left)].into_iter().chain(SIZES).collect();
    let mut table = Table::new(&columns);
    for (name, sum) in sums {
        table.row([name.clone()].into_iter().chain(size_cells(sum)));
    }
    table
}

/// Cells under [`SIZES`].
pub(super) fn size_cells(sum: &Sum) -> [String; 9] {
    let share = |n: u64| format!("{:.4}%", 100.0 * sum.per_element(n as f64));
    [
        sum.tensors.to_string(),
        output::bytes(sum.bytes),
        output::bytes(sum.encoded),
        format!("{:.2}%", output::saved(sum.bytes, sum.encoded)),
        format!("{:.3}", sum.per_element(sum.encoded as f64 * 8.0)),
        sum.bound().map_or("-".into(), |(bound, _)| format!("{bound:.3}")),
        share(sum.zeros),
        share(sum.outliers),
        sum.best().map_or("-".into(), |b| b.0.into()),
    ]
}

/// Columns of the table of loads.
pub(super) const LOADS: [(&str, Align); 6] = [
    ("format", Align::Left),
    ("cache", Align::Left),
    ("seconds", Align::Right),
    ("memory", Align::Right),
    ("from disk", Align::Right),
    ("runs", Align::Right),
];

fn load_table(loads: &[Loads], found: &Found) -> Table {
    let mut table = Table::new(&LOADS);
    for l in loads {
        table.row(load_cells(l, found));
    }
    table
}

/// Cells under [`LOADS`].
pub(super) fn load_cells(loads: &Loads, found: &Found) -> [String; 6] {
    let bytes = |n: Option<u64>| n.map_or("-".into(), output::bytes);
    [
        loads.format.into(),
        cache(loads, found).into(),
        format!("{:.3}", median(&loads.seconds)),
        bytes(loads.memory),
        bytes(loads.from_disk),
        loads.seconds.len().to_string(),
    ]
}
