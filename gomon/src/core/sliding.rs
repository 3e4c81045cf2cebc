//! The sum of the panes of a sliding window, updated at each step.
//!
//! A step adds one pane and removes one. Summing all panes at each step would make the cost of a window
//! quadratic in their number.

use std::collections::{BTreeMap, VecDeque};

use gomon_common::{Address, Endpoint};

use super::{Counts, WindowCounts};

/// The sums of the hosts and endpoints that the panes of a window list.
#[derive(Debug, Default)]
pub(super) struct SlidingSum {
    hosts: BTreeMap<Address, SlidingEntry>,
    endpoints: BTreeMap<Endpoint, SlidingEntry>,
}

/// The counts of one destination, and how many panes list it.
#[derive(Clone, Copy, Debug, Default)]
struct SlidingEntry {
    counts: Counts,
    panes: u64,
}

impl SlidingSum {
    /// Adds a pane.
    pub(super) fn add(&mut self, pane: &WindowCounts) {
        add(&mut self.hosts, &pane.hosts);
        add(&mut self.endpoints, &pane.endpoints);
    }

    /// Removes a pane that was added.
    pub(super) fn remove(&mut self, pane: &WindowCounts) {
        remove(&mut self.hosts, &pane.hosts);
        remove(&mut self.endpoints, &pane.endpoints);
    }

    /// Returns the sum of `panes`, which must be those that were added and not removed. The result equals
    /// [`WindowCounts::sum`]. Only the sums of hosts and endpoints are kept between steps; the other fields are
    /// summed here, which is cheap.
    pub(super) fn sum(&self, panes: &VecDeque<WindowCounts>) -> WindowCounts {
        let mut sum = WindowCounts::default();
        if let (Some(first), Some(last)) = (panes.front(), panes.back()) {
            (sum.span.start, sum.span.end) = (first.span.start, last.span.end);
        }
        for pane in panes {
            sum.ledger += &pane.ledger;
            sum.overflow += &pane.overflow;
            sum.both_directions |= pane.both_directions;
        }
        sum.endpoint_sources = WindowCounts::sum_endpoint_sources(panes);
        sum.hosts = self.hosts.iter().map(|(host, entry)| (*host, entry.counts)).collect();
        let endpoints = self.endpoints.iter();
        sum.endpoints = endpoints.map(|(endpoint, entry)| (*endpoint, entry.counts)).collect();
        sum
    }
}

fn add<K: Ord + Copy>(entries: &mut BTreeMap<K, SlidingEntry>, list: &[(K, Counts)]) {
    for (key, counts) in list {
        let entry = entries.entry(*key).or_default();
        entry.counts += *counts;
        entry.panes += 1;
    }
}

fn remove<K: Ord>(entries: &mut BTreeMap<K, SlidingEntry>, list: &[(K, Counts)]) {
    for (key, counts) in list {
        let Some(entry) = entries.get_mut(key) else { continue };
        entry.counts.packets -= counts.packets;
        entry.counts.bytes -= counts.bytes;
        entry.panes -= 1;
        if entry.panes == 0 {
            entries.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{HyperLogLog, Ledger, Overflow, Span, Timestamp};
    use super::*;

    /// A pane of the given listed endpoints, and an unlisted host.
    fn pane(number: i64, listed: &[(u8, u16, u32)], unlisted: Option<u8>) -> WindowCounts {
        let host = |n| Address::v4([192, 0, 2, n]);
        let mut endpoints: BTreeMap<Endpoint, Counts> = BTreeMap::new();
        for &(n, port, length) in listed {
            *endpoints.entry(Endpoint::new(host(n), 17, port)).or_default() +=
                Counts::frame(length);
        }
        let mut overflow = Overflow::default();
        if let Some(n) = unlisted {
            overflow.hosts += Counts::frame(60);
            overflow.endpoints += Counts::frame(60);
            overflow.distinct.get_or_insert_with(HyperLogLog::default).insert(host(n));
        }
        let counted = listed.len() as u64 + u64::from(unlisted.is_some());
        let ledger = Ledger { counted, not_ip: listed.len() as u64, ..Ledger::default() };
        let span = Span::starting(Timestamp::from_nanoseconds(number * 10), 10);
        let endpoints = endpoints.into_iter().collect();
        WindowCounts::from_entries(
            span,
            ledger,
            endpoints,
            vec![(host(0), Counts::default())],
            overflow,
        )
    }

    proptest! {
        #[test]
        fn equals_the_sum_of_the_panes_at_every_step(
            panes in prop::collection::vec(
                (prop::collection::vec((0u8..6, 0u16..3, 60u32..1500), 0..20), prop::option::of(6u8..20)),
                1..30,
            ),
            length in 1usize..8,
        ) {
            let mut sliding = SlidingSum::default();
            let mut window = VecDeque::new();
            for ((listed, unlisted), number) in panes.iter().zip(0..) {
                if window.len() == length
                    && let Some(oldest) = window.pop_front()
                {
                    sliding.remove(&oldest);
                }
                let pane = pane(number, listed, *unlisted);
                sliding.add(&pane);
                window.push_back(pane);
                prop_assert_eq!(sliding.sum(&window), WindowCounts::sum(&window));
            }
        }
    }
}
