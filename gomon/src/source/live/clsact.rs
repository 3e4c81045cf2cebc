//! Filters of the clsact qdisc, which stay behind when the process that added them is killed.
//!
//! Each gomon with such a filter holds a *claim*: an abstract socket, which ends with the process, and
//! belongs to a network namespace as the interface does. Where nobody else has one, filters with
//! gomon's name are those of the dead. The qdisc itself stays in any case: it does nothing on its own,
//! and somebody may have come to use it.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Error, Result};
use aya::programs::tc::{self, TcAttachType};
use gomon_common::kernel::names;
use rustix::io::Errno;

use super::interface;
use super::refusal::errno;

/// The filters there may be.
const FILTERS: [(TcAttachType, &str); 2] =
    [(TcAttachType::Ingress, names::TC), (TcAttachType::Egress, names::TC_EGRESS)];

/// Says that a filter is somebody's, for as long as it lives.
#[derive(Debug)]
pub(super) struct Claim {
    _socket: UnixDatagram,
}

/// Makes sure that the interface has a clsact qdisc, with no filter in it of a gomon that is no more.
///
/// # Errors
///
/// When the kernel refuses, with its reason.
pub(super) fn prepare(interface: &str) -> Result<Claim> {
    match tc::qdisc_add_clsact(interface).map_err(Error::from) {
        Err(error) if errno(&error) != Some(Errno::EXIST) => return Err(error),
        _ => {}
    }
    let number = interface::number(interface).context("there is no such interface")?;
    let prefix = format!("gomon/clsact/{number}/");
    let claim = claim(&prefix)?;
    let sockets = fs::read_to_string("/proc/self/net/unix").context("looking for other gomons")?;
    // Whoever comes at the same time has a claim before looking for others, too.
    if claims(&sockets, &prefix) <= 1 {
        for (direction, name) in FILTERS {
            if tc::qdisc_detach_program(interface, direction, name).is_ok() {
                log::info!("removed the filter {name} of a killed gomon from {interface}");
            }
        }
    }
    Ok(claim)
}

fn claim(prefix: &str) -> Result<Claim> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    // Process numbers are not unique among containers that share a network namespace.
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}{}.{number}", process::id());
        match UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?) {
            Ok(socket) => return Ok(Claim { _socket: socket }),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error).context("claiming a filter"),
        }
    }
}

/// How many claims there are in the kernel's list of sockets, where abstract ones have an `@`.
fn claims(sockets: &str, prefix: &str) -> usize {
    let names = sockets.lines().filter_map(|line| line.split_whitespace().last());
    names.filter(|name| name.strip_prefix('@').is_some_and(|name| name.starts_with(prefix))).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_counted_per_interface_and_gone_with_their_holder() {
        let prefix = format!("gomon/clsact/test-{}/", process::id());
        let count = || claims(&fs::read_to_string("/proc/self/net/unix").unwrap(), &prefix);
        assert_eq!(count(), 0);
        let (one, two) = (claim(&prefix).unwrap(), claim(&prefix).unwrap());
        assert_eq!(count(), 2);
        drop(one);
        assert_eq!(count(), 1);
        drop(two);
        assert_eq!(count(), 0);
    }
}
