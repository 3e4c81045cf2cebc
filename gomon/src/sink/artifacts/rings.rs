//! The last packets of every host, in bounded memory.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use gomon_common::Address;
use hashbrown::HashMap;

use super::packet::StoredPacket;
use super::packet_bytes::{PacketBytes, PacketData};

/// The memory limit for all packets together, in bytes.
pub const MEMORY: usize = 64 << 20;
/// The maximum number of unsolicited hosts, which are those that the bot has not sent anything to yet.
const MAX_UNSOLICITED: usize = 1024;
/// The memory of a stored packet in addition to its data, in bytes, with what a chunk of bytes takes.
const OVERHEAD: usize = 64;
const _: () = assert!(size_of::<StoredPacket<PacketData>>() < OVERHEAD);

#[derive(Debug, Default)]
struct Ring {
    packets: VecDeque<StoredPacket<PacketData>>,
    /// The bytes of the packets.
    data: PacketBytes,
    /// The memory that they take.
    bytes: usize,
    /// Whether the ring is filled in reverse order, and is not full yet.
    fills_in_reverse: bool,
    /// The last pane in which the host was a listed host that the bot sent to.
    listed_in: Option<u64>,
}

/// The last packets of each host, in a ring per host.
///
/// There is a ring for every listed host that the bot has sent to. Of unsolicited hosts there are the latest
/// `MAX_UNSOLICITED`, since packets to the bot may precede a flood that it sends in reply. When [`MEMORY`] is used
/// up, the largest rings drop their oldest packets.
#[derive(Debug)]
pub struct Rings {
    packets_per_host: usize,
    memory: usize,
    hosts: HashMap<Address, Ring>,
    unsolicited: VecDeque<Address>,
    bytes: usize,
    evicted: bool,
    /// The number of rings with `fills_in_reverse`.
    unfilled: usize,
}

impl Rings {
    /// Creates rings of `packets_per_host` packets.
    #[must_use]
    pub fn new(packets_per_host: usize) -> Self {
        Self {
            packets_per_host,
            memory: MEMORY,
            hosts: HashMap::new(),
            unsolicited: VecDeque::new(),
            bytes: 0,
            evicted: false,
            unfilled: 0,
        }
    }

    /// Returns whether packets were evicted for lack of memory since the last call.
    pub fn take_evicted(&mut self) -> bool {
        std::mem::take(&mut self.evicted)
    }

    /// Stores a packet of `host`, the latest one so far.
    pub fn push(&mut self, host: Address, is_listed: bool, packet: &StoredPacket<&[u8]>) {
        let ring = self.hosts.entry(host).or_insert_with(|| {
            if !is_listed {
                self.unsolicited.push_back(host);
            }
            Ring::default()
        });
        if is_listed {
            ring.listed_in = Some(packet.pane);
        }
        if ring.packets.len() == self.packets_per_host {
            self.bytes -= ring.drop_oldest();
        }
        let packet = ring.store(packet);
        self.bytes += size(&packet.data);
        ring.packets.push_back(packet);
        if self.unsolicited.len() > MAX_UNSOLICITED {
            self.drop_unsolicited();
        }
        if self.bytes > self.memory {
            self.evict();
        }
    }

    /// Drops all packets, and creates empty rings for `hosts`, to which [`Rings::push_reverse`] adds packets from the
    /// last to the first.
    pub fn start_reverse(&mut self, hosts: impl IntoIterator<Item = Address>) {
        let ring = |host| (host, Ring { fills_in_reverse: true, ..Ring::default() });
        self.hosts = hosts.into_iter().map(ring).collect();
        self.unsolicited.clear();
        self.bytes = 0;
        self.unfilled = self.hosts.len();
    }

