//! The observed traffic of a run: its time span, its packets, and the busiest destination hosts.
//!
//! Memory is bounded: [`KEPT`] hosts are counted individually, and the others together.

use gomon_common::Address;
use indicatif::HumanCount;

use super::largest::{Largest, Weigh};
use super::words::{count, date, times};
use crate::core::{Counts, HyperLogLog, Span, WindowCounts, WindowReport};

/// The maximum number of hosts that are counted individually, about 80 bytes each.
const KEPT: usize = 4096;
/// The number of hosts that are shown.
const SHOWN: usize = 5;

impl Weigh for Counts {
    fn weight(&self) -> u64 {
        self.packets
    }
}

/// The observed traffic.
#[derive(Debug)]
pub(super) struct Observed {
    /// From the start of the first window to the end of the last one.
    span: Option<Span>,
    windows: u64,
    total: Counts,
    hosts: Largest<Address, Counts>,
    /// Packets to hosts that were unlisted in their pane.
    unlisted: u64,
    /// A sketch of all hosts, once not all of them are counted individually.
    distinct: Option<HyperLogLog>,
}

impl Default for Observed {
    fn default() -> Self {
        Self {
            span: None,
            windows: 0,
            total: Counts::default(),
            hosts: Largest::of_sums(KEPT),
            unlisted: 0,
            distinct: None,
        }
    }
}

impl Observed {
    /// Adds the counts of a pane.
    pub(super) fn add_pane(&mut self, counts: &WindowCounts) {
        self.unlisted += counts.overflow.hosts.packets;
        if let Some(unlisted) = &counts.overflow.distinct {
            self.sketch().merge(unlisted);
        }
        for (host, counts) in &counts.hosts {
            if self.hosts.is_full() {
                self.sketch();
            }
            *self.hosts.entry(*host) += *counts;
            if let Some(distinct) = &mut self.distinct {
                distinct.insert(*host);
            }
        }
    }

    /// Returns the sketch of all hosts. A new one starts with the hosts that are counted individually.
    fn sketch(&mut self) -> &mut HyperLogLog {
        let hosts = &self.hosts;
        self.distinct.get_or_insert_with(|| {
            let mut distinct = HyperLogLog::default();
            hosts.keys().for_each(|host| distinct.insert(*host));
            distinct
        })
    }

    /// Adds the report of a window, or of a series of silent ones.
    pub(super) fn add_window(&mut self, report: &WindowReport) {
        let span = self.span.get_or_insert(report.span);
        span.start = span.start.min(report.span.start);
        span.end = span.end.max(report.span.end);
        self.windows += report.windows;
        self.total = report.cumulative_total;
    }

    /// Whether the windows span several days.
    pub(super) fn spans_several_days(&self) -> bool {
        self.span.is_some_and(|span| date(span.start) != date(span.end))
    }

    /// Returns a line about time and packets, and one about the busiest hosts; no lines if there was no window.
    pub(super) fn lines(&self) -> Vec<String> {
        let Some(span) = self.span else { return Vec::new() };
        let several = self.spans_several_days();
        let date = if several { String::new() } else { format!("{} ", date(span.start)) };
        let observed = format!(
            "Observed: {date}{} UTC, {}, {}, {}",
            times(span, several),
            count(self.windows, "window"),
            count(self.total.packets, "packet"),
            count(self.total.bytes, "byte"),
        );
        [observed].into_iter().chain(self.top_destinations()).collect()
    }

    fn top_destinations(&self) -> Option<String> {
        let top = self.hosts.heaviest(SHOWN);
        if top.is_empty() {
            return None;
        }
        let mut parts: Vec<_> = top
            .iter()
            .map(|(host, counts)| format!("{host} {}", count(counts.packets, "packet")))
            .collect();
        let exact = self.hosts.evicted().entries == 0;
        let counted = self.hosts.len() - top.len();
        let more = if exact && self.unlisted == 0 {
            count(counted as u64, "other host")
        } else {
            let others = self.distinct.as_ref().map_or(counted as u64, HyperLogLog::estimate);
            let others = others.saturating_sub(top.len() as u64);
            format!("about {}", count(others.max(counted as u64), "other host"))
        };
        let named: u64 = top.iter().map(|(_, counts)| counts.packets).sum();
        let others = self.total.packets.saturating_sub(named);
        if others > 0 {
            parts.push(format!("{more} {}", HumanCount(others)));
        }
        // Packets that were sent to a host before it was evicted are counted for the other hosts.
        let least = if exact { "" } else { ", at least" };
        Some(format!("Top destinations{least}: {}", parts.join(", ")))
    }
}
