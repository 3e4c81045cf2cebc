//! Walking from the link header to IP: VLAN tags and encapsulations, each announced by an `EtherType`.

use super::layer::{IPV4, IPV6, LAST_LENGTH, Layer, by_version, ethernet, typed};
use super::ppp;
use super::skip::{Malformed, Skip, TRUNCATED};
use crate::Frame;

/// The most consecutive VLAN tags in a frame.
pub const MAX_TAGS: usize = 3;
/// The most other layers between the link header and IP. An MPLS label stack is one.
pub const MAX_LAYERS: usize = 4;
/// The most consecutive MPLS labels in a frame.
pub const MAX_LABELS: usize = 8;

/// Replaces the length field of an LLC frame that is longer than the field can express (draft-ietf-isis-ext-eth).
const JUMBO_LENGTH: u16 = 0x8870;
const VLAN: u16 = 0x8100;
const PROVIDER_VLAN: u16 = 0x88a8;
/// Used for stacked tags before 802.1ad chose 0x88a8.
const OLD_PROVIDER_VLAN: u16 = 0x9100;
const MPLS: u16 = 0x8847;
const MPLS_MULTICAST: u16 = 0x8848;
pub(super) const PPPOE_SESSION: u16 = 0x8864;
/// Transparent Ethernet bridging: a whole Ethernet frame follows, with GRE's number for it (RFC 7637).
const ETHERNET: u16 = 0x6558;
/// The instance tag of provider backbone bridges (IEEE 802.1ah), followed by a whole Ethernet frame.
const BACKBONE_INSTANCE: u16 = 0x88e7;
/// Cisco `FabricPath`: a forwarding tag, followed by a whole Ethernet frame.
const FABRICPATH: u16 = 0x8903;
/// The tag of virtual interfaces between a switch and its extenders (Cisco VN-Tag, the predecessor of IEEE
/// 802.1BR).
const VN_TAG: u16 = 0x8926;
/// Cisco metadata, which carries a security group tag.
const METADATA: u16 = 0x8909;
/// High-availability seamless redundancy (IEC 62439-3). PRP, of the same standard, puts its tag after the
/// packet, where it needs no parsing.
const SEAMLESS_REDUNDANCY: u16 = 0x892f;
/// IEEE 802.1AE.
const MACSEC: u16 = 0x88e5;
/// Arista's vendor type, used for the timestamps of its switches among others.
const ARISTA: u16 = 0xd28b;
/// The network service header (RFC 8300).
const NSH: u16 = 0x894f;

/// Walks from `layer` to the outermost IP header. If there is none, `layer` is the one that is not parsed.
#[inline]
pub(super) fn walk<F: Frame + ?Sized>(frame: &F, layer: &mut Layer) -> Result<(), Skip> {
    for _ in 0..=MAX_LAYERS {
        for _ in 0..MAX_TAGS {
            if is_tag(layer.kind) {
                *layer = typed(frame, layer.offset + 2)?;
            }
        }
        layer.offset = frame.forget_value(layer.offset);
        if matches!(layer.kind, IPV4 | IPV6) {
            return Ok(());
        }
        *layer = next(frame, *layer)?;
    }
    Err(Skip::Malformed(Malformed::Nesting))
}

#[inline]
const fn is_tag(kind: u16) -> bool {
    matches!(kind, VLAN | PROVIDER_VLAN | OLD_PROVIDER_VLAN)
}

/// Returns the layer that a layer other than a VLAN tag announces.
#[inline]
fn next<F: Frame + ?Sized>(frame: &F, Layer { kind, offset }: Layer) -> Result<Layer, Skip> {
    match kind {
        0..=LAST_LENGTH | JUMBO_LENGTH => after_llc(frame, offset),
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

/// Parses an LLC header: IP by its own LSAP, or an `EtherType` after the SNAP extension.
#[inline]
fn after_llc<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    const IP: [u8; 3] = [0x06, 0x06, 0x03];
    const SNAP: [u8; 3] = [0xaa, 0xaa, 0x03];
    /// The OUIs of RFC 1042, and of IEEE 802.1H for the types that bridges could misinterpret.
    const OUIS: [[u8; 3]; 2] = [[0, 0, 0], [0, 0, 0xf8]];

    let header = frame.read(offset).ok_or(Skip::NotIp)?;
    if header == IP {
        return Ok(Layer { kind: IPV4, offset: offset + 3 });
    }
    let oui = frame.read(offset + 3).ok_or(Skip::NotIp)?;
    if header != SNAP || !OUIS.contains(&oui) {
        return Err(Skip::NotIp);
    }
    typed(frame, offset + 6)
}

/// Parses an MPLS label stack (RFC 3032). The stack does not name its payload; the first four bits of the payload
/// distinguish IP from a pseudowire (RFC 4928).
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

/// Parses a `MACsec` tag. The payload can be parsed only if it is neither encrypted nor changed, other than by
/// an integrity check value at its end.
#[inline]
fn macsec<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    const VERSION: u8 = 0x80;
    /// A secure channel identifier (SCI) of eight bytes follows.
    const HAS_SCI: u8 = 0x20;
    const ENCRYPTED: u8 = 0x08;
    const CHANGED: u8 = 0x04;

    let [control] = frame.read(offset).ok_or(TRUNCATED)?;
    if control & (VERSION | ENCRYPTED | CHANGED) != 0 {
        return Err(Skip::NotIp);
    }
    let sci = if control & HAS_SCI == 0 { 0 } else { 8 };
    typed(frame, offset + 6 + sci)
}

/// Parses an Arista timestamp of 64 or 48 bits, of either time scale.
#[inline]
fn arista<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    match frame.read(offset).ok_or(TRUNCATED)? {
        [0, 1, _, 0x10] => typed(frame, offset + 12),
        [0, 1, _, 0x20] => typed(frame, offset + 10),
        _ => Err(Skip::NotIp),
    }
}

/// Parses a network service header, whose length is in words of four bytes.
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