    /// Stores a packet of `host` in front of those already stored, if its ring is not full. Breaks when all rings
    /// are full.
    pub fn push_reverse(&mut self, host: Address, packet: &StoredPacket<&[u8]>) -> ControlFlow<()> {
        if let Some(ring) = self.hosts.get_mut(&host).filter(|ring| ring.fills_in_reverse) {
            let packet = ring.store(packet);
            self.bytes += size(&packet.data);
            ring.packets.push_front(packet);
            if ring.packets.len() == self.packets_per_host {
                ring.fills_in_reverse = false;
                self.unfilled -= 1;
            }
            if self.bytes > self.memory {
                self.evict();
            }
        }
        if self.unfilled == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Returns the packets of `host` in panes from `first_pane` on, oldest first.
    pub fn packets(
        &self,
        host: Address,
        first_pane: u64,
    ) -> impl Iterator<Item = StoredPacket<&[u8]>> {
        self.hosts.get(&host).into_iter().flat_map(move |ring| {
            let packets = ring.packets.iter().filter(move |packet| packet.pane >= first_pane);
            packets.map(|packet| packet.with_data(ring.data.get(&packet.data)))
        })
    }

    /// Returns the number of packets of `host` in panes from `first_pane` on.
    #[must_use]
    pub fn count(&self, host: Address, first_pane: u64) -> usize {
        // They are sorted by pane.
        self.hosts.get(&host).map_or(0, |ring| {
            ring.packets.len() - ring.packets.partition_point(|packet| packet.pane < first_pane)
        })
    }

    /// Drops the packets of panes before `first_pane`.
    pub fn drop_before(&mut self, first_pane: u64) {
        let bytes = &mut self.bytes;
        let mut now_unsolicited = Vec::new();
        #[expect(clippy::disallowed_methods, reason = "what is collected is sorted below")]
        self.hosts.retain(|host, ring| {
            while ring.packets.front().is_some_and(|packet| packet.pane < first_pane) {
                *bytes -= ring.drop_oldest();
            }
            if ring.listed_in.is_some_and(|pane| pane < first_pane) {
                ring.listed_in = None;
                now_unsolicited.push(*host);
            }
            !ring.packets.is_empty()
        });
        now_unsolicited.sort_unstable();
        self.unsolicited.extend(now_unsolicited);
        self.unsolicited.retain(|host| self.hosts.contains_key(host));
    }

    /// Drops the oldest unsolicited host.
    fn drop_unsolicited(&mut self) {
        if let Some(host) = self.unsolicited.pop_front()
            && self.hosts.get(&host).is_some_and(|ring| ring.listed_in.is_none())
            && let Some(ring) = self.hosts.remove(&host)
        {
            self.bytes -= ring.bytes;
        }
    }

    /// Reduces memory to three quarters of the limit, by cutting the largest rings to the same size. Freeing this much
    /// at once amortizes the cost of sorting the hosts over many packets.
    fn evict(&mut self) {
        #[expect(clippy::disallowed_methods, reason = "sorted below")]
        let mut sizes: Vec<usize> = self.hosts.values().map(|ring| ring.bytes).collect();
        sizes.sort_unstable();
        let level = water_level(&sizes, self.memory / 4 * 3);
        #[expect(clippy::disallowed_methods, reason = "independent of the order")]
        for ring in self.hosts.values_mut() {
            if ring.bytes > level && std::mem::take(&mut ring.fills_in_reverse) {
                self.unfilled -= 1;
            }
            // With many hosts and long packets, even one packet per host may exceed the limit.
            while ring.bytes > level {
                self.bytes -= ring.drop_oldest();
                self.evicted = true;
            }
        }
    }
}

impl Ring {
    /// Copies a packet into the memory of the ring.
    fn store(&mut self, packet: &StoredPacket<&[u8]>) -> StoredPacket<PacketData> {
        let data = self.data.push(packet.data, self.bytes);
        self.bytes += size(&data);
        packet.with_data(data)
    }

    /// Drops the oldest packet and returns the number of bytes freed.
    fn drop_oldest(&mut self) -> usize {
        let Some(packet) = self.packets.pop_front() else { return 0 };
        self.data.remove(&packet.data);
        self.bytes -= size(&packet.data);
        size(&packet.data)
    }
}

fn size(data: &PacketData) -> usize {
    data.len() + OVERHEAD
}

/// Returns the size to which the largest of the ascending `sizes` must be cut so that the sum is `total`.
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
    use crate::core::Timestamp;
    use gomon_common::LinkType;

    fn host(n: u8) -> Address {
        Address::v4([192, 0, 2, n])
    }

