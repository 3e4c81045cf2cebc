//! The last packets of every host, in bounded memory.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};
use gomon_common::{Address, LinkType};
use hashbrown::HashMap;

use crate::core::Timestamp;

/// What all packets together may take, in bytes.
pub const MEMORY: usize = 64 << 20;
/// Hosts whose packets are kept although the bot has not sent them anything (yet).
const MAX_UNSOLICITED: usize = 1024;
/// What keeping a packet costs beside its bytes.
const OVERHEAD: usize = size_of::<Stored>();

/// What a ring asks for at once for short packets, in bytes: as much again as it holds, up to this.
const ROOM: usize = 4 << 10;

/// One packet, kept or to be.
#[derive(Clone, Debug)]
pub struct Stored<Data = Bytes> {
    /// Its place in the order of arrival: a number that grows.
    pub number: u64,
    /// The pane it was counted in.
    pub pane: u64,
    /// When it was captured.
    pub time: Timestamp,
    /// What its frame starts with.
    pub link: LinkType,
    /// How long its frame was on the wire.
    pub length: u32,
    /// What was captured of it.
    pub data: Data,
}

#[derive(Debug, Default)]
struct Ring {
    packets: VecDeque<Stored>,
    bytes: usize,
    /// Where the next packets go.
    room: BytesMut,
    /// Whether older packets than it has are expected, and wanted.
    wants_older: bool,
    /// The last pane in which the bot sent to the host and it was counted on its own.
    known: Option<u64>,
}

/// The last packets of every host that matters.
///
/// A host the bot has sent to and that is counted on its own is always kept; of others the latest
/// `MAX_UNSOLICITED`, since what reaches the bot first may turn out to belong to a flood it answers with.
/// When [`MEMORY`] is used up, the hosts that take most give up their oldest packets.
#[derive(Debug)]
pub struct Rings {
    packets_per_host: usize,
    memory: usize,
    hosts: HashMap<Address, Ring>,
    unsolicited: VecDeque<Address>,
    bytes: usize,
    given_up: bool,
    /// Rings that want older packets than they have.
    wanting: usize,
}

impl Rings {
    /// Keeps the last `packets_per_host` packets of each host.
    #[must_use]
    pub fn new(packets_per_host: usize) -> Self {
        Self {
            packets_per_host,
            memory: MEMORY,
            hosts: HashMap::new(),
            unsolicited: VecDeque::new(),
            bytes: 0,
            given_up: false,
            wanting: 0,
        }
    }

    /// Whether packets were given up for lack of memory since this was last asked.
    pub fn take_given_up(&mut self) -> bool {
        std::mem::take(&mut self.given_up)
    }

    /// Keeps a packet of `host`.
    pub fn push(&mut self, host: Address, known: bool, packet: &Stored<&[u8]>) {
        let ring = self.hosts.entry(host).or_insert_with(|| {
            if !known {
                self.unsolicited.push_back(host);
            }
            Ring::default()
        });
        if known {
            ring.known = Some(packet.pane);
        }
        if ring.packets.len() == self.packets_per_host {
            self.bytes -= ring.drop_oldest();
        }
        let packet = ring.store(packet);
        self.bytes += size(&packet);
        ring.packets.push_back(packet);
        if self.unsolicited.len() > MAX_UNSOLICITED {
            self.forget_unsolicited();
        }
        if self.bytes > self.memory {
            self.give_up_packets();
        }
    }

    /// Forgets everything, and makes place for packets of `hosts`, which come from the last to the first,
    /// and of no other.
    pub fn expect(&mut self, hosts: impl IntoIterator<Item = Address>) {
        let ring = |host| (host, Ring { wants_older: true, ..Ring::default() });
        self.hosts = hosts.into_iter().map(ring).collect();
        self.unsolicited.clear();
        self.bytes = 0;
        self.wanting = self.hosts.len();
    }

