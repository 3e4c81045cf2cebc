//! A capture behind another one in the same input, as `cat` puts them together.
//!
//! Its header stands where the next record would. As one it would have no bytes, be of 2055, and stand for
//! a frame of no bytes on the wire: there are no such records.

use std::cell::RefCell;
use std::io::{Error, ErrorKind};
use std::rc::Rc;

use anyhow::{Result, ensure};
use gomon_common::LinkType;

use super::format::{FILE_HEADER, MAGIC, PcapFormat, RECORD_HEADER};
use super::libpcap::unsupported;

/// The most changes of format in a file that is to be read again: 2 MiB of them.
const MAX_CHANGES: usize = 1 << 16;

/// Whether the header of a classic pcap capture starts here: a magic number, version 2, and the time zone
/// and accuracy of timestamps, which no program fills in.
pub(super) fn starts_pcap(bytes: &[u8]) -> bool {
    let Some([m0, m1, m2, m3, v0, v1, v2, v3, rest @ ..]) = bytes.first_chunk::<RECORD_HEADER>()
    else {
        return false;
    };
    let is_version =
        if *m0 == 0xa1 { [*v0, *v1, *v2] == [0, 2, 0] } else { [*v0, *v1, *v3] == [2, 0, 0] };
    *rest == [0; 8] && is_version && MAGIC.contains(&[*m0, *m1, *m2, *m3])
}

/// What the header of a pcap capture at the byte `position` says.
///
/// # Errors
///
/// When it is not of the common kind: that takes another reader, which starts with its input.
pub(super) fn format(header: &[u8; FILE_HEADER], position: u64) -> Result<PcapFormat> {
    let Some(format) = PcapFormat::read(header) else {
        let [first, .., l0, l1, l2, l3] = *header;
        let link = [l0, l1, l2, l3];
        let link = if first == 0xa1 { u32::from_be_bytes(link) } else { u32::from_le_bytes(link) };
        let link =
            LinkType::from_number(link).map_or_else(|| unsupported(link), |_| ALONE.to_owned());
        return Err(left("capture", position, &link).into());
    };
    Ok(format)
}

/// Why a capture of another format is not read on.
pub(super) const ALONE: &str =
    "its format is not that of the first: read it from a file of its own";

/// The error for a capture that is not read on. It is no damage.
pub(super) fn left(what: &str, position: u64, why: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("a {what} starts at byte {position}: {why}"))
}

/// The formats of the captures in a file that is to be read again, each with the byte from which on it
/// holds. Whoever reads the file first enters them.
#[derive(Clone, Debug)]
pub(super) struct Formats(Rc<RefCell<Vec<(u64, PcapFormat)>>>);

impl Formats {
    /// Those of a file that starts with a capture of this one.
    pub(super) fn new(first: PcapFormat) -> Self {
        Self(Rc::new(RefCell::new(vec![(0, first)])))
    }

    /// The format of a record that starts at this byte, if it is known by now.
    pub(super) fn at(&self, position: u64) -> Option<PcapFormat> {
        let formats = self.0.borrow();
        let behind = formats.partition_point(|(start, _)| *start <= position);
        formats.get(behind.checked_sub(1)?).map(|(_, format)| *format)
    }

    /// Enters that records from this byte on, behind those entered so far, are of `format`.
    ///
    /// # Errors
    ///
    /// When there are too many.
    pub(super) fn change(&self, position: u64, format: PcapFormat) -> Result<()> {
        let mut formats = self.0.borrow_mut();
        if formats.last().is_none_or(|(_, last)| *last != format) {
            ensure!(
                formats.len() < MAX_CHANGES,
                left(
                    "capture",
                    position,
                    &format!(
                        "its format is not that of the one before, for the {MAX_CHANGES}th time"
                    )
                )
            );
            formats.push((position, format));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(magic: [u8; 4], version: [u8; 4]) -> Vec<u8> {
        [&magic[..], &version, &[0; 8], &[0, 0, 4, 0, 1, 0, 0, 0]].concat()
    }

    #[test]
    fn a_header_is_known_by_magic_number_version_and_zeros() {
        for magic in MAGIC {
            let version = |major, minor| match magic {
                [0xa1, ..] => [0, major, 0, minor],
                _ => [major, 0, minor, 0],
            };
            for minor in [0, 3, 4, 255] {
                assert!(starts_pcap(&header(magic, version(2, minor))), "{magic:x?}");
            }
            assert!(!starts_pcap(&header(magic, version(1, 4))));
            assert!(!starts_pcap(&header(magic, [4, 2, 0, 0])));
            let whole = header(magic, version(2, 4));
            assert!(!starts_pcap(&whole[..RECORD_HEADER - 1]));
            for at in 0..RECORD_HEADER {
                let mut other = whole.clone();
                other[at] ^= 0x40;
                let is_minor = at == if magic[0] == 0xa1 { 7 } else { 6 };
                assert_eq!(starts_pcap(&other), is_minor, "{magic:x?}, byte {at}");
            }
        }
    }

    #[test]
    fn formats_hold_from_where_they_change_and_are_bounded() {
        let read = |magic| PcapFormat::of(&header(magic, [2, 0, 4, 0])).unwrap();
        let (micro, nano) = (read(MAGIC[1]), read(MAGIC[3]));
        let formats = Formats::new(micro);
        for (position, format) in [(100, micro), (200, nano), (300, nano), (400, micro)] {
            formats.change(position, format).unwrap();
        }
        for (position, format) in [(0, micro), (199, micro), (200, nano), (399, nano), (400, micro)]
        {
            assert_eq!(formats.at(position), Some(format), "{position}");
        }
        let mut changes = (0..).map(|n| (500 + n, if n % 2 == 0 { nano } else { micro }));
        let refused =
            changes.find(|(position, format)| formats.change(*position, *format).is_err());
        assert_eq!(refused.unwrap().0, 500 + MAX_CHANGES as u64 - 3);
        assert!(formats.change(1 << 20, nano).is_ok(), "that is no change");
    }
}
