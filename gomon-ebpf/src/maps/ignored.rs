//! Destinations that are not counted.

use core::hint::black_box;

use aya_ebpf::Global;
use aya_ebpf::btf_maps::LpmTrie;
use aya_ebpf::btf_maps::lpm_trie::Key;
use aya_ebpf::macros::btf_map;
use gomon_common::Address;
use gomon_common::kernel::MAX_IGNORED;

use super::sources;

#[btf_map]
static IGNORED: LpmTrie<[u8; 16], u8, MAX_IGNORED> = LpmTrie::new();

#[unsafe(no_mangle)]
static IGNORES: Global<u8> = Global::new(0);

/// Whether what goes to `host` is left out: it is the bot itself, or the longest prefix that holds it
/// is one to leave out.
#[inline(always)]
pub(crate) fn contains(host: Address) -> bool {
    sources::has(host) || (IGNORES.load() != 0 && in_prefix(host))
}

/// A key on the stack, where the kernel takes no number that lies across its own size: with four bytes
/// before it, the address in it does not.
#[repr(C, align(8))]
struct Aligned {
    padding: u32,
    key: Key<[u8; 16]>,
}

#[inline(always)]
fn in_prefix(host: Address) -> bool {
    let aligned = Aligned { padding: 0, key: Key::new(128, host.bytes()) };
    IGNORED.get(&black_box(&aligned).key).is_some_and(|ignored| *ignored != 0)
}
