//! A tap: an interface whose other end is a file. Frames that are written to the file arrive at the interface.
#![expect(unsafe_code, reason = "a tap is created by an ioctl")]

use std::fs::File;
use std::io::{self, Write as _};

use anyhow::{Context as _, Result, ensure};
use rustix::ioctl::{Setter, ioctl};

use crate::namespace;

/// `TUNSETIFF`.
const TUNSETIFF: u32 = 0x4004_54ca;
const DRIVER: &str = "/dev/net/tun";
/// `IFF_TAP | IFF_NO_PI | IFF_VNET_HDR`: Ethernet frames, each after a virtio-net header.
const FLAGS: u16 = 0x0002 | 0x1000 | 0x4000;
/// `IFNAMSIZ`, with the final zero.
const MAX_NAME: usize = 16;

/// The length of the header that precedes each written frame: `struct virtio_net_hdr`.
pub const VIRTIO_NET_HEADER: usize = 10;

/// A tap, which is removed when this is dropped.
pub struct Tap(File);

impl Tap {
    /// Creates a tap in a network namespace. It is down.
    ///
    /// # Errors
    ///
    /// When the kernel has no driver for it, or the name is taken or too long.
    pub fn create(namespace: &str, name: &str) -> Result<Self> {
        ensure!(name.len() < MAX_NAME, "create tap {name}: the name is too long");
        let create = || {
            let file = File::options().read(true).write(true).open(DRIVER)?;
            let mut request = [0u8; 40];
            request[..name.len()].copy_from_slice(name.as_bytes());
            request[MAX_NAME..MAX_NAME + 2].copy_from_slice(&FLAGS.to_ne_bytes());
            // SAFETY: this request takes a `struct ifreq`, which is 40 bytes long, and only reads it.
            unsafe { ioctl(&file, Setter::<TUNSETIFF, _>::new(request)) }?;
            Ok(file)
        };
        namespace::within(namespace, create).map(Self).with_context(|| format!("create tap {name}"))
    }

    /// Writes a frame, which starts with a `struct virtio_net_hdr`. It has arrived when this returns.
    ///
    /// # Errors
    ///
    /// When the interface is down, or the header is invalid.
    pub fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        self.0.write_all(frame)
    }
}
