//! Builds capture files byte by byte, in every variant of the formats.

/// The start of the captures: 2026-01-29T10:00:00Z, in nanoseconds since the epoch.
pub const START: u64 = 1_769_680_800_000_000_000;
/// A second, in nanoseconds.
pub const SECOND: u64 = 1_000_000_000;
/// Link type Ethernet.
pub const ETHERNET: u32 = 1;

/// A frame with its capture time in nanoseconds since the epoch.
#[derive(Clone, Debug)]
pub struct Captured {
    pub time: u64,
    pub data: Vec<u8>,
    /// Length on the wire.
    pub length: u32,
}

/// Returns a complete frame, captured `offset` nanoseconds after [`START`].
pub fn at(offset: u64, data: Vec<u8>) -> Captured {
    let length = u32::try_from(data.len()).expect("a frame's length");
    Captured { time: START + offset, data, length }
}

/// The variant of a classic pcap file.
#[derive(Clone, Copy, Debug)]
pub struct Classic {
    pub big_endian: bool,
    pub nanoseconds: bool,
    /// Alexey Kuznetsov's variant, whose record headers have eight additional bytes.
    pub modified: bool,
    pub link: u32,
}

pub const PLAIN: Classic =
    Classic { big_endian: false, nanoseconds: true, modified: false, link: ETHERNET };

/// Builds a classic pcap file.
pub fn pcap(format: Classic, frames: &[Captured]) -> Vec<u8> {
    let u32 = |n: u32| if format.big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
    let u16 = |n: u16| if format.big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
    let magic = match (format.modified, format.nanoseconds) {
        (true, _) => 0xa1b2_cd34,
        (false, true) => 0xa1b2_3c4d,
        (false, false) => 0xa1b2_c3d4,
    };
    let mut file = Vec::new();
    file.extend(u32(magic));
    file.extend(u16(2));
    file.extend(u16(4));
    file.extend([0; 8]);
    file.extend(u32(262_144));
    file.extend(u32(format.link));
    let ticks = if format.nanoseconds && !format.modified { SECOND } else { 1_000_000 };
    for frame in frames {
        let seconds = u32::try_from(frame.time / SECOND).expect("a time before 2106");
        let fraction = frame.time % SECOND / (SECOND / ticks);
        file.extend(u32(seconds));
        file.extend(u32(u32::try_from(fraction).expect("a fraction")));
        file.extend(u32(u32::try_from(frame.data.len()).expect("a length")));
        file.extend(u32(frame.length));
        if format.modified {
            file.extend([0; 8]);
        }
        file.extend(&frame.data);
    }
    file
}

/// A pcapng file under construction.
pub struct Pcapng {
    big_endian: bool,
    bytes: Vec<u8>,
}

impl Pcapng {
    /// Starts a file with a section header.
    pub fn new(big_endian: bool) -> Self {
        let mut file = Self { big_endian, bytes: Vec::new() };
        file.section();
        file
    }

    fn u32(&self, n: u32) -> [u8; 4] {
        if self.big_endian { n.to_be_bytes() } else { n.to_le_bytes() }
    }

    fn u16(&self, n: u16) -> [u8; 2] {
        if self.big_endian { n.to_be_bytes() } else { n.to_le_bytes() }
    }

    /// Starts a section.
    pub fn section(&mut self) -> &mut Self {
        let mut body = self.u32(0x1a2b_3c4d).to_vec();
        body.extend(self.u16(1));
        body.extend(self.u16(0));
        body.extend([0xff; 8]);
        self.block(0x0a0d_0d0a, &body)
    }

    /// Starts a section in this byte order.
    pub fn section_in(&mut self, big_endian: bool) -> &mut Self {
        self.big_endian = big_endian;
        self.section()
    }

    /// Appends a block of any type.
    pub fn block(&mut self, kind: u32, body: &[u8]) -> &mut Self {
        let padded = body.len().next_multiple_of(4);
        let length = self.u32(u32::try_from(padded + 12).expect("a length"));
        let kind = self.u32(kind);
        self.bytes.extend(kind);
        self.bytes.extend(length);
        self.bytes.extend(body);
        self.bytes.resize(self.bytes.len() + padded - body.len(), 0);
        self.bytes.extend(length);
        self
    }

    /// Appends an interface description: link type, `if_tsresol`, `if_tsoffset` in seconds.
    pub fn interface(&mut self, link: u16, resolution: u8, offset: i64) -> &mut Self {
        let mut body = self.u16(link).to_vec();
        body.extend([0; 2]);
        body.extend(self.u32(262_144));
        body.extend(self.u16(9));
        body.extend(self.u16(1));
        body.extend([resolution, 0, 0, 0]);
        body.extend(self.u16(14));
        body.extend(self.u16(8));
        body.extend(if self.big_endian { offset.to_be_bytes() } else { offset.to_le_bytes() });
        body.extend([0; 4]);
        self.block(1, &body)
    }

    /// Appends an enhanced packet of interface `number`, at `ticks` of its clock after the epoch.
    pub fn packet(&mut self, number: u32, ticks: u64, data: &[u8]) -> &mut Self {
        let length = u32::try_from(data.len()).expect("a length");
        let halves = [(ticks >> 32) as u32, (ticks & 0xffff_ffff) as u32];
        let fields = [number, halves[0], halves[1], length, length];
        let mut body: Vec<u8> = fields.iter().flat_map(|n| self.u32(*n)).collect();
        body.extend(data);
        self.block(6, &body)
    }

    /// Appends an obsolete packet block, which the enhanced one replaced.
    pub fn obsolete_packet(&mut self, number: u16, ticks: u64, data: &[u8]) -> &mut Self {
        let length = u32::try_from(data.len()).expect("a length");
        let mut body = self.u16(number).to_vec();
        body.extend(self.u16(7)); // drop count
        let halves = [(ticks >> 32) as u32, (ticks & 0xffff_ffff) as u32];
        body.extend([halves[0], halves[1], length, length].iter().flat_map(|n| self.u32(*n)));
        body.extend(data);
        self.block(2, &body)
    }

    /// Appends a simple packet: of the first interface, without a timestamp.
    pub fn simple_packet(&mut self, data: &[u8]) -> &mut Self {
        let mut body = self.u32(u32::try_from(data.len()).expect("a length")).to_vec();
        body.extend(data);
        self.block(3, &body)
    }

    /// Returns the file.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.clone()
    }
}
