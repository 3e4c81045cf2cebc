//! The commands of bpf(2) that are needed here. The only file that passes pointers to the kernel.
#![expect(unsafe_code, reason = "attributes contain pointers, and results are descriptors")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use anyhow::{Context as _, Result};

use crate::assembly::Instruction;

const MAP_CREATE: u32 = 0;
const MAP_UPDATE_ELEM: u32 = 2;
const PROG_LOAD: u32 = 5;
const PROG_TEST_RUN: u32 = 10;
const LINK_CREATE: u32 = 28;
const ENABLE_STATS: u32 = 32;

const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;

/// The size of the buffer for the verifier's log.
const LOG_SIZE: usize = 1 << 16;

/// The hook where a program runs.
#[derive(Clone, Copy)]
pub(crate) enum Hook {
    /// XDP in an interface's driver, on received frames.
    Xdp,
    /// TCX ingress, on received frames (Linux 6.6).
    TcxIngress,
    /// TCX egress, on sent frames (Linux 6.6).
    TcxEgress,
}

impl Hook {
    /// Returns the program type, the attach type, and the flags.
    fn numbers(self) -> (u32, u32, u32) {
        match self {
            Self::Xdp => (6, 37, XDP_FLAGS_DRV_MODE),
            Self::TcxIngress => (3, 46, 0),
            Self::TcxEgress => (3, 47, 0),
        }
    }
}

/// Map types, by their numbers.
#[derive(Clone, Copy)]
pub(crate) enum MapType {
    Hash = 1,
    Array = 2,
}

#[derive(Default)]
#[repr(C)]
struct MapCreate {
    kind: u32,
    key: u32,
    value: u32,
    entries: u32,
}

#[derive(Default)]
#[repr(C)]
struct MapUpdate {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[derive(Default)]
#[repr(C)]
struct ProgLoad {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
}

#[derive(Default)]
#[repr(C)]
struct TestRun {
    program: u32,
    result: u32,
    frame_length: u32,
    out_length: u32,
    frame: u64,
    out: u64,
    repeat: u32,
    duration: u32,
    context_length: u32,
    context_out_length: u32,
    context: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch: u32,
    padding: u32,
}

#[derive(Default)]
#[repr(C)]
struct LinkCreate {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

#[derive(Default)]
#[repr(C)]
struct EnableStats {
    kind: u32,
}

/// The attributes of a command: a structure without implicit padding, laid out as the command expects.
trait Attributes {
    const COMMAND: u32;
}

impl Attributes for MapCreate {
    const COMMAND: u32 = MAP_CREATE;
}
impl Attributes for MapUpdate {
    const COMMAND: u32 = MAP_UPDATE_ELEM;
}
impl Attributes for ProgLoad {
    const COMMAND: u32 = PROG_LOAD;
}
impl Attributes for TestRun {
    const COMMAND: u32 = PROG_TEST_RUN;
}
impl Attributes for LinkCreate {
    const COMMAND: u32 = LINK_CREATE;
}
impl Attributes for EnableStats {
    const COMMAND: u32 = ENABLE_STATS;
}

fn bpf<A: Attributes>(mut attributes: A) -> io::Result<RawFd> {
    let attributes = std::ptr::from_mut(&mut attributes);
    // SAFETY: the attributes are laid out for their command and live across the call. So does what they point to:
    // each caller in this file holds a reference to it, a mutable one where the kernel writes to it.
    let result = unsafe { libc::syscall(libc::SYS_bpf, A::COMMAND, attributes, size_of::<A>()) };
    // Descriptors fit into `RawFd`.
    RawFd::try_from(result).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)
}

fn descriptor<A: Attributes>(attributes: A) -> io::Result<OwnedFd> {
    let fd = bpf(attributes)?;
    // SAFETY: the commands for which this is called return a new descriptor, which nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// Returns the address of a value, for an attribute.
fn address<T: ?Sized>(value: &T) -> u64 {
    std::ptr::from_ref(value).cast::<()>() as u64
}

/// Creates a map.
pub(crate) fn create_map(kind: MapType, key: u32, value: u32, entries: u32) -> Result<OwnedFd> {
    let attributes = MapCreate { kind: kind as u32, key, value, entries };
    descriptor(attributes).context("create a map")
}

/// Sets the value of a key. `K` and `V` must be the sizes of the map's keys and values.
pub(crate) fn update<const K: usize, const V: usize>(
    map: BorrowedFd<'_>,
    key: [u8; K],
    value: [u8; V],
) -> Result<()> {
    let attributes = MapUpdate {
        map: number(map),
        key: address(&key),
        value: address(&value),
        ..MapUpdate::default()
    };
    bpf(attributes).context("update a map")?;
    Ok(())
}

/// Loads a program.
pub(crate) fn load(hook: Hook, instructions: &[Instruction]) -> Result<OwnedFd> {
    let mut log = vec![0; LOG_SIZE];
    let (kind, ..) = hook.numbers();
    let attributes = ProgLoad {
        kind,
        count: u32::try_from(instructions.len())?,
        instructions: address(instructions),
        license: address(c"GPL".to_bytes_with_nul()),
        log_level: 1,
        log_size: u32::try_from(log.len())?,
        log: address(log.as_mut_slice()),
    };
    descriptor(attributes).with_context(|| {
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.trim_end_matches(['\0', '\n']).lines().collect();
        // The last line has statistics, the one before it the reason.
        let why = lines.len().checked_sub(2).and_then(|line| lines.get(line)).copied();
        format!("load a BPF program: {}", why.unwrap_or("the verifier's log is empty"))
    })
}

/// Runs an XDP program on `repeat` live frames, each a copy of `frame`.
pub(crate) fn test_run(program: BorrowedFd<'_>, frame: &[u8], repeat: u32) -> io::Result<()> {
    let attributes = TestRun {
        program: number(program),
        frame_length: u32::try_from(frame.len()).unwrap_or(u32::MAX),
        frame: address(frame),
        repeat,
        flags: BPF_F_TEST_XDP_LIVE_FRAMES,
        ..TestRun::default()
    };
    bpf(attributes).map(drop)
}

/// Attaches a program to an interface until the returned link is closed.
pub(crate) fn attach(hook: Hook, program: BorrowedFd<'_>, interface: u32) -> io::Result<OwnedFd> {
    let (_, attach_type, flags) = hook.numbers();
    descriptor(LinkCreate { program: number(program), interface, attach_type, flags })
}

/// Makes the kernel measure the run time of programs until the returned descriptor is closed (Linux 5.8).
pub(crate) fn time_programs() -> io::Result<OwnedFd> {
    descriptor(EnableStats::default())
}
