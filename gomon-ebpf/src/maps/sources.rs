//! Whose packets count.

use aya_ebpf::btf_maps::HashMap;
use aya_ebpf::macros::btf_map;
use gomon_common::Address;
use gomon_common::kernel::MAX_SOURCES;

#[btf_map]
static SOURCES: HashMap<Address, u8, MAX_SOURCES> = HashMap::new();

// What the loader writes before the programs start. Read-only for the kernel, which then knows them
// as constants and drops what can't happen.
#[unsafe(no_mangle)]
static BOT: [u8; 16] = [0; 16];
#[unsafe(no_mangle)]
static ANY_SOURCE: u8 = 0;
#[unsafe(no_mangle)]
static MORE_SOURCES: u8 = 0;

/// Reads what the compiler must not take for the constant it sees.
#[inline(always)]
fn global<T: Copy>(value: &T) -> T {
    // SAFETY: a reference can be read from.
    unsafe { core::ptr::read_volatile(value) }
}

/// Whether packets from `source` are the bot's.
#[inline(always)]
pub(crate) fn is_bot(source: Address) -> bool {
    if global(&ANY_SOURCE) != 0 || Address::v6(global(&BOT)) == source {
        return true;
    }
    // SAFETY: the loader fills this map before the programs start, and nobody changes it after.
    global(&MORE_SOURCES) != 0 && unsafe { SOURCES.get(source) }.is_some()
}
