//! The bytes of stored packets: many short packets share an allocation.

use std::collections::VecDeque;

/// The maximum capacity in bytes of a chunk for several short packets. A new chunk is as large as the packets stored so
/// far, up to this size.
const MAX_CHUNK: usize = 4 << 10;
/// The length from which a packet is stored by itself.
const LONG: usize = MAX_CHUNK / 8;

/// The bytes of the short packets of a ring, in chunks. A chunk is freed when the last of its packets is removed, because
/// packets are removed in the order in which they were added, or in the reverse order.
#[derive(Debug, Default)]
pub(super) struct PacketBytes {
    chunks: VecDeque<Chunk>,
    /// The number of the first chunk.
    first: u32,
}

#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    packets: u32,
}

/// The bytes of a packet, or where they are.
#[derive(Debug)]
pub(super) enum PacketData {
    Short {
        /// The number of its chunk.
        chunk: u32,
        start: u16,
        length: u16,
    },
    Long(Box<[u8]>),
}

impl PacketData {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Short { length, .. } => (*length).into(),
            Self::Long(bytes) => bytes.len(),
        }
    }
}

impl PacketBytes {
    /// Copies the bytes of a packet. `stored` is the number of bytes stored so far.
    pub(super) fn push(&mut self, data: &[u8], stored: usize) -> PacketData {
        if data.len() >= LONG {
            return PacketData::Long(data.into());
        }
        if !self.chunks.back().is_some_and(|chunk| chunk.has_room(data.len())) {
            let bytes = Vec::with_capacity(data.len().max(stored.min(MAX_CHUNK)));
            self.chunks.push_back(Chunk { bytes, packets: 0 });
        }
        let last = self.chunks.len() - 1;
        let chunk = &mut self.chunks[last];
        let start = chunk.bytes.len();
        chunk.bytes.extend_from_slice(data);
        chunk.packets += 1;
        // A ring has fewer chunks, and a chunk fewer bytes.
        PacketData::Short {
            chunk: self.first.wrapping_add(u32::try_from(last).unwrap_or(u32::MAX)),
            start: u16::try_from(start).unwrap_or(u16::MAX),
            length: u16::try_from(data.len()).unwrap_or(u16::MAX),
        }
    }

    /// Returns the bytes of a packet that was not removed.
    pub(super) fn get<'a>(&'a self, data: &'a PacketData) -> &'a [u8] {
        match data {
            PacketData::Short { chunk, start, length } => {
                let start = usize::from(*start);
                let chunk = self.chunks.get(self.index(*chunk));
                let bytes = chunk.and_then(|c| c.bytes.get(start..start + usize::from(*length)));
                bytes.unwrap_or_default()
            }
            PacketData::Long(bytes) => bytes,
        }
    }

    /// Removes the bytes of a packet.
    pub(super) fn remove(&mut self, data: &PacketData) {
        let PacketData::Short { chunk, .. } = data else { return };
        let index = self.index(*chunk);
        if let Some(chunk) = self.chunks.get_mut(index) {
            chunk.packets -= 1;
            if chunk.packets == 0 && index == 0 {
                self.chunks.pop_front();
                self.first = self.first.wrapping_add(1);
            } else if chunk.packets == 0 {
                self.chunks.pop_back();
            }
        }
    }

    fn index(&self, number: u32) -> usize {
        number.wrapping_sub(self.first) as usize
    }
}

impl Chunk {
    fn has_room(&self, bytes: usize) -> bool {
        self.bytes.capacity() - self.bytes.len() >= bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Packets are removed in the order in which they were added, or in the reverse order.
        #[test]
        fn every_packet_has_its_bytes_until_it_is_removed(
            steps in prop::collection::vec((prop_oneof![4 => 0usize..200, 1 => 0usize..6000], prop_oneof![2 => Just(0usize), 1 => 1usize..4]), 1..300),
            reverse: bool,
            first in prop_oneof![Just(0u32), Just(u32::MAX - 3)],
        ) {
            let mut bytes = PacketBytes { first, ..PacketBytes::default() };
            let mut packets = VecDeque::new();
            for (n, (length, removed)) in steps.into_iter().enumerate() {
                let data = vec![n.to_le_bytes()[0]; length];
                let stored = packets.iter().map(|(_, data): &(_, Vec<u8>)| data.len() + 64).sum();
                let stored = bytes.push(&data, stored);
                packets.push_back((stored, data));
                for _ in 0..removed {
                    let removed = if reverse { packets.pop_back() } else { packets.pop_front() };
                    if let Some((stored, _)) = removed {
                        bytes.remove(&stored);
                    }
                }
                for (stored, data) in &packets {
                    prop_assert_eq!(bytes.get(stored), data);
                }
                prop_assert!(bytes.chunks.len() <= packets.len(), "no empty chunk is kept");
            }
        }
    }
}
