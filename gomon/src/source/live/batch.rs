//! Reading and deleting many entries of a BPF hash map in one system call (Linux 5.6), which aya does not
//! support. An entry at a time costs three system calls.
#![expect(unsafe_code, reason = "the attributes of bpf(2) contain pointers")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use aya::Pod;
use aya::maps::MapData;

/// The maximum number of entries per system call, unless a bucket has more.
const CHUNK: usize = 4096;

/// The commands of bpf(2).
#[derive(Clone, Copy)]
enum BatchCommand {
    Lookup = 24,
    Delete = 27,
}

/// The attributes of the batch commands (`union bpf_attr`, `batch`).
#[derive(Default)]
#[repr(C)]
struct Attributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// Returns the entries of a hash map that no program updates meanwhile. `K` and `V` have the sizes of its
/// keys and values.
///
/// # Errors
///
/// When the kernel refuses, for lack of memory.
pub(super) fn entries<K: Pod, V: Pod>(map: &MapData, capacity: usize) -> io::Result<Vec<(K, V)>> {
    let mut entries = Vec::new();
    let mut chunk = capacity.clamp(1, CHUNK);
    // The kernel's position in the map.
    let mut position: Option<u32> = None;
    loop {
        let mut keys: Vec<K> = Vec::with_capacity(chunk);
        let mut values: Vec<V> = Vec::with_capacity(chunk);
        let mut next = 0u32;
        let mut attributes = Attributes {
            in_batch: position.as_ref().map_or(0, |position| ptr::from_ref(position) as u64),
            out_batch: ptr::from_mut(&mut next) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: u32::try_from(chunk).unwrap_or(u32::MAX),
            ..Attributes::default()
        };
        let is_end = match call(BatchCommand::Lookup, map, &mut attributes) {
            Ok(()) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            // A bucket has more entries than there is room for.
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                chunk *= 2;
                continue;
            }
            Err(error) => return Err(error),
        };
        let count = usize::try_from(attributes.count).unwrap_or(0).min(chunk);
        // SAFETY: the kernel has written `count` keys and values, at most the capacity of the vectors, and
        // any bytes are valid values of `Pod` types.
        unsafe {
            keys.set_len(count);
            values.set_len(count);
        }
        entries.extend(keys.into_iter().zip(values));
        if is_end {
            return Ok(entries);
        }
        position = Some(next);
    }
}

/// Deletes the entries with these keys, all of which must exist.
///
/// # Errors
///
/// When the kernel refuses.
pub(super) fn delete<K: Pod>(map: &MapData, keys: &[K]) -> io::Result<()> {
    for keys in keys.chunks(CHUNK) {
        let mut attributes = Attributes {
            keys: keys.as_ptr() as u64,
            count: u32::try_from(keys.len()).unwrap_or(u32::MAX),
            ..Attributes::default()
        };
        call(BatchCommand::Delete, map, &mut attributes)?;
    }
    Ok(())
}

fn call(command: BatchCommand, map: &MapData, attributes: &mut Attributes) -> io::Result<()> {
    attributes.map = map.fd().as_fd().as_raw_fd().unsigned_abs();
    // SAFETY: the structure has the layout and the size that the kernel expects, and its pointers are to
    // live memory for as many keys and values as its count says.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as u32,
            ptr::from_mut(attributes),
            size_of::<Attributes>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
