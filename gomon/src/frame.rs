//! A captured frame, as sources yield it and artifacts store it.

use std::ops::ControlFlow;

use gomon_common::{Address, LinkType};

use crate::core::Timestamp;

/// One captured frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// When it was captured. Some formats can omit the time.
    pub time: Option<Timestamp>,
    /// The type of the header that it starts with.
    pub link: FrameLink,
    /// Its length on the wire, in bytes.
    pub length: u32,
    /// The captured bytes.
    pub data: &'a [u8],
}

impl Frame<'_> {
    /// Copies the frame.
    #[must_use]
    pub fn to_owned_frame(&self) -> OwnedFrame {
        OwnedFrame { time: self.time, link: self.link, length: self.length, data: self.data.into() }
    }
}

/// A frame that owns its bytes.
#[derive(Clone, Debug)]
pub struct OwnedFrame {
    time: Option<Timestamp>,
    link: FrameLink,
    length: u32,
    data: Box<[u8]>,
}

impl OwnedFrame {
    /// Borrows the frame.
    #[must_use]
    pub fn frame(&self) -> Frame<'_> {
        Frame { time: self.time, link: self.link, length: self.length, data: &self.data }
    }

    /// Moves the capture time by `by` nanoseconds.
    pub fn shift_time(&mut self, by: i64) {
        self.time = self.time.map(|time| time.after(by));
    }
}

/// The link type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameLink {
    /// A link type that gomon parses.
    Known(LinkType),
    /// Any other link type, by its number in the registry of link-layer header types.
    Unsupported(u32),
}

/// A host that the bot exchanges packets with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteHost {
    /// Its address.
    pub address: Address,
    /// Whether it is a listed host of the open pane.
    pub is_listed: bool,
}

/// The remote hosts of a packet: none if it belongs to no artifact, two if both its source and its destination may
/// be the bot, otherwise one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoteHosts {
    first: Option<RemoteHost>,
    second: Option<RemoteHost>,
}

impl RemoteHosts {
    /// Returns a single remote host.
    #[must_use]
    pub fn one(host: RemoteHost) -> Self {
        Self { first: Some(host), second: None }
    }

    /// Returns the remote hosts with these addresses.
    #[must_use]
    pub fn new(addresses: [Option<Address>; 2], is_listed: impl Fn(Address) -> bool) -> Self {
        let [first, second] = addresses.map(|address| {
            address.map(|address| RemoteHost { address, is_listed: is_listed(address) })
        });
        Self { first, second }
    }

    /// Returns an iterator over the hosts.
    pub fn iter(&self) -> impl Iterator<Item = RemoteHost> {
        self.first.into_iter().chain(self.second)
    }
}

/// Receives a packet that is reread: the position of its record in the capture, its remote host, and its frame.
/// Breaks to stop rereading.
pub type PacketVisitor<'a> = &'a mut dyn FnMut(u64, Address, &Frame<'_>) -> ControlFlow<()>;