    /// Keeps a packet of `host`, older than those that are kept of it, if it is wanted, and says whether
    /// any more are.
    pub fn push_older(&mut self, host: Address, packet: &Stored<&[u8]>) -> ControlFlow<()> {
        if let Some(ring) = self.hosts.get_mut(&host).filter(|ring| ring.wants_older) {
            let packet = ring.store(packet);
            self.bytes += size(&packet);
            ring.packets.push_front(packet);
            if ring.packets.len() == self.packets_per_host {
                ring.wants_older = false;
                self.wanting -= 1;
            }
            if self.bytes > self.memory {
                self.give_up_packets();
            }
        }
        if self.wanting == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// The packets of `host` in panes from `first_pane` on, oldest first.
    pub fn of(&self, host: Address, first_pane: u64) -> impl Iterator<Item = &Stored> {
        let packets = self.hosts.get(&host).map(|ring| ring.packets.iter());
        packets.into_iter().flatten().filter(move |packet| packet.pane >= first_pane)
    }

    /// Forgets what no window from `first_pane` on can ask for.
    pub fn forget_before(&mut self, first_pane: u64) {
        let bytes = &mut self.bytes;
        let mut now_unsolicited = Vec::new();
        #[expect(clippy::disallowed_methods, reason = "what is collected is sorted below")]
        self.hosts.retain(|host, ring| {
            while ring.packets.front().is_some_and(|packet| packet.pane < first_pane) {
                *bytes -= ring.drop_oldest();
            }
            if ring.known.is_some_and(|pane| pane < first_pane) {
                ring.known = None;
                now_unsolicited.push(*host);
            }
            !ring.packets.is_empty()
        });
        now_unsolicited.sort_unstable();
        self.unsolicited.extend(now_unsolicited);
        self.unsolicited.retain(|host| self.hosts.contains_key(host));
    }

    /// Makes room among the hosts the bot has not sent to.
    fn forget_unsolicited(&mut self) {
        if let Some(host) = self.unsolicited.pop_front()
            && self.hosts.get(&host).is_some_and(|ring| ring.known.is_none())
            && let Some(ring) = self.hosts.remove(&host)
        {
            self.bytes -= ring.bytes;
        }
    }

    /// Brings memory down to three quarters by cutting the largest rings to one level. It frees so
    /// much at once that its cost, a sort of the hosts, is spread over many packets.
    fn give_up_packets(&mut self) {
        #[expect(clippy::disallowed_methods, reason = "sorted below")]
        let mut sizes: Vec<usize> = self.hosts.values().map(|ring| ring.bytes).collect();
        sizes.sort_unstable();
        let level = water_level(&sizes, self.memory / 4 * 3);
        #[expect(clippy::disallowed_methods, reason = "independent of the order")]
        for ring in self.hosts.values_mut() {
            if ring.bytes > level && std::mem::take(&mut ring.wants_older) {
                self.wanting -= 1;
            }
            // Of very many hosts with very long packets not even one each has room.
            while ring.bytes > level {
                self.bytes -= ring.drop_oldest();
                self.given_up = true;
            }
        }
    }
}

impl Ring {
    /// Copies a packet.
    fn store(&mut self, packet: &Stored<&[u8]>) -> Stored {
        let &Stored { number, pane, time, link, length, data } = packet;
        let data = if data.len() > ROOM / 8 {
            Bytes::copy_from_slice(data)
        } else {
            // Asking for memory packet by packet would cost more than all the rest.
            if self.room.capacity() < data.len() {
                self.room = BytesMut::with_capacity(data.len().max(self.bytes.min(ROOM)));
            }
            self.room.extend_from_slice(data);
            self.room.split().freeze()
        };
        self.bytes += data.len() + OVERHEAD;
        Stored { number, pane, time, link, length, data }
    }

    /// Drops the oldest packet and returns the bytes that frees.
    fn drop_oldest(&mut self) -> usize {
        let size = self.packets.pop_front().map_or(0, |packet| size(&packet));
        self.bytes -= size;
        size
    }
}

fn size(packet: &Stored) -> usize {
    packet.data.len() + OVERHEAD
}

/// The level to which the largest of the ascending `sizes` must be cut so that the sum is `total`.
fn water_level(sizes: &[usize], total: usize) -> usize {
    let mut left = total;
    for (position, &size) in sizes.iter().enumerate() {
        let share = left / (sizes.len() - position);
        if size > share {
            return share;
        }
        left -= size;
    }
    usize::MAX
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "sums and `any` are independent of the order")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(n: u8) -> Address {
        Address::v4([192, 0, 2, n])
    }

