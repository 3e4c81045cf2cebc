//! Every frame through the loaded programs and through the parser on this side: the same verdict, and
//! the same counts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use aya::programs::{SchedClassifier, TestRun, TestRunOptions, TestRunResult, Xdp};
use gomon::core::{PacketFilter, Prefix, Senders, Sources, Span, Tally, Timestamp, WindowCounts};
use gomon::frame::FrameLink;
use gomon::source::Stop;
use gomon::source::live::{CounterConfig, KernelCounter, load};
use gomon::source::replay::{Input, Reader};
use gomon_common::kernel::names;
use gomon_common::{Address, LinkType, parse};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::privileged;
use crate::support::frames::{ack, ip, ip_packet, syn, udp};
use crate::support::generator;
use crate::support::real;

/// What the kernel's test runs take: more than an Ethernet header, and less than a page.
const SHORTEST: usize = 15;
const LONGEST: usize = 3000;

/// What frames are counted with.
struct Setting {
    sources: Sources,
    /// Ignored destinations.
    ignored: Vec<Prefix>,
    capacity: u32,
    /// Frames counted into one pane: turning the page costs more than a hundred test runs.
    chunk: usize,
}

/// The XDP verdict that passes a frame on.
const XDP_PASS: u32 = 2;

/// Programs by the name of the way they are attached.
const PROGRAMS: [&str; 3] = [names::XDP, names::XDP_FRAGS, names::TC];

impl Setting {
    /// Room for everybody.
    fn roomy() -> Self {
        Self { sources: Sources::Any, ignored: vec![], capacity: 4096, chunk: 20_000 }
    }

    fn filter(&self) -> PacketFilter {
        PacketFilter::new(self.sources.clone(), self.ignored.clone())
    }

    fn kernel(&self) -> KernelCounter {
        let config = CounterConfig {
            filter: self.filter(),
            capacity: self.capacity,
            packets_per_host: 0,
            sweeps: true,
        };
        KernelCounter::new(&config).expect("the maps are made")
    }

    fn tally(&self) -> Tally {
        Tally::new(self.filter(), usize::try_from(self.capacity).unwrap())
    }
}

/// Runs every frame through a program, and returns what it counted.
fn counted_by_kernel(setting: &Setting, name: &str, frames: &[Vec<u8>]) -> Vec<WindowCounts> {
    let mut kernel = setting.kernel();
    let program = kernel.ebpf().program_mut(name).expect("the program");
    if name == names::TC {
        let program: &mut SchedClassifier = program.try_into().expect("a classifier");
        load(|| program.load()).expect("the verifier accepts it");
    } else {
        let program: &mut Xdp = program.try_into().expect("an XDP program");
        load(|| program.load()).expect("the verifier accepts it");
    }
    let mut panes = Vec::new();
    for chunk in frames.chunks(setting.chunk) {
        let program = kernel.ebpf().program_mut(name).expect("the program");
        if name == names::TC {
            run(TryInto::<&mut SchedClassifier>::try_into(program).unwrap(), chunk, u32::MAX);
        } else {
            run(TryInto::<&mut Xdp>::try_into(program).unwrap(), chunk, XDP_PASS);
        }
        panes.push(without_senders(kernel.take(Span::default()).expect("the counts")));
    }
    panes
}

/// Of the packets that are not the bot's the kernel looks at a sample.
fn without_senders(counts: WindowCounts) -> WindowCounts {
    WindowCounts { senders: Senders::default(), ..counts }
}

/// Runs frames through a program that lets every one of them pass.
fn run<P>(program: &P, frames: &[Vec<u8>], passed: u32)
where
    P: for<'a> TestRun<Opts<'a> = TestRunOptions<'a>, Result = TestRunResult>,
{
    for frame in frames {
        let options = TestRunOptions { data_in: Some(frame), repeat: 1, ..Default::default() };
        let result = program.test_run(options).unwrap_or_else(|e| panic!("{e:?}: {}", hex(frame)));
        assert_eq!(result.return_value, passed, "a frame is held up: {}", hex(frame));
    }
}

