//! Counts frames: the implementation shared by all programs.

use aya_ebpf::EbpfContext;
use aya_log_ebpf::debug;
use gomon_common::hash::hash;
use gomon_common::kernel::LedgerEntry;
use gomon_common::{Address, Frame, LinkType, Mac, Packet, Skip, parse, parse_plain, protocol};

use crate::context::VlanTag;
use crate::maps::ledger::CpuState;
use crate::maps::{
    bloom, contact, current, endpoints, flow_cache, hosts, hyperloglog, ignored, packets, replies,
    senders, sources,
};

/// A frame in the context of the program that runs on it.
pub(crate) struct FrameContext<'a, C, L, F> {
    pub(crate) ctx: &'a C,
    /// Fast access to the headers of the most common frames, at constant offsets.
    pub(crate) linear: L,
    /// Slower access to all bytes of every frame.
    pub(crate) full: F,
    /// The length of the frame in bytes, without `tag`.
    pub(crate) length: u64,
    /// The VLAN tag that the kernel moved from the frame into the skb.
    pub(crate) tag: Option<VlanTag>,
}

impl<C: EbpfContext, L: Frame, F: Frame> FrameContext<'_, C, L, F> {
    /// Counts an ingress frame.
    #[inline(always)]
    pub(crate) fn count(&self) {
        // Read only once, so that a packet is counted in a single generation.
        let generation = current::generation();
        let Some(cpu) = CpuState::get(generation) else { return };
        let packet = match parse_plain(&self.linear) {
            Some(packet) => packet,
            None => {
                let mut packet = Packet::default();
                if !self.parse_general(&cpu, &mut packet) {
                    return;
                }
                packet
            }
        };
        self.count_packet(generation, &cpu, &packet);
    }

    /// Records an egress frame if it is a reply to the bot.
    #[inline(always)]
    pub(crate) fn record_reply(&self) {
        let generation = current::generation();
        let Some(cpu) = CpuState::get(generation) else { return };
        match parse_plain(&self.linear) {
            Some(packet) => self.record_packet_to_bot(generation, &cpu, &packet),
            None => self.record_reply_general(generation, &cpu),
        };
    }

    /// Parses the frame with the general parser and records it if it is a reply to the bot. Not inlined
    /// for the same reason as [`Self::parse_general`]. The result is unused, but the verifier checks the
    /// return value even of a function that returns nothing.
    #[inline(never)]
    fn record_reply_general(&self, generation: u32, cpu: &CpuState) -> bool {
        let Ok(packet) = parse(LinkType::Ethernet, &self.full) else { return false };
        self.record_packet_to_bot(generation, cpu, &packet)
    }

    /// Records a packet to the bot: in the contact that it may answer, and for artifacts. Returns whether
    /// the packet is to the bot.
    #[inline(always)]
    fn record_packet_to_bot(&self, generation: u32, cpu: &CpuState, packet: &Packet) -> bool {
        if !sources::is_bot(packet.destination.address()) {
            return false;
        }
        if contact::is_enabled() && packet.destination.protocol() == protocol::UDP {
            replies::record(generation, cpu, &packet.source_endpoint());
        }
        if packets::is_enabled() {
            self.sample_packet(generation, cpu, &packet.source);
        }
        true
    }

    /// Parses the frame with the general parser. Records a frame without a packet as skipped and returns
    /// false. Not inlined, so that its stack frame is released before other functions need stack space.
    #[inline(never)]
    fn parse_general(&self, cpu: &CpuState, packet: &mut Packet) -> bool {
        match parse(LinkType::Ethernet, &self.full) {
            Ok(found) => {
                *packet = found;
                true
            }
            Err(skip) => {
                if let Skip::Malformed(reason) = skip {
                    debug!(self.ctx, "malformed frame: {}", reason.name());
                }
                cpu.record_skipped(skip);
                false
            }
        }
    }

    /// Counts a packet.
    #[inline(always)]
    fn count_packet(&self, generation: u32, cpu: &CpuState, packet: &Packet) {
        if !sources::is_bot(packet.source) || !self.is_from_bot_mac() {
            senders::sample(generation, cpu.record_not_from_bot(), packet.source);
            // On an interface that is not a tap, replies are ingress packets too.
            if packets::is_enabled() || contact::is_enabled() {
                self.record_packet_to_bot(generation, cpu, packet);
            }
            return;
        }
        // If every source is the bot's, each packet may also be a reply.
        let may_be_reply = sources::any() && !sources::is_filtered_by_mac();
        if may_be_reply && contact::is_enabled() && packet.destination.protocol() == protocol::UDP {
            replies::record(generation, cpu, &packet.source_endpoint());
        }
        let host = packet.destination.address();
        // Once the host map is full, most packets of a flood to ever new hosts are to unlisted hosts.
        if cpu.is_set(LedgerEntry::HostsFull) {
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
        if let Some(entry) = endpoints::add(generation, cpu, packet, self.wire_length()) {
            cpu.record(LedgerEntry::Counted);
            flow_cache::claim(generation, packet);
            if packets::is_enabled()
                && packets::is_within_budget(&entry, cpu, packets::interval(generation, cpu))
            {
                entry.record_sent();
                self.sample_packet(generation, cpu, &host);
            }
            return;
        }
        let entry = self.count_new(generation, cpu, packet);
        cpu.record(entry);
        if packets::is_enabled() && matches!(entry, LedgerEntry::Counted) {
            self.sample_packet(generation, cpu, &host);
        }
    }

    /// Returns whether the frame's source MAC address is the bot's or does not matter.
    #[inline(always)]
    fn is_from_bot_mac(&self) -> bool {
        if !sources::is_filtered_by_mac() {
            return true;
        }
        let sender = Mac::of_sender(LinkType::Ethernet, &self.linear);
        sources::is_bot_mac(sender.or_else(|| Mac::of_sender(LinkType::Ethernet, &self.full)))
    }

    /// Returns the length of the frame on the wire in bytes, which includes a VLAN tag that was moved
    /// into the skb.
    #[inline(always)]
    fn wire_length(&self) -> u64 {
        self.length + if self.tag.is_some() { 4 } else { 0 }
    }

    /// Counts a packet of the bot to an endpoint that is not in the map, and adds the endpoint if there
    /// is room. Returns the ledger entry to record the packet under.
    #[inline(never)]
    fn count_new(&self, generation: u32, cpu: &CpuState, packet: &Packet) -> LedgerEntry {
        let (host, length) = (packet.destination.address(), self.wire_length());
        if ignored::contains(host) {
            return LedgerEntry::Ignored;
        }
        let hash = hash(host.halves());
        // The host is added first, so that its total is exact even if its endpoints do not fit.
        let host_entry = hosts::get(generation, &host);
        let is_listed = host_entry.is_some() || hosts::insert(generation, cpu, &host, hash);
        if is_listed && endpoints::insert(generation, cpu, packet, length) {
            return LedgerEntry::Counted;
        }
        let is_added = match host_entry {
            Some(entry) => {
                entry.add(length);
                true
            }
            None => is_listed && hosts::add(generation, &host, length),
        };
        if !is_added {
            return Self::count_unlisted(generation, cpu, hash, length);
        }
        cpu.record_overflow(length);
        LedgerEntry::Counted
    }

    /// Counts a packet to an unlisted host. Returns the ledger entry to record the packet under.
    #[inline(always)]
    fn count_unlisted(generation: u32, cpu: &CpuState, hash: u64, length: u64) -> LedgerEntry {
        cpu.add(LedgerEntry::UnlistedBytes, length);
        hyperloglog::insert(generation, hash);
        LedgerEntry::UnlistedPackets
    }

    /// Sends a packet between the bot and a listed host to user space if the rate limits permit it.
    #[inline(always)]
    fn sample_packet(&self, generation: u32, cpu: &CpuState, host: &Address) {
        if !self.send_to_user_space(generation, cpu, host) {
            cpu.record(LedgerEntry::PacketsLost);
        }
    }

    /// Sends a packet to user space unless the host is unlisted or over its rate limit. Returns false if
    /// the perf buffer is full. Not inlined, and with a return value, for the reasons above.
    #[inline(never)]
    fn send_to_user_space(&self, generation: u32, cpu: &CpuState, host: &Address) -> bool {
        let Some(entry) = hosts::get(generation, host) else { return true };
        if !packets::is_within_budget(&entry, cpu, packets::interval(generation, cpu)) {
            return true;
        }
        entry.record_sent();
        cpu.record_sent();
        let tag = self.tag.as_ref().map(|tag| (tag.tpid, tag.tci));
        let lengths = (self.wire_length() as u32, self.length as u32);
        packets::send(self.ctx, *host, lengths, tag, generation)
    }
}
