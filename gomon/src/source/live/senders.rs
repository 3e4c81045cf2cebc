//! The senders of packets that are not the bot's, from the sample that the eBPF programs keep.

use anyhow::Result;
use aya::maps::{MapData, PerCpuArray};
use gomon_common::Address;
use gomon_common::kernel::{CpuLedger, LedgerEntry};
use hashbrown::HashMap;

use super::slot_maps::Samples;
use crate::core::{Ledger, Senders, identifies_host};

/// Collects samples for as long as no packet was the bot's.
pub(super) struct SenderSamples {
    /// The sampled packets of each source. Sampling ends once they are enough, which bounds the map.
    sources: HashMap<Address, u64>,
    /// Whether the bot's address may be wrong.
    is_doubtful: bool,
}

impl Default for SenderSamples {
    fn default() -> Self {
        Self { sources: HashMap::new(), is_doubtful: true }
    }
}

impl SenderSamples {
    /// Returns the senders up to the end of a closed generation, while the bot's address may be wrong:
    /// until enough packets are sampled, none of which was the bot's. `map` has the samples, `ledgers` are those
    /// of the CPUs, and `ledger` is their sum.
    pub(super) fn read<'a>(
        &mut self,
        map: &PerCpuArray<MapData, Samples>,
        generation: u32,
        ledger: &Ledger,
        ledgers: impl IntoIterator<Item = &'a CpuLedger>,
    ) -> Result<Senders> {
        let has_bot_packets = ledger.counted + ledger.ignored > 0;
        self.is_doubtful &= !has_bot_packets;
        if !self.is_doubtful || ledger.not_from_bot == 0 {
            return Ok(Senders::default());
        }
        let samples = map.get(&generation, 0)?;
        for (samples, ledger) in samples.iter().zip(ledgers) {
            // The map is not cleared: only the first samples, one per packet, are from this pane.
            let packets = ledger[LedgerEntry::NotFromBot as usize];
            let valid = usize::try_from(packets).unwrap_or(usize::MAX);
            let sources = samples.iter().take(valid).map(|source| Address::v6(*source));
            for source in sources.filter(|source| identifies_host(*source)) {
                *self.sources.entry(source).or_default() += 1;
            }
        }
        #[expect(clippy::disallowed_methods, reason = "`Senders::new` sorts")]
        let sources = self.sources.iter().map(|(source, packets)| (*source, *packets));
        #[expect(clippy::disallowed_methods, reason = "a sum")]
        let senders = Senders::new(self.sources.values().sum(), sources);
        self.is_doubtful = !senders.is_sufficient();
        Ok(senders)
    }
}
