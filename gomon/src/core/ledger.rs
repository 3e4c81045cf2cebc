//! The outcome of every frame seen.

use std::ops::AddAssign;

use gomon_common::Skip;
use gomon_common::parse::Malformed;

/// The number of frames by outcome. The outcomes of the frames seen are exclusive and add up to
/// [`Ledger::seen`]. `lost` frames are not among them; `late` and `implausible` count some of them again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Packets of the bot that were counted.
    pub counted: u64,
    /// Packets from other senders.
    pub not_from_bot: u64,
    /// Packets of the bot to ignored destinations.
    pub ignored: u64,
    /// Frames without an IP packet.
    pub not_ip: u64,
    /// Malformed frames, by reason in the order of [`Malformed::ALL`].
    pub malformed: [u64; Malformed::ALL.len()],
    /// Frames that a live capture lost before they were parsed.
    pub lost: u64,
    /// Of the frames seen, those with a timestamp before the open pane.
    pub late: u64,
    /// Of the frames seen, those with an implausible timestamp: too far ahead or back.
    pub implausible: u64,
}

impl Ledger {
    /// The number of frames seen, of all outcomes.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.counted + self.not_from_bot + self.ignored + self.not_ip + self.malformed_total()
    }

    /// The number of malformed frames, of all reasons.
    #[must_use]
    pub fn malformed_total(&self) -> u64 {
        self.malformed.iter().sum()
    }

    /// Malformed frames by reason, without the reasons that did not occur.
    pub fn malformed_by_reason(&self) -> impl Iterator<Item = (Malformed, u64)> {
        Malformed::ALL.into_iter().zip(self.malformed).filter(|(_, frames)| *frames > 0)
    }

    /// Records a skipped frame: one without an IP packet, or a malformed one.
    #[inline]
    pub fn skip(&mut self, skip: Skip) {
        match skip {
            Skip::NotIp => self.not_ip += 1,
            Skip::Malformed(reason) => self.malformed[reason as usize] += 1,
        }
    }
}

impl AddAssign<&Self> for Ledger {
    fn add_assign(&mut self, other: &Self) {
        self.counted += other.counted;
        self.not_from_bot += other.not_from_bot;
        self.ignored += other.ignored;
        self.not_ip += other.not_ip;
        for (mine, theirs) in self.malformed.iter_mut().zip(other.malformed) {
            *mine += theirs;
        }
        self.lost += other.lost;
        self.late += other.late;
        self.implausible += other.implausible;
    }
}
