//! The pcapng reader's loop over buffered blocks against its thorough parser: the same frames at the same
//! positions, and the same errors.

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;

use gomon::frame::{Frame, FrameLink};
use gomon::source::replay::Pcapng;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::support::real;

/// A copy of a frame: position of its block, time, link type, length on the wire, bytes.
type Copied = (u64, Option<i64>, FrameLink, u32, Vec<u8>);
/// All frames up to the end, or up to an error.
type Outcome = (Vec<Copied>, Option<String>);

fn copied(frame: &Frame<'_>, position: u64) -> Copied {
    let time = frame.time.map(gomon::core::Timestamp::nanoseconds);
    (position, time, frame.link, frame.length, frame.data.to_vec())
}

/// Reads in batches.
fn by_loop(input: impl Read + Send + 'static) -> Outcome {
    let mut reader = Pcapng::new(input).expect("a thread");
    let mut frames = Vec::new();
    let mut next = |frame: &Frame<'_>, position| {
        frames.push(copied(frame, position));
        ControlFlow::Continue(())
    };
    loop {
        match reader.read_batch(&mut next) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return (frames, None),
            Err(error) => return (frames, Some(format!("{error:#}"))),
        }
    }
}

/// Parses every block thoroughly.
fn thoroughly(input: impl Read + Send + 'static) -> Outcome {
    let mut reader = Pcapng::new(input).expect("a thread");
    let mut frames = Vec::new();
    loop {
        match reader.next_frame().map(|frame| frame.map(|frame| copied(&frame, 0))) {
            Ok(Some(frame)) => {
                frames.push((reader.block_start(), frame.1, frame.2, frame.3, frame.4));
            }
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(format!("{error:#}"))),
        }
    }
}

/// Yields bytes in pieces of at most `longest`.
struct Pieces(io::Cursor<Vec<u8>>, usize);

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let longest = buffer.len().min(self.1);
        self.0.read(&mut buffer[..longest])
    }
}

#[track_caller]
fn same(bytes: &[u8], piece: usize) -> Outcome {
    let input = || Pieces(io::Cursor::new(bytes.to_vec()), piece);
    let (fast, thorough) = (by_loop(input()), thoroughly(input()));
    assert_eq!(fast.1, thorough.1, "after {} and {} frames", fast.0.len(), thorough.0.len());
    assert!(fast.0 == thorough.0, "{:?}\n{:?}", fast.0, thorough.0);
    fast
}

/// A block of a generated file.
#[derive(Clone, Debug)]
enum Block {
    /// Whether it is big-endian, and its major version.
    Section(bool, u16),
    /// Link type, snap length, `if_tsresol` and `if_tsoffset`.
    Interface(u16, u32, Option<u8>, Option<i64>),
    /// Interface, ticks, bytes of data, length on the wire, options.
    Enhanced(u32, u64, usize, u32, Vec<u8>),
    Obsolete(u16, u64, usize, u32),
    Simple(usize, u32),
    /// Of this type, with this many bytes.
    Other(u32, usize),
}

/// What is wrong with a block.
#[derive(Clone, Copy, Debug)]
enum Damage {
    None,
    /// Another length in its header, in its trailer, or in both.
    Head(u32),
    Tail(u32),
    Both(u32),
    /// Another captured length in an enhanced or obsolete packet block.
    Captured(u32),
}

fn lengths() -> impl Strategy<Value = u32> {
    let limits = vec![
        0,
        4,
        8,
        11,
        12,
        13,
        16,
        20,
        28,
        31,
        32,
        33,
        36,
        40,
        44,
        48,
        0x0100_0000,
        0x0100_0004,
        0x1000_0000,
        u32::MAX - 4,
        u32::MAX - 3,
        u32::MAX,
    ];
    prop_oneof![3 => select(limits), 2 => 0u32..300, 1 => any::<u32>()]
}