    fn packet(number: u64, pane: u64, length: usize) -> StoredPacket<&'static [u8]> {
        StoredPacket {
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
            size in 1usize..20,
            window_start in 0u64..10,
        ) {
            let mut rings = Rings::new(size);
            for (number, &n) in (0u64..).zip(&hosts) {
                rings.push(host(n), n % 2 == 0, &packet(number, number / 20, 60));
            }
            rings.drop_before(window_start);
            for n in 0..4 {
                let all = (0u64..).zip(&hosts).filter(|(_, seen)| **seen == n).map(|(number, _)| number);
                let all: Vec<_> = all.collect();
                let last = all[all.len().saturating_sub(size)..].iter().copied();
                let expected: Vec<_> = last.filter(|number| number / 20 >= window_start).collect();
                let got: Vec<_> = rings.packets(host(n), window_start).map(|p| p.number).collect();
                prop_assert_eq!(got, expected);
            }
        }

        #[test]
        fn packets_pushed_in_reverse_make_the_same_rings(
            hosts in prop::collection::vec(0u8..6, 0..200),
            size in 1usize..40,
        ) {
            let mut forwards = Rings::new(size);
            let packets: Vec<_> = (0u64..).zip(hosts).collect();
            for &(number, n) in &packets {
                forwards.push(host(n), true, &packet(number, 0, 60));
            }
            let mut backwards = Rings::new(size);
            backwards.start_reverse([0, 1, 2, 3, 1].map(host));
            let pushed = packets.iter().rev().take_while(|&&(number, n)| {
                backwards.push_reverse(host(n), &packet(number, 0, 60)).is_continue()
            });
            let pushed = pushed.count();
            let numbers = |rings: &Rings, n| rings.packets(host(n), 0).map(|p| p.number).collect::<Vec<_>>();
            for n in 0..4 {
                prop_assert_eq!(numbers(&backwards, n), numbers(&forwards, n));
            }
            prop_assert_eq!(backwards.packets(host(4), 0).count(), 0, "its packets were not requested");
            let all_full = (0..4).all(|n| forwards.packets(host(n), 0).count() == size);
            prop_assert_eq!(pushed < packets.len(), all_full, "it breaks as soon as all rings are full");
        }

        #[test]
        fn memory_is_bounded_in_reverse_order_too(
            pushes in prop::collection::vec((0u8..30, 0usize..3000), 1..300),
        ) {
            let mut rings = Rings::new(1000);
            rings.memory = 40_000;
            rings.start_reverse((0..30).map(host));
            let packets: Vec<_> = (0u64..).zip(pushes).collect();
            for &(number, (n, length)) in packets.iter().rev() {
                let more = rings.push_reverse(host(n), &packet(number, 0, length));
                prop_assert!(rings.bytes <= rings.memory);
                prop_assert_eq!(more.is_continue(), rings.hosts.values().any(|ring| ring.fills_in_reverse));
                let sum: usize = rings.hosts.values().map(|ring| ring.bytes).sum();
                prop_assert_eq!(sum, rings.bytes);
            }
            for n in 0..30 {
                let all = packets.iter().filter(|(_, push)| push.0 == n).map(|(number, _)| *number);
                let all: Vec<_> = all.collect();
                let stored: Vec<_> = rings.packets(host(n), 0).map(|p| p.number).collect();
                prop_assert!(all.ends_with(&stored));
                prop_assert!(stored.len() == all.len() || rings.evicted, "eviction is reported");
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
                let newest = rings.packets(host(n), 0).last().map(|p| p.number);
                prop_assert_eq!(newest, Some(number));
            }
        }
    }

    #[test]
    fn unsolicited_hosts_of_a_later_pane_do_not_replace_a_host_of_the_window() {
        let mut rings = Rings::new(10);
        rings.push(host(1), true, &packet(0, 0, 60));
        rings.drop_before(0); // the pane is over, the window is not
        for n in 0..3000u32 {
            rings.push(Address::v4(n.to_be_bytes()), false, &packet(u64::from(n), 1, 60));
        }
        assert_eq!(rings.packets(host(1), 0).count(), 1);
        rings.drop_before(1);
        assert_eq!(rings.packets(host(1), 0).count(), 0);
    }

    #[test]
    fn unsolicited_hosts_do_not_fill_memory() {
        let mut rings = Rings::new(10);
        for n in 0..10_000u32 {
            rings.push(Address::v4(n.to_be_bytes()), false, &packet(u64::from(n), 0, 60));
        }
        assert_eq!(rings.hosts.len(), MAX_UNSOLICITED);
        rings.push(host(1), true, &packet(10_000, 0, 60));
        assert_eq!(rings.packets(host(1), 0).count(), 1);
    }
}
