//! A packet in an artifact.

use bytes::Bytes;
use gomon_common::LinkType;

use crate::core::Timestamp;
use crate::frame::{Frame, FrameLink};

/// A packet that is stored for artifacts. With borrowed data, it is about to be stored.
#[derive(Clone, Debug)]
pub struct StoredPacket<Data = Bytes> {
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
