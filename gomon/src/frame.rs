//! A captured frame, as sources read it and artifacts keep it.

use gomon_common::{Address, LinkType};

use crate::core::Timestamp;

/// One captured frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// When it was captured; some formats can leave that out.
    pub time: Option<Timestamp>,
    /// What it starts with.
    pub link: FrameLink,
    /// How long it was on the wire, in bytes.
    pub length: u32,
    /// What was captured of it.
    pub data: &'a [u8],
}

impl Frame<'_> {
    /// The same frame on its own.
    #[must_use]
    pub fn keep(&self) -> KeptFrame {
        KeptFrame { time: self.time, link: self.link, length: self.length, data: self.data.into() }
    }
}

/// The remote hosts of a packet, and whether each is counted on its own: two where either end may be the
/// bot's.
pub type RemoteHosts = [Option<(Address, bool)>; 2];

/// A frame that waits for what comes after it.
#[derive(Clone, Debug)]
pub struct KeptFrame {
    time: Option<Timestamp>,
    link: FrameLink,
    length: u32,
    data: Box<[u8]>,
}

impl KeptFrame {
    /// The frame.
    #[must_use]
    pub fn frame(&self) -> Frame<'_> {
        Frame { time: self.time, link: self.link, length: self.length, data: &self.data }
    }

    /// Makes its time later by so many nanoseconds.
    pub fn move_time(&mut self, by: i64) {
        self.time = self.time.map(|time| time.after(by));
    }
}

/// The link type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameLink {
    /// One that can be looked into.
    Known(LinkType),
    /// One that cannot, by its number in the registry.
    Unsupported(u32),
}
