//! The counts of one pane: the interface between sources and the engine.

use std::ops::AddAssign;

use gomon_common::{Address, Endpoint};

use super::{ContactTimes, HyperLogLog, Ledger, Senders, Span, Timestamp};

/// The number of packets and of their bytes on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The number of packets.
    pub packets: u64,
    /// The length of their frames in bytes, link-layer headers included.
    pub bytes: u64,
}

impl Counts {
    /// Returns the counts of one packet in a frame of `length` bytes.
    #[must_use]
    pub fn frame(length: u32) -> Self {
        Self { packets: 1, bytes: u64::from(length) }
    }
}

impl AddAssign for Counts {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

/// Traffic to unlisted destinations, which are those that exceed the capacity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overflow {
    /// Packets to unlisted endpoints, including those to unlisted hosts.
    pub endpoints: Counts,
    /// Packets to unlisted hosts.
    pub hosts: Counts,
    /// A sketch of the unlisted hosts, if there are any.
    pub distinct: Option<HyperLogLog>,
}

impl Overflow {
    /// Adds a packet to an unlisted host with this [`hash`](gomon_common::hash::hash).
    pub(super) fn add_unlisted(&mut self, hash: u64, frame: Counts) {
        self.endpoints += frame;
        self.hosts += frame;
        self.distinct.get_or_insert_default().insert_hash(hash);
    }
}

impl AddAssign<&Self> for Overflow {
    fn add_assign(&mut self, other: &Self) {
        self.endpoints += other.endpoints;
        self.hosts += other.hosts;
        if let Some(theirs) = &other.distinct {
            self.distinct.get_or_insert_default().merge(theirs);
        }
    }
}

/// The source of the packets to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketSource {
    /// A single source.
    One(Address),
    /// More than one source.
    Several,
}

impl AddAssign for PacketSource {
    fn add_assign(&mut self, other: Self) {
        if *self != other {
            *self = Self::Several;
        }
    }
}

/// The counts of one pane, or of a window, which is the sum of its panes.
///
/// Every source upholds these invariants: `hosts` and `endpoints` are sorted by key, without duplicates. The
/// ledger's `counted` equals the packets of `endpoints` and `overflow.endpoints` together, and also those of
/// `hosts` and `overflow.hosts` together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowCounts {
    /// The time it covers. A pane of a live capture may be longer than its nominal length, never shorter.
    pub span: Span,
    /// If the clock was set during the pane, the latest known time before that, by the old clock. The pane's
    /// real end is unknown: `span.end` is its nominal one.
    pub truncated_at: Option<Timestamp>,
    /// The frames by outcome.
    pub ledger: Ledger,
    /// Destination hosts, ascending.
    pub hosts: Vec<(Address, Counts)>,
    /// Destination endpoints, ascending.
    pub endpoints: Vec<(Endpoint, Counts)>,
    /// Traffic to unlisted destinations.
    pub overflow: Overflow,
    /// The endpoints with a contact attempt or a reply in this pane, with the times, ascending. They need not be
    /// among `endpoints`: a reply may be to an attempt in an earlier pane.
    pub contacts: Vec<(Endpoint, ContactTimes)>,
    /// Whether packets to the bot were visible, so that `contacts` includes UDP replies.
    pub both_directions: bool,
    /// For [`Sources::Any`](super::Sources::Any): the source of the packets to each of `endpoints`, ascending.
    /// Otherwise empty.
    pub endpoint_sources: Vec<(Endpoint, PacketSource)>,
    /// The senders seen since the start of the run, if the bot's address may be wrong: no packet was the bot's,
    /// or, with [`Sources::Any`](super::Sources::Any), two hosts sent to each other. Each pane has it until it is
    /// [sufficient](Senders::is_sufficient); sums of panes do not.
    pub senders: Senders,
}

impl WindowCounts {
    /// Returns the counts of a pane without frames.
    #[must_use]
    pub fn empty(span: Span) -> Self {
        Self { span, ..Self::default() }
    }

    /// Builds the counts of a pane from a source's entries, in any order. `endpoints` are the counts of listed
    /// endpoints; those of one endpoint may be split over several entries. `hosts` are, per listed host, the
    /// counts of its unlisted endpoints.
    #[must_use]
    pub fn from_entries(
        span: Span,
        ledger: Ledger,
        mut endpoints: Vec<(Endpoint, Counts)>,
        mut hosts: Vec<(Address, Counts)>,
        overflow: Overflow,
    ) -> Self {
        merge_by_key(&mut endpoints);
        hosts.extend(endpoints.iter().map(|(endpoint, counts)| (endpoint.address(), *counts)));
        merge_by_key(&mut hosts);
        Self { span, ledger, hosts, endpoints, overflow, ..Self::default() }
    }

