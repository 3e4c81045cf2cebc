//! Counts frames: the implementation shared by all programs.

use core::hint::black_box;

use aya_ebpf::EbpfContext;
use aya_log_ebpf::debug;
use gomon_common::hash::hash;
use gomon_common::kernel::{LedgerEntry, mac_to_u64};
use gomon_common::{Address, Frame, LinkType, Mac, Packet, Skip, parse, parse_plain, protocol};

use crate::context::VlanTag;
use crate::maps::bots::{self, Bot};
use crate::maps::ledger::CpuState;
use crate::maps::{
    bloom, endpoints, flow_cache, hosts, hyperloglog, ignored, packets, replies, senders,
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
    /// Counts an ingress frame of the interface with this index.
    #[inline(always)]
    pub(crate) fn count(&self, interface: u32) {
        let Some(bot) = Bot::on(interface) else { return };
        let parsed = bot.cpu.packet();
        if let Some(packet) = parse_plain(&self.linear) {
            // SAFETY: a live map value of this CPU.
            unsafe { *parsed = packet };
        } else if !self.parse_general(&bot.cpu, parsed) {
            return;
        }
        // In a map value, the verifier does not distinguish what the parsers have found out, so it checks the rest
        // of the program once, instead of for every kind of packet.
        // SAFETY: as above.
        let packet = unsafe { &*black_box(parsed) };
        let mut bot = bot;
        if bot.is_group() {
            if let Some(receiver) = Bot::at(bots::in_group(&bot, packet.destination.address())) {
                self.record_packet_to_bot(&receiver, packet);
            }
            let Some(sender) = Bot::at(self.sender_in_group(&bot, packet)) else { return };
            bot = sender;
        } else if !self.is_from(&bot, packet) {
            senders::record(&bot, packet.source);
            // On an interface that is not a tap, replies are ingress packets too.
            self.record_packet_to_bot(&bot, packet);
            return;
        }
        self.count_packet(&bot, packet);
    }

    /// Records an egress frame of the interface with this index if it is a reply to a bot.
    #[inline(always)]
    pub(crate) fn record_reply(&self, interface: u32) {
        let Some(bot) = Bot::on(interface) else { return };
        let packet = match parse_plain(&self.linear) {
            Some(packet) => packet,
            None => {
                let mut packet = Packet::default();
                if !self.parse_reply(&mut packet) {
                    return;
                }
                packet
            }
        };
        let mut bot = bot;
        if bot.is_group() {
            let slot = bots::in_group(&bot, packet.destination.address());
            let Some(receiver) = Bot::at(slot) else { return };
            bot = receiver;
        }
        self.record_packet_to_bot(&bot, &packet);
    }

    /// Parses the frame with the general parser. Returns false if it holds no packet. Not inlined for the same
    /// reason as [`Self::parse_general`].
    #[inline(never)]
    fn parse_reply(&self, packet: &mut Packet) -> bool {
        let Ok(found) = parse(LinkType::Ethernet, &self.full) else { return false };
        *packet = found;
        true
    }

    /// Returns the slot of the bot in a group that sent the packet, or [`NO_SLOT`](bots::NO_SLOT). Not inlined,
    /// because few interfaces have several bots.
    #[inline(never)]
    fn sender_in_group(&self, group: &Bot, packet: &Packet) -> u32 {
        group.cpu.record(LedgerEntry::InGroup);
        let slot = bots::in_group(group, packet.source);
        let Some(bot) = Bot::at(slot) else { return slot };
        if !self.is_from_mac(&bot) {
            return bots::NO_SLOT;
        }
        bot.cpu.record(LedgerEntry::InGroup);
        slot
    }

    /// Records a packet to the bot: in the contact that it may answer, and for artifacts. Returns whether
    /// the packet is to the bot.
    #[inline(always)]
    fn record_packet_to_bot(&self, bot: &Bot, packet: &Packet) -> bool {
        if !(bot.sends_packets() || bot.tracks_contacts())
            || !bot.has_source(packet.destination.address())
        {
            return false;
        }
        if bot.tracks_contacts() && packet.destination.protocol() == protocol::UDP {
            replies::record(bot, &packet.source_endpoint());
        }
        if bot.sends_packets() {
            self.sample_packet(bot, &packet.source);
        }
        true
    }

    /// Parses the frame with the general parser. Records a frame without a packet as skipped and returns
    /// false. Not inlined, so that its stack frame is released before other functions need stack space.
    #[inline(never)]
    fn parse_general(&self, cpu: &CpuState, packet: *mut Packet) -> bool {
        match parse(LinkType::Ethernet, &self.full) {
            Ok(found) => {
                // SAFETY: a live map value of this CPU.
                unsafe { *packet = found };
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

    /// Returns whether the bot sent the packet.
    #[inline(always)]
    fn is_from(&self, bot: &Bot, packet: &Packet) -> bool {
        bot.has_source(packet.source) && self.is_from_mac(bot)
    }

    /// Counts a packet of the bot.
    #[inline(always)]
    fn count_packet(&self, bot: &Bot, packet: &Packet) {
        // If every source is the bot's, each packet may also be a reply.
        let may_be_reply = bot.has_any_source() && !bot.is_filtered_by_mac();
        if may_be_reply && bot.tracks_contacts() && packet.destination.protocol() == protocol::UDP {
            replies::record(bot, &packet.source_endpoint());
        }
        let host = packet.destination.address();
        // Once the host map is full, most packets of a flood to ever new hosts are to unlisted hosts.
        if bot.cpu.is_set(LedgerEntry::HostsFull) {
            let hash = hash(host.halves());
            if !bloom::may_contain(bot, hash) {
                bot.cpu.record(if ignored::contains(bot, host) {
                    LedgerEntry::Ignored
                } else {
                    Self::count_unlisted(bot, hash, self.wire_length())
                });
                return;
            }
        }
        if flow_cache::add(bot, packet, self.wire_length()) {
            bot.cpu.record(LedgerEntry::Counted);
            return;
        }
        if let Some(entry) = endpoints::add(bot, packet, self.wire_length()) {
            bot.cpu.record(LedgerEntry::Counted);
            flow_cache::claim(bot, packet);
            if bot.sends_packets() && packets::is_within_budget(bot, &entry) {
                entry.record_sent();
                self.sample_packet(bot, &host);
            }
            return;
        }
        let entry = self.count_new(bot, packet);
        bot.cpu.record(entry);
        if bot.sends_packets() && matches!(entry, LedgerEntry::Counted) {
            self.sample_packet(bot, &host);
        }
    }

    /// Returns whether the frame's source MAC address is the bot's or does not matter.
    #[inline(always)]
    fn is_from_mac(&self, bot: &Bot) -> bool {
        !bot.is_filtered_by_mac() || self.has_sender(bot)
    }

    /// Returns whether the frame's source MAC address is the bot's. If the frame has none, the number stays 0,
    /// which is no address. The compiler must not convert a value that was not read: the verifier rejects that.
    #[inline(never)]
    fn has_sender(&self, bot: &Bot) -> bool {
        let mut sender = 0;
        if let Some(mac) = Mac::of_sender(LinkType::Ethernet, &self.linear) {
            sender = black_box(mac_to_u64(mac));
        } else if let Some(mac) = Mac::of_sender(LinkType::Ethernet, &self.full) {
            sender = black_box(mac_to_u64(mac));
        }
        sender == bot.mac()
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
    fn count_new(&self, bot: &Bot, packet: &Packet) -> LedgerEntry {
        let (host, length) = (packet.destination.address(), self.wire_length());
        if ignored::contains(bot, host) {
            return LedgerEntry::Ignored;
        }
        let hash = hash(host.halves());
        // The host is added first, so that its total is exact even if its endpoints do not fit.
        let host_entry = hosts::get(bot, &host);
        let is_listed = host_entry.is_some() || hosts::insert(bot, &host, hash);
        if is_listed && endpoints::insert(bot, packet, length) {
            return LedgerEntry::Counted;
        }
        let is_added = match host_entry {
            Some(entry) => {
                entry.add(length);
                true
            }
            None => is_listed && hosts::add(bot, &host, length),
        };
        if !is_added {
            return Self::count_unlisted(bot, hash, length);
        }
        bot.cpu.record_overflow(length);
        LedgerEntry::Counted
    }

    /// Counts a packet to an unlisted host. Returns the ledger entry to record the packet under.
    #[inline(always)]
    fn count_unlisted(bot: &Bot, hash: u64, length: u64) -> LedgerEntry {
        bot.cpu.add(LedgerEntry::UnlistedBytes, length);
        hyperloglog::insert(bot, hash);
        LedgerEntry::UnlistedPackets
    }

    /// Sends a packet between the bot and a listed host to user space if the rate limits permit it.
    #[inline(always)]
    fn sample_packet(&self, bot: &Bot, host: &Address) {
        if !self.send_to_user_space(bot, host) {
            bot.cpu.record(LedgerEntry::PacketsLost);
        }
    }

    /// Sends a packet to user space unless the host is unlisted or over its rate limit. Returns false if
    /// the perf buffer is full. Not inlined, and with a return value, for the reasons above.
    #[inline(never)]
    fn send_to_user_space(&self, bot: &Bot, host: &Address) -> bool {
        let Some(entry) = hosts::get(bot, host) else { return true };
        if !packets::is_within_budget(bot, &entry) {
            return true;
        }
        entry.record_sent();
        bot.cpu.record_sent();
        let tag = self.tag.as_ref().map(|tag| (tag.tpid, tag.tci));
        let lengths = (self.wire_length() as u32, self.length as u32);
        packets::send(bot, self.ctx, *host, lengths, tag)
    }
}
