//! Who sent what is not the bot's, by the sample the program keeps.

use anyhow::Result;
use aya::maps::{MapData, PerCpuArray};
use gomon_common::Address;
use gomon_common::kernel::{CpuLedger, LedgerEntry, SAMPLES};
use hashbrown::HashMap;

use crate::core::{Ledger, Senders, identifies_host};

type Samples = [[u8; 16]; SAMPLES];

/// The samples of both generations, for as long as nothing was the bot's.
pub(super) struct Sampled {
    map: PerCpuArray<MapData, Samples>,
    /// The sources so far, with their packets in the samples: too few to tell, which bounds them.
    sources: HashMap<Address, u64>,
    /// Whether it is in doubt who the bot is.
    doubtful: bool,
}

impl Sampled {
    /// The samples in a map, before the first packet.
    pub(super) fn new(map: PerCpuArray<MapData, Samples>) -> Self {
        Self { map, sources: HashMap::new(), doubtful: true }
    }

    /// Who sent up to the end of a generation that is closed, if there is doubt: until there are enough
    /// packets to tell, none of which were the bot's. `pages` are the ledgers of its CPUs, and `ledger` is their sum.
    pub(super) fn take<'a>(
        &mut self,
        generation: u32,
        ledger: &Ledger,
        pages: impl IntoIterator<Item = &'a CpuLedger>,
    ) -> Result<Senders> {
        let is_bot_there = ledger.counted + ledger.ignored > 0;
        self.doubtful &= !is_bot_there;
        if !self.doubtful || ledger.not_from_bot == 0 {
            return Ok(Senders::default());
        }
        let samples = self.map.get(&generation, 0)?;
        for (samples, page) in samples.iter().zip(pages) {
            // What is behind the packets that came is from another pane.
            let packets = page[LedgerEntry::NotFromBot as usize];
            let fresh = usize::try_from(packets).unwrap_or(usize::MAX);
            let sources = samples.iter().take(fresh).map(|source| Address::v6(*source));
            for source in sources.filter(|source| identifies_host(*source)) {
                *self.sources.entry(source).or_default() += 1;
            }
        }
        let sources = self.sources.iter().map(|(source, packets)| (*source, *packets));
        let senders = Senders::new(self.sources.values().sum(), sources);
        self.doubtful = !senders.is_sufficient();
        Ok(senders)
    }
}
