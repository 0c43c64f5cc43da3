//! Rotary settings of a `config.json`: the base, and how positions are stretched.

use serde_json::{Map, Value};

/// How positions are stretched beyond those of the training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum RopeScaling {
    None,
    /// All positions divided by the factor.
    Linear(f32),
    /// Llama 3: low frequencies divided by the factor, high ones kept.
    Llama3 {
        factor: f32,
        low: f32,
        high: f32,
        original_positions: f32,
    },
}

const THETA: &str = "rope_theta";
const PARTIAL: &str = "partial_rotary_factor";
const ORIGINAL: &str = "original_max_position_embeddings";

/// Base and stretching. Newer configurations have all of it in `rope_parameters`, older ones the base beside
/// `rope_scaling`; where both are there and differ, programs differ in which they take: that is refused, as is all
/// that is not known. Errors are in words.
pub(super) fn read(config: &Map<String, Value>) -> Result<(f32, RopeScaling), String> {
    let mut thetas: Vec<(&str, f32)> = Vec::new();
    let mut scalings: Vec<(&str, RopeScaling)> = Vec::new();
    whole_heads(config)?;
    thetas.extend(number(config, THETA)?.map(|theta| ("the configuration", theta)));
    for name in ["rope_parameters", "rope_scaling"] {
        let settings = match config.get(name) {
            None | Some(Value::Null) => continue,
            Some(Value::Object(settings)) if settings.is_empty() => continue,
            Some(Value::Object(settings)) => settings,
            Some(other) => return Err(format!("{name} is {other}: an object is needed")),
        };
        let within = |what: String| format!("{name}: {what}");
        if let Some((key, _)) = settings.iter().find(|(_, value)| value.is_object()) {
            return Err(within(format!(
                "{key:?} has settings of its own: only settings that hold for all layers are known"
            )));
        }
        whole_heads(settings).map_err(within)?;
        thetas.extend(number(settings, THETA).map_err(within)?.map(|theta| (name, theta)));
        scalings.push((name, scaling(settings, config).map_err(within)?));
    }
    let theta = the_one(THETA, &thetas)?.unwrap_or(10_000.0);
    Ok((
        theta,
        the_one("the scaling of positions", &scalings)?.unwrap_or(RopeScaling::None),
    ))
}

/// The value on which all agree.
fn the_one<T: Copy + PartialEq + std::fmt::Debug>(what: &str, said: &[(&str, T)]) -> Result<Option<T>, String> {
    let first = said.first();
    match first.zip(said.iter().find(|(_, value)| first.is_some_and(|f| *value != f.1))) {
        None => Ok(first.map(|f| f.1)),
        Some(((here, a), (there, b))) => Err(format!(
            "{what} is {a:?} in {here} and {b:?} in {there}: leave the one that is meant"
        )),
    }
}

/// A positive number, if it is there.
fn number(settings: &Map<String, Value>, name: &str) -> Result<Option<f32>, String> {
    let Some(value) = settings.get(name).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let number = value.as_f64().map(|v| v as f32).filter(|v| v.is_finite() && *v > 0.0);
    number
        .map(Some)
        .ok_or_else(|| format!("{name} is {value}: a positive number is needed"))
}

fn whole_heads(settings: &Map<String, Value>) -> Result<(), String> {
    match number(settings, PARTIAL)? {
        None | Some(1.0) => Ok(()),
        Some(part) => Err(format!("{PARTIAL} is {part}: known is 1, that whole heads are turned")),
    }
}

