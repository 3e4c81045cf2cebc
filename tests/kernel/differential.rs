//! Every frame through the loaded programs and through the parser on this side: the same verdict, and
//! the same counts.

use std::collections::BTreeMap;

use aya::programs::{SchedClassifier, TestRun, TestRunOptions, TestRunResult, Xdp};
use gomon::core::{Selection, Sources, Span, Tally, Timestamp, WindowCounts};
use gomon::frame::FrameLink;
use gomon::source::Stop;
use gomon::source::live::{Kernel, Selected};
use gomon::source::replay::{Input, Reader};
use gomon_common::kernel::names;
use gomon_common::{Address, LinkType, parse};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::privileged;
use crate::support::generator;
use crate::support::real;

/// What the kernel's test runs take: more than an Ethernet header, and less than a page.
const SHORTEST: usize = 15;
const LONGEST: usize = 3000;

/// Frames counted into one pane: turning the page costs more than a hundred test runs.
const CHUNK: usize = 20_000;

/// The XDP verdict that passes a frame on.
const XDP_PASS: u32 = 2;

/// Programs by the name of the way they are attached.
const PROGRAMS: [&str; 3] = [names::XDP, names::XDP_FRAGS, names::TC];

fn selected() -> Selected {
    Selected { sources: Sources::Any, ignored: vec![], capacity: 4096, packets: 0, sweeps: true }
}

/// Runs every frame through a program, and returns what it counted.
fn counted_by_kernel(name: &str, frames: &[Vec<u8>]) -> Vec<WindowCounts> {
    let mut kernel = Kernel::new(&selected()).expect("the maps are made");
    let program = kernel.ebpf().program_mut(name).expect("the program");
    if name == names::TC {
        let program: &mut SchedClassifier = program.try_into().expect("a classifier");
        program.load().expect("the verifier accepts it");
    } else {
        let program: &mut Xdp = program.try_into().expect("an XDP program");
        program.load().expect("the verifier accepts it");
    }
    let mut panes = Vec::new();
    for chunk in frames.chunks(CHUNK) {
        let program = kernel.ebpf().program_mut(name).expect("the program");
        if name == names::TC {
            run(TryInto::<&mut SchedClassifier>::try_into(program).unwrap(), chunk, u32::MAX);
        } else {
            run(TryInto::<&mut Xdp>::try_into(program).unwrap(), chunk, XDP_PASS);
        }
        panes.push(kernel.take(Span::default()).expect("the counts"));
    }
    panes
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
fn counted_here(frames: &[Vec<u8>]) -> Vec<WindowCounts> {
    let mut tally = Tally::new(Selection::new(Sources::Any, vec![]), 4096);
    let count = |frame: &Vec<u8>, tally: &mut Tally| match parse(LinkType::Ethernet, &frame[..]) {
        Ok(packet) => {
            let length = u32::try_from(frame.len()).unwrap();
            tally.count(&packet, length, Timestamp::default());
        }
        Err(skip) => tally.skip(skip),
    };
    let panes = frames.chunks(CHUNK).map(|chunk| {
        for frame in chunk {
            count(frame, &mut tally);
        }
        // That both directions are there is shown by answers here, and by a second program there.
        WindowCounts { both_directions: false, ..tally.take(Span::default()) }
    });
    panes.collect()
}

fn compare(frames: &[Vec<u8>]) {
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
        let (frames, here) = (&frames, counted_here(&frames));
        let kernel = counted_by_kernel(name, frames);
        for (number, (kernel, here)) in kernel.iter().zip(&here).enumerate() {
            if kernel != here {
                bisect(name, &frames[number * CHUNK..frames.len().min((number + 1) * CHUNK)]);
            }
        }
    }
}

/// Finds the frame on which both sides differ, and fails with it.
fn bisect(name: &str, frames: &[Vec<u8>]) -> ! {
    for frame in frames {
        let alone = std::slice::from_ref(frame);
        let (kernel, here) = (counted_by_kernel(name, alone), counted_here(alone));
        assert_eq!(kernel, here, "{name} on {}", hex(frame));
    }
    panic!("{name}: the frames agree one by one, and not together");
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
    compare(&frames);
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
        compare(&frames);
        compared.insert(capture.display().to_string(), frames.len());
    }
    println!("{} frames of real captures compared", compared.values().sum::<usize>());
}

#[test]
fn overflow_keeps_known_hosts_exact_and_estimates_the_others() {
    if !privileged() {
        return;
    }
    let mut kernel =
        Kernel::new(&Selected { capacity: 64, ..selected() }).expect("the maps are made");
    let program: &mut Xdp =
        kernel.ebpf().program_mut(names::XDP_FRAGS).unwrap().try_into().unwrap();
    program.load().expect("the verifier accepts it");
    let send = |host: u32, port: u16| {
        let mut frame = crate::support::frames::udp(
            [10, 0, 0, 5].into(),
            std::net::Ipv4Addr::from(host).into(),
            port,
            0,
        );
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
