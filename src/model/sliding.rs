//! Which layers' attention reaches back a window only, read as Hugging Face's `transformers` reads it (5.23).

use super::config::Family;
use serde_json::Value;

/// What `transformers` takes where a configuration does not say.
const TOKENS: usize = 4096;
const FIRST_LAYER: usize = 28;

/// Layers with a sliding window.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sliding {
    /// Tokens that attention reaches back, its own included.
    pub(crate) tokens: usize,
    /// The layers, ascending; at least one.
    pub(crate) layers: Vec<usize>,
}

impl Sliding {
    /// `None` if every layer sees all. Errors are in words.
    pub(super) fn read(family: Family, config: &Value, layers: usize) -> Result<Option<Self>, String> {
        let by_layer = matches!(family, Family::Qwen2 | Family::Qwen3);
        let slides = match (family, config.get("use_sliding_window")) {
            (Family::Llama, _) => false,
            (Family::Mistral, _) => true,
            (_, None | Some(Value::Null)) => false,
            (_, Some(Value::Bool(slides))) => *slides,
            (_, Some(other)) => return Err(format!("use_sliding_window is {other}: true or false is needed")),
        };
        let tokens = if slides {
            size(config, "sliding_window", TOKENS)?
        } else {
            None
        };
        if tokens == Some(0) {
            return Err("sliding_window is 0: attention would see nothing".into());
        }
        let first = match tokens {
            Some(_) if by_layer => size(config, "max_window_layers", FIRST_LAYER)?
                .ok_or("max_window_layers is null: a number is needed")?,
            _ => 0,
        };
        let implied: Vec<usize> = tokens.iter().flat_map(|_| first..layers).collect();
        let named = match config.get("layer_types") {
            None | Some(Value::Null) => implied.clone(),
            Some(types) => sliding_layers(types, layers)?,
        };
        if named != implied && !by_layer {
            return Err(format!(
                "layer_types names sliding_attention for the layers {named:?}, where a model of the kind {family:?} has \
                 it in {implied:?}: programs differ in what they make of this; take layer_types out, or give the \
                 configuration of the kind that is meant"
            ));
        }
        if named.is_empty() {
            return Ok(None);
        }
        let tokens = tokens.ok_or(
            "layer_types names sliding_attention, and there is no window: use_sliding_window has to be true and \
             sliding_window a number",
        )?;
        Ok(Some(Self { tokens, layers: named }))
    }
}

/// A number; `None` for null. What is absent is not null.
fn size(config: &Value, name: &str, absent: usize) -> Result<Option<usize>, String> {
    match config.get(name) {
        None => Ok(Some(absent)),
        Some(Value::Null) => Ok(None),
        Some(value) => {
            let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
            size.map(Some)
                .ok_or_else(|| format!("{name} is {value}: a whole number is needed"))
        }
    }
}

fn sliding_layers(types: &Value, layers: usize) -> Result<Vec<usize>, String> {
    let all = types.as_array().filter(|all| all.len() == layers);
    let all = all.ok_or_else(|| format!("layer_types has to be a list of num_hidden_layers entries, {layers}"))?;
    let mut sliding = Vec::new();
    for (layer, kind) in all.iter().enumerate() {
        match kind.as_str() {
            Some("full_attention") => {}
            Some("sliding_attention") => sliding.push(layer),
            _ => {
                return Err(format!(
                    "layer_types has {kind} for layer {layer}: known are full_attention, sliding_attention"
                ));
            }
        }
    }
    Ok(sliding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(family: Family, config: Value) -> Result<Option<(usize, Vec<usize>)>, String> {
        Sliding::read(family, &config, 4).map(|found| found.map(|s| (s.tokens, s.layers)))
    }

    /// transformers 5.23: `AutoConfig.from_pretrained(..).layer_types` and `.sliding_window`.
    #[test]
    fn windows_are_those_of_transformers() {
        use Family::{Llama, Mistral, Qwen2, Qwen3};
        let all = vec![0, 1, 2, 3];
        assert_eq!(read(Llama, json!({"sliding_window": 8})), Ok(None));
        assert_eq!(read(Mistral, json!({"sliding_window": 8})), Ok(Some((8, all.clone()))));
        assert_eq!(read(Mistral, json!({})), Ok(Some((4096, all.clone()))));
        assert_eq!(read(Mistral, json!({"sliding_window": null})), Ok(None));
        for family in [Qwen2, Qwen3] {
            let with = |more: Value| {
                let mut config = json!({"use_sliding_window": true});
                config
                    .as_object_mut()
                    .unwrap()
                    .extend(more.as_object().unwrap().clone());
                read(family, config)
            };
            assert_eq!(
                read(family, json!({"sliding_window": 8, "max_window_layers": 0})),
                Ok(None)
            );
            assert_eq!(with(json!({"max_window_layers": 0})), Ok(Some((4096, all.clone()))));
            assert_eq!(with(json!({"sliding_window": null, "max_window_layers": 0})), Ok(None));
            // Layers from 28 on, of four.
            assert_eq!(with(json!({"sliding_window": 8})), Ok(None));
            assert_eq!(
                with(json!({"sliding_window": 8, "max_window_layers": 3})),
                Ok(Some((8, vec![3])))
            );
            let types = [
                "sliding_attention",
                "full_attention",
                "sliding_attention",
                "full_attention",
            ];
            let named = json!({"sliding_window": 8, "max_window_layers": 0, "layer_types": types});
            assert_eq!(with(named), Ok(Some((8, vec![0, 2]))));
            let full = json!({"sliding_window": 8, "max_window_layers": 0, "layer_types": vec!["full_attention"; 4]});
            assert_eq!(with(full), Ok(None));
        }
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        let refused = |family, config: Value, what: &str| {
            let message = read(family, config).unwrap_err();
            assert!(message.contains(what), "{message}");
        };
        let sliding = json!(vec!["sliding_attention"; 4]);
        refused(
            Family::Llama,
            json!({"layer_types": sliding, "sliding_window": 8}),
            "take layer_types out",
        );
        refused(
            Family::Mistral,
            json!({"layer_types": vec!["full_attention"; 4], "sliding_window": 8}),
            "take layer_types out",
        );
        refused(Family::Qwen2, json!({"layer_types": sliding}), "there is no window");
        refused(Family::Qwen3, json!({"layer_types": ["full_attention"]}), "entries, 4");
        refused(
            Family::Qwen3,
            json!({"layer_types": vec!["chunked_attention"; 4]}),
            "layer 0",
        );
        refused(Family::Mistral, json!({"sliding_window": 0}), "sliding_window is 0");
        refused(
            Family::Mistral,
            json!({"sliding_window": "8"}),
            "sliding_window is \"8\"",
        );
        refused(
            Family::Qwen2,
            json!({"use_sliding_window": 1}),
            "use_sliding_window is 1",
        );
    }
}
