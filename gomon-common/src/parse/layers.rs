//! What lies between a link header and IP: tags and encapsulations, each announced by an Ethernet type.

use super::{MAX_LABELS, MAX_LAYERS, MAX_TAGS, Malformed, Skip, TRUNCATED, ppp, read_u16};
use crate::Frame;

pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;
/// The highest length of an LLC frame (IEEE 802.3); lengths up to 0x05ff are out of its bounds, but no
/// Ethernet types either.
pub(super) const LAST_LENGTH: u16 = 0x05ff;
/// Stands for the length of an LLC frame that is longer (draft-ietf-isis-ext-eth).
const JUMBO_LENGTH: u16 = 0x8870;
const VLAN: u16 = 0x8100;
const PROVIDER_VLAN: u16 = 0x88a8;
/// What stacked tags carried before 802.1ad settled on 0x88a8.
const OLD_PROVIDER_VLAN: u16 = 0x9100;
const MPLS: u16 = 0x8847;
const MPLS_MULTICAST: u16 = 0x8848;
pub(super) const PPPOE_SESSION: u16 = 0x8864;
/// A whole Ethernet frame follows: GRE's number for it (RFC 7637).
const ETHERNET: u16 = 0x6558;
/// The instance tag of provider backbone bridges (IEEE 802.1ah), with a whole Ethernet frame behind it.
const BACKBONE_INSTANCE: u16 = 0x88e7;
/// Cisco `FabricPath`: a forwarding tag, and a whole Ethernet frame behind it.
const FABRICPATH: u16 = 0x8903;
/// The tag of virtual interfaces between a switch and its extenders (Cisco VN-Tag, IEEE 802.1BR's
/// forerunner).
const VN_TAG: u16 = 0x8926;
/// Cisco metadata, which carries a security group tag.
const METADATA: u16 = 0x8909;
/// High-availability seamless redundancy (IEC 62439-3). Its sibling PRP puts its tag behind the packet,
/// where it is in nobody's way.
const SEAMLESS_REDUNDANCY: u16 = 0x892f;
/// IEEE 802.1AE.
const MACSEC: u16 = 0x88e5;
/// Arista's own, with timestamps of its switches among them.
const ARISTA: u16 = 0xd28b;
/// The network service header (RFC 8300).
const NSH: u16 = 0x894f;

/// A place in a frame, and what is said to lie there.
#[derive(Clone, Copy)]
pub(super) struct Layer {
    /// An Ethernet type; a number below 0x0600 stands for an LLC header.
    pub(super) kind: u16,
    pub(super) offset: usize,
}

/// An LLC header at `offset`.
pub(super) const fn llc(offset: usize) -> Layer {
    Layer { kind: 0, offset }
}

/// What an Ethernet header at `offset` announces.
#[inline]
pub(super) fn ethernet<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    typed(frame, offset + 12)
}

/// What an Ethernet type at `offset` announces right behind it.
#[inline]
pub(super) fn typed<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    Ok(Layer { kind: read_u16(frame, offset)?, offset: offset + 2 })
}

/// Goes on from `layer` to the outermost IP header. Where there is none, `layer` is left at the one that
/// can't be looked into.
#[inline]
pub(super) fn walk<F: Frame + ?Sized>(frame: &F, layer: &mut Layer) -> Result<(), Skip> {
    for _ in 0..=MAX_LAYERS {
        for _ in 0..MAX_TAGS {
            if is_tag(layer.kind) {
                *layer = typed(frame, layer.offset + 2)?;
            }
        }
        layer.offset = frame.anywhere(layer.offset);
        if matches!(layer.kind, IPV4 | IPV6) {
            return Ok(());
        }
        *layer = behind(frame, *layer)?;
    }
    Err(Skip::Malformed(Malformed::Nesting))
}

#[inline]
const fn is_tag(kind: u16) -> bool {
    matches!(kind, VLAN | PROVIDER_VLAN | OLD_PROVIDER_VLAN)
}

