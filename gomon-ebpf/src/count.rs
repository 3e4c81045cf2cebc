//! What becomes of a frame: the body all programs share.

use aya_ebpf::EbpfContext;
use aya_log_ebpf::debug;
use gomon_common::kernel::Entry;
use gomon_common::{Address, Endpoint, Frame, LinkType, Packet, Skip, parse, parse_common};

use crate::context::Tag;
use crate::maps::ledger::Page;
use crate::maps::{current, endpoints, hosts, ignored, packets, registers, sources};

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
        match parse_common(&self.front) {
            Some(packet) => self.enter(generation, &page, &packet),
            None => self.count_uncommon(generation, &page),
        }
    }

    /// Looks at a frame that goes out: an answer to the bot is wanted for artifacts.
    #[inline(always)]
    pub(crate) fn answer(&self) {
        let generation = current::generation();
        let Some(page) = Page::of(generation) else { return };
        if let Ok(packet) = parse(LinkType::Ethernet, &self.whole)
            && sources::is_bot(packet.destination.address())
        {
            self.send_up(generation, &page, &packet.source);
        }
    }

    /// Counts a frame that has to be looked at thoroughly. A function of its own: what it keeps on the
    /// stack is gone before anything else needs room there.
    #[inline(never)]
    fn count_uncommon(&self, generation: u32, page: &Page) {
        match parse(LinkType::Ethernet, &self.whole) {
            Ok(packet) => self.enter(generation, page, &packet),
            Err(skip) => {
                if let Skip::Malformed(reason) = skip {
                    debug!(self.context, "malformed frame: {}", reason.name());
                }
                page.enter_skipped(skip);
            }
        }
    }

    /// Enters a packet into the books.
    #[inline(always)]
    fn enter(&self, generation: u32, page: &Page, packet: &Packet) {
        if sources::is_bot(packet.source) {
            let entry = self.count_packet(generation, page, packet);
            page.enter(entry);
            if packets::wanted() && matches!(entry, Entry::Counted) {
                self.send_up(generation, page, &packet.destination.address());
            }
        } else {
            page.enter(Entry::NotFromBot);
            // On an interface that is no tap, answers come in too.
            if packets::wanted() && sources::is_bot(packet.destination.address()) {
                self.send_up(generation, page, &packet.source);
            }
        }
    }

    /// The bytes of the frame as they were on the wire: the tag that was taken out was part of it.
    #[inline(always)]
    fn wire_length(&self) -> u64 {
        self.length + if self.tag.is_some() { 4 } else { 0 }
    }

    /// Counts a packet of the bot, and says where the ledger has it.
    #[inline(always)]
    fn count_packet(&self, generation: u32, page: &Page, packet: &Packet) -> Entry {
        let (endpoint, length) = (&packet.destination, self.wire_length());
        if endpoints::add(generation, endpoint, length) {
            return Entry::Counted;
        }
        self.count_new(generation, page, endpoint)
    }

    /// Counts a packet to an endpoint that is not known, or for which there is no room.
    #[inline(never)]
    fn count_new(&self, generation: u32, page: &Page, endpoint: &Endpoint) -> Entry {
        let (host, length) = (endpoint.address(), self.wire_length());
        if ignored::contains(host) {
            return Entry::Ignored;
        }
        // A host first, so that its total is exact also when its endpoints don't fit.
        let known = hosts::know(generation, page, &host);
        if known && endpoints::insert(generation, page, endpoint, length) {
            return Entry::Counted;
        }
        page.add(Entry::OverflowPackets, 1);
        page.add(Entry::OverflowBytes, length);
        if !(known && hosts::add(generation, &host, length)) {
            page.add(Entry::OverflowHostPackets, 1);
            page.add(Entry::OverflowHostBytes, length);
            registers::insert(generation, host);
        }
        Entry::Counted
    }

    /// Sends a packet between the bot and a known host up, as far as an artifact can want it.
    /// A function of its own for the same reason.
    #[inline(never)]
    fn send_up(&self, generation: u32, page: &Page, host: &Address) {
        let Some(now) = packets::admit(generation, page, host) else { return };
        let tag = self.tag.as_ref().map(|tag| (tag.kind, tag.control));
        let sizes = (self.wire_length() as u32, self.length as u32);
        let lost = packets::send(self.context, now, *host, sizes, tag, generation);
        if lost {
            page.enter(Entry::PacketsLost);
        }
    }
}
