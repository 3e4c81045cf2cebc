//! The verdicts on a bot so far, for its status.

use crate::core::{Timestamp, Verdict, WindowReport};

/// The numbers of windows and verdicts of a bot.
#[derive(Clone, Debug, Default)]
pub struct BotProgress {
    /// Windows that were judged.
    pub windows: u64,
    /// Verdicts by class, in the order of [`BotProgress::CLASSES`].
    pub verdicts: [u64; 6],
    /// The latest window with a verdict other than `connection` and `idle`: its classes, and its end.
    pub latest: Option<(String, Timestamp)>,
}

impl BotProgress {
    /// The classes of verdicts.
    pub const CLASSES: [&str; 6] =
        ["attack", "vertical_scan", "scan", "sweep", "connection", "idle"];

    pub(super) fn add(&mut self, report: &WindowReport) {
        self.windows += report.windows;
        let mut classes: Vec<&str> = Vec::new();
        for verdict in &report.verdicts {
            let class = match verdict {
                Verdict::Attack { .. } => 0,
                Verdict::VerticalScan { .. } => 1,
                Verdict::Scan { .. } => 2,
                Verdict::Sweep { .. } => 3,
                Verdict::Connection { .. } => 4,
                Verdict::Idle => 5,
            };
            self.verdicts[class] += if class == 5 { report.windows } else { 1 };
            if class < 4 && !classes.contains(&Self::CLASSES[class]) {
                classes.push(Self::CLASSES[class]);
            }
        }
        if !classes.is_empty() {
            self.latest = Some((classes.join(", "), report.span.end));
        }
    }
}