/// The same counted on this side.
fn counted_here(setting: &Setting, frames: &[Vec<u8>]) -> Vec<WindowCounts> {
    let mut tally = setting.tally();
    let count = |frame: &Vec<u8>, tally: &mut Tally| match parse(LinkType::Ethernet, &frame[..]) {
        Ok(packet) => {
            let length = u32::try_from(frame.len()).unwrap();
            tally.count(&packet, length, Timestamp::default());
        }
        Err(skip) => tally.skip(skip),
    };
    let panes = frames.chunks(setting.chunk).map(|chunk| {
        for frame in chunk {
            count(frame, &mut tally);
        }
        // That both directions are there is shown by answers here, and by a second program there.
        let counts = WindowCounts { both_directions: false, ..tally.take(Span::default()) };
        without_senders(counts)
    });
    panes.collect()
}

fn compare(setting: &Setting, frames: &[Vec<u8>]) {
    for name in PROGRAMS {
        // A test run makes no socket buffer of an IP header that is cut off.
        let frames: Vec<_> = frames
            .iter()
            .filter(|frame| match frame[12..14] {
                [0x08, 0x00] => name != names::TC || frame.len() >= 34,
                [0x86, 0xdd] => name != names::TC || frame.len() >= 54,
                _ => true,
            })
            .cloned()
            .collect();
        let (frames, here) = (&frames, counted_here(setting, &frames));
        let kernel = counted_by_kernel(setting, name, frames);
        for (number, (kernel, here)) in kernel.iter().zip(&here).enumerate() {
            if kernel != here {
                let end = frames.len().min((number + 1) * setting.chunk);
                bisect(setting, name, &frames[number * setting.chunk..end]);
            }
        }
    }
}

/// Finds the first frame of a pane after which both sides differ, and fails with it.
fn bisect(setting: &Setting, name: &str, frames: &[Vec<u8>]) -> ! {
    let both = |frames| (counted_by_kernel(setting, name, frames), counted_here(setting, frames));
    let (mut agree, mut differ) = (0, frames.len());
    while differ - agree > 1 {
        let middle = agree.midpoint(differ);
        let (kernel, here) = both(&frames[..middle]);
        *(if kernel == here { &mut agree } else { &mut differ }) = middle;
    }
    let (kernel, here) = both(&frames[..differ]);
    assert_eq!(kernel, here, "{name} on frame {agree}, {}", hex(&frames[agree]));
    panic!("{name}: the frames of the pane agree, but not behind those of others");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[test]
fn generated_frames_whole_truncated_and_corrupted() {
    if !privileged() {
        return;
    }
    let mut runner = TestRunner::deterministic();
    let samples = generator::strategy().prop_filter("Ethernet", |s| s.link == LinkType::Ethernet);
    let mut frames = Vec::new();
    for number in 0..700usize {
        let frame = samples.new_tree(&mut runner).expect("a sample").current().frame;
        // Every tenth at every length, the others whole and at one more length, and with one byte
        // changed.
        let step = if number % 10 == 0 { 1 } else { frame.len().max(2) / 2 };
        frames.extend((0..=frame.len()).step_by(step).map(|length| frame[..length].to_vec()));
        let mut corrupted = frame.clone();
        if let Some(byte) = corrupted.get_mut(number * 7 % frame.len().max(1)) {
            *byte ^= 1 << (number % 8);
        }
        frames.push(corrupted);
        frames.push(frame);
    }
    frames.retain(|frame| (SHORTEST..=LONGEST).contains(&frame.len()));
    assert!(frames.len() > 3000);
    compare(&Setting::roomy(), &frames);
}

#[test]
fn frames_of_real_captures() {
    if !privileged() {
        return;
    }
    let mut compared: BTreeMap<String, usize> = BTreeMap::new();
    for capture in real::capture_files() {
        let input = Input::open(&capture, Stop::default()).expect("the capture opens");
        let Ok(reader) = Reader::new(input) else { continue };
        let mut frames = Vec::new();
        // A damaged capture ends where the damage is.
        let _ = real::every_frame(reader, |frame| {
            let fits = (SHORTEST..=LONGEST).contains(&frame.data.len());
            if frame.link == FrameLink::Known(LinkType::Ethernet) && fits {
                frames.push(frame.data.to_vec());
            }
        });
        compare(&Setting::roomy(), &frames);
        compared.insert(capture.display().to_string(), frames.len());
    }
    println!("{} frames of real captures compared", compared.values().sum::<usize>());
}

#[test]
fn full_maps_and_ignored_destinations() {
    if !privileged() {
        return;
    }
    let address = |text: &str| Address::from(text.parse::<IpAddr>().unwrap());
    let setting = Setting {
        sources: Sources::Bot { first: address("10.0.0.5"), others: vec![address("2001:db8::5")] },
        ignored: vec![
            Prefix::new(address("198.51.100.32"), 96 + 28),
            Prefix::new(address("2001:db8:1::40"), 122),
        ],
        capacity: 48,
        // A processor learns for itself that there is no room, and most of the pane lies behind that.
        chunk: 1500,
    };
    // Hosts are as many as have a place, and three times that and the ignored ones; a host has several
    // ports, so endpoints find no room before hosts do, and in another pane after.
    let mut random = 7_u64;
    let mut below = |bound: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % bound
    };
    let frames: Vec<_> = (0..12_000)
        .map(|number| {
            let hosts = [24, 96, 200][number / setting.chunk % 3];
            let (host, port) = (u8::try_from(below(hosts)).unwrap(), 80 + below(3));
            let port = u16::try_from(port).unwrap();
            let v4 = below(2) == 0;
            let own = below(40) == 0;
            let bot: IpAddr = if v4 { ip("10.0.0.5") } else { ip("2001:db8::5") };
            let host: IpAddr = match (own, v4) {
                (true, _) => bot,
                (_, true) => [198, 51, 100, host].into(),
                (_, false) => [0x2001, 0xdb8, 1, 0, 0, 0, 0, host.into()].into(),
            };
            let mut frame = match below(8) {
                0 => syn(host, bot, port), // not the bot's
                // No UDP: which contacts wait for answers in later panes is no matter here.
                1..=3 => ip_packet(bot, host, 132, &[&[0, 1], &port.to_be_bytes()[..]].concat()),
                4 | 5 => syn(bot, host, port),
                6 => ack(bot, host, port),
                _ => ip_packet(bot, host, 47, &[0; 8]), // looked at thoroughly
            };
            frame.resize(frame.len().max(60), 0);
            frame
        })
        .collect();
    let here = counted_here(&setting, &frames);
    assert!(here.iter().all(|pane| pane.ledger.ignored > 0 && pane.endpoints.len() == 48));
    let outside = here.iter().filter(|pane| pane.overflow.hosts.packets > 0);
    assert!(outside.count() >= 5);
    compare(&setting, &frames);
}

