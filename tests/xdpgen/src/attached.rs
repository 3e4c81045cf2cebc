//! Programs attached to interfaces.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};

use crate::statistics::{self, Statistics};
use crate::{
    bpf::{self, Hook},
    namespace, programs,
};

/// A program that is attached to an interface until this is dropped. It passes every frame on.
pub struct Attached {
    program: OwnedFd,
    _link: OwnedFd,
}

impl Attached {
    /// Attaches an XDP program that does nothing, so that live frames arrive.
    ///
    /// # Errors
    ///
    /// When the kernel rejects it, with the reason.
    pub fn passing(namespace: &str, interface: &str) -> Result<Self> {
        Self::attach(Hook::Xdp, namespace, interface, programs::receiver(Hook::Xdp)?)
    }

    /// Attaches a minimal XDP program that counts the frames to each of `hosts` hosts from `first` on.
    ///
    /// # Errors
    ///
    /// When the kernel rejects it, with the reason.
    pub fn counting(namespace: &str, interface: &str, first: Ipv4Addr, hosts: u32) -> Result<Self> {
        let hook = Hook::Xdp;
        Self::attach(hook, namespace, interface, programs::counting_receiver(hook, first, hosts)?)
    }

    /// Attaches a TC program that does nothing.
    ///
    /// # Errors
    ///
    /// When the kernel rejects it, with the reason. Requires Linux 6.6.
    pub fn passing_tc(namespace: &str, interface: &str) -> Result<Self> {
        let hook = Hook::TcxIngress;
        Self::attach(hook, namespace, interface, programs::receiver(hook)?)
    }

    /// Attaches a TC program that counts like [`Attached::counting`].
    ///
    /// # Errors
    ///
    /// When the kernel rejects it, with the reason. Requires Linux 6.6.
    pub fn counting_tc(
        namespace: &str,
        interface: &str,
        first: Ipv4Addr,
        hosts: u32,
    ) -> Result<Self> {
        let hook = Hook::TcxIngress;
        Self::attach(hook, namespace, interface, programs::counting_receiver(hook, first, hosts)?)
    }

    /// Attaches a TC program that adds a VLAN tag to the metadata of every frame sent. A veth does not insert the
    /// tag: it arrives in the metadata, as from hardware that strips tags.
    ///
    /// # Errors
    ///
    /// When the kernel rejects it, with the reason. Requires Linux 6.6.
    pub fn tagging(namespace: &str, interface: &str, vlan: u16) -> Result<Self> {
        Self::attach(Hook::TcxEgress, namespace, interface, programs::tagger(vlan)?)
    }

    fn attach(hook: Hook, namespace: &str, interface: &str, program: OwnedFd) -> Result<Self> {
        let attach = || Ok(bpf::attach(hook, program.as_fd(), namespace::index(interface)?)?);
        let link = namespace::within(namespace, attach)
            .with_context(|| format!("attach a BPF program to {interface}"))?;
        Ok(Self { program, _link: link })
    }

    /// Returns how often it ran, and for how long, while a [`Timing`](crate::Timing) existed.
    ///
    /// # Errors
    ///
    /// When the kernel provides no statistics.
    pub fn statistics(&self) -> Result<Statistics> {
        statistics::of_descriptor(self.program.as_fd())
    }
}
