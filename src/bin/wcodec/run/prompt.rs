//! From what the user says to the tokens that the model was trained to see.

use crate::failure::Failure;
use minijinja::{Environment, Error, ErrorKind, context};
use serde_json::{Value, json};

/// The chat template of a tokenizer, and the special tokens that it names.
pub(super) struct ChatTemplate {
    template: String,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// From `tokenizer_config.json`, or from `chat_template.jinja` where that is a file of its own.
    /// `None` if there is no template: the model is not made for chats.
    pub(super) fn find(config: Option<&[u8]>, file: Option<String>) -> Result<Option<Self>, Failure> {
        let config: Value = match config {
            Some(json) => serde_json::from_slice(json)
                .map_err(|e| Failure::new("input", format!("tokenizer_config.json: {e}")))?,
            None => Value::Null,
        };
        let named = |list: &Vec<Value>| {
            let default = list.iter().find(|t| t["name"] == "default").or(list.first())?;
            default["template"].as_str().map(str::to_owned)
        };
        let inline = match &config["chat_template"] {
            Value::String(template) => Some(template.clone()),
            Value::Array(list) => named(list),
            _ => None,
        };
        let token = |name: &str| match &config[name] {
            Value::String(token) => token.clone(),
            Value::Object(token) => token.get("content").and_then(Value::as_str).unwrap_or_default().into(),
            _ => String::new(),
        };
        Ok(file.or(inline).map(|template| Self {
            template,
            bos: token("bos_token"),
            eos: token("eos_token"),
        }))
    }

    /// The text that asks the model for an answer. The settings are those of transformers, whose
    /// templates these are.
    pub(super) fn render(&self, system: Option<&str>, user: &str) -> Result<String, Failure> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |what: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, what))
        });
        let mut messages = Vec::new();
        messages.extend(system.map(|content| json!({ "role": "system", "content": content })));
        messages.push(json!({ "role": "user", "content": user }));
        let context = context! {
            messages => messages,
            add_generation_prompt => true,
            bos_token => self.bos,
            eos_token => self.eos,
        };
        environment.render_str(&self.template, context).map_err(|e| {
            let what = format!("the model's chat template cannot be used ({e:#}): try --raw");
            Failure::new("input", what)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chats_are_rendered_as_transformers_does() {
        // The ChatML form that SmolLM2 and Qwen use, with a method of Python's strings.
        let template = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}\
            {{ '<|im_start|>system\\nBe kind<|im_end|>\\n' }}{% endif %}\
            {{'<|im_start|>' + message['role'] + '\\n' + message['content'].strip() + '<|im_end|>' + '\\n'}}{% endfor %}\
            {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
        let config = json!({ "chat_template": template, "bos_token": { "content": "<s>" } }).to_string();
        let chat = ChatTemplate::find(Some(config.as_bytes()), None).unwrap().unwrap();
        assert_eq!(
            chat.render(None, " Hello ").unwrap(),
            "<|im_start|>system\nBe kind<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
        );
        assert!(
            chat.render(Some("Be brief"), "Hi")
                .unwrap()
                .starts_with("<|im_start|>system\nBe brief")
        );
        assert!(ChatTemplate::find(Some(b"{}"), None).unwrap().is_none());
        assert!(ChatTemplate::find(Some(b"{"), None).is_err());
        let bad = ChatTemplate::find(None, Some("{{ raise_exception('no') }}".into()))
            .unwrap()
            .unwrap();
        assert!(bad.render(None, "x").is_err());
    }
}
