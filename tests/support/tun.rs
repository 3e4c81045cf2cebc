//! An interface whose other end is a file: what is written to it comes in through the interface.
#![expect(unsafe_code, reason = "a tun interface is made by an ioctl")]

use std::fs::File;
use std::io::Write;
use std::path::Path;

use rustix::ioctl::{Setter, ioctl};

use super::skip::skip;

/// `TUNSETIFF`.
const SET_INTERFACE: u32 = 0x4004_54ca;
/// Where the driver is asked for one.
const DRIVER: &str = "/dev/net/tun";
/// `IFF_TUN | IFF_NO_PI`: IP packets, and nothing in front of them.
const FLAGS: u16 = 0x0001 | 0x1000;

/// A tun interface, gone when this is dropped.
pub struct Tun(File);

impl Tun {
    /// Makes one in the network namespace of this thread; the test is skipped when this
    /// machine has none.
    pub fn new(name: &str) -> Option<Self> {
        if !Path::new(DRIVER).exists() {
            skip(format_args!("there is no {DRIVER}"));
            return None;
        }
        let file = File::options().read(true).write(true).open(DRIVER).expect("the driver");
        let mut request = [0u8; 40];
        request[..name.len()].copy_from_slice(name.as_bytes());
        request[16..18].copy_from_slice(&FLAGS.to_ne_bytes());
        // SAFETY: this request takes a `struct ifreq`, which is 40 bytes long, and only reads it.
        unsafe { ioctl(&file, Setter::<SET_INTERFACE, _>::new(request)) }.expect("an interface");
        Some(Self(file))
    }

    /// Has an IP packet come in.
    pub fn send(&mut self, packet: &[u8]) {
        self.0.write_all(packet).expect("a packet comes in");
    }
}
