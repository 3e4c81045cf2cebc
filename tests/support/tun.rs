//! A tun interface: packets written to its file arrive on the interface.
#![expect(unsafe_code, reason = "a tun interface is created by an ioctl")]

use std::fs::File;
use std::io::Write;
use std::path::Path;

use rustix::ioctl::{Setter, ioctl};

use super::skip::skip;

/// `TUNSETIFF`.
const SET_INTERFACE: u32 = 0x4004_54ca;
/// The device file of the driver.
const DEVICE: &str = "/dev/net/tun";
/// `IFF_TUN | IFF_NO_PI`: IP packets without a preceding header.
const FLAGS: u16 = 0x0001 | 0x1000;

/// A tun interface, removed when this is dropped.
pub struct Tun(File);

impl Tun {
    /// Creates one in the network namespace of this thread. Skips the test if the machine has no tun driver.
    pub fn new(name: &str) -> Option<Self> {
        if !Path::new(DEVICE).exists() {
            skip(format_args!("there is no {DEVICE}"));
            return None;
        }
        let file = File::options().read(true).write(true).open(DEVICE).expect("the driver");
        let mut request = [0u8; 40];
        request[..name.len()].copy_from_slice(name.as_bytes());
        request[16..18].copy_from_slice(&FLAGS.to_ne_bytes());
        // SAFETY: this request takes a `struct ifreq`, which is 40 bytes long, and only reads it.
        unsafe { ioctl(&file, Setter::<SET_INTERFACE, _>::new(request)) }.expect("an interface");
        Some(Self(file))
    }

    /// Makes an IP packet arrive on the interface.
    pub fn send(&mut self, packet: &[u8]) {
        self.0.write_all(packet).expect("a packet arrives");
    }
}