fn blocks() -> impl Strategy<Value = (Block, Damage)> {
    let ticks =
        || prop_oneof![(0u32..64, any::<u64>()).prop_map(|(n, ticks)| ticks >> n), any::<u64>()];
    let captured = || prop_oneof![9 => 0usize..100, 1 => 1000usize..3000];
    let option = (any::<u16>(), 0u16..20, 0usize..24).prop_map(|(code, length, bytes)| {
        let mut option = [code.to_le_bytes(), length.to_le_bytes()].concat();
        option.resize(4 + bytes, 0x6f);
        option
    });
    let options = prop_oneof![4 => Just(Vec::new()), 1 => option];
    let resolution = prop_oneof![4 => 0u8..13, 1 => any::<u8>()];
    let offset =
        prop_oneof![select(vec![i64::MIN, -1, 0, 1, i64::MAX]), -9_000_000_000i64..9_000_000_000];
    let block = prop_oneof![
        1 => (any::<bool>(), prop_oneof![9 => Just(1), 1 => 0u16..3]).prop_map(|(big, v)| Block::Section(big, v)),
        3 => (
            select(vec![1u16, 1, 1, 101, 113, 147]),
            select(vec![0u32, 0, 40, 65_535, u32::MAX]),
            prop::option::of(resolution),
            prop::option::of(offset),
        ).prop_map(|(link, snap, resolution, offset)| Block::Interface(link, snap, resolution, offset)),
        20 => (prop_oneof![9 => 0u32..3, 1 => any::<u32>()], ticks(), captured(), any::<u32>(), options)
            .prop_map(|(n, ticks, data, length, options)| Block::Enhanced(n, ticks, data, length, options)),
        2 => (0u16..4, ticks(), captured(), any::<u32>())
            .prop_map(|(n, ticks, data, length)| Block::Obsolete(n, ticks, data, length)),
        2 => (captured(), 0u32..200).prop_map(|(data, length)| Block::Simple(data, length)),
        3 => (select(vec![0u32, 4, 5, 10, 0x0bad, 0x4000_0bad]), 0usize..90)
            .prop_map(|(kind, bytes)| Block::Other(kind, bytes)),
    ];
    let damage = prop_oneof![
        60 => Just(Damage::None),
        1 => lengths().prop_map(Damage::Head),
        1 => lengths().prop_map(Damage::Tail),
        1 => lengths().prop_map(Damage::Both),
        1 => lengths().prop_map(Damage::Captured),
    ];
    (block, damage)
}

/// Writes blocks in the byte order of their section.
#[derive(Default)]
struct Writer {
    big_endian: bool,
    file: Vec<u8>,
}

impl Writer {
    fn u16(&self, n: u16) -> [u8; 2] {
        if self.big_endian { n.to_be_bytes() } else { n.to_le_bytes() }
    }

    fn u32s(&self, numbers: &[u32]) -> Vec<u8> {
        let bytes = |n: &u32| if self.big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
        numbers.iter().flat_map(bytes).collect()
    }