    /// Sets the contacts, in any order; those of one endpoint may be split over several entries. The
    /// times are clamped to the pane.
    #[must_use]
    pub fn with_contacts(
        mut self,
        contacts: Vec<(Endpoint, ContactTimes)>,
        both_directions: bool,
    ) -> Self {
        self.contacts = contacts;
        self.contacts.retain(|(_, contacts)| !contacts.is_empty());
        self.contacts
            .iter_mut()
            .for_each(|(_, contacts)| *contacts = contacts.clamped_to(self.span));
        merge_by_key(&mut self.contacts);
        self.both_directions = both_directions;
        self
    }

    /// The end of the time that was certainly observed: the pane's end, or earlier if the clock was set.
    #[must_use]
    pub fn observed_until(&self) -> Timestamp {
        self.truncated_at.unwrap_or(self.span.end)
    }

    /// Sets the sources of packets, in any order; those of one endpoint may be split over several entries.
    #[must_use]
    pub fn with_endpoint_sources(mut self, sources: Vec<(Endpoint, PacketSource)>) -> Self {
        self.endpoint_sources = sources;
        merge_by_key(&mut self.endpoint_sources);
        self
    }

    /// Returns the sources of the packets of several panes.
    pub(super) fn sum_endpoint_sources<'a>(
        panes: impl IntoIterator<Item = &'a Self>,
    ) -> Vec<(Endpoint, PacketSource)> {
        let mut sum: Vec<_> =
            panes.into_iter().flat_map(|pane| &pane.endpoint_sources).copied().collect();
        merge_by_key(&mut sum);
        sum
    }

    /// Whether no packet was counted.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.ledger.counted == 0
    }

    /// The total of all counted packets.
    #[must_use]
    pub fn total(&self) -> Counts {
        let mut total = self.overflow.hosts;
        self.hosts.iter().for_each(|(_, counts)| total += *counts);
        total
    }

    /// Returns the sum of consecutive panes, the earliest first.
    #[must_use]
    pub fn sum<'a>(panes: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut panes = panes.into_iter();
        let Some(first) = panes.next() else { return Self::default() };
        let mut sum = Self { senders: Senders::default(), ..first.clone() };
        for pane in panes {
            sum.span.end = pane.span.end;
            sum.ledger += &pane.ledger;
            sum.overflow += &pane.overflow;
            sum.hosts.extend_from_slice(&pane.hosts);
            sum.endpoints.extend_from_slice(&pane.endpoints);
            sum.contacts.extend_from_slice(&pane.contacts);
            sum.endpoint_sources.extend_from_slice(&pane.endpoint_sources);
            sum.both_directions |= pane.both_directions;
        }
        // The lists of a single pane are sorted already, so this is linear for it.
        merge_by_key(&mut sum.hosts);
        merge_by_key(&mut sum.endpoints);
        merge_by_key(&mut sum.contacts);
        merge_by_key(&mut sum.endpoint_sources);
        sum
    }
}

/// Sorts a list by key and merges the values of equal keys.
fn merge_by_key<K: Ord + Copy, V: AddAssign + Copy>(list: &mut Vec<(K, V)>) {
    list.sort_unstable_by_key(|(key, _)| *key);
    list.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_one_endpoint_are_summed() {
        let endpoint = |host, port| Endpoint::new(Address::v4([192, 0, 2, host]), 17, port);
        let counts = |packets| Counts { packets, bytes: packets * 60 };
        let entries = [((2, 53), 1), ((1, 80), 2), ((2, 53), 4), ((2, 54), 8), ((2, 53), 16)];
        let entries =
            entries.map(|((host, port), packets)| (endpoint(host, port), counts(packets)));
        let unlisted_endpoints = vec![(endpoint(2, 0).address(), counts(32))];
        let (span, ledger, overflow) = <(Span, Ledger, Overflow)>::default();
        let window = WindowCounts::from_entries(
            span,
            ledger,
            entries.to_vec(),
            unlisted_endpoints,
            overflow,
        );
        let sums = [(endpoint(1, 80), 2), (endpoint(2, 53), 21), (endpoint(2, 54), 8)];
        assert_eq!(window.endpoints, sums.map(|(endpoint, packets)| (endpoint, counts(packets))));
        let hosts = window.hosts.iter().map(|(_, counts)| counts.packets);
        assert_eq!(hosts.collect::<Vec<_>>(), [2, 61]);
    }
}
