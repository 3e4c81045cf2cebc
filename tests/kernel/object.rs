//! The object that is checked in: its names and sizes, and that the verifier accepts it.

use aya::programs::{Program, SchedClassifier};
use aya::{Ebpf, EbpfLoader};
use gomon::source::live::load_with_retry;
use gomon_common::bot::{self, BotEntry, InterfaceBucket};
use gomon_common::flow_cache;
use gomon_common::kernel::{CpuLedger, names};

use crate::privileged;

/// The size of a map's name in the kernel, including the terminating NUL (`linux/bpf.h`).
const BPF_OBJ_NAME_LEN: usize = 16;

/// The object, aligned as its ELF structures require.
fn bytes() -> &'static [u8] {
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/ebpf/gomon.o"))
}

#[test]
fn names_and_sizes_match_those_of_user_space() {
    let object = aya_obj::Object::parse(bytes()).expect("a valid object");
    for name in names::MAPS {
        let map = object.maps.get(name).unwrap_or_else(|| panic!("no map {name}"));
        assert!(name.len() < BPF_OBJ_NAME_LEN, "the kernel truncates {name}");
        let (key, value, entries) = match name {
            names::BOTS => (4, size_of::<BotEntry>(), 1),
            names::INTERFACES => (4, size_of::<InterfaceBucket>(), bot::BUCKETS),
            names::ENDPOINTS
            | names::HOSTS
            | names::HLL_REGISTERS
            | names::BLOOM_FILTER
            | names::SENDERS
            | names::PENDING_REPLIES => (4, 4, 1),
            names::LEDGER => (4, size_of::<CpuLedger>(), 1),
            names::FLOW_CACHE => (4, size_of::<[u64; flow_cache::PART_WORDS]>(), 1),
            names::IGNORED => (28, 1, 16_384),
            names::SOURCES => (24, 4, 1024),
            names::PACKETS => (4, 4, 0),
            other => panic!("sizes of map {other} are not checked"),
        };
        assert_eq!(
            (map.key_size(), map.value_size()),
            (key, u32::try_from(value).unwrap()),
            "{name}"
        );
        assert_eq!(map.max_entries(), entries, "{name}");
    }
    // The globals, and the log of the programs.
    let others = [".rodata", "AYA_LOGS"];
    assert!(others.iter().all(|name| object.maps.contains_key(*name)));
    assert_eq!(object.maps.len(), names::MAPS.len() + others.len());
    for name in names::PROGRAMS {
        assert!(object.programs.contains_key(name), "no program {name}");
    }
}

#[test]
fn the_verifier_accepts_every_program() {
    if !privileged() {
        return;
    }
    // The verifier skips the code that logs unless logging is on.
    for log in [0u8, 4] {
        let mut loader = EbpfLoader::new();
        loader.override_global(aya_log::LEVEL, &log, true);
        let mut ebpf: Ebpf = loader.load(bytes()).expect("creating the maps");
        for (name, program) in ebpf.programs_mut() {
            let name = name.to_owned();
            let outcome = if let Program::Xdp(program) = program {
                load_with_retry(|| program.load())
            } else {
                let program: &mut SchedClassifier = program.try_into().expect("XDP or TC");
                load_with_retry(|| program.load())
            };
            outcome.unwrap_or_else(|error| panic!("{name}, log level {log}: {error:#?}"));
        }
    }
}
