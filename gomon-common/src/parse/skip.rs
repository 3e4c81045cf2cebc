//! Why a frame is skipped.

use crate::Frame;

/// Why a frame has no packet that can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Skip {
    /// The frame carries something other than IP: ARP, LLDP, a spanning tree frame.
    NotIp,
    /// The frame announces IP and its headers are invalid, or it is cut off before the end of the IP header.
    Malformed(Malformed),
}

/// What is malformed in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Malformed {
    /// The frame ends before its outermost IP header does.
    Truncated,
    /// The version in the IP header is not the one that the layer below announces.
    Version,
    /// The IPv4 header length is below 20 bytes.
    HeaderLength,
    /// The IPv4 total length is below the header length (and not 0, which packets captured before
    /// segmentation offload have because the field is not filled in yet).
    TotalLength,
    /// The frame carries more VLAN tags, MPLS labels or other layers than
    /// [`MAX_TAGS`](super::MAX_TAGS), [`MAX_LABELS`](super::MAX_LABELS) or
    /// [`MAX_LAYERS`](super::MAX_LAYERS).
    Nesting,
}

impl Malformed {
    /// Every reason, ordered by number.
    pub const ALL: [Self; 5] =
        [Self::Truncated, Self::Version, Self::HeaderLength, Self::TotalLength, Self::Nesting];

    /// Returns the name of the reason in the summary and the records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Version => "version",
            Self::HeaderLength => "header_length",
            Self::TotalLength => "total_length",
            Self::Nesting => "nesting",
        }
    }
}

pub(super) const TRUNCATED: Skip = Skip::Malformed(Malformed::Truncated);

/// Reads a big-endian 16-bit number. A frame that ends before it is truncated.
#[inline]
pub(super) fn read_u16(frame: &(impl Frame + ?Sized), offset: usize) -> Result<u16, Skip> {
    frame.read(offset).map(u16::from_be_bytes).ok_or(TRUNCATED)
}
