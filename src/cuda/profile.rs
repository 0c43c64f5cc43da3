//! When the processors of a GPU worked.

use crate::codec::device::wire::Report;

/// When and where the chunks of a batch were decoded, by the GPU's own clock.
#[derive(Debug)]
pub struct Profile {
    /// Sorted by processor and beginning.
    reports: Vec<Report>,
    processors: u32,
}

impl Profile {
    /// From a batch's reports, on a GPU of so many processors.
    ///
    /// # Panics
    /// If it has none.
    pub fn new(reports: &[u8], processors: u32) -> Self {
        assert!(processors > 0, "a GPU without processors");
        let mut reports: Vec<Report> = reports.as_chunks().0.iter().map(Report::of).collect();
        reports.retain(|report| report.end > 0);
        reports.sort_unstable_by_key(|report| (report.processor, report.begin));
        Self { reports, processors }
    }

    /// Chunks that were decoded.
    pub fn chunks(&self) -> usize {
        self.reports.len()
    }

    /// Seconds from the first chunk's beginning to the last one's end.
    pub fn seconds(&self) -> f64 {
        let begin = self.reports.iter().map(|report| report.begin).min();
        let end = self.reports.iter().map(|report| report.end).max();
        end.unwrap_or(0).saturating_sub(begin.unwrap_or(0)) as f64 / 1e9
    }

    /// The share of that time in which a processor was decoding, a chunk or several, over all processors of the GPU.
    /// Not how much of what it could do it did meanwhile.
    pub fn busy(&self) -> f64 {
        let (mut nanoseconds, mut last) = (0, (u32::MAX, 0));
        for report in &self.reports {
            let until = if last.0 == report.processor { last.1 } else { 0 };
            nanoseconds += report.end.saturating_sub(report.begin.max(until));
            last = (report.processor, report.end.max(until));
        }
        let all = self.seconds() * f64::from(self.processors);
        if all > 0.0 { nanoseconds as f64 / 1e9 / all } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(chunks: &[(u32, u64, u64)], processors: u32) -> Profile {
        let report = |&(processor, begin, end): &(u32, u64, u64)| Report {
            begin,
            end,
            status: 0,
            processor,
        };
        let bytes = chunks.iter().flat_map(|chunk| report(chunk).bytes());
        Profile::new(&bytes.collect::<Vec<_>>(), processors)
    }

    #[test]
    fn time_with_two_chunks_counts_once() {
        let both = profile(&[(0, 100, 200), (1, 100, 150), (0, 150, 200), (1, 120, 140)], 2);
        assert_eq!(both.chunks(), 4);
        assert_eq!(both.busy(), 0.75);
        assert_eq!(both.seconds(), 1e-7);
    }

    #[test]
    fn processors_without_work_are_idle() {
        assert_eq!(profile(&[(3, 10, 20), (3, 20, 30)], 4).busy(), 0.25);
        assert_eq!(profile(&[(0, 0, 0)], 4).busy(), 0.0, "it has not run");
    }
}
