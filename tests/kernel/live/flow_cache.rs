//! Known endpoints are counted near at hand, by each processor for itself.

use gomon_common::flow_cache::{PART_WORDS, SLOT_WORDS, endpoint};
use gomon_common::kernel::names;

use super::{BOT, LONG, attached, finish, net, packet, per_cpu, until_counted};

const FRAMES: u64 = 400;

#[test]
fn live_known_endpoints_are_counted_near_at_hand_and_added_up() {
    for mode in ["xdp", "tc"] {
        let Some(net) = net() else { return };
        let mut gomon =
            attached(&net, BOT, &format!("{LONG} --packet-threshold 1/window --attach {mode}"));
        let frames: Vec<_> = (0..FRAMES).map(|n| packet((n % 4) as u8, 53)).collect();
        net.send(&frames);
        until_counted(&mut gomon, FRAMES);

        let (places, packets) = near(gomon.id());
        // The first packet of each is in the map, and the first that a processor sees after that.
        let processors = aya::util::nr_cpus().unwrap() as u64;
        assert!((4..=4 * processors).contains(&places), "{mode}: {places} places");
        assert!(packets >= FRAMES - 4 * (1 + processors), "{mode}: {packets} packets");
        gomon.signal("INT");
        let run = finish(gomon);
        let records = run.records();
        let attacks: Vec<_> =
            records.iter().filter(|r| r["alert"]["category"] == "attack").collect();
        assert_eq!(attacks.len(), 4, "{mode}: {}", run.stdout);
        for attack in attacks {
            assert_eq!(attack["metadata"]["gomon"]["packets"], FRAMES / 4, "{mode}: {attack}");
        }
    }
}

/// Places that are taken, and the packets in them, of a process's program.
fn near(process: u32) -> (u64, u64) {
    let map =
        per_cpu::<[u64; PART_WORDS]>(process, names::FLOW_CACHE).next().expect("the map is there");
    let parts: Vec<_> = map.iter().collect::<Result<_, _>>().unwrap();
    let places =
        parts.iter().flat_map(|part| part.iter()).flat_map(|cpu| cpu.as_chunks::<SLOT_WORDS>().0);
    let taken: Vec<_> = places.filter(|[key, ..]| *key != 0).collect();
    assert!(taken.iter().all(|[key, ..]| endpoint(*key).port() == 53));
    (taken.len() as u64, taken.iter().map(|[_, packets, _]| packets).sum())
}
