//! Differential test: the loaded programs and the user-space parser must count every frame alike.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::ControlFlow;

use aya::programs::{Program, SchedClassifier, TestRun, TestRunOptions, TestRunResult, Xdp};
use gomon::core::{PacketFilter, Prefix, Senders, Sources, Span, Tally, Timestamp, WindowCounts};
use gomon::frame::{Frame, FrameLink, RemoteHosts};
use gomon::source::live::{
    CounterConfig, KernelCounter, MonotonicClock, SharedObject, load_with_retry,
};
use gomon::source::replay::{Input, Reader};
use gomon::source::{PacketSink, PaneSink, Stop};
use gomon_common::kernel::names;
use gomon_common::{Address, LinkType, parse};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::privileged;
use crate::support::frames::{ack, ip, ip_packet, syn, udp};
use crate::support::generator;
use crate::support::real;

/// The frame lengths that `BPF_PROG_TEST_RUN` accepts: more than an Ethernet header, and less than a page.
const SHORTEST: usize = 15;
const LONGEST: usize = 3000;

/// The configuration that both counters use.
struct Setting {
    sources: Sources,
    /// Ignored destinations.
    ignored: Vec<Prefix>,
    capacity: u32,
    /// The number of frames in a pane. Closing a pane costs more than a hundred test runs.
    chunk: usize,
}

/// The object, and the counter of a bot on the loopback interface.
struct Kernel {
    object: SharedObject,
    counter: KernelCounter,
}

/// The index of the interface on which `BPF_PROG_TEST_RUN` runs programs (`bpf_prog_test_run_xdp`,
/// `bpf_prog_test_run_skb`).
pub(crate) const LOOPBACK: u32 = 1;

impl Kernel {
    /// Calls `work` with an XDP program, or the TC program.
    fn with_program<T>(&self, name: &str, work: impl FnOnce(&mut Program) -> T) -> T {
        self.object.with_program(name, work).expect("the program")
    }
}

/// The XDP verdict that passes the frame on to the network stack.
pub(crate) const XDP_PASS: u32 = 2;

/// The programs that count.
const PROGRAMS: [&str; 3] = [names::XDP, names::XDP_FRAGS, names::TC];

impl Setting {
    /// Counts packets from any source, with room for all destinations.
    fn with_room() -> Self {
        Self { sources: Sources::Any, ignored: vec![], capacity: 4096, chunk: 20_000 }
    }

    fn filter(&self) -> PacketFilter {
        PacketFilter::new(self.sources.clone(), self.ignored.clone())
    }

    fn kernel(&self) -> Kernel {
        let config = CounterConfig {
            filter: self.filter(),
            capacity: self.capacity,
            packets_per_host: 0,
            sweeps: true,
        };
        let object = SharedObject::new(1);
        let counter = KernelCounter::new(&object, LOOPBACK, &config).expect("creating the maps");
        Kernel { object, counter }
    }

    fn tally(&self) -> Tally {
        Tally::new(self.filter(), usize::try_from(self.capacity).unwrap())
    }
}

/// Runs every frame through a program and returns the counts of each pane.
fn count_in_kernel(setting: &Setting, name: &str, frames: &[Vec<u8>]) -> Vec<WindowCounts> {
    let mut kernel = setting.kernel();
    kernel.with_program(name, |program| {
        if name == names::TC {
            let program: &mut SchedClassifier = program.try_into().expect("a classifier");
            load_with_retry(|| program.load()).expect("the verifier accepts it");
        } else {
            let program: &mut Xdp = program.try_into().expect("an XDP program");
            load_with_retry(|| program.load()).expect("the verifier accepts it");
        }
    });
    let mut panes = Vec::new();
    for chunk in frames.chunks(setting.chunk) {
        kernel.with_program(name, |program| {
            if name == names::TC {
                run(TryInto::<&mut SchedClassifier>::try_into(program).unwrap(), chunk, u32::MAX);
            } else {
                run(TryInto::<&mut Xdp>::try_into(program).unwrap(), chunk, XDP_PASS);
            }
        });
        panes.push(without_senders(close_pane(&mut kernel.counter)));
    }
    panes
}

/// Closes the pane and returns its counts.
pub(crate) fn close_pane(counter: &mut KernelCounter) -> WindowCounts {
    let clock = MonotonicClock::start();
    counter.swap(0).expect("the next pane");
    counter.wait_for_programs().expect("a grace period");
    counter.drain(Span::default(), &clock, &mut NoPackets).expect("the counts")
}

/// A sink for a counter that is not configured to send packets.
struct NoPackets;

impl PacketSink for NoPackets {
    fn needs_packets(&self) -> bool {
        false
    }

    fn packet(&mut self, _: RemoteHosts, _: &Frame<'_>) {}
}

impl PaneSink for NoPackets {
    fn pane(&mut self, _: WindowCounts) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn silence(&mut self, _: Timestamp, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn packets_lost(&mut self, _: u64) {}

    fn progress(&mut self, _: u64, _: u64) {}
}

/// Removes the senders, which the kernel only samples.
pub(crate) fn without_senders(counts: WindowCounts) -> WindowCounts {
    WindowCounts { senders: Senders::default(), ..counts }
}

/// Runs frames through a program, which must pass every one of them on.
pub(crate) fn run<P>(program: &P, frames: &[Vec<u8>], passed: u32)
where
    P: for<'a> TestRun<Opts<'a> = TestRunOptions<'a>, Result = TestRunResult>,
{
    for frame in frames {
        let options = TestRunOptions { data_in: Some(frame), repeat: 1, ..Default::default() };
        let result = program.test_run(options).unwrap_or_else(|e| panic!("{e:?}: {}", hex(frame)));
        assert_eq!(result.return_value, passed, "a frame is not passed on: {}", hex(frame));
    }
}

/// Counts the same frames with the user-space parser.
fn count_in_user_space(setting: &Setting, frames: &[Vec<u8>]) -> Vec<WindowCounts> {
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
        // User space sets this flag on the first reply, but the kernel counter only with an egress program.
        let counts = WindowCounts { both_directions: false, ..tally.close_pane(Span::default()) };
        without_senders(counts)
    });
    panes.collect()
}

