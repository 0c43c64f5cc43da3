//! Language models of the Llama class, with the logits of every position.
//!
//! Candle's own models return the last position's logits alone; measuring a model takes them all.
//! Here is one forward pass for Llama 2 and 3, SmolLM2, Mistral, Qwen2 and Qwen3, over any
//! `VarBuilder`, written with Candle's operations: it runs where Candle runs.
//!
//! Input is a list of [`Tree`]s: a stem of tokens and branches that go on from it. A plain sequence is
//! a tree without branches. The stem is computed once for all its branches, and trees of any lengths
//! share a batch without padding: tokens lie end to end, and only attention looks at trees one by one.
//!
//! The same trees give the same bits in the same order of operations: two models with the same
//! weights have bit-identical logits, and the number of threads changes nothing.

mod attention;
mod causal;
mod config;
mod layer;
mod rope;
mod rotary;
mod sliding;
pub(crate) mod traced;
mod tree;

pub use causal::CausalModel;
pub use config::{Family, ModelConfig};
pub(crate) use rope::frequencies;
pub use tree::Tree;
