//! The part of a group's ledger that belongs to a bot.
//!
//! On an interface with several bots, frames that are not from any of them are counted once, in the ledger of the
//! group, which is never cleared. A bot's ledger of a pane includes what was added since its previous pane.

use gomon_common::kernel::{CpuLedger, LedgerEntry};

/// The group's ledger at the end of a bot's previous pane.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GroupShare {
    before: CpuLedger,
    /// Packets of the bot that were counted after the group's ledger was read for the pane that they belong to.
    owed: u64,
}

/// The entries for frames that are skipped.
const SKIPPED: [LedgerEntry; 6] = [
    LedgerEntry::NotIp,
    LedgerEntry::Truncated,
    LedgerEntry::Version,
    LedgerEntry::HeaderLength,
    LedgerEntry::TotalLength,
    LedgerEntry::Nesting,
];

impl GroupShare {
    /// Creates the share of a bot that joins a group with this ledger.
    pub(super) fn since(ledger: &CpuLedger) -> Self {
        Self { before: *ledger, owed: 0 }
    }

    /// Adds what the group's `ledger` has more than before to the bot's ledger of a pane.
    pub(super) fn add_to(&mut self, pane: &mut CpuLedger, ledger: &CpuLedger) {
        let added = |entry: LedgerEntry| ledger[entry as usize] - self.before[entry as usize];
        for entry in SKIPPED {
            pane[entry as usize] += added(entry);
        }
        // The group's ledger is read a moment after the pane has ended, and so has packets of the next pane.
        let own = pane[LedgerEntry::InGroup as usize] + self.owed;
        let all = added(LedgerEntry::InGroup);
        pane[LedgerEntry::NotFromBot as usize] += all.saturating_sub(own);
        self.owed = own.saturating_sub(all);
        self.before = *ledger;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(entries: &[(LedgerEntry, u64)]) -> CpuLedger {
        let mut ledger = CpuLedger::default();
        for (entry, number) in entries {
            ledger[*entry as usize] = *number;
        }
        ledger
    }

    #[test]
    fn panes_add_up_to_the_ledger_of_the_group() {
        let mut share = GroupShare::since(&ledger(&[(LedgerEntry::InGroup, 7)]));
        let mut sums = CpuLedger::default();
        // The second reading is before the bot's last packet is counted in the group.
        for (own, in_group, not_ip) in [(3, 17, 1), (5, 20, 1), (0, 40, 4)] {
            let mut pane = ledger(&[(LedgerEntry::InGroup, own)]);
            let group = ledger(&[(LedgerEntry::InGroup, in_group), (LedgerEntry::NotIp, not_ip)]);
            share.add_to(&mut pane, &group);
            sums.iter_mut().zip(pane).for_each(|(sum, number)| *sum += number);
        }
        assert_eq!(sums[LedgerEntry::NotIp as usize], 4);
        assert_eq!(sums[LedgerEntry::NotFromBot as usize], 40 - 7 - 8);
    }
}
