//! The hardware address of a frame's sender.

use core::fmt;
use core::str::FromStr;

use crate::{Frame, LinkType};

/// `ARPHRD_ETHER` of Linux: the sender of a cooked frame has an Ethernet address.
const ETHERNET_HARDWARE: u16 = 1;
/// Bytes of such an address.
const LENGTH: u16 = 6;

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac([u8; 6]);

impl Mac {
    /// The address with these octets.
    #[must_use]
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// Its octets.
    #[must_use]
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Whether frames that start with a `link` header can name their sender.
    #[must_use]
    pub const fn is_in(link: LinkType) -> bool {
        matches!(link, LinkType::Ethernet | LinkType::LinuxSll | LinkType::LinuxSll2)
    }

    /// The sender of a frame that starts with a `link` header, if the frame names it: Ethernet does, and
    /// Linux cooked capture of an interface that has Ethernet addresses.
    #[must_use]
    #[inline]
    pub fn of_sender<F: Frame + ?Sized>(link: LinkType, frame: &F) -> Option<Self> {
        let at = if link == LinkType::Ethernet {
            6
        } else if link == LinkType::LinuxSll {
            let [hardware_high, hardware_low, length_high, length_low] = frame.read(2)?;
            let hardware = u16::from_be_bytes([hardware_high, hardware_low]);
            let length = u16::from_be_bytes([length_high, length_low]);
            cooked(hardware, length).then_some(6)?
        } else if link == LinkType::LinuxSll2 {
            let [hardware_high, hardware_low, _, length] = frame.read(8)?;
            let hardware = u16::from_be_bytes([hardware_high, hardware_low]);
            cooked(hardware, length.into()).then_some(12)?
        } else {
            return None;
        };
        frame.read(at).map(Self)
    }
}

/// Whether a cooked header holds an Ethernet address.
const fn cooked(hardware: u16, length: u16) -> bool {
    hardware == ETHERNET_HARDWARE && length == LENGTH
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(f, "{first:02x}")?;
        rest.iter().try_for_each(|octet| write!(f, ":{octet:02x}"))
    }
}

/// The text is no address: six numbers of two hexadecimal digits, with colons or hyphens between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAMac;

impl FromStr for Mac {
    type Err = NotAMac;

    fn from_str(text: &str) -> Result<Self, NotAMac> {
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().ok_or(NotAMac)?;
            if part.len() != 2 || !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(NotAMac);
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| NotAMac)?;
        }
        if parts.next().is_some() { Err(NotAMac) } else { Ok(Self(octets)) }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::vec;

    use super::*;

    const SENDER: [u8; 6] = [2, 0, 0xab, 3, 4, 5];

    #[test]
    fn text_and_octets_round_trip_and_nothing_else_is_an_address() {
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
            assert_eq!(text.parse::<Mac>(), Err(NotAMac), "{text}");
        }
    }

    #[test]
    fn the_sender_is_found_where_a_frame_names_it_and_never_read_past_the_end() {
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
        // Of a point-to-point interface a cooked frame has no such address.
        let tunnel = [0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Mac::of_sender(LinkType::LinuxSll, &tunnel[..]), None);
        assert!(!Mac::is_in(LinkType::Raw));
        assert_eq!(Mac::of_sender(LinkType::Raw, &[0; 60][..]), None);
    }
}
