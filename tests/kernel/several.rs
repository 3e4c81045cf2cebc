//! Several bots on one interface count as if each were alone there, and slots are reused.

use std::net::Ipv4Addr;

use aya::programs::Xdp;
use gomon::core::{BotMac, PacketFilter, Prefix, Sources, Span, Tally, Timestamp, WindowCounts};
use gomon::source::live::{CounterConfig, KernelCounter, SharedObject, load_with_retry};
use gomon_common::kernel::names;
use gomon_common::{Address, LinkType, Mac, parse};

use super::differential::{LOOPBACK, XDP_PASS, close_pane, run, without_senders};
use crate::privileged;
use crate::support::frames::{ip, syn, udp};

const CAPACITY: u32 = 256;

/// The addresses that the frames are between. The first three are those of bots.
const HOSTS: [&str; 6] =
    ["10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.0.8", "198.51.100.1", "198.51.100.200"];

fn config(filter: PacketFilter) -> CounterConfig {
    CounterConfig { filter, capacity: CAPACITY, packets_per_host: 0, sweeps: true }
}

fn filter(first: &str, others: &[&str], ignored: &[(&str, u32)]) -> PacketFilter {
    let others = others.iter().map(|other| ip(other).into()).collect();
    let ignored =
        ignored.iter().map(|(address, bits)| Prefix::new(ip(address).into(), 96 + bits)).collect();
    PacketFilter::new(Sources::Bot { first: ip(first).into(), others }, ignored)
}

/// Frames of UDP and TCP between the hosts, frames that are not IP, and truncated ones.
fn frames(seed: u64, number: usize) -> Vec<Vec<u8>> {
    let mut random = seed;
    let mut below = |bound: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(random >> 33).unwrap() % bound
    };
    let mut frame = || {
        let (source, destination) = (ip(HOSTS[below(6)]), ip(HOSTS[below(6)]));
        let port = 1 + u16::try_from(below(40)).unwrap();
        let mut frame = match below(2) {
            0 => udp(source, destination, port, 0),
            _ => syn(source, destination, port),
        };
        frame.resize(frame.len().max(60), 0);
        match below(12) {
            0 => frame[12..14].copy_from_slice(&[0x08, 0x06]), // ARP
            1 => frame.truncate(30),
            2 => frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 7]),
            _ => {}
        }
        frame
    };
    (0..number).map(|_| frame()).collect()
}

/// Counts the frames in user space, as the only bot.
fn count(tally: &mut Tally, frames: &[Vec<u8>]) -> WindowCounts {
    for frame in frames {
        let length = u32::try_from(frame.len()).unwrap();
        match parse(LinkType::Ethernet, &frame[..]) {
            Ok(packet) if tally.is_sent_by_bot(LinkType::Ethernet, frame) => {
                tally.count(&packet, length, Timestamp::default());
            }
            Ok(packet) => tally.count_not_from_bot(&packet, Timestamp::default()),
            Err(skip) => tally.skip(skip),
        }
    }
    let counts = tally.close_pane(Span::default());
    without_senders(WindowCounts { both_directions: false, ..counts })
}

#[test]
fn bots_on_one_interface_count_as_if_each_were_alone() {
    if !privileged() {
        return;
    }
    let mac = Mac::new([2, 0, 0, 0, 0, 7]);
    let filters = [
        filter(HOSTS[0], &[], &[]),
        filter(HOSTS[1], &["10.0.0.9"], &[("198.51.100.128", 25)]),
        filter(HOSTS[2], &[], &[]).with_bot_mac(Some(BotMac::Is(mac))),
    ];
    let object = SharedObject::new(8);
    let mut counters: Vec<(KernelCounter, Tally)> = Vec::new();
    for pane in 0..5u64 {
        // They join one after another, and the first leaves again.
        if let Some(filter) = filters.get(usize::try_from(pane).unwrap()) {
            let config = config(filter.clone());
            let counter = KernelCounter::new(&object, LOOPBACK, &config).expect("another bot");
            let capacity = usize::try_from(CAPACITY).unwrap();
            counters.push((counter, Tally::new(filter.clone(), capacity)));
        }
        if pane == 4 {
            counters.remove(0);
        }
        let frames = frames(pane, 2000);
        object
            .with_program(names::XDP, |program| {
                let program: &mut Xdp = program.try_into().expect("an XDP program");
                let _ = load_with_retry(|| program.load()); // once
                run(program, &frames, XDP_PASS);
            })
            .expect("the program");
        for (number, (counter, tally)) in counters.iter_mut().enumerate() {
            let kernel = without_senders(close_pane(counter));
            assert_eq!(kernel, count(tally, &frames), "pane {pane}, counter {number}");
            assert!(kernel.ledger.counted > 10, "pane {pane}: {:?}", kernel.ledger);
        }
    }
}

#[test]
fn bots_with_the_same_address_or_with_every_address_are_rejected() {
    if !privileged() {
        return;
    }
    let object = SharedObject::new(8);
    let any = config(PacketFilter::new(Sources::Any, vec![]));
    let first = config(filter("10.0.0.5", &["10.0.0.6"], &[]));
    let _first = KernelCounter::new(&object, LOOPBACK, &first).expect("the first bot");
    for (config, expected) in [
        (config(filter("10.0.0.6", &[], &[])), "has the address 10.0.0.6"),
        (any, "counts every source"),
    ] {
        let error = KernelCounter::new(&object, LOOPBACK, &config).err().expect("an error");
        assert!(format!("{error:#}").contains(expected), "{error:#}");
    }
    // Rejected bots leave nothing on the interface.
    KernelCounter::new(&object, LOOPBACK, &config(filter("10.0.0.7", &[], &[]))).expect("another");
}

#[test]
fn slots_are_reused_without_counts_of_earlier_bots() {
    if !privileged() {
        return;
    }
    let object = SharedObject::new(3);
    for round in 0..20u8 {
        let address = Address::from(std::net::IpAddr::from([10, 0, 1, round]));
        let filter = PacketFilter::new(Sources::Bot { first: address, others: vec![] }, vec![]);
        let mut counter =
            KernelCounter::new(&object, LOOPBACK, &config(filter)).expect("a free slot");
        let source = Ipv4Addr::new(10, 0, 1, round).into();
        let frames: Vec<_> = (1..=50)
            .map(|port| {
                let mut frame = udp(source, ip("198.51.100.1"), port, 0);
                frame.resize(60, 0);
                frame
            })
            .collect();
        let send = || {
            object.with_program(names::XDP, |program| {
                let program: &mut Xdp = program.try_into().expect("an XDP program");
                let _ = load_with_retry(|| program.load());
                run(program, &frames, XDP_PASS);
            })
        };
        send().expect("the program");
        let counts = close_pane(&mut counter);
        assert_eq!((counts.ledger.seen(), counts.endpoints.len()), (50, 50), "round {round}");
        // These are still in the maps when the bot is removed.
        send().expect("the program");
    }
}
