//! Which tensors to decode before the model asks for them, and those that are decoded.
//!
//! Models ask layer by layer, and within a layer in an order of their own. So what is decoded ahead of
//! a request are the other tensors of its layer, then the next layers.
//!
//! Nothing waits for work that has not begun: a request takes such work over. It waits for work that
//! is under way, but never on a thread of the pool, since a thread of the pool may be under way with
//! that work itself, below on its own stack, having gone on with the request's while it waited for
//! part of it.

use candle_core::{DType, Tensor};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Most tensors to look at ahead: small ones would never fill the budget.
const MOST_AHEAD: usize = 512;

/// Names part by part, numbers by value: layer 2 comes before layer 10.
pub(super) fn natural_order(a: &str, b: &str) -> Ordering {
    fn parts(name: &str) -> impl Iterator<Item = (Option<u64>, &str)> {
        name.split('.').map(|part| (part.parse().ok(), part))
    }
    parts(a).cmp(parts(b))
}

/// The name up to its first number: what tensors of one layer have in common.
fn layer(name: &str) -> &str {
    let mut end = 0;
    for part in name.split('.') {
        end += part.len();
        if part.parse::<u64>().is_ok() {
            return &name[..end];
        }
        end += 1;
    }
    name
}

pub(super) struct Ahead {
    budget: u64,
    /// Per tensor: the first tensor of its layer.
    layers: Vec<usize>,
    state: Mutex<State>,
    finished: Condvar,
}

struct State {
    slots: Vec<Slot>,
    /// Which slots are `Ready`.
    ready: BTreeSet<usize>,
    /// Bytes of all that is queued, under way or ready.
    held: u64,
}

/// A tensor, and the bytes it counts for.
enum Slot {
    /// Not thought of yet.
    Idle,
    Queued(u64),
    Running,
    Ready(Tensor, Option<DType>, u64),
    /// Asked for, or given up: never decoded ahead again.
    Past,
}

/// Work that is under way.
pub(super) struct Started {
    tensor: usize,
    bytes: u64,
}

#[cfg(feature = "cuda")]
impl Started {
    /// Which tensor it is.
    pub(super) fn tensor(&self) -> usize {
        self.tensor
    }
}

impl Ahead {
    /// For tensors of these names, in natural order.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>, budget: u64) -> Self {
        let mut layers = Vec::new();
        let mut last = ("", 0);
        for (i, name) in names.enumerate() {
            if i == 0 || layer(name) != last.0 {
                last = (layer(name), i);
            }
            layers.push(last.1);
        }
        let slots = layers.iter().map(|_| Slot::Idle).collect();
        let state = Mutex::new(State {
            slots,
            ready: BTreeSet::new(),
            held: 0,
        });
        Self {
            budget,
            layers,
            state,
            finished: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tensor, if it has been decoded ahead and to this type. If not, the caller decodes it.
    pub(super) fn take(&self, i: usize, dtype: Option<DType>) -> Option<Tensor> {
        let mut state = self.lock();
        while let Slot::Running = state.slots[i] {
            if rayon::current_thread_index().is_some() {
                break;
            }
            state = self.finished.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match std::mem::replace(&mut state.slots[i], Slot::Past) {
            Slot::Queued(bytes) => state.held -= bytes,
            Slot::Ready(tensor, as_dtype, bytes) => {
                state.held -= bytes;
                state.ready.remove(&i);
                return (as_dtype == dtype).then_some(tensor);
            }
            // What is under way is let go when it ends.
            Slot::Running | Slot::Idle | Slot::Past => {}
        }
        None
    }

    /// The tensors to begin with, now that the model has asked for `i`.
    pub(super) fn plan(&self, i: usize, bytes: impl Fn(usize) -> u64) -> Vec<usize> {
        let mut queued = Vec::new();
        if self.budget == 0 {
            return queued;
        }
        let first = self.layers[i];
        let mut state = self.lock();
        for next in (first..self.layers.len()).take(MOST_AHEAD) {
            if !matches!(state.slots[next], Slot::Idle) {
                continue;
            }
            let bytes = bytes(next);
            if bytes > self.budget {
                continue;
            }
            while state.held + bytes > self.budget && state.give_up_before(first) {}
            if state.held + bytes > self.budget {
                break;
            }
            state.slots[next] = Slot::Queued(bytes);
            state.held += bytes;
            queued.push(next);
        }
        queued
    }

    /// Begins with a tensor that was planned, unless the model has asked for it by now.
    pub(super) fn start(&self, tensor: usize) -> Option<Started> {
        let mut state = self.lock();
        let Slot::Queued(bytes) = state.slots[tensor] else {
            return None;
        };
        state.slots[tensor] = Slot::Running;
        Some(Started { tensor, bytes })
    }

    /// Ends with a tensor, or with none if it failed.
    pub(super) fn finish(&self, started: Started, tensor: Option<Tensor>, dtype: Option<DType>) {
        let Started { tensor: i, bytes } = started;
        let mut state = self.lock();
        match (&state.slots[i], tensor) {
            (Slot::Running, Some(tensor)) => {
                state.slots[i] = Slot::Ready(tensor, dtype, bytes);
                state.ready.insert(i);
            }
            _ => {
                state.slots[i] = Slot::Past;
                state.held -= bytes;
            }
        }
        drop(state);
        self.finished.notify_all();
    }
}

impl State {
    /// Drops a tensor of a layer that the model has left behind without asking for it.
    fn give_up_before(&mut self, first: usize) -> bool {
        let Some(&i) = self.ready.range(..first).next() else {
            return false;
        };
        self.ready.remove(&i);
        if let Slot::Ready(_, _, bytes) = std::mem::replace(&mut self.slots[i], Slot::Past) {
            self.held -= bytes;
        }
        true
    }
}
