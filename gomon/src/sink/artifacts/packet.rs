//! A packet in an artifact.

use gomon_common::LinkType;

use crate::core::Timestamp;
use crate::frame::{Frame, FrameLink};

/// A packet that is stored for artifacts.
#[derive(Clone, Copy, Debug)]
pub struct StoredPacket<Data> {
    /// A number that increases in the order of arrival.
    pub number: u64,
    /// The pane it was counted in.
    pub pane: u64,
    /// When it was captured.
    pub time: Timestamp,
    /// The type of the header that its frame starts with.
    pub link: LinkType,
    /// The length of its frame on the wire.
    pub length: u32,
    /// The captured bytes of its frame.
    pub data: Data,
}

impl<Data> StoredPacket<Data> {
    /// Returns the packet with its bytes in another form.
    pub(super) fn with_data<Other>(&self, data: Other) -> StoredPacket<Other> {
        let &Self { number, pane, time, link, length, .. } = self;
        StoredPacket { number, pane, time, link, length, data }
    }
}

impl<'a> StoredPacket<&'a [u8]> {
    /// Returns the packet in `frame`, or `None` for an unsupported link type.
    pub(super) fn from_frame(
        number: u64,
        pane: u64,
        time: Timestamp,
        frame: &Frame<'a>,
    ) -> Option<Self> {
        let FrameLink::Known(link) = frame.link else { return None };
        Some(Self { number, pane, time, link, length: frame.length, data: frame.data })
    }
}
