//! The bot's addresses.

use aya_ebpf::Global;
use aya_ebpf::btf_maps::HashMap;
use aya_ebpf::macros::btf_map;
use gomon_common::kernel::{MAX_SOURCES, mac_to_u64};
use gomon_common::{Address, Mac};

/// Hash map. Key: an [`Address`] of the bot other than the first. The value is unused.
#[btf_map]
static SOURCES: HashMap<Address, u8, MAX_SOURCES> = HashMap::new();

// The loader sets these before it loads the programs. They are read-only to the kernel, so the verifier
// treats them as constants and removes dead code.
#[unsafe(no_mangle)]
static BOT: Global<Address> = Global::new(Address::v6([0; 16]));
#[unsafe(no_mangle)]
static ANY_SOURCE: Global<u8> = Global::new(0);
#[unsafe(no_mangle)]
static BOT_MAC: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static MORE_SOURCES: Global<u8> = Global::new(0);

/// Returns whether every source address is the bot's.
#[inline(always)]
pub(crate) fn any() -> bool {
    ANY_SOURCE.load() != 0
}

/// Returns whether only frames from one MAC address are the bot's.
#[inline(always)]
pub(crate) fn is_filtered_by_mac() -> bool {
    BOT_MAC.load() != 0
}

/// Returns whether `sender` is the bot's MAC address.
#[inline(always)]
pub(crate) fn is_bot_mac(sender: Option<Mac>) -> bool {
    sender.is_some_and(|sender| mac_to_u64(sender) == BOT_MAC.load())
}

/// Returns whether packets from `source` are the bot's.
#[inline(always)]
pub(crate) fn is_bot(source: Address) -> bool {
    any() || contains(source)
}

/// Returns whether `address` is one of the configured bot addresses. Always false if every source is the
/// bot's.
#[inline(always)]
pub(crate) fn contains(address: Address) -> bool {
    if any() {
        return false;
    }
    if BOT.load() == address {
        return true;
    }
    // SAFETY: the loader fills this map before the programs start, and it does not change after that.
    MORE_SOURCES.load() != 0 && unsafe { SOURCES.get(address) }.is_some()
}
