//! Who sent what is not the bot's, by the sample the program keeps.

use anyhow::Result;
use aya::maps::{MapData, PerCpuArray};
use gomon_common::Address;
use gomon_common::kernel::{Entry, LedgerPage, SAMPLES};
use hashbrown::HashMap;

use crate::core::{Ledger, Senders};

type Samples = [[u8; 16]; SAMPLES];

/// The samples of both generations, for as long as nothing was the bot's.
pub(super) struct Sampled {
    map: PerCpuArray<MapData, Samples>,
    /// Whether it is in doubt who the bot is.
    doubtful: bool,
}

impl Sampled {
    /// The samples in a map, before the first packet.
    pub(super) fn new(map: PerCpuArray<MapData, Samples>) -> Self {
        Self { map, doubtful: true }
    }

    /// Who sent in a generation that is closed, if there is doubt: in the first one that had packets, none
    /// of which were the bot's. `pages` are the ledgers of its CPUs, and `ledger` is their sum.
    pub(super) fn take<'a>(
        &mut self,
        generation: u32,
        ledger: &Ledger,
        pages: impl IntoIterator<Item = &'a LedgerPage>,
    ) -> Result<Senders> {
        let is_bot_there = ledger.counted + ledger.ignored > 0;
        let is_due = self.doubtful && !is_bot_there && ledger.not_from_bot > 0;
        self.doubtful &= !is_bot_there && !is_due;
        if !is_due {
            return Ok(Senders::default());
        }
        let mut sources: HashMap<Address, u64> = HashMap::new();
        let samples = self.map.get(&generation, 0)?;
        for (samples, page) in samples.iter().zip(pages) {
            // What is behind the packets that came is from another pane.
            let packets = page[Entry::NotFromBot as usize];
            let fresh = usize::try_from(packets).unwrap_or(usize::MAX);
            for source in samples.iter().take(fresh) {
                *sources.entry(Address::v6(*source)).or_default() += 1;
            }
        }
        Ok(Senders::new(sources.values().sum(), sources))
    }
}
