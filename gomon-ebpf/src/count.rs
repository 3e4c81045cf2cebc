//! What becomes of a frame: the body all programs share.

use aya_ebpf::EbpfContext;
use aya_log_ebpf::debug;
use gomon_common::hash::hash;
use gomon_common::kernel::LedgerEntry;
use gomon_common::{Address, Frame, LinkType, Mac, Packet, Skip, parse, parse_plain, protocol};

use crate::context::Tag;
use crate::maps::ledger::CpuState;
use crate::maps::{
    bloom, contact, current, endpoints, flow_cache, hosts, hyperloglog, ignored, packets, replies,
    senders, sources,
};

/// A frame as a program gets it.
pub(crate) struct Arrival<'a, C, F, W> {
    pub(crate) context: &'a C,
    /// Where nearly every frame has all that matters, at fixed places.
    pub(crate) front: F,
    /// All of the frame, as slow as it is thorough.
    pub(crate) whole: W,
    /// Bytes of the frame, without the tag.
    pub(crate) length: u64,
    /// The tag that was taken out of it.
    pub(crate) tag: Option<Tag>,
}

impl<C: EbpfContext, F: Frame, W: Frame> Arrival<'_, C, F, W> {
    /// Counts a frame that comes in.
    #[inline(always)]
    pub(crate) fn count(&self) {
        // Read once: whatever this packet adds, it adds to one generation.
        let generation = current::generation();
        let Some(cpu) = CpuState::of(generation) else { return };
        let packet = match parse_plain(&self.front) {
            Some(packet) => packet,
            None => {
                let mut packet = Packet::default();
                if !self.parse_general(&cpu, &mut packet) {
                    return;
                }
                packet
            }
        };
        self.enter(generation, &cpu, &packet);
    }

    /// Looks at a frame that goes out: it may be an answer to the bot.
    #[inline(always)]
    pub(crate) fn answer(&self) {
        let generation = current::generation();
        let Some(cpu) = CpuState::of(generation) else { return };
        match parse_plain(&self.front) {
            Some(packet) => self.answered(generation, &cpu, &packet),
            None => self.answer_general(generation, &cpu),
        };
    }

    /// Looks at it thoroughly. A function of its own for the reason below; what it returns nobody needs,
    /// but the kernel looks at what is returned also where nothing is.
    #[inline(never)]
    fn answer_general(&self, generation: u32, cpu: &CpuState) -> bool {
        let Ok(packet) = parse(LinkType::Ethernet, &self.whole) else { return false };
        self.answered(generation, cpu, &packet)
    }

    /// Enters a packet that may be an answer to the bot: into the contact it answers, and for artifacts.
    #[inline(always)]
    fn answered(&self, generation: u32, cpu: &CpuState, packet: &Packet) -> bool {
        if !sources::is_bot(packet.destination.address()) {
            return false;
        }
        if contact::wanted() && packet.destination.protocol() == protocol::UDP {
            replies::record(generation, cpu, &packet.origin());
        }
        if packets::wanted() {
            self.offer(generation, cpu, &packet.source);
        }
        true
    }

    /// Finds the packet of a frame that has to be looked at thoroughly; where there is none, the frame is
    /// entered as skipped, and false returned. A function of its own: what it keeps on the stack is gone
    /// before anything else needs room there.
    #[inline(never)]
    fn parse_general(&self, cpu: &CpuState, packet: &mut Packet) -> bool {
        match parse(LinkType::Ethernet, &self.whole) {
            Ok(found) => {
                *packet = found;
                true
            }
            Err(skip) => {
                if let Skip::Malformed(reason) = skip {
                    debug!(self.context, "malformed frame: {}", reason.name());
                }
                cpu.record_skipped(skip);
                false
            }
        }
    }

    /// Enters a packet into the books.
    #[inline(always)]
    fn enter(&self, generation: u32, cpu: &CpuState, packet: &Packet) {
        if !sources::is_bot(packet.source) || !self.is_sent_by_bot() {
            senders::sample(generation, cpu.record_not_from_bot(), packet.source);
            // On an interface that is no tap, answers come in too.
            if packets::wanted() || contact::wanted() {
                self.answered(generation, cpu, packet);
            }
            return;
        }
        // Of everybody's packets any may be an answer as well.
        let is_everybodys = sources::any() && !sources::is_told_by_mac();
        if is_everybodys && contact::wanted() && packet.destination.protocol() == protocol::UDP {
            replies::record(generation, cpu, &packet.origin());
        }
        let host = packet.destination.address();
        // Then most packets are to hosts that get no entry, in a flood to ever new ones.
        if cpu.has(LedgerEntry::HostsFull) {
            let hash = hash(host.halves());
            if !bloom::may_contain(generation, hash) {
                cpu.record(if ignored::contains(host) {
                    LedgerEntry::Ignored
                } else {
                    Self::count_unlisted(generation, cpu, hash, self.wire_length())
                });
                return;
            }
        }
        if flow_cache::add(generation, packet, self.wire_length()) {
            cpu.record(LedgerEntry::Counted);
            return;
        }
        if let Some(known) = endpoints::add(generation, cpu, packet, self.wire_length()) {
            cpu.record(LedgerEntry::Counted);
            flow_cache::claim(generation, packet);
            if packets::wanted() && packets::admits(&known, cpu, packets::slot(generation, cpu)) {
                known.record_sent();
                self.offer(generation, cpu, &host);
            }
            return;
        }
        let entry = self.count_new(generation, cpu, packet);
        cpu.record(entry);
        if packets::wanted() && matches!(entry, LedgerEntry::Counted) {
            self.offer(generation, cpu, &host);
        }
    }

    /// Whether the frame can be the bot's by its sender.
    #[inline(always)]
    fn is_sent_by_bot(&self) -> bool {
        if !sources::is_told_by_mac() {
            return true;
        }
        let sender = Mac::of_sender(LinkType::Ethernet, &self.front);
        sources::has_mac(sender.or_else(|| Mac::of_sender(LinkType::Ethernet, &self.whole)))
    }

    /// The bytes of the frame as they were on the wire: the tag that was taken out was part of it.
    #[inline(always)]
    fn wire_length(&self) -> u64 {
        self.length + if self.tag.is_some() { 4 } else { 0 }
    }

    /// Counts a packet of the bot to an endpoint that is not known, or for which there is no room, and
    /// says where the ledger has it.
    #[inline(never)]
    fn count_new(&self, generation: u32, cpu: &CpuState, packet: &Packet) -> LedgerEntry {
        let (host, length) = (packet.destination.address(), self.wire_length());
        if ignored::contains(host) {
            return LedgerEntry::Ignored;
        }
        let hash = hash(host.halves());
        // A host first, so that its total is exact also when its endpoints don't fit.
        let beside = hosts::get(generation, &host);
        let known = beside.is_some() || hosts::insert(generation, cpu, &host, hash);
        if known && endpoints::insert(generation, cpu, packet, length) {
            return LedgerEntry::Counted;
        }
        let added = match beside {
            Some(beside) => {
                beside.add(length);
                true
            }
            None => known && hosts::add(generation, &host, length),
        };
        if !added {
            return Self::count_unlisted(generation, cpu, hash, length);
        }
        cpu.record_overflow(length);
        LedgerEntry::Counted
    }

    /// Counts a packet to a host that is not known, and for which there is no room, and says where the
    /// ledger has it.
    #[inline(always)]
    fn count_unlisted(generation: u32, cpu: &CpuState, hash: u64, length: u64) -> LedgerEntry {
        cpu.add(LedgerEntry::UnlistedBytes, length);
        hyperloglog::insert(generation, hash);
        LedgerEntry::UnlistedPackets
    }

    /// Sends a packet between the bot and a known host up, as far as an artifact can want it.
    #[inline(always)]
    fn offer(&self, generation: u32, cpu: &CpuState, host: &Address) {
        if !self.send_up(generation, cpu, host) {
            cpu.record(LedgerEntry::PacketsLost);
        }
    }

    /// Sends a packet up unless there were enough of its host; false when there was no room for it. A
    /// function of its own for the reason above, and one that returns something, for the kernel looks at
    /// what is returned also where nothing is.
    #[inline(never)]
    fn send_up(&self, generation: u32, cpu: &CpuState, host: &Address) -> bool {
        let Some(known) = hosts::get(generation, host) else { return true };
        if !packets::admits(&known, cpu, packets::slot(generation, cpu)) {
            return true;
        }
        known.record_sent();
        cpu.record_sent();
        let tag = self.tag.as_ref().map(|tag| (tag.kind, tag.control));
        let sizes = (self.wire_length() as u32, self.length as u32);
        packets::send(self.context, *host, sizes, tag, generation)
    }
}