#[test]
fn overflow_keeps_known_hosts_exact_and_estimates_the_others() {
    if !privileged() {
        return;
    }
    let mut kernel = Setting { capacity: 64, ..Setting::roomy() }.kernel();
    let program: &mut Xdp =
        kernel.ebpf().program_mut(names::XDP_FRAGS).unwrap().try_into().unwrap();
    load(|| program.load()).expect("the verifier accepts it");
    let send = |host: u32, port: u16| {
        let mut frame = udp([10, 0, 0, 5].into(), std::net::Ipv4Addr::from(host).into(), port, 0);
        frame.resize(60, 0);
        let options = TestRunOptions { data_in: Some(&frame), repeat: 1, ..Default::default() };
        program.test_run(options).expect("a test run");
    };
    let first = 0xc633_6400;
    for port in 1..=200 {
        send(first, port); // one host, more ports than there is room for
    }
    for host in 1..=5000 {
        send(first + host, 80);
    }
    let counts = kernel.take(Span::default()).expect("the counts");
    assert_eq!(counts.ledger.counted, 5200);
    assert_eq!(counts.total().packets, 5200);
    assert_eq!(counts.endpoints.len(), 64);
    assert_eq!(counts.hosts.len(), 64);
    assert_eq!(counts.hosts[0].0, Address::v4([198, 51, 100, 0]));
    assert_eq!(counts.hosts[0].1.packets, 200, "a known host's total is exact");
    assert_eq!(counts.overflow.hosts.packets, 5000 - 63);
    let unlisted = counts.overflow.distinct.expect("hosts there was no room for").estimate();
    assert!(unlisted.abs_diff(5000 - 63) < 350, "{unlisted} hosts estimated");
    let empty = kernel.take(Span::default()).expect("the counts");
    assert!(empty.is_silent() && empty.endpoints.is_empty() && empty.overflow.distinct.is_none());
    let again = kernel.take(Span::default()).expect("the counts");
    assert_eq!(again, empty, "both generations are clean");
}
