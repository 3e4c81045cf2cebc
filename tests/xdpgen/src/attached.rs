//! Programs on interfaces.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};

use crate::statistics::{self, Statistics};
use crate::{
    bpf::{self, Hook},
    namespace, programs,
};

/// A program on an interface, until it is dropped. It passes every frame on.
pub struct Attached {
    program: OwnedFd,
    _link: OwnedFd,
}

impl Attached {
    /// An XDP program that does nothing, so that frames arrive.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it, with its reason.
    pub fn passing(namespace: &str, interface: &str) -> Result<Self> {
        Self::attach(Hook::Xdp, namespace, interface, programs::receiver()?)
    }

    /// An XDP program that counts the frames to each of `hosts` hosts from `first` on, as simply as can be.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it, with its reason.
    pub fn counting(namespace: &str, interface: &str, first: Ipv4Addr, hosts: u32) -> Result<Self> {
        Self::attach(Hook::Xdp, namespace, interface, programs::counting_receiver(first, hosts)?)
    }

    /// A TC program that gives every frame that leaves a VLAN tag, to be put in by the interface. A
    /// virtual one does not: the tag arrives beside its frame, as from hardware that takes tags out.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it, with its reason. It needs Linux 6.6.
    pub fn tagging(namespace: &str, interface: &str, vlan: u16) -> Result<Self> {
        Self::attach(Hook::TcxEgress, namespace, interface, programs::tagger(vlan)?)
    }

    fn attach(hook: Hook, namespace: &str, interface: &str, program: OwnedFd) -> Result<Self> {
        let attach = || Ok(bpf::attach(hook, program.as_fd(), namespace::index(interface)?)?);
        let link = namespace::within(namespace, attach)
            .with_context(|| format!("attach a BPF program to {interface}"))?;
        Ok(Self { program, _link: link })
    }

    /// How often it ran, and how long while programs were timed.
    ///
    /// # Errors
    ///
    /// When the kernel shows no statistics.
    pub fn statistics(&self) -> Result<Statistics> {
        statistics::of_descriptor(self.program.as_fd())
    }
}
