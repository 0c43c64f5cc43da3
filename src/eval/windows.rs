//! A long text in windows that a model can take.

/// Part of a text, in tokens: a model reads from `start` to `end` and is scored from `scored` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First token.
    pub start: usize,
    /// First token that is scored.
    pub scored: usize,
    /// Behind the last token.
    pub end: usize,
}

/// Windows of `length` tokens, each `stride` tokens after the one before, over a text of `tokens`.
/// No token is scored twice. Where a beginning-of-text token stands before each window (`bos`; it is
/// not counted in `length`), the first token of a window is scored too; otherwise it has nothing
/// before it, and a text that is cut into windows without overlap loses one token a window. The last
/// window may be shorter. This is what Hugging Face's guide on perplexity describes.
pub fn windows(tokens: usize, length: usize, stride: usize, bos: bool) -> Vec<Window> {
    let mut windows = Vec::new();
    let (mut start, mut done) = (0, 0);
    let stride = stride.clamp(1, length.max(1));
    while done < tokens && length > 0 {
        let end = tokens.min(start + length);
        let scored = done.max(start + usize::from(!bos));
        if scored < end {
            windows.push(Window { start, scored, end });
        }
        done = end;
        start += stride;
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(tokens: usize, length: usize, stride: usize, bos: bool) -> Vec<(usize, usize, usize)> {
        let windows = windows(tokens, length, stride, bos);
        windows.iter().map(|w| (w.start, w.scored, w.end)).collect()
    }

    #[test]
    fn side_by_side() {
        assert_eq!(all(10, 4, 4, false), [(0, 1, 4), (4, 5, 8), (8, 9, 10)]);
        assert_eq!(all(10, 4, 4, true), [(0, 0, 4), (4, 4, 8), (8, 8, 10)]);
        // A single token has nothing before it.
        assert_eq!(all(9, 4, 4, false), [(0, 1, 4), (4, 5, 8)]);
    }

    #[test]
    fn overlapping() {
        assert_eq!(all(10, 4, 2, false), [(0, 1, 4), (2, 4, 6), (4, 6, 8), (6, 8, 10)]);
        assert_eq!(all(9, 4, 2, true), [(0, 0, 4), (2, 4, 6), (4, 6, 8), (6, 8, 9)]);
    }

    #[test]
    fn every_token_is_scored_once_at_most() {
        for tokens in 0..30 {
            for length in 1..8 {
                for stride in 1..=length {
                    let windows = windows(tokens, length, stride, true);
                    let scored: Vec<usize> = windows.iter().flat_map(|w| w.scored..w.end).collect();
                    assert_eq!(scored, (0..tokens).collect::<Vec<_>>(), "{tokens} {length} {stride}");
                    assert!(windows.iter().all(|w| w.end - w.start <= length));
                }
            }
        }
        assert!(all(0, 4, 4, true).is_empty() && all(5, 0, 1, true).is_empty());
    }
}
