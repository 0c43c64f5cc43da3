//! Perplexities that other programs found, where real models are at hand.

use super::*;
use wcodec::eval::{TextOptions, measure_text, read_text};

/// A folder with `models/stories260k` (Karpathy's stories260K) and `eval/wiki.test.raw` (WikiText-2).
const VARIABLE: &str = "WCODEC_EVAL_DATA";

/// transformers 5.23.0 with torch 2.15.0, F32: a beginning-of-text token before each window of 511.
#[test]
fn stories260k_has_its_known_perplexities() {
    let Some(data) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
        println!("SKIPPED: {VARIABLE} names no folder with models/stories260k and eval/wiki.test.raw");
        return;
    };
    let model = data.join("models/stories260k");
    let models = models(&model, &model);
    let of = |name: &str, windows| {
        let mut options = TextOptions::default();
        options.windows = windows;
        let text = read_text(&data.join("eval").join(name)).unwrap();
        measure_text(&models, &text, &options, &()).unwrap()
    };
    let wiki = of("wiki.test.raw", Some(40));
    assert_eq!(wiki.tokens, 20440);
    assert!((wiki.reference.perplexity / 130.226 - 1.0).abs() < 1e-4, "{wiki:?}");
    let stories = of("tinystories_sample.jsonl", None);
    assert_eq!(stories.tokens, 72025);
    assert!(
        (stories.reference.perplexity / 4.609299 - 1.0).abs() < 1e-4,
        "{stories:?}"
    );
}
