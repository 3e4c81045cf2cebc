//! Whose packets count.

use aya_ebpf::Global;
use aya_ebpf::btf_maps::HashMap;
use aya_ebpf::macros::btf_map;
use gomon_common::kernel::{MAX_SOURCES, mac};
use gomon_common::{Address, Mac};

#[btf_map]
static SOURCES: HashMap<Address, u8, MAX_SOURCES> = HashMap::new();

// What the loader writes before the programs start. Read-only for the kernel, which then knows them
// as constants and drops what can't happen.
#[unsafe(no_mangle)]
static BOT: Global<Address> = Global::new(Address::v6([0; 16]));
#[unsafe(no_mangle)]
static ANY_SOURCE: Global<u8> = Global::new(0);
#[unsafe(no_mangle)]
static BOT_MAC: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static MORE_SOURCES: Global<u8> = Global::new(0);

/// Whether every source is the bot's.
#[inline(always)]
pub(crate) fn any() -> bool {
    ANY_SOURCE.load() != 0
}

/// Whether only frames of one sender are the bot's.
#[inline(always)]
pub(crate) fn is_told_by_mac() -> bool {
    BOT_MAC.load() != 0
}

/// Whether it is this one.
#[inline(always)]
pub(crate) fn has_mac(sender: Option<Mac>) -> bool {
    sender.is_some_and(|sender| mac(sender) == BOT_MAC.load())
}

/// Whether packets from `source` are the bot's.
#[inline(always)]
pub(crate) fn is_bot(source: Address) -> bool {
    any() || has(source)
}

/// Whether `address` is one of the bot's; when every source is, none is known to be.
#[inline(always)]
pub(crate) fn has(address: Address) -> bool {
    if any() {
        return false;
    }
    if BOT.load() == address {
        return true;
    }
    // SAFETY: the loader fills this map before the programs start, and nobody changes it after.
    MORE_SOURCES.load() != 0 && unsafe { SOURCES.get(address) }.is_some()
}
