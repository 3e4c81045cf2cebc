//! Destinations that are not counted.

use core::hint::black_box;

use aya_ebpf::btf_maps::LpmTrie;
use aya_ebpf::btf_maps::lpm_trie::Key;
use aya_ebpf::macros::btf_map;
use gomon_common::Address;
use gomon_common::kernel::{IgnoredKey, MAX_IGNORED, ignored_key};

use super::bots::Bot;

/// LPM trie. Key: the slot of a bot, and a prefix of an [`Address`]. Value: 1 if the destinations are
/// ignored, or 0 if they are counted. User space sets the number of entries.
#[btf_map]
static IGNORED: LpmTrie<IgnoredKey, u8, MAX_IGNORED> = LpmTrie::new();

/// Returns whether packets of the bot to `host` are ignored: it is the bot itself, or its longest matching
/// prefix is ignored.
#[inline(always)]
pub(crate) fn contains(bot: &Bot, host: Address) -> bool {
    bot.has_address(host) || (bot.has_ignored() && matches_prefix(bot.slot(), host))
}

/// A lookup key on the stack. The verifier rejects a `u64` store to the stack that is not aligned to eight
/// bytes. Four bytes of padding align the address in the key.
#[repr(C, align(8))]
struct AlignedKey {
    padding: u32,
    key: Key<IgnoredKey>,
}

#[inline(always)]
fn matches_prefix(slot: u32, host: Address) -> bool {
    let key = Key::new(8 * size_of::<IgnoredKey>() as u32, ignored_key(slot, host));
    let aligned = AlignedKey { padding: 0, key };
    IGNORED.get(&black_box(&aligned).key).is_some_and(|ignored| *ignored != 0)
}
