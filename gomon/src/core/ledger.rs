//! What became of every frame seen.

use std::ops::AddAssign;

use gomon_common::Skip;
use gomon_common::parse::Malformed;

/// Frames by what became of them. The books balance: [`Ledger::seen`] is the sum of the rest, and
/// `lost` are frames that came and were not seen (live captures only).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Packets of the bot that were counted.
    pub counted: u64,
    /// Packets of somebody else.
    pub not_from_bot: u64,
    /// Packets of the bot to destinations that are left out.
    pub ignored: u64,
    /// Frames without IP.
    pub not_ip: u64,
    /// Broken frames, by reason in the order of [`Malformed::ALL`].
    pub malformed: [u64; Malformed::ALL.len()],
    /// Frames that were lost before they could be looked at.
    pub lost: u64,
    /// Of the frames seen, those whose timestamp lay before the current pane.
    pub late: u64,
    /// Of the frames seen, those whose timestamp was too far ahead to be believed.
    pub implausible: u64,
}

impl Ledger {
    /// Frames seen, whatever became of them.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.counted + self.not_from_bot + self.ignored + self.not_ip + self.malformed_total()
    }

    /// Broken frames of all kinds.
    #[must_use]
    pub fn malformed_total(&self) -> u64 {
        self.malformed.iter().sum()
    }

    /// Broken frames by reason, those there are.
    pub fn malformed_by_reason(&self) -> impl Iterator<Item = (Malformed, u64)> {
        Malformed::ALL.into_iter().zip(self.malformed).filter(|(_, frames)| *frames > 0)
    }

    /// Enters a frame that held no packet.
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
