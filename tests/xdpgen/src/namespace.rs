//! Network namespaces with names of `ip netns`.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use rustix::net::{AddressFamily, SocketType, netdevice, socket};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Runs `work` in a network namespace, on a separate thread, because a namespace applies to one thread.
///
/// # Errors
///
/// When there is no such namespace, when entering it is not permitted, and when `work` fails.
pub fn within<T: Send>(namespace: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let enter = || {
        let file = File::open(format!("/run/netns/{namespace}"))?;
        Ok::<_, std::io::Error>(move_into_link_name_space(
            file.as_fd(),
            Some(LinkNameSpaceType::Network),
        )?)
    };
    let enter = || enter().with_context(|| format!("enter the namespace {namespace}"));
    thread::scope(|scope| scope.spawn(|| enter().and_then(|()| work())).join())
        .map_err(|_| anyhow!("the thread in namespace {namespace} panicked"))?
}

/// Returns the index of an interface in the namespace of this thread.
pub(crate) fn index(interface: &str) -> Result<u32> {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    netdevice::name_to_index(any, interface).with_context(|| format!("find interface {interface}"))
}