/// What a layer that is no VLAN tag announces.
#[inline]
fn behind<F: Frame + ?Sized>(frame: &F, Layer { kind, offset }: Layer) -> Result<Layer, Skip> {
    match kind {
        0..=LAST_LENGTH | JUMBO_LENGTH => behind_llc(frame, offset),
        PPPOE_SESSION => {
            let [_, code, _, _, _, _] = frame.read(offset).ok_or(TRUNCATED)?;
            if code == 0 { ppp::protocol(frame, offset + 6) } else { Err(Skip::NotIp) }
        }
        MPLS | MPLS_MULTICAST => mpls(frame, offset),
        ETHERNET => ethernet(frame, offset),
        FABRICPATH => ethernet(frame, offset + 2),
        BACKBONE_INSTANCE => ethernet(frame, offset + 4),
        VN_TAG | SEAMLESS_REDUNDANCY => typed(frame, offset + 4),
        METADATA => typed(frame, offset + 6),
        MACSEC => macsec(frame, offset),
        ARISTA => arista(frame, offset),
        NSH => nsh(frame, offset),
        VLAN | PROVIDER_VLAN | OLD_PROVIDER_VLAN => Err(Skip::Malformed(Malformed::Nesting)),
        _ => Err(Skip::NotIp),
    }
}

/// An LLC header: IP by its own number, or an Ethernet type behind the extension for one (SNAP).
#[inline]
fn behind_llc<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    const IP: [u8; 3] = [0x06, 0x06, 0x03];
    const SNAP: [u8; 3] = [0xaa, 0xaa, 0x03];
    /// RFC 1042, and IEEE 802.1H for the types that bridges could mistake.
    const ORGANISATIONS: [[u8; 3]; 2] = [[0, 0, 0], [0, 0, 0xf8]];

    let header = frame.read(offset).ok_or(Skip::NotIp)?;
    if header == IP {
        return Ok(Layer { kind: IPV4, offset: offset + 3 });
    }
    let organisation = frame.read(offset + 3).ok_or(Skip::NotIp)?;
    if header != SNAP || !ORGANISATIONS.contains(&organisation) {
        return Err(Skip::NotIp);
    }
    typed(frame, offset + 6)
}

/// An MPLS label stack (RFC 3032). The stack does not name its payload; the first four bits tell IP
/// from a pseudowire, as routers have it (RFC 4928).
#[inline]
fn mpls<F: Frame + ?Sized>(frame: &F, mut offset: usize) -> Result<Layer, Skip> {
    for _ in 0..MAX_LABELS {
        let [_, _, bottom, _] = frame.read(offset).ok_or(TRUNCATED)?;
        offset += 4;
        if bottom & 1 == 1 {
            return by_version(frame, offset);
        }
    }
    Err(Skip::Malformed(Malformed::Nesting))
}

/// IP of the version its own first four bits give.
#[inline]
pub(super) fn by_version<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    let [first] = frame.read(offset).ok_or(TRUNCATED)?;
    let kind = match first >> 4 {
        4 => IPV4,
        6 => IPV6,
        _ => return Err(Skip::NotIp),
    };
    Ok(Layer { kind, offset })
}

/// A `MACsec` tag. What is behind one that encrypts, or changes anything but by a checksum at the end,
/// can't be read.
#[inline]
fn macsec<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    const VERSION: u8 = 0x80;
    const HAS_CHANNEL: u8 = 0x20;
    const ENCRYPTED: u8 = 0x08;
    const CHANGED: u8 = 0x04;

    let [control] = frame.read(offset).ok_or(TRUNCATED)?;
    if control & (VERSION | ENCRYPTED | CHANGED) != 0 {
        return Err(Skip::NotIp);
    }
    let channel = if control & HAS_CHANNEL == 0 { 0 } else { 8 };
    typed(frame, offset + 6 + channel)
}

/// A timestamp of 64 or 48 bits, of either time scale.
#[inline]
fn arista<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    match frame.read(offset).ok_or(TRUNCATED)? {
        [0, 1, _, 0x10] => typed(frame, offset + 12),
        [0, 1, _, 0x20] => typed(frame, offset + 10),
        _ => Err(Skip::NotIp),
    }
}

/// A network service header: its length is in words of four bytes.
#[inline]
fn nsh<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    let [version, length, _, next] = frame.read(offset).ok_or(TRUNCATED)?;
    let words = usize::from(length & 0x3f);
    if version >> 6 != 0 || words < 2 {
        return Err(Skip::NotIp);
    }
    let kind = match next {
        1 => IPV4,
        2 => IPV6,
        3 => ETHERNET,
        4 => NSH,
        5 => MPLS,
        _ => return Err(Skip::NotIp),
    };
    Ok(Layer { kind, offset: offset + 4 * words })
}
