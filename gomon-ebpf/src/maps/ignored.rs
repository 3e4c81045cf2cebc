//! Destinations that are not counted.

use aya_ebpf::btf_maps::LpmTrie;
use aya_ebpf::btf_maps::lpm_trie::Key;
use aya_ebpf::macros::btf_map;
use gomon_common::Address;
use gomon_common::kernel::MAX_IGNORED;

#[btf_map]
static IGNORED: LpmTrie<[u8; 16], u8, MAX_IGNORED> = LpmTrie::new();

/// Whether the longest prefix that holds `host` is one to leave out.
#[inline(always)]
pub(crate) fn contains(host: Address) -> bool {
    IGNORED.get(&Key::new(128, host.bytes())).is_some_and(|ignored| *ignored != 0)
}
