//! Destinations that are not counted.

use core::hint::black_box;

use aya_ebpf::Global;
use aya_ebpf::btf_maps::LpmTrie;
use aya_ebpf::btf_maps::lpm_trie::Key;
use aya_ebpf::macros::btf_map;
use gomon_common::Address;
use gomon_common::kernel::MAX_IGNORED;

use super::sources;

/// LPM trie. Key: prefix of an [`Address`]. Value: 1 if the destinations are ignored, or 0 if they are
/// counted.
#[btf_map]
static IGNORED: LpmTrie<[u8; 16], u8, MAX_IGNORED> = LpmTrie::new();

#[unsafe(no_mangle)]
static HAS_IGNORED: Global<u8> = Global::new(0);

/// Returns whether packets to `host` are ignored: it is the bot itself, or its longest matching prefix is
/// ignored.
#[inline(always)]
pub(crate) fn contains(host: Address) -> bool {
    sources::contains(host) || (HAS_IGNORED.load() != 0 && matches_prefix(host))
}

/// A lookup key on the stack. The verifier rejects a `u64` store to the stack that is not aligned to eight
/// bytes. Four bytes of padding align the address in the key.
#[repr(C, align(8))]
struct AlignedKey {
    padding: u32,
    key: Key<[u8; 16]>,
}

#[inline(always)]
fn matches_prefix(host: Address) -> bool {
    let aligned = AlignedKey { padding: 0, key: Key::new(128, host.bytes()) };
    IGNORED.get(&black_box(&aligned).key).is_some_and(|ignored| *ignored != 0)
}
