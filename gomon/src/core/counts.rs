//! What one pane of time counted: the seam between sources and the engine.

use std::ops::AddAssign;

use gomon_common::{Address, Endpoint};

use super::{ContactTimes, HyperLogLog, Ledger, Origin, Senders, Span, Timestamp};

/// Packets and their bytes, as long as the frames were on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets.
    pub packets: u64,
    /// Bytes of their frames, link-layer header included.
    pub bytes: u64,
}

impl Counts {
    /// One packet in a frame of `length` bytes.
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

/// What went to destinations that there was no room for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overflow {
    /// Packets to endpoints that are not listed, those to hosts that are not listed included.
    pub endpoints: Counts,
    /// Packets to hosts that are not listed.
    pub hosts: Counts,
    /// The hosts that are not listed; present when there are any.
    pub distinct: Option<HyperLogLog>,
}

impl Overflow {
    /// Enters a packet to a host that is not listed and has this [`hash`](gomon_common::hash::hash).
    pub(super) fn enter_unlisted(&mut self, hash: u64, frame: Counts) {
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

/// The counts of one pane, or of the window that is a sum of panes.
///
/// Every source fills it in the same way: `hosts` and `endpoints` sorted, each key once; the packets
/// of the ledger's `counted` are those of `endpoints` and `overflow.endpoints` together, and those of
/// `hosts` and `overflow.hosts` together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowCounts {
    /// The time it covers. A live pane may come out longer than its nominal length, never shorter.
    pub span: Span,
    /// Of a pane in which the clock was set, the last moment before that at which anything is known to
    /// have been seen. How long it went on after that, its span does not tell.
    pub cut: Option<Timestamp>,
    /// What became of every frame.
    pub ledger: Ledger,
    /// Destination hosts, ascending.
    pub hosts: Vec<(Address, Counts)>,
    /// Destination endpoints, ascending.
    pub endpoints: Vec<(Endpoint, Counts)>,
    /// What there was no room for.
    pub overflow: Overflow,
    /// Of the destination endpoints, those that show a contact attempt or a reply, ascending; also endpoints
    /// of the pane before that answered in this one.
    pub contacts: Vec<(Endpoint, ContactTimes)>,
    /// Whether what goes to the bot could be seen, so that the answers to UDP are among the contacts.
    pub both_directions: bool,
    /// Of every destination endpoint, ascending, where its packets came from; nothing where that is the
    /// bot.
    pub origins: Vec<(Endpoint, Origin)>,
    /// Where there is doubt about who the bot is, those who sent: although nothing was the bot's, or to
    /// each other although everything is. Those since the start of the run, in each pane until there are
    /// [enough](Senders::are_enough), and in no sum of panes.
    pub senders: Senders,
}

impl WindowCounts {
    /// A pane in which nothing was seen.
    #[must_use]
    pub fn empty(span: Span) -> Self {
        Self { span, ..Self::default() }
    }

    /// The counts of a pane from what a source kept, in any order: per endpoint all that went there, in
    /// several pieces if need be, per known host what went to endpoints of it that are not listed.
    #[must_use]
    pub fn from_parts(
        span: Span,
        ledger: Ledger,
        mut endpoints: Vec<(Endpoint, Counts)>,
        mut hosts: Vec<(Address, Counts)>,
        overflow: Overflow,
    ) -> Self {
        add_up(&mut endpoints);
        hosts.extend(endpoints.iter().map(|(endpoint, counts)| (endpoint.address(), *counts)));
        add_up(&mut hosts);
        Self { span, ledger, hosts, endpoints, overflow, ..Self::default() }
    }

    /// The same with the contacts of contacts, in any order, and several of an endpoint if need be. Their
    /// times are moved into the pane.
    #[must_use]
    pub fn with_contacts(
        mut self,
        contacts: Vec<(Endpoint, ContactTimes)>,
        both_directions: bool,
    ) -> Self {
        self.contacts = contacts;
        self.contacts.retain(|(_, contacts)| !contacts.is_empty());
        self.contacts.iter_mut().for_each(|(_, contacts)| *contacts = contacts.within(self.span));
        add_up(&mut self.contacts);
        self.both_directions = both_directions;
        self
    }

    /// Up to when it is known what was not seen.
    #[must_use]
    pub fn watched_until(&self) -> Timestamp {
        self.cut.unwrap_or(self.span.end)
    }

    /// The same with where packets came from, in any order.
    #[must_use]
    pub fn with_origins(mut self, origins: Vec<(Endpoint, Origin)>) -> Self {
        self.origins = origins;
        add_up(&mut self.origins);
        self
    }

    /// Where the packets of panes came from.
    pub(super) fn sum_origins<'a>(
        panes: impl IntoIterator<Item = &'a Self>,
    ) -> Vec<(Endpoint, Origin)> {
        let mut sum: Vec<_> = panes.into_iter().flat_map(|pane| &pane.origins).copied().collect();
        add_up(&mut sum);
        sum
    }

    /// Whether the bot sent nothing that counts.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.ledger.counted == 0
    }

    /// All that was counted.
    #[must_use]
    pub fn total(&self) -> Counts {
        let mut total = self.overflow.hosts;
        self.hosts.iter().for_each(|(_, counts)| total += *counts);
        total
    }

    /// The sum of panes that lie side by side in time, the earliest first.
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
            sum.origins.extend_from_slice(&pane.origins);
            sum.both_directions |= pane.both_directions;
        }
        // Of a pane alone this finds the lists in order, and takes a look at each entry.
        add_up(&mut sum.hosts);
        add_up(&mut sum.endpoints);
        add_up(&mut sum.contacts);
        add_up(&mut sum.origins);
        sum
    }
}

/// Sorts a list and adds up the values of each key, so that it stands there once.
fn add_up<K: Ord + Copy, V: AddAssign + Copy>(list: &mut Vec<(K, V)>) {
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
    fn pieces_of_an_endpoint_are_added_up() {
        let endpoint = |host, port| Endpoint::new(Address::v4([192, 0, 2, host]), 17, port);
        let counts = |packets| Counts { packets, bytes: packets * 60 };
        let pieces = [((2, 53), 1), ((1, 80), 2), ((2, 53), 4), ((2, 54), 8), ((2, 53), 16)];
        let pieces = pieces.map(|((host, port), packets)| (endpoint(host, port), counts(packets)));
        let beside = vec![(endpoint(2, 0).address(), counts(32))];
        let (span, ledger, overflow) = <(Span, Ledger, Overflow)>::default();
        let window = WindowCounts::from_parts(span, ledger, pieces.to_vec(), beside, overflow);
        let whole = [(endpoint(1, 80), 2), (endpoint(2, 53), 21), (endpoint(2, 54), 8)];
        assert_eq!(window.endpoints, whole.map(|(endpoint, packets)| (endpoint, counts(packets))));
        let hosts = window.hosts.iter().map(|(_, counts)| counts.packets);
        assert_eq!(hosts.collect::<Vec<_>>(), [2, 61]);
    }
}