    fn packet(number: u64, pane: u64, length: usize) -> Stored<&'static [u8]> {
        Stored {
            number,
            pane,
            time: Timestamp::default(),
            link: LinkType::Ethernet,
            length: 0,
            data: &[0; 3000][..length],
        }
    }

    proptest! {
        #[test]
        fn exactly_the_last_packets_of_each_host_and_window(
            hosts in prop::collection::vec(0u8..4, 0..200),
            kept in 1usize..20,
            window_start in 0u64..10,
        ) {
            let mut rings = Rings::new(kept);
            for (number, &n) in (0u64..).zip(&hosts) {
                rings.push(host(n), n % 2 == 0, &packet(number, number / 20, 60));
            }
            rings.forget_before(window_start);
            for n in 0..4 {
                let all = (0u64..).zip(&hosts).filter(|(_, seen)| **seen == n).map(|(number, _)| number);
                let all: Vec<_> = all.collect();
                let last = all[all.len().saturating_sub(kept)..].iter().copied();
                let expected: Vec<_> = last.filter(|number| number / 20 >= window_start).collect();
                let got: Vec<_> = rings.of(host(n), window_start).map(|p| p.number).collect();
                prop_assert_eq!(got, expected);
            }
        }

        #[test]
        fn packets_that_come_from_the_last_make_the_same_rings(
            hosts in prop::collection::vec(0u8..6, 0..200),
            kept in 1usize..40,
        ) {
            let mut forwards = Rings::new(kept);
            let packets: Vec<_> = (0u64..).zip(hosts).collect();
            for &(number, n) in &packets {
                forwards.push(host(n), true, &packet(number, 0, 60));
            }
            let mut backwards = Rings::new(kept);
            backwards.expect([0, 1, 2, 3, 1].map(host));
            let asked = packets.iter().rev().take_while(|&&(number, n)| {
                backwards.push_older(host(n), &packet(number, 0, 60)).is_continue()
            });
            let asked = asked.count();
            let of = |rings: &Rings, n| rings.of(host(n), 0).map(|p| p.number).collect::<Vec<_>>();
            for n in 0..4 {
                prop_assert_eq!(of(&backwards, n), of(&forwards, n));
            }
            prop_assert_eq!(backwards.of(host(4), 0).count(), 0, "nobody asked for it");
            let all_full = (0..4).all(|n| forwards.of(host(n), 0).count() == kept);
            prop_assert_eq!(asked < packets.len(), all_full, "it stops as soon as all have enough");
        }

        #[test]
        fn memory_is_bounded_also_backwards(
            pushes in prop::collection::vec((0u8..30, 0usize..3000), 1..300),
        ) {
            let mut rings = Rings::new(1000);
            rings.memory = 40_000;
            rings.expect((0..30).map(host));
            let packets: Vec<_> = (0u64..).zip(pushes).collect();
            for &(number, (n, length)) in packets.iter().rev() {
                let more = rings.push_older(host(n), &packet(number, 0, length));
                prop_assert!(rings.bytes <= rings.memory);
                prop_assert_eq!(more.is_continue(), rings.hosts.values().any(|ring| ring.wants_older));
                let sum: usize = rings.hosts.values().map(|ring| ring.bytes).sum();
                prop_assert_eq!(sum, rings.bytes);
            }
            for n in 0..30 {
                let all = packets.iter().filter(|(_, push)| push.0 == n).map(|(number, _)| *number);
                let all: Vec<_> = all.collect();
                let kept: Vec<_> = rings.of(host(n), 0).map(|p| p.number).collect();
                prop_assert!(all.ends_with(&kept));
                prop_assert!(kept.len() == all.len() || rings.given_up, "that is told");
            }
        }

        #[test]
        fn memory_is_bounded_and_every_host_keeps_its_newest(
            pushes in prop::collection::vec((0u8..6, 0usize..3000), 1..300),
        ) {
            let mut rings = Rings::new(1000);
            rings.memory = 40_000;
            for (number, &(n, length)) in (0u64..).zip(&pushes) {
                rings.push(host(n), true, &packet(number, 0, length));
                prop_assert!(rings.bytes <= rings.memory);
                let sum: usize = rings.hosts.values().map(|ring| ring.bytes).sum();
                prop_assert_eq!(sum, rings.bytes);
                let newest = rings.of(host(n), 0).last().map(|p| p.number);
                prop_assert_eq!(newest, Some(number));
            }
        }
    }

    #[test]
    fn strangers_of_a_later_pane_do_not_drive_out_a_host_of_the_window() {
        let mut rings = Rings::new(10);
        rings.push(host(1), true, &packet(0, 0, 60));
        rings.forget_before(0); // the pane is over, the window is not
        for n in 0..3000u32 {
            rings.push(Address::v4(n.to_be_bytes()), false, &packet(u64::from(n), 1, 60));
        }
        assert_eq!(rings.of(host(1), 0).count(), 1);
        rings.forget_before(1);
        assert_eq!(rings.of(host(1), 0).count(), 0);
    }

    #[test]
    fn strangers_do_not_fill_memory() {
        let mut rings = Rings::new(10);
        for n in 0..10_000u32 {
            rings.push(Address::v4(n.to_be_bytes()), false, &packet(u64::from(n), 0, 60));
        }
        assert_eq!(rings.hosts.len(), MAX_UNSOLICITED);
        rings.push(host(1), true, &packet(10_000, 0, 60));
        assert_eq!(rings.of(host(1), 0).count(), 1);
    }
}
