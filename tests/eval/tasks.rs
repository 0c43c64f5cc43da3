//! Accuracy, against a loop without sharing or batches.

use super::*;
use candle_core::{D, DType, Device, Tensor};
use wcodec::eval::{Answer, Answered, Item, Question, TaskReport, measure_task, read_items};
use wcodec::model::{CausalModel, ModelConfig, Tree};

fn items(folder: &TempDir) -> Vec<Item> {
    read_items(&file(folder, "items.jsonl", ITEMS)).unwrap()
}

fn louder(old: &Tensor) -> Tensor {
    (old * 3.0).unwrap()
}

fn measure(folder: &TempDir, candidate: &Path) -> TaskReport {
    measure_task(&models(&kjv(), candidate), &items(folder), &()).unwrap()
}

#[test]
fn a_lossless_candidate_is_identical() {
    let folder = folder();
    let report = measure(&folder, &encoded(&folder));
    assert!(report.identical && report.differing.is_empty());
    let paired = report.accuracy.paired;
    assert_eq!((paired.delta_points, paired.gained, paired.lost), (0.0, 0, 0));
    // The file mixes shapes: there is no accuracy by length of all.
    assert_eq!((report.items, report.normalised), (6, None));
    // It knows its Bible.
    let right: Vec<bool> = report.answers.iter().map(|a| a.reference.right).collect();
    assert_eq!(right, [true, true, true, true, false, false]);
    assert_eq!(
        (report.answers[0].id.as_str(), report.answers[5].id.as_str()),
        ("light", "6")
    );
}

/// Log-likelihood of a continuation: the whole sequence by itself, Candle's log-softmax.
fn alone(model: &CausalModel, models: &Models, context: &str, continuation: &str) -> (f64, bool) {
    let encode = |text: &str| models.encoder().encode(text, &text_place()).unwrap();
    let whole: Vec<u32> = [0]
        .into_iter()
        .chain(encode(&format!("{context}{continuation}")))
        .collect();
    let start = 1 + encode(context).len();
    let logits = model
        .logits(&model.states(&[Tree::sequence(whole.clone())]).unwrap())
        .unwrap();
    let top: Vec<u32> = logits.argmax(D::Minus1).unwrap().to_vec1().unwrap();
    let logs = candle_nn::ops::log_softmax(&logits.to_dtype(DType::F64).unwrap(), 1).unwrap();
    let logs: Vec<Vec<f64>> = logs.to_vec2().unwrap();
    let asked = start..whole.len();
    let sum = asked.clone().map(|i| logs[i - 1][whole[i] as usize]).sum();
    (sum, asked.into_iter().all(|i| top[i - 1] == whole[i]))
}

fn text_place() -> At {
    text()[0].0.clone()
}

#[test]
fn log_likelihoods_are_those_of_a_plain_loop() {
    let folder = folder();
    let candidate = changed(&folder, "model.layers.2.mlp.up_proj.weight", louder);
    let report = measure(&folder, &candidate);
    assert!(!report.identical);
    let models = models(&kjv(), &candidate);
    for (which, path) in [kjv().join("model.safetensors"), candidate].into_iter().enumerate() {
        let config = ModelConfig::parse(&fs::read(kjv().join("config.json")).unwrap(), "").unwrap();
        let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        let vb = candle_nn::VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let model = CausalModel::load(config, vb).unwrap();
        for (item, answered) in items(&folder).iter().zip(&report.answers) {
            let answer = [&answered.reference, &answered.candidate][which];
            let pairs: Vec<(&str, &str)> = match &item.question {
                Question::Choices { context, choices, .. } => {
                    choices.iter().map(|c| (context.as_str(), c.as_str())).collect()
                }
                Question::Contexts {
                    contexts, continuation, ..
                } => contexts.iter().map(|c| (c.as_str(), continuation.as_str())).collect(),
                Question::Cloze { context, target } => vec![(context, target)],
            };
            for ((context, continuation), got) in pairs.iter().zip(&answer.log_likelihoods) {
                let (expected, greedy) = alone(&model, &models, context, continuation);
                assert!(
                    (got - expected).abs() < 2e-5 * expected.abs(),
                    "{}: {got} {expected}",
                    item.id
                );
                if matches!(item.question, Question::Cloze { .. }) {
                    assert_eq!(answer.right, greedy);
                }
            }
        }
    }
    let change: f64 = report
        .answers
        .iter()
        .map(|a| {
            let gold = a.gold.unwrap_or(0);
            a.candidate.log_likelihoods[gold] - a.reference.log_likelihoods[gold]
        })
        .sum();
    assert!((report.log_likelihood_change.mean - change / 6.0).abs() < 1e-12);
    // The share of the right answer's likelihood among those of all; of a cloze, its own.
    let probability = |a: &Answered, answer: &Answer| match a.gold {
        Some(gold) => {
            let all: f64 = answer.log_likelihoods.iter().map(|l| l.exp()).sum();
            answer.log_likelihoods[gold].exp() / all
        }
        None => answer.log_likelihoods[0].exp(),
    };
    let mean = |of: &dyn Fn(&Answered) -> f64| report.answers.iter().map(of).sum::<f64>() / 6.0;
    let [reference, candidate] = [
        mean(&|a| probability(a, &a.reference)),
        mean(&|a| probability(a, &a.candidate)),
    ];
    let found = report.probability;
    assert!((found.reference.mean - reference).abs() < 1e-12 && (found.candidate.mean - candidate).abs() < 1e-12);
    assert!((found.change.mean - (candidate - reference)).abs() < 1e-12 && found.change.mean != 0.0);
    assert!(found.change.standard_error > 0.0);
    let differing: Vec<&str> = report.differing.iter().map(String::as_str).collect();
    let expected = report.answers.iter().filter(|a| a.reference.pick != a.candidate.pick);
    assert_eq!(differing, expected.map(|a| a.id.as_str()).collect::<Vec<_>>());
}

#[test]
fn length_counts_in_normalised_accuracy() {
    let folder = folder();
    // The short wrong choice is likelier as a whole, the long right one by character.
    let lines =
        r#"{"context": "In the beginning God created", "choices": [" the heaven and the earth.", " and"], "gold": 0}"#;
    let items = read_items(&file(&folder, "a.jsonl", lines)).unwrap();
    let report = measure_task(&models(&kjv(), &kjv()), &items, &()).unwrap();
    let answer = &report.answers[0].reference;
    let by_length: Vec<f64> = answer
        .log_likelihoods
        .iter()
        .zip([25.0, 3.0])
        .map(|(l, n)| l / n)
        .collect();
    assert!(answer.log_likelihoods[0] < answer.log_likelihoods[1] && !answer.right);
    assert!(by_length[0] > by_length[1] && answer.right_normalised);
    let normalised = report.normalised.unwrap();
    assert_eq!((report.accuracy.reference.mean, normalised.reference.mean), (0.0, 1.0));
}

#[test]
fn threads_change_no_bit() {
    let folder = folder();
    let candidate = changed(&folder, "model.layers.2.mlp.up_proj.weight", louder);
    let of = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut report = pool.install(|| measure(&folder, &candidate));
        report.times = Default::default();
        report
    };
    let one = of(1);
    assert!([2, 5].into_iter().all(|threads| of(threads) == one));
}
