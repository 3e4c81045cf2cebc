//! The values of the BPF maps that more than one file uses, and their conversion.
//!
//! Values are arrays of integers, which aya accepts without `unsafe`. Their layouts are those of the
//! structs in [`gomon_common::kernel`].

use aya::maps::PerCpuValues;
use gomon_common::kernel::{CpuLedger, LedgerEntry, PACKET_WORD, SEVERAL_SOURCES};
use gomon_common::parse::Malformed;
use gomon_common::{Address, Skip};

use super::clock::MonotonicClock;
use crate::core::{ContactTimes, Counts, Ledger, PacketSource};

/// A [`DestinationValue`](gomon_common::kernel::DestinationValue), whose third word only the program uses.
pub(super) type HostValue = [u64; 3];
/// The same, followed by a [`ContactValue`](gomon_common::kernel::ContactValue) and the source address.
pub(super) type EndpointValue = [u64; 7];

/// Returns the counts in the value of a host.
pub(super) fn host_counts([packets, bytes, _]: HostValue) -> Counts {
    Counts { packets, bytes }
}

/// Returns the counts in the value of an endpoint.
pub(super) fn endpoint_counts([packets, bytes, ..]: EndpointValue) -> Counts {
    Counts { packets, bytes }
}

/// Returns the contact times in the value of an endpoint.
pub(super) fn contact_times(value: EndpointValue, clock: &MonotonicClock) -> ContactTimes {
    let [_, _, _, attempted, replied, ..] = value;
    let time = |monotonic| (monotonic != 0).then(|| clock.wall_time(monotonic));
    ContactTimes::new(time(attempted), time(replied))
}

/// Returns the source of an endpoint's packets in the value of the endpoint.
pub(super) fn packet_source(value: EndpointValue) -> PacketSource {
    let [.., high, low] = value.map(u64::to_ne_bytes);
    let source = Address::v6_halves(high, low);
    if source == SEVERAL_SOURCES { PacketSource::Several } else { PacketSource::One(source) }
}

/// Sums the entries of a ledger over all CPUs.
pub(super) fn sum(ledgers: &PerCpuValues<CpuLedger>) -> CpuLedger {
    let mut sums = CpuLedger::default();
    for (cpu, ledger) in ledgers.iter().enumerate() {
        let lost = ledger[LedgerEntry::PacketsLost as usize];
        if lost > 0 {
            log::debug!("CPU {cpu}: perf buffer full, {lost} packets for artifacts lost");
        }
        let entries = sums.iter_mut().zip(ledger).take(PACKET_WORD);
        entries.for_each(|(sum, number)| *sum += number);
    }
    sums
}

/// Converts a ledger of the program, summed over all CPUs.
pub(super) fn ledger(sums: &CpuLedger) -> Ledger {
    let get = |entry: LedgerEntry| sums[entry as usize];
    let mut ledger = Ledger {
        counted: get(LedgerEntry::Counted) + get(LedgerEntry::UnlistedPackets),
        not_from_bot: get(LedgerEntry::NotFromBot),
        ignored: get(LedgerEntry::Ignored),
        not_ip: get(LedgerEntry::NotIp),
        ..Ledger::default()
    };
    for reason in Malformed::ALL {
        ledger.malformed[reason as usize] = get(LedgerEntry::of(Skip::Malformed(reason)));
    }
    ledger
}