    fn option(&self, body: &mut Vec<u8>, code: u16, value: &[u8]) {
        body.extend(self.u16(code));
        body.extend(self.u16(value.len().try_into().expect("short")));
        body.extend(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }

    fn write(&mut self, block: &Block, damage: Damage) {
        let data = |length: usize| (0..length).map(|n| n.to_le_bytes()[0]);
        let halves = |ticks: u64| [(ticks >> 32) as u32, (ticks & 0xffff_ffff) as u32];
        let captured = |length: usize| match damage {
            Damage::Captured(length) => length,
            Damage::None | Damage::Head(_) | Damage::Tail(_) | Damage::Both(_) => {
                u32::try_from(length).expect("short")
            }
        };
        let mut body = Vec::new();
        let kind = match block {
            Block::Section(big_endian, major) => {
                self.big_endian = *big_endian;
                body.extend(self.u32s(&[0x1a2b_3c4d]));
                body.extend([self.u16(*major), self.u16(0)].concat());
                body.extend([0xff; 8]);
                0x0a0d_0d0a
            }
            Block::Interface(link, snap_length, resolution, offset) => {
                body.extend([self.u16(*link), [0, 0]].concat());
                body.extend(self.u32s(&[*snap_length]));
                if let Some(resolution) = resolution {
                    self.option(&mut body, 9, &[*resolution]);
                }
                if let Some(offset) = offset {
                    let offset =
                        if self.big_endian { offset.to_be_bytes() } else { offset.to_le_bytes() };
                    self.option(&mut body, 14, &offset);
                }
                1
            }
            Block::Enhanced(interface, ticks, bytes, length, options) => {
                let [high, low] = halves(*ticks);
                body.extend(self.u32s(&[*interface, high, low, captured(*bytes), *length]));
                body.extend(data(*bytes));
                body.resize(body.len().next_multiple_of(4), 0);
                body.extend(options);
                6
            }
            Block::Obsolete(interface, ticks, bytes, length) => {
                body.extend([self.u16(*interface), self.u16(7)].concat());
                let [high, low] = halves(*ticks);
                body.extend(self.u32s(&[high, low, captured(*bytes), *length]));
                body.extend(data(*bytes));
                2
            }
            Block::Simple(bytes, length) => {
                body.extend(self.u32s(&[*length]));
                body.extend(data(*bytes));
                3
            }
            Block::Other(kind, bytes) => {
                body.extend(data(*bytes));
                *kind
            }
        };
        body.resize(body.len().next_multiple_of(4), 0);
        let length = u32::try_from(12 + body.len()).expect("short");
        let (head, tail) = match damage {
            Damage::Head(other) => (other, length),
            Damage::Tail(other) => (length, other),
            Damage::Both(other) => (other, other),
            Damage::None | Damage::Captured(_) => (length, length),
        };
        let (header, trailer) = (self.u32s(&[kind, head]), self.u32s(&[tail]));
        self.file.extend([header, body, trailer].concat());
    }
}

/// Builds a file that starts with a section and `interfaces` interfaces.
fn file(big_endian: bool, interfaces: usize, blocks: &[(Block, Damage)]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.write(&Block::Section(big_endian, 1), Damage::None);
    for n in 0..interfaces {
        let resolution = [None, Some(9), Some(0x8a)][n % 3];
        writer.write(&Block::Interface(1, 0, resolution, None), Damage::None);
    }
    for (block, damage) in blocks {
        writer.write(block, *damage);
    }
    writer.file
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_loop_yields_the_frames_and_errors_of_the_thorough_parser(
        big_endian: bool,
        interfaces in 0usize..4,
        blocks in prop::collection::vec(blocks(), 0..40),
        piece in prop_oneof![2 => Just(usize::MAX), 1 => 1usize..500],
        byte in prop::option::weighted(0.3, (any::<Index>(), any::<u8>())),
    ) {
        let mut file = file(big_endian, interfaces, &blocks);
        if let Some((at, byte)) = byte {
            let at = at.index(file.len());
            file[at] = byte;
        }
        same(&file, piece);
    }
}

#[test]
fn every_truncation_of_a_file_with_every_kind_of_block() {
    let blocks = [
        Block::Enhanced(0, 1_769_680_800_000_000, 61, 61, vec![]),
        Block::Enhanced(1, 1_769_680_800_000_000_000, 60, 1514, vec![1, 0, 4, 0, 1, 2, 3, 4]),
        Block::Other(5, 12),
        Block::Simple(42, 42),
        Block::Obsolete(0, 5, 33, 33),
        Block::Section(true, 1),
        Block::Interface(101, 0, Some(6), Some(1)),
        Block::Enhanced(0, 7, 20, 20, vec![]),
        Block::Enhanced(0, 8, 0, 0, vec![]),
    ];
    let blocks: Vec<_> = blocks.into_iter().map(|block| (block, Damage::None)).collect();
    let whole = file(false, 2, &blocks);
    for length in 0..=whole.len() {
        let (frames, error) = same(&whole[..length], usize::MAX);
        assert_eq!(length == whole.len(), frames.len() == 6 && error.is_none(), "{length}");
    }
}

/// Long enough for several batches, and blocks that end anywhere in the buffer.
#[test]
fn long_captures_and_long_blocks() {
    for (big_endian, longest) in [(false, 300), (true, 300), (false, 70_000), (true, 1_200_000)] {
        let blocks = (0..4_000_000 / longest).map(|n| {
            let ticks = 1_769_680_800_000_000 + n as u64;
            (Block::Enhanced(0, ticks, n * 7919 % longest, 60, vec![]), Damage::None)
        });
        let blocks: Vec<_> = blocks.collect();
        let (frames, error) = same(&file(big_endian, 1, &blocks), usize::MAX);
        assert_eq!((frames.len(), error), (blocks.len(), None));
    }
}

#[test]
fn real_captures() {
    for capture in real::capture_files() {
        let mut head = [0; 4];
        let read = File::open(&capture).and_then(|mut file| file.read_exact(&mut head));
        if read.is_ok() && Pcapng::recognise(&head) {
            let open = || File::open(&capture).expect("the file");
            assert!(by_loop(open()) == thoroughly(open()), "{}", capture.display());
        }
    }
}
