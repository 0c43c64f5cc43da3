//! Ranges of a file that come together: small neighbours, of which each would cost a round trip.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes between two ranges that are rather fetched along than asked around.
const GAP: u64 = 64 << 10;

/// Ranges that will be asked for, in groups.
pub(super) struct Spans<T: ?Sized> {
    /// By their first byte.
    members: Vec<Member>,
    spans: Vec<Span<T>>,
}

struct Member {
    range: Range<u64>,
    span: usize,
}

/// Neighbours, from the first one's start to the last one's end.
struct Span<T: ?Sized> {
    range: Range<u64>,
    held: Mutex<Held<T>>,
}

struct Held<T: ?Sized> {
    bytes: Option<Arc<T>>,
    /// Members that have not asked yet. With the last, the bytes are let go of.
    waiting: Vec<usize>,
}

impl<T: ?Sized> Spans<T> {
    /// Groups ranges into spans of at most `most` bytes. A range that has no small neighbour has no span.
    pub(super) fn new(mut ranges: Vec<Range<u64>>, most: u64) -> Self {
        ranges.retain(|range| !range.is_empty());
        ranges.sort_by_key(|range| (range.start, range.end));
        ranges.dedup();
        let (mut members, mut spans) = (Vec::new(), Vec::new());
        let mut rest = &ranges[..];
        while let Some(first) = rest.first() {
            let mut end = first.end;
            let near = |range: &&Range<u64>| {
                let fits = range.start <= end + GAP && range.end.max(end) - first.start <= most;
                end = if fits { end.max(range.end) } else { end };
                fits
            };
            let count = rest.iter().skip(1).take_while(near).count() + 1;
            let (group, later) = rest.split_at(count);
            if count > 1 {
                let (span, member) = (spans.len(), members.len());
                members.extend(group.iter().cloned().map(|range| Member { range, span }));
                let held = Held {
                    bytes: None,
                    waiting: (member..member + count).collect(),
                };
                spans.push(Span {
                    range: first.start..end,
                    held: Mutex::new(held),
                });
            }
            rest = later;
        }
        Self { members, spans }
    }

    /// The bytes of the span that this very range belongs to; `fetch` gets them for the first that asks,
    /// and again if that failed. `None` if it belongs to none, or has had them: who asks again, as after
    /// bytes that turned out to be damaged, is better served with fresh ones.
    pub(super) fn get<E>(
        &self,
        range: &Range<u64>,
        fetch: impl FnOnce(Range<u64>) -> Result<Arc<T>, E>,
    ) -> Option<Result<Arc<T>, E>> {
        let key = |range: &Range<u64>| (range.start, range.end);
        let member = self.members.binary_search_by_key(&key(range), |m| key(&m.range)).ok()?;
        let span = &self.spans[self.members[member].span];
        // Others of the span wait here while its bytes come.
        let mut held = lock(&span.held);
        let at = held.waiting.iter().position(|&waiting| waiting == member)?;
        let bytes = match &held.bytes {
            Some(bytes) => bytes.clone(),
            None => match fetch(span.range.clone()) {
                Ok(bytes) => bytes,
                Err(error) => return Some(Err(error)),
            },
        };
        held.waiting.swap_remove(at);
        held.bytes = (!held.waiting.is_empty()).then(|| bytes.clone());
        Some(Ok(bytes))
    }
}

fn lock<T: ?Sized>(held: &Mutex<Held<T>>) -> MutexGuard<'_, Held<T>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_come_together_and_are_let_go_of() {
        let far = 10 * GAP;
        let ranges = vec![far..far + 10, 5..8, 0..5, 8..8, far + 20..far + 900, 9..12];
        let spans = Spans::<Range<u64>>::new(ranges, 100);
        let get = |range: Range<u64>| {
            spans
                .get(&range, |span| Ok::<_, ()>(Arc::new(span)))
                .map(|r| (*r.unwrap()).clone())
        };
        assert_eq!(get(5..8), Some(0..12));
        assert_eq!(get(5..8), None, "it has had its bytes");
        assert_eq!(spans.get(&(0..5), |_| Err(())), Some(Ok(Arc::new(0..12))));
        assert_eq!(get(5..7), None);
        assert_eq!(get(far..far + 10), None);
        assert_eq!(Arc::strong_count(lock(&spans.spans[0].held).bytes.as_ref().unwrap()), 1);
        assert_eq!(get(9..12), Some(0..12));
        assert!(lock(&spans.spans[0].held).bytes.is_none());
        assert_eq!(get(9..12), None);
    }

    #[test]
    fn what_failed_is_fetched_again() {
        let spans = Spans::<str>::new(vec![0..1, 1..2], 10);
        assert_eq!(spans.get(&(0..1), |_| Err("off")), Some(Err("off")));
        assert_eq!(spans.get(&(0..1), |_| Ok::<_, ()>("on".into())), Some(Ok("on".into())));
    }
}