fn compare(setting: &Setting, frames: &[Vec<u8>]) {
    for name in PROGRAMS {
        // For TC, a test run rejects frames with a truncated IP header.
        let frames: Vec<_> = frames
            .iter()
            .filter(|frame| match frame[12..14] {
                [0x08, 0x00] => name != names::TC || frame.len() >= 34,
                [0x86, 0xdd] => name != names::TC || frame.len() >= 54,
                _ => true,
            })
            .cloned()
            .collect();
        let (frames, here) = (&frames, count_in_user_space(setting, &frames));
        let kernel = count_in_kernel(setting, name, frames);
        for (number, (kernel, here)) in kernel.iter().zip(&here).enumerate() {
            if kernel != here {
                let end = frames.len().min((number + 1) * setting.chunk);
                bisect(setting, name, &frames[number * setting.chunk..end]);
            }
        }
    }
}

/// Finds the first frame of a pane after which the counts differ, and fails with it.
fn bisect(setting: &Setting, name: &str, frames: &[Vec<u8>]) -> ! {
    let both =
        |frames| (count_in_kernel(setting, name, frames), count_in_user_space(setting, frames));
    let (mut agree, mut differ) = (0, frames.len());
    while differ - agree > 1 {
        let middle = agree.midpoint(differ);
        let (kernel, here) = both(&frames[..middle]);
        *(if kernel == here { &mut agree } else { &mut differ }) = middle;
    }
    let (kernel, here) = both(&frames[..differ]);
    assert_eq!(kernel, here, "{name} on frame {agree}, {}", hex(&frames[agree]));
    panic!("{name}: the counts of the pane differ only after those of earlier panes");
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
        // Every tenth frame at every length, the others whole, at two shorter lengths, and with one byte
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
    compare(&Setting::with_room(), &frames);
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
        // A damaged capture is read up to the damage.
        let _ = real::every_frame(reader, |frame| {
            let fits = (SHORTEST..=LONGEST).contains(&frame.data.len());
            if frame.link == FrameLink::Known(LinkType::Ethernet) && fits {
                frames.push(frame.data.to_vec());
            }
        });
        compare(&Setting::with_room(), &frames);
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
        // Each CPU detects for itself that a map is full, which happens early in a pane of this size.
        chunk: 1500,
    };
    // The panes have as many hosts as fit, and several times that. Hosts have several ports, so in some
    // panes the endpoint map is full before the host map, and in others after it.
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
                0 => syn(host, bot, port), // not from the bot
                // Not UDP, whose pending replies are not part of this test.
                1..=3 => ip_packet(bot, host, 132, &[&[0, 1], &port.to_be_bytes()[..]].concat()),
                4 | 5 => syn(bot, host, port),
                6 => ack(bot, host, port),
                _ => ip_packet(bot, host, 47, &[0; 8]), // needs the general parser
            };
            frame.resize(frame.len().max(60), 0);
            frame
        })
        .collect();
    let here = count_in_user_space(&setting, &frames);
    assert!(here.iter().all(|pane| pane.ledger.ignored > 0 && pane.endpoints.len() == 48));
    let with_overflow = here.iter().filter(|pane| pane.overflow.hosts.packets > 0);
    assert!(with_overflow.count() >= 5);
    compare(&setting, &frames);
}

#[test]
fn overflow_keeps_listed_hosts_exact_and_estimates_the_number_of_the_others() {
    if !privileged() {
        return;
    }
    let mut kernel = Setting { capacity: 64, ..Setting::with_room() }.kernel();
    let first = 0xc633_6400;
    kernel.with_program(names::XDP_FRAGS, |program| {
        let program: &mut Xdp = program.try_into().expect("an XDP program");
        load_with_retry(|| program.load()).expect("the verifier accepts it");
        let send = |host: u32, port: u16| {
            let host = std::net::Ipv4Addr::from(host);
            let mut frame = udp([10, 0, 0, 5].into(), host.into(), port, 0);
            frame.resize(60, 0);
            let options = TestRunOptions { data_in: Some(&frame), repeat: 1, ..Default::default() };
            program.test_run(options).expect("a test run");
        };
        for port in 1..=200 {
            send(first, port); // one host, more ports than fit
        }
        for host in 1..=5000 {
            send(first + host, 80);
        }
    });
    let counts = close_pane(&mut kernel.counter);
    assert_eq!(counts.ledger.counted, 5200);
    assert_eq!(counts.total().packets, 5200);
    assert_eq!(counts.endpoints.len(), 64);
    assert_eq!(counts.hosts.len(), 64);
    assert_eq!(counts.hosts[0].0, Address::v4([198, 51, 100, 0]));
    assert_eq!(counts.hosts[0].1.packets, 200, "the total of a listed host is exact");
    assert_eq!(counts.overflow.hosts.packets, 5000 - 63);
    let unlisted = counts.overflow.distinct.expect("unlisted hosts").estimate();
    assert!(unlisted.abs_diff(5000 - 63) < 350, "{unlisted} hosts estimated");
    let empty = close_pane(&mut kernel.counter);
    assert!(empty.is_silent() && empty.endpoints.is_empty() && empty.overflow.distinct.is_none());
    let again = close_pane(&mut kernel.counter);
    assert_eq!(again, empty, "both generations are cleared");
}
