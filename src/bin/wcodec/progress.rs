//! Progress of long work: a bar on a terminal, now and then a line elsewhere; and Ctrl-C.

use crate::Global;
use crate::output;
use crate::table::shorten;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);
/// What is done so soon was not done now.
const AT_ONCE: Duration = Duration::from_millis(20);
/// Characters of a tensor's name beside the bar.
const NAME_WIDTH: usize = 40;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Shows how far the work is.
pub(crate) struct Display {
    /// What is being done: `encoding`.
    action: &'static str,
    /// What is counted, if not bytes.
    noun: Option<&'static str>,
    view: View,
    warnings: Mutex<Vec<String>>,
}

enum View {
    Quiet,
    Bar(ProgressBar),
    Lines(Mutex<Lines>),
}

struct Lines {
    total: u64,
    done: u64,
    /// What was done before, by a run that this one goes on with: it came at once.
    before: u64,
    begun: Instant,
    last: Instant,
}

impl Display {
    /// A display on stderr, if the flags allow one. From here on, Ctrl-C asks the work to stop.
    pub(crate) fn new(action: &'static str, global: &Global) -> Self {
        Self::build(action, None, global)
    }

    /// The same for work that is counted in something else than bytes, such as tokens.
    #[cfg(feature = "eval")]
    pub(crate) fn counting(action: &'static str, noun: &'static str, global: &Global) -> Self {
        Self::build(action, Some(noun), global)
    }

    fn build(action: &'static str, noun: Option<&'static str>, global: &Global) -> Self {
        stop_on_interrupt();
        let view = if global.quiet {
            View::Quiet
        } else if std::io::stderr().is_terminal() {
            let rate = if noun.is_some() {
                "per_sec"
            } else {
                "decimal_bytes_per_sec"
            };
            let template =
                format!("{{prefix}} {{bar:24}} {{percent:>3}}%  {{{rate}:>12}}  eta {{eta:<4}} {{wide_msg}}");
            // The template is a constant; indicatif's own style is fine should it ever not parse.
            let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            let bar = bar.with_style(style).with_prefix(action);
            View::Bar(bar)
        } else {
            let now = Instant::now();
            View::Lines(Mutex::new(Lines {
                total: 0,
                done: 0,
                before: 0,
                begun: now,
                last: now,
            }))
        };
        let warnings = Mutex::default();
        Self {
            action,
            noun,
            view,
            warnings,
        }
    }

    /// What was not as it was asked for.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }
}

impl wcodec::Progress for Display {
    /// May come once for each file of a folder: totals add up.
    fn start(&self, total: u64) {
        match &self.view {
            View::Quiet => {}
            View::Bar(bar) => bar.inc_length(total),
            View::Lines(lines) => {
                let mut lines = lines.lock().unwrap_or_else(|e| e.into_inner());
                if lines.total == 0 {
                    // Something else may have been done since the display was made.
                    lines.begun = Instant::now();
                }
                lines.total += total;
            }
        }
    }

    fn advance(&self, bytes: u64, name: &str) {
        match &self.view {
            View::Quiet => {}
            View::Bar(bar) => {
                bar.set_message(shorten(name, NAME_WIDTH));
                bar.inc(bytes);
            }
            View::Lines(lines) => {
                let mut lines = lines.lock().unwrap_or_else(|e| e.into_inner());
                lines.done += bytes;
                if lines.begun.elapsed() < AT_ONCE {
                    lines.before = lines.done;
                }
                if lines.last.elapsed() >= LINE_EVERY {
                    lines.last = Instant::now();
                    eprintln!("{}", lines.text(self.action, self.noun));
                }
            }
        }
    }

    fn warn(&self, message: &str) {
        let mut warnings = self.warnings.lock().unwrap_or_else(|e| e.into_inner());
        warnings.push(message.to_owned());
        match &self.view {
            View::Quiet => {}
            View::Bar(bar) => bar.suspend(|| eprintln!("warning: {message}")),
            View::Lines(_) => eprintln!("warning: {message}"),
        }
    }

    fn cancelled(&self) -> bool {
        INTERRUPTED.load(Ordering::Relaxed)
    }
}

impl Lines {
    /// What this run has done itself.
    fn here(&self) -> u64 {
        self.done - self.before
    }

    fn text(&self, action: &str, noun: Option<&str>) -> String {
        let percent = (100 * self.done).checked_div(self.total).unwrap_or(100);
        let elapsed = self.begun.elapsed().as_secs_f64();
        // Of the first hundredth nothing follows yet.
        let left = match percent {
            0 => String::new(),
            _ => {
                let left = elapsed * self.total.saturating_sub(self.done) as f64 / self.here().max(1) as f64;
                format!(", {} left", output::duration(Duration::from_secs_f64(left)))
            }
        };
        if let Some(noun) = noun {
            let rate = self.here() as f64 / elapsed.max(1e-9);
            return format!("{action}: {percent}% of {} {noun}, {rate:.0}/s{left}", self.total);
        }
        let (done, total) = (output::bytes(self.done), output::bytes(self.total));
        let rate = output::rate(self.here(), elapsed);
        format!("{action}: {percent}% of {total} ({done}), {rate}{left}")
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
    }
}

/// The first Ctrl-C (or SIGTERM) asks the work to stop and clean up; the second ends the program.
fn stop_on_interrupt() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let handler = || {
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        };
        // Without a handler the system ends the program: its unfinished file has no final name.
        let _ = ctrlc::set_handler(handler);
    });
}
