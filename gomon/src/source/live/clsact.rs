//! Filters of the clsact qdisc, which remain when the process that added them is killed.
//!
//! Each gomon process that has such a filter binds a *liveness socket*: an abstract Unix socket, which
//! the kernel closes with the process and which belongs to a network namespace, as the interface does. If
//! no other process has one, filters with gomon's names belong to processes that no longer exist. The
//! qdisc itself always remains: it has no effect of its own, and other programs may use it by now.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Error, Result};
use aya::programs::tc::{self, TcAttachType};
use gomon_common::kernel::names;
use rustix::io::Errno;

use super::attach_error::errno;
use super::interface;

/// The filters that gomon adds, by direction and name.
const FILTERS: [(TcAttachType, &str); 2] =
    [(TcAttachType::Ingress, names::TC), (TcAttachType::Egress, names::TC_EGRESS)];

/// Marks this process's filters as in use for as long as it exists.
#[derive(Debug)]
pub(super) struct LivenessSocket {
    _socket: UnixDatagram,
}

/// Adds a clsact qdisc to the interface if it has none, and removes the filters of killed gomon processes.
///
/// # Errors
///
/// When the kernel refuses, with the reason.
pub(super) fn prepare(interface: &str) -> Result<LivenessSocket> {
    match tc::qdisc_add_clsact(interface).map_err(Error::from) {
        Err(error) if errno(&error) != Some(Errno::EXIST) => return Err(error),
        _ => {}
    }
    let index = interface::index(interface).context("there is no such interface")?;
    let prefix = format!("gomon/clsact/{index}/");
    let socket = bind_socket(&prefix)?;
    let sockets =
        fs::read_to_string("/proc/self/net/unix").context("looking for other gomon processes")?;
    // A process that starts at the same time also binds its socket before it looks for others.
    if count_sockets(&sockets, &prefix) <= 1 {
        for (direction, name) in FILTERS {
            if tc::qdisc_detach_program(interface, direction, name).is_ok() {
                log::info!("removed the filter {name} of a killed gomon process from {interface}");
            }
        }
    }
    Ok(socket)
}

fn bind_socket(prefix: &str) -> Result<LivenessSocket> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    // PIDs are not unique among containers that share a network namespace.
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}{}.{number}", process::id());
        match UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?) {
            Ok(socket) => return Ok(LivenessSocket { _socket: socket }),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error).context("binding a liveness socket"),
        }
    }
}

/// Counts the liveness sockets in the contents of `/proc/net/unix`, where abstract names start with `@`.
fn count_sockets(sockets: &str, prefix: &str) -> usize {
    let names = sockets.lines().filter_map(|line| line.split_whitespace().last());
    names.filter(|name| name.strip_prefix('@').is_some_and(|name| name.starts_with(prefix))).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_counted_per_interface_until_they_are_closed() {
        let prefix = format!("gomon/clsact/test-{}/", process::id());
        let count = || count_sockets(&fs::read_to_string("/proc/self/net/unix").unwrap(), &prefix);
        assert_eq!(count(), 0);
        let (one, two) = (bind_socket(&prefix).unwrap(), bind_socket(&prefix).unwrap());
        assert_eq!(count(), 2);
        drop(one);
        assert_eq!(count(), 1);
        drop(two);
        assert_eq!(count(), 0);
    }
}
