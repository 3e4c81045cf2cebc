//! What becomes of a frame: the body all programs share.

use aya_ebpf::EbpfContext;
use aya_log_ebpf::debug;
use gomon_common::kernel::Entry;
use gomon_common::registers::hash;
use gomon_common::{Address, Frame, LinkType, Mac, Packet, Skip, parse, parse_common, protocol};

use crate::context::Tag;
use crate::maps::ledger::Page;
use crate::maps::{
    contact, current, endpoints, hosts, ignored, near, packets, registers, senders, sieve, sources,
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
        let Some(page) = Page::of(generation) else { return };
        let packet = match parse_common(&self.front) {
            Some(packet) => packet,
            None => {
                let mut packet = Packet::default();
                if !self.parse_uncommon(&page, &mut packet) {
                    return;
                }
                packet
            }
        };
        self.enter(generation, &page, &packet);
    }

    /// Looks at a frame that goes out: it may be an answer to the bot.
    #[inline(always)]
    pub(crate) fn answer(&self) {
        let generation = current::generation();
        let Some(page) = Page::of(generation) else { return };
        match parse_common(&self.front) {
            Some(packet) => self.answered(generation, &page, &packet),
            None => self.answer_uncommon(generation, &page),
        };
    }

    /// Looks at it thoroughly. A function of its own for the reason below; what it returns nobody needs,
    /// but the kernel looks at what is returned also where nothing is.
    #[inline(never)]
    fn answer_uncommon(&self, generation: u32, page: &Page) -> bool {
        let Ok(packet) = parse(LinkType::Ethernet, &self.whole) else { return false };
        self.answered(generation, page, &packet)
    }

    /// Enters a packet that may be an answer to the bot: into the contact it answers, and for artifacts.
    #[inline(always)]
    fn answered(&self, generation: u32, page: &Page, packet: &Packet) -> bool {
        if !sources::is_bot(packet.destination.address()) {
            return false;
        }
        if contact::wanted() && packet.destination.protocol() == protocol::UDP {
            contact::came_back(generation, page, &packet.origin());
        }
        if packets::wanted() {
            self.offer(generation, page, &packet.source);
        }
        true
    }

    /// Finds the packet of a frame that has to be looked at thoroughly; where there is none, the frame is
    /// entered as skipped, and false returned. A function of its own: what it keeps on the stack is gone
    /// before anything else needs room there.
    #[inline(never)]
    fn parse_uncommon(&self, page: &Page, packet: &mut Packet) -> bool {
        match parse(LinkType::Ethernet, &self.whole) {
            Ok(found) => {
                *packet = found;
                true
            }
            Err(skip) => {
                if let Skip::Malformed(reason) = skip {
                    debug!(self.context, "malformed frame: {}", reason.name());
                }
                page.enter_skipped(skip);
                false
            }
        }
    }

    /// Enters a packet into the books.
    #[inline(always)]
    fn enter(&self, generation: u32, page: &Page, packet: &Packet) {
        if !sources::is_bot(packet.source) || !self.is_sent_by_bot() {
            senders::sample(generation, page.enter_not_from_bot(), packet.source);
            // On an interface that is no tap, answers come in too.
            if packets::wanted() || contact::wanted() {
                self.answered(generation, page, packet);
            }
            return;
        }
        // Of everybody's packets any may be an answer as well.
        let is_everybodys = sources::any() && !sources::is_told_by_mac();
        if is_everybodys && contact::wanted() && packet.destination.protocol() == protocol::UDP {
            contact::came_back(generation, page, &packet.origin());
        }
        let host = packet.destination.address();
        // Then most packets are to hosts that get no entry, in a flood to ever new ones.
        if page.has(Entry::HostsFull) {
            let hash = hash(host.halves());
            if !sieve::lets_through(generation, hash) {
                page.enter(if ignored::contains(host) {
                    Entry::Ignored
                } else {
                    Self::count_unlisted(generation, page, hash, self.wire_length())
                });
                return;
            }
        }
        if near::add(generation, packet, self.wire_length()) {
            page.enter(Entry::Counted);
            return;
        }
        if let Some(known) = endpoints::add(generation, page, packet, self.wire_length()) {
            page.enter(Entry::Counted);
            near::claim(generation, packet);
            if packets::wanted() && packets::admits(&known, page, packets::slot(generation, page)) {
                known.enter_sent();
                self.offer(generation, page, &host);
            }
            return;
        }
        let entry = self.count_new(generation, page, packet);
        page.enter(entry);
        if packets::wanted() && matches!(entry, Entry::Counted) {
            self.offer(generation, page, &host);
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
    fn count_new(&self, generation: u32, page: &Page, packet: &Packet) -> Entry {
        let (host, length) = (packet.destination.address(), self.wire_length());
        if ignored::contains(host) {
            return Entry::Ignored;
        }
        let hash = hash(host.halves());
        // A host first, so that its total is exact also when its endpoints don't fit.
        let beside = hosts::get(generation, &host);
        let known = beside.is_some() || hosts::insert(generation, page, &host, hash);
        if known && endpoints::insert(generation, page, packet, length) {
            return Entry::Counted;
        }
        let added = match beside {
            Some(beside) => {
                beside.add(length);
                true
            }
            None => known && hosts::add(generation, &host, length),
        };
        if !added {
            return Self::count_unlisted(generation, page, hash, length);
        }
        page.enter_overflow(length);
        Entry::Counted
    }

    /// Counts a packet to a host that is not known, and for which there is no room, and says where the
    /// ledger has it.
    #[inline(always)]
    fn count_unlisted(generation: u32, page: &Page, hash: u64, length: u64) -> Entry {
        page.add(Entry::UnlistedBytes, length);
        registers::insert(generation, hash);
        Entry::UnlistedPackets
    }

    /// Sends a packet between the bot and a known host up, as far as an artifact can want it.
    #[inline(always)]
    fn offer(&self, generation: u32, page: &Page, host: &Address) {
        if !self.send_up(generation, page, host) {
            page.enter(Entry::PacketsLost);
        }
    }

    /// Sends a packet up unless there were enough of its host; false when there was no room for it. A
    /// function of its own for the reason above, and one that returns something, for the kernel looks at
    /// what is returned also where nothing is.
    #[inline(never)]
    fn send_up(&self, generation: u32, page: &Page, host: &Address) -> bool {
        let Some(known) = hosts::get(generation, host) else { return true };
        if !packets::admits(&known, page, packets::slot(generation, page)) {
            return true;
        }
        known.enter_sent();
        page.enter_sent();
        let tag = self.tag.as_ref().map(|tag| (tag.kind, tag.control));
        let sizes = (self.wire_length() as u32, self.length as u32);
        packets::send(self.context, *host, sizes, tag, generation)
    }
}