fn scaling(settings: &Map<String, Value>, config: &Map<String, Value>) -> Result<RopeScaling, String> {
    let kind = |key: &str| match settings.get(key) {
        None => Ok(None),
        Some(Value::String(kind)) => Ok(Some(kind.as_str())),
        Some(other) => Err(format!("{key} is {other}: a string is needed")),
    };
    let kind = match (kind("rope_type")?, kind("type")?) {
        (Some(a), Some(b)) if a != b => return Err(format!("rope_type is {a:?} and type is {b:?}")),
        (a, b) => a.or(b),
    };
    let needed = |name: &str| number(settings, name)?.ok_or_else(|| format!("there is no number {name:?}"));
    match kind {
        Some("default") => Ok(RopeScaling::None),
        None => match settings.keys().find(|key| ![THETA, PARTIAL].contains(&key.as_str())) {
            None => Ok(RopeScaling::None),
            Some(key) => Err(format!(
                "{key:?} without a rope_type: name it, \"default\" if there is none"
            )),
        },
        Some("linear") => Ok(RopeScaling::Linear(needed("factor")?)),
        Some("llama3") => {
            let original = needed(ORIGINAL)?;
            if number(config, ORIGINAL)?.is_some_and(|other| other != original) {
                return Err(format!("{ORIGINAL} is {original}, and beside it {}", config[ORIGINAL]));
            }
            Ok(RopeScaling::Llama3 {
                factor: needed("factor")?,
                low: needed("low_freq_factor")?,
                high: needed("high_freq_factor")?,
                original_positions: original,
            })
        }
        Some(other) => Err(format!(
            "a rope_type of {other:?} is not known: known are default, linear, llama3"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings(config: Value) -> Result<(f32, RopeScaling), String> {
        read(config.as_object().unwrap())
    }

    /// transformers 5.23: `AutoConfig.from_pretrained(..).rope_parameters`.
    #[test]
    fn both_ways_to_write_them_are_read() {
        let linear = json!({"rope_type": "linear", "factor": 4.0});
        let plain = RopeScaling::None;
        for (config, expected) in [
            (json!({}), (1e4, plain)),
            (
                json!({"rope_theta": 5e5, "rope_scaling": null, "rope_parameters": {}}),
                (5e5, plain),
            ),
            (json!({"rope_parameters": {"rope_theta": 5e5}}), (5e5, plain)),
            (
                json!({"rope_parameters": {"rope_theta": 5e5, "rope_type": "default", "partial_rotary_factor": 1.0}}),
                (5e5, plain),
            ),
            (
                json!({"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4}}),
                (5e5, RopeScaling::Linear(4.0)),
            ),
            (
                json!({"rope_theta": 5e5, "rope_scaling": linear, "rope_parameters": {"rope_theta": 5e5, "type": "linear", "factor": 4}}),
                (5e5, RopeScaling::Linear(4.0)),
            ),
        ] {
            assert_eq!(settings(config.clone()), Ok(expected), "{config}");
        }
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        let default = json!({"rope_type": "default", "rope_theta": 1e4});
        for (config, what) in [
            (json!({"rope_scaling": "yarn"}), "rope_scaling is \"yarn\": an object"),
            (
                json!({"rope_scaling": {"rope_type": null, "type": "yarn", "factor": 4}}),
                "rope_type is null",
            ),
            (
                json!({"rope_scaling": {"rope_type": "linear", "type": "yarn", "factor": 4}}),
                "type is \"yarn\"",
            ),
            (
                json!({"rope_scaling": {"factor": 8}}),
                "rope_scaling: \"factor\" without a rope_type",
            ),
            (
                json!({"rope_scaling": {"rope_type": "yarn"}}),
                "default, linear, llama3",
            ),
            (
                json!({"rope_scaling": {"rope_type": "linear", "factor": 0}}),
                "factor is 0",
            ),
            (json!({"rope_scaling": {"rope_type": "linear"}}), "no number \"factor\""),
            (
                json!({"rope_parameters": {"full_attention": {"rope_type": "default"}}}),
                "\"full_attention\" has settings",
            ),
            (
                json!({"rope_parameters": default, "rope_theta": 5e5}),
                "rope_theta is 500000.0 in the configuration and 10000.0",
            ),
            (
                json!({"rope_parameters": default, "rope_scaling": {"rope_type": "linear", "factor": 4}}),
                "Linear(4.0) in rope_scaling",
            ),
            (json!({"rope_theta": "x"}), "rope_theta is \"x\""),
            (json!({"partial_rotary_factor": 0.5}), "partial_rotary_factor is 0.5"),
            (
                json!({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}),
                "rope_parameters: partial",
            ),
            (
                json!({"original_max_position_embeddings": 64, "rope_scaling": {"rope_type": "llama3", "factor": 8,
                    "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 256}}),
                "256, and beside it 64",
            ),
        ] {
            let message = settings(config).unwrap_err();
            assert!(message.contains(what), "{message}");
        }
    }
}
