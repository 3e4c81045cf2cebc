//! The MAC address of a frame's sender.

use core::fmt;
use core::str::FromStr;

use crate::frame::Frame;
use crate::link::LinkType;

/// `ARPHRD_ETHER` from `linux/if_arp.h`: the sender address of a cooked frame is an Ethernet address.
const ETHERNET_HARDWARE: u16 = 1;
/// The length of an Ethernet address in bytes.
const ADDRESS_LENGTH: u16 = 6;

/// An Ethernet (MAC) address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac([u8; 6]);

impl Mac {
    /// Creates an address from its octets.
    #[must_use]
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// Returns the octets.
    #[must_use]
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Returns whether a `link` header can contain the sender's MAC address.
    #[must_use]
    pub const fn is_in(link: LinkType) -> bool {
        matches!(link, LinkType::Ethernet | LinkType::LinuxSll | LinkType::LinuxSll2)
    }

    /// Returns the sender's MAC address from a frame that starts with a `link` header. Ethernet headers
    /// contain it, and so do the headers of Linux cooked captures from interfaces with Ethernet addresses.
    #[must_use]
    #[inline]
    pub fn of_sender<F: Frame + ?Sized>(link: LinkType, frame: &F) -> Option<Self> {
        let offset = if link == LinkType::Ethernet {
            6
        } else if link == LinkType::LinuxSll {
            let [hardware_high, hardware_low, length_high, length_low] = frame.read(2)?;
            let hardware = u16::from_be_bytes([hardware_high, hardware_low]);
            let length = u16::from_be_bytes([length_high, length_low]);
            is_ethernet(hardware, length).then_some(6)?
        } else if link == LinkType::LinuxSll2 {
            let [hardware_high, hardware_low, _, length] = frame.read(8)?;
            let hardware = u16::from_be_bytes([hardware_high, hardware_low]);
            is_ethernet(hardware, length.into()).then_some(12)?
        } else {
            return None;
        };
        frame.read(offset).map(Self)
    }
}

/// Returns whether a cooked header with these fields contains an Ethernet address.
const fn is_ethernet(hardware: u16, length: u16) -> bool {
    hardware == ETHERNET_HARDWARE && length == ADDRESS_LENGTH
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(f, "{first:02x}")?;
        rest.iter().try_for_each(|octet| write!(f, ":{octet:02x}"))
    }
}

/// The error of parsing a MAC address from text that is not six pairs of hexadecimal digits separated by
/// colons or hyphens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseMacError;

impl FromStr for Mac {
    type Err = ParseMacError;

    fn from_str(text: &str) -> Result<Self, ParseMacError> {
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().ok_or(ParseMacError)?;
            if part.len() != 2 || !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(ParseMacError);
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| ParseMacError)?;
        }
        if parts.next().is_some() { Err(ParseMacError) } else { Ok(Self(octets)) }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::vec;

    use super::*;

    const SENDER: [u8; 6] = [2, 0, 0xab, 3, 4, 5];

    #[test]
    fn text_round_trips_and_malformed_text_is_rejected() {
        let mac = Mac::new(SENDER);
        assert_eq!(mac.to_string(), "02:00:ab:03:04:05");
        assert_eq!("02:00:AB:03:04:05".parse(), Ok(mac));
        assert_eq!("02-00-ab-03-04-05".parse(), Ok(mac));
        for text in [
            "",
            "02:00:ab:03:04",
            "02:00:ab:03:04:05:06",
            "2:0:ab:3:4:5",
            "+2:00:ab:03:04:05",
            "02:00:ab:03:04:0g",
        ] {
            assert_eq!(text.parse::<Mac>(), Err(ParseMacError), "{text}");
        }
    }

    #[test]
    fn sender_is_read_only_from_headers_that_contain_it_and_within_bounds() {
        let mut ethernet = vec![0xff; 6];
        ethernet.extend(SENDER);
        let mut cooked = vec![0, 4, 0, 1, 0, 6];
        cooked.extend(SENDER);
        let mut cooked_2 = vec![8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 4, 6];
        cooked_2.extend(SENDER);
        let frames = [
            (LinkType::Ethernet, ethernet),
            (LinkType::LinuxSll, cooked),
            (LinkType::LinuxSll2, cooked_2),
        ];
        for (link, frame) in frames {
            assert!(Mac::is_in(link));
            assert_eq!(Mac::of_sender(link, &frame[..]), Some(Mac::new(SENDER)), "{link:?}");
            for length in 0..frame.len() {
                assert_eq!(Mac::of_sender(link, &frame[..length]), None, "{link:?} {length}");
            }
        }
        // Cooked frames of point-to-point interfaces contain no Ethernet address.
        let tunnel = [0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Mac::of_sender(LinkType::LinuxSll, &tunnel[..]), None);
        assert!(!Mac::is_in(LinkType::Raw));
        assert_eq!(Mac::of_sender(LinkType::Raw, &[0; 60][..]), None);
    }
}
