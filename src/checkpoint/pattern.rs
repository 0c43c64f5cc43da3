//! What is asked of single tensors, by patterns of their names.

use super::lossy::Lossy;
use super::original::{Original, OriginalTensor};
use crate::encoder::TensorSpec;

/// Names of embeddings and heads.
const ENDS: [&str; 5] = [
    "*embed_tokens.weight",
    "*lm_head.weight",
    "*wte.weight",
    "*word_embeddings.weight",
    "*embed_out.weight",
];

/// What becomes of a tensor that could be quantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Every bit is kept.
    Kept,
    /// It has the rate of this number in [`Lossy::rates`].
    Own(usize),
    /// It shares the bits that the others leave.
    Shared,
}

impl Lossy {
    pub(super) fn fate(&self, name: &str) -> Fate {
        let head = self.keep_head && is_end(name);
        if head || self.lossless.iter().any(|pattern| matches(pattern, name)) {
            return Fate::Kept;
        }
        match self.rates.iter().position(|(pattern, _)| matches(pattern, name)) {
            Some(rate) => Fate::Own(rate),
            None => Fate::Shared,
        }
    }

    /// What has decided on a tensor of this name.
    fn taken_by(&self, name: &str) -> Option<String> {
        match self.fate(name) {
            Fate::Shared => None,
            Fate::Own(rate) => Some(format!("the rate of the pattern {:?}", self.rates[rate].0)),
            Fate::Kept => {
                let pattern = self.lossless.iter().find(|pattern| matches(pattern, name));
                Some(match pattern {
                    Some(pattern) => format!("the pattern {pattern:?} of what is kept (--lossless)"),
                    None => "embedding and head, which are kept (--keep-head)".to_owned(),
                })
            }
        }
    }

    /// Whether every bit of a tensor of this name is kept, whatever it is.
    #[cfg(feature = "eval")]
    pub(crate) fn keeps(&self, name: &str) -> bool {
        self.fate(name) == Fate::Kept
    }

    /// Checks that every pattern means a tensor. What is wrong is said in words.
    pub(super) fn check(&self, originals: &[Original], takes: &dyn Fn(&TensorSpec) -> bool) -> Result<(), String> {
        let tensors = || originals.iter().flat_map(Original::tensors);
        let example = || tensors().map(|t| t.spec.name.as_str()).max_by_key(|n| n.len());
        let named = |pattern: &str| tensors().any(|t| matches(pattern, &t.spec.name));
        let patterns = self
            .lossless
            .iter()
            .chain(self.rates.iter().map(|(pattern, _)| pattern));
        for pattern in patterns {
            if !named(pattern) {
                return Err(format!(
                    "no tensor is named as the pattern {pattern:?} says (* stands for any characters): names are like {:?}",
                    example().unwrap_or_default()
                ));
            }
        }
        for (number, (pattern, _)) in self.rates.iter().enumerate() {
            let own = |t: &OriginalTensor| takes(&t.spec) && self.fate(&t.spec.name) == Fate::Own(number);
            if !tensors().any(own) {
                let mut named = tensors().filter(|t| takes(&t.spec) && matches(pattern, &t.spec.name));
                if let Some(taken) = named.find_map(|t| self.taken_by(&t.spec.name)) {
                    return Err(format!(
                        "the pattern {pattern:?} has a rate, but all that it names is already taken by {taken}"
                    ));
                }
                return Err(format!(
                    "the pattern {pattern:?} has a rate, but names nothing that is quantised: matrices of floats are, \
                     of 16384 weights and 32 columns at least"
                ));
            }
        }
        if self.keep_head && !tensors().any(|t| is_end(&t.spec.name)) {
            return Err(format!(
                "embedding and head are to be kept, but no tensor is named {}: name them by a pattern to keep",
                ENDS.join(" or ")
            ));
        }
        Ok(())
    }
}

fn is_end(name: &str) -> bool {
    ENDS.iter().any(|pattern| matches(pattern, name))
}

/// Whether a name is as a pattern says: `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(start) else {
        return false;
    };
    let (middle, end) = rest.rsplit_once('*').map_or((None, rest), |(m, e)| (Some(m), e));
    // Each part at the first place where it is: that leaves the most for those behind it.
    for part in middle.into_iter().flat_map(|middle| middle.split('*')) {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("lm_head.weight", "lm_head.weight"));
        assert!(matches("*norm*", "model.layers.3.input_layernorm.weight"));
        assert!(matches("model.*.weight", "model.embed_tokens.weight"));
        assert!(!matches("model.*.weight", "model.embed_tokens.bias"));
        assert!(!matches("", "a") && matches("*", "") && !matches("a*b*", "acd"));
        assert!(matches("a*b*b", "abab") && !matches("a*b*b", "ab") && matches("*a*", "\u{e9}a\u{e9}"));
        // Many stars take no longer.
        assert!(!matches(&"*a".repeat(200), &"a".repeat(150)) && matches(&"*".repeat(500), &"a".repeat(200)));
    }

    #[test]
    fn the_first_word_on_a_tensor_holds() {
        let mut lossy = Lossy::bits(4.0);
        lossy.lossless = vec!["*.0.*".into()];
        lossy.rates = vec![("*down*".into(), 5.0), ("*".into(), 3.0)];
        lossy.keep_head = true;
        let names = ["model.embed_tokens.weight", "a.0.down", "a.1.down", "a.1.up"];
        let expected = [Fate::Kept, Fate::Kept, Fate::Own(0), Fate::Own(1)];
        assert_eq!(names.map(|name| lossy.fate(name)), expected);
        assert_eq!(Lossy::bits(4.0).fate("lm_head.weight"), Fate::Shared);
    }
}
