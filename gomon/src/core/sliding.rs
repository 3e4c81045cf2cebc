//! The sum of the panes of a window, kept up while it slides.
//!
//! A step brings one pane and takes one away. Summing all panes anew at each step would cost the square of
//! their number.

use std::collections::{BTreeMap, VecDeque};

use gomon_common::{Address, Endpoint};

use super::{Counts, WindowCounts};

/// What the panes at hand list, added up.
#[derive(Debug, Default)]
pub(super) struct Sliding {
    hosts: BTreeMap<Address, Share>,
    endpoints: BTreeMap<Endpoint, Share>,
}

/// What one destination got, and how many panes list it.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    counts: Counts,
    panes: u64,
}

impl Sliding {
    /// Adds a pane.
    pub(super) fn add(&mut self, pane: &WindowCounts) {
        add(&mut self.hosts, &pane.hosts);
        add(&mut self.endpoints, &pane.endpoints);
    }

    /// Takes away a pane that was added.
    pub(super) fn remove(&mut self, pane: &WindowCounts) {
        remove(&mut self.hosts, &pane.hosts);
        remove(&mut self.endpoints, &pane.endpoints);
    }

    /// The sum of `panes`, which are those that were added and not removed: what [`WindowCounts::sum`]
    /// says. What a pane has beside its lists is little, and added up here.
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
        sum.origins = WindowCounts::sum_origins(panes);
        sum.hosts = self.hosts.iter().map(|(host, share)| (*host, share.counts)).collect();
        let endpoints = self.endpoints.iter();
        sum.endpoints = endpoints.map(|(endpoint, share)| (*endpoint, share.counts)).collect();
        sum
    }
}

fn add<K: Ord + Copy>(shares: &mut BTreeMap<K, Share>, list: &[(K, Counts)]) {
    for (key, counts) in list {
        let share = shares.entry(*key).or_default();
        share.counts += *counts;
        share.panes += 1;
    }
}

fn remove<K: Ord>(shares: &mut BTreeMap<K, Share>, list: &[(K, Counts)]) {
    for (key, counts) in list {
        let Some(share) = shares.get_mut(key) else { continue };
        share.counts.packets -= counts.packets;
        share.counts.bytes -= counts.bytes;
        share.panes -= 1;
        if share.panes == 0 {
            shares.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{HyperLogLog, Ledger, Overflow, Span, Timestamp};
    use super::*;

    /// A pane from the destinations it lists, and a host past them.
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
        WindowCounts::from_parts(
            span,
            ledger,
            endpoints,
            vec![(host(0), Counts::default())],
            overflow,
        )
    }

    proptest! {
        #[test]
        fn is_the_sum_of_the_panes_at_every_step(
            panes in prop::collection::vec(
                (prop::collection::vec((0u8..6, 0u16..3, 60u32..1500), 0..20), prop::option::of(6u8..20)),
                1..30,
            ),
            length in 1usize..8,
        ) {
            let mut sliding = Sliding::default();
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
