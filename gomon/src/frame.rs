//! A captured frame, as sources read it and artifacts keep it.

use gomon_common::LinkType;

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

/// The link type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameLink {
    /// One that can be looked into.
    Known(LinkType),
    /// One that cannot, by its number in the registry.
    Unsupported(u32),
}
