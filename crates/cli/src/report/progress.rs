//! The progress bar and the interval lines: for a person at a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Interval;

/// Draws on standard error, or nowhere. The bar is redrawn by [`Progress::update`] alone, at most as often as its
/// caller calls it: there is no thread beside the loop.
pub(crate) struct Progress {
    bar: ProgressBar,
}

/// What a bar counts.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Goal {
    /// Until so many bytes are acknowledged.
    Bytes(u64),
    /// Until so much time passed.
    Time(Duration),
}

impl Progress {
    /// A bar towards `goal`; draws nothing unless `interactive`.
    pub(crate) fn new(goal: Goal, interactive: bool) -> Progress {
        let target =
            if interactive { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        let (length, template) = match goal {
            Goal::Bytes(bytes) => (bytes, "{bar:32} {percent:>3} %  {msg}  {eta} left"),
            Goal::Time(time) => (time.as_millis() as u64, "{bar:32} {percent:>3} %  {msg}"),
        };
        let bar = ProgressBar::with_draw_target(Some(length), target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸ "));
        }
        Progress { bar }
    }

    /// Moves the bar.
    pub(crate) fn update(&self, position: u64, message: impl Into<std::borrow::Cow<'static, str>>) {
        self.bar.set_message(message);
        self.bar.set_position(position);
    }

    /// Prints an interval line above the bar.
    pub(crate) fn line(&self, interval: &Interval) {
        self.bar.println(interval.to_string());
    }

    /// Prints a remark on standard error, whoever watches: above the bar where there is one.
    pub(crate) fn remark(&self, text: &str) {
        self.bar.suspend(|| eprintln!("tsonami: {text}"));
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
