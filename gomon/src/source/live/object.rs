//! The kernel program's object file, as it is checked in.

/// The bytes of the object, at an address that its structures can be read from.
pub(super) fn bytes() -> &'static [u8] {
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/ebpf/gomon.o"))
}
