//! A frame under construction.

use gomon_common::Skip;
use gomon_common::parse::Malformed;

use super::expected::Walk;

/// The parser's documented limit, repeated here because it is under test.
pub(super) const MAX_LAYERS: usize = 4;

pub(super) const TRUNCATED: Skip = Skip::Malformed(Malformed::Truncated);

/// How a layer announces the next one.
#[derive(Clone, Copy)]
pub(super) enum Announced {
    Ipv4,
    Ipv6,
    Foreign,
    /// Not at all: the version is in the first four bits of the packet.
    Unspecified,
}

#[derive(Default)]
pub(super) struct Builder {
    pub(super) frame: Vec<u8>,
    pub(super) needs: Vec<(usize, Skip)>,
    pub(super) verdict: Option<Result<Walk, Skip>>,
    pub(super) noise: [u8; 32],
    /// Layers written so far between the link header and the packet.
    pub(super) layers: usize,
}

impl Builder {
    /// Records that `bytes` of the frame must be captured, or else the result is `otherwise`.
    pub(super) fn need(&mut self, bytes: usize, otherwise: Skip) {
        if self.verdict.is_none() {
            self.needs.push((bytes, otherwise));
        }
    }

    /// Records the result for the frame. Only the first call has an effect, because the parser stops there.
    pub(super) fn judge(&mut self, verdict: Result<Walk, Skip>) {
        self.verdict.get_or_insert(verdict);
    }

    /// Appends bytes that the parser must ignore.
    pub(super) fn fill(&mut self, bytes: usize) {
        let noise = self.noise;
        self.frame.extend(noise.iter().cycle().take(bytes));
    }

    pub(super) fn u16(&mut self, n: u16) {
        self.frame.extend(n.to_be_bytes());
    }
}
