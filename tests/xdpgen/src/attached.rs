//! Programs on the receiving end.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};

use crate::statistics::{self, Statistics};
use crate::{bpf, namespace, programs};

/// An XDP program in the driver of an interface, until it is dropped. It passes every frame on.
pub struct Attached {
    program: OwnedFd,
    _link: OwnedFd,
}

impl Attached {
    /// A program that does nothing, so that frames arrive.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it, with its reason.
    pub fn passing(namespace: &str, interface: &str) -> Result<Self> {
        Self::attach(namespace, interface, programs::receiver()?)
    }

    /// A program that counts the frames to each of `hosts` hosts from `first` on, as simply as can be.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it, with its reason.
    pub fn counting(namespace: &str, interface: &str, first: Ipv4Addr, hosts: u32) -> Result<Self> {
        Self::attach(namespace, interface, programs::counting_receiver(first, hosts)?)
    }

    fn attach(namespace: &str, interface: &str, program: OwnedFd) -> Result<Self> {
        let attach = || Ok(bpf::attach(program.as_fd(), namespace::index(interface)?)?);
        let link = namespace::within(namespace, attach)
            .with_context(|| format!("attach an XDP program to {interface}"))?;
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
