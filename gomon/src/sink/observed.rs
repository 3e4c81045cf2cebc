//! What a run saw in all: its time, its packets, and the hosts that got most of them.
//!
//! Memory is bounded: [`KEPT`] hosts are counted each on their own, and what goes to others is counted
//! together.

use gomon_common::Address;
use indicatif::HumanCount;

use super::largest::{Largest, Weigh};
use super::words::{count, date, times};
use crate::core::{Counts, HyperLogLog, Span, WindowCounts, WindowReport};

/// Hosts that are counted each on their own, about 80 bytes each.
const KEPT: usize = 4096;
/// Hosts that are shown.
const SHOWN: usize = 5;

impl Weigh for Counts {
    fn weight(&self) -> u64 {
        self.packets
    }
}

/// All that was seen.
#[derive(Debug)]
pub(super) struct Observed {
    /// From the first window's start to the last one's end.
    span: Option<Span>,
    windows: u64,
    total: Counts,
    hosts: Largest<Address, Counts>,
    /// Packets to hosts that there was no room for in their window.
    unlisted: u64,
    /// All hosts, from where not all of them are kept.
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
    /// Enters what a pane counted.
    pub(super) fn pane(&mut self, counts: &WindowCounts) {
        self.unlisted += counts.overflow.hosts.packets;
        if let Some(unlisted) = &counts.overflow.distinct {
            self.estimate().merge(unlisted);
        }
        for (host, counts) in &counts.hosts {
            if self.hosts.is_full() {
                self.estimate();
            }
            *self.hosts.entry(*host) += *counts;
            if let Some(distinct) = &mut self.distinct {
                distinct.insert(*host);
            }
        }
    }

    /// The estimate of distinct hosts, which starts with those that are kept.
    fn estimate(&mut self) -> &mut HyperLogLog {
        let hosts = &self.hosts;
        self.distinct.get_or_insert_with(|| {
            let mut distinct = HyperLogLog::default();
            hosts.keys().for_each(|host| distinct.insert(*host));
            distinct
        })
    }

    /// Enters a window, or a run of silent ones.
    pub(super) fn window(&mut self, report: &WindowReport) {
        let span = self.span.get_or_insert(report.span);
        span.start = span.start.min(report.span.start);
        span.end = span.end.max(report.span.end);
        self.windows += report.windows;
        self.total = report.total_so_far;
    }

    /// Whether not all windows lie on one day.
    pub(super) fn is_of_several_days(&self) -> bool {
        self.span.is_some_and(|span| date(span.start) != date(span.end))
    }

    /// A line on time and packets, and one on the hosts that got most; none where nothing was seen.
    pub(super) fn lines(&self) -> Vec<String> {
        let Some(span) = self.span else { return Vec::new() };
        let several = self.is_of_several_days();
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
        let exact = self.hosts.dropped().entries == 0;
        let known = self.hosts.len() - top.len();
        let more = if exact && self.unlisted == 0 {
            count(known as u64, "other host")
        } else {
            let others = self.distinct.as_ref().map_or(known as u64, HyperLogLog::estimate);
            let others = others.saturating_sub(top.len() as u64);
            format!("about {}", count(others.max(known as u64), "other host"))
        };
        let named: u64 = top.iter().map(|(_, counts)| counts.packets).sum();
        let others = self.total.packets.saturating_sub(named);
        if others > 0 {
            parts.push(format!("{more} {}", HumanCount(others)));
        }
        // What was sent to a host before it had to go for heavier ones is among the others'.
        let least = if exact { "" } else { ", at least" };
        Some(format!("Top destinations{least}: {}", parts.join(", ")))
    }
}
