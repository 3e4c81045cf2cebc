//! Captures concatenated in one input, as by cat(1).
//!
//! The file header of the second capture is where the next record would be. As a record it would have no bytes,
//! a time in 2055, and a length of 0 on the wire: there are no such records.

use std::io::{Error, ErrorKind};

use anyhow::Result;
use gomon_common::LinkType;

use super::format::{FILE_HEADER, MAGIC, PcapFormat, RECORD_HEADER};
use super::libpcap::unsupported;

/// Whether `bytes` start with the file header of a classic pcap capture: a magic number, version 2, and the
/// time zone and accuracy of timestamps, which every program leaves 0.
pub(super) fn starts_pcap(bytes: &[u8]) -> bool {
    let Some([m0, m1, m2, m3, v0, v1, v2, v3, rest @ ..]) = bytes.first_chunk::<RECORD_HEADER>()
    else {
        return false;
    };
    let is_version =
        if *m0 == 0xa1 { [*v0, *v1, *v2] == [0, 2, 0] } else { [*v0, *v1, *v3] == [2, 0, 0] };
    *rest == [0; 8] && is_version && MAGIC.contains(&[*m0, *m1, *m2, *m3])
}

/// Returns the format of the pcap capture whose file header is at `position`.
///
/// # Errors
///
/// When the format is not plain: it needs another reader, which can only start at the start of an input.
pub(super) fn format(header: &[u8; FILE_HEADER], position: u64) -> Result<PcapFormat> {
    let Some(format) = PcapFormat::read(header) else {
        let [first, .., l0, l1, l2, l3] = *header;
        let link = [l0, l1, l2, l3];
        let link = if first == 0xa1 { u32::from_be_bytes(link) } else { u32::from_le_bytes(link) };
        let link = LinkType::from_number(link)
            .map_or_else(|| unsupported(link), |_| OTHER_FORMAT.to_owned());
        return Err(unread_capture("capture", position, &link).into());
    };
    Ok(format)
}

/// Why a concatenated capture of another format is not read.
pub(super) const OTHER_FORMAT: &str =
    "its format is not that of the first: read it from a separate file";

/// Returns the error for a concatenated capture that is not read. It does not mean that the input is damaged.
pub(super) fn unread_capture(what: &str, position: u64, why: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("a {what} starts at byte {position}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(magic: [u8; 4], version: [u8; 4]) -> Vec<u8> {
        [&magic[..], &version, &[0; 8], &[0, 0, 4, 0, 1, 0, 0, 0]].concat()
    }

    #[test]
    fn a_header_is_recognised_by_magic_number_version_and_zeros() {
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
}
