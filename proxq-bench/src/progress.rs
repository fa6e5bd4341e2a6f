//! The progress bar, on standard error: which measure runs, which row of which round.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on a terminal, nothing elsewhere.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// For so many measures.
    pub(crate) fn new(measures: usize) -> Self {
        let style = ProgressStyle::with_template("{elapsed:>4} {bar:20} {pos}/{len} {prefix}: {msg}")
            .expect("the template is a constant, and valid");
        let bar = ProgressBar::new(u64::try_from(measures).unwrap_or(u64::MAX)).with_style(style);
        bar.tick();
        Self(bar)
    }

    /// The next measure begins.
    pub(crate) fn begin(&self, measure: &'static str) {
        self.0.set_prefix(measure);
        self.0.set_message("starts");
    }

    /// Something else is measured from now on.
    pub(crate) fn step(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    /// A measure has ended; `result` is printed above the bar, to standard output.
    pub(crate) fn end(&self, result: &str) {
        self.0.suspend(|| println!("{result}"));
        self.0.inc(1);
    }

    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
