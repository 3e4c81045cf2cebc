//! The per-CPU flow cache counts packets to listed endpoints.

use gomon_common::flow_cache::{PART_WORDS, SLOT_WORDS, endpoint};
use gomon_common::kernel::names;

use super::{BOT, LONG, attached, finish, net, packet, per_cpu, until_counted};

const FRAMES: u64 = 400;

#[test]
fn live_listed_endpoints_are_counted_in_the_flow_cache_and_summed() {
    for mode in ["xdp", "tc"] {
        let Some(net) = net() else { return };
        let mut gomon =
            attached(&net, BOT, &format!("{LONG} --packet-threshold 1/window --attach {mode}"));
        let frames: Vec<_> = (0..FRAMES).map(|n| packet((n % 4) as u8, 53)).collect();
        net.send(&frames);
        until_counted(&mut gomon, FRAMES);

        let (slots, packets) = cached(gomon.id());
        // The first packet to each endpoint is counted in the map, and so is the first packet on each CPU
        // after that.
        let cpus = aya::util::nr_cpus().unwrap() as u64;
        assert!((4..=4 * cpus).contains(&slots), "{mode}: {slots} slots");
        assert!(packets >= FRAMES - 4 * (1 + cpus), "{mode}: {packets} packets");
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

/// Returns the number of claimed cache slots of a process's programs, and the packets counted in them.
fn cached(process: u32) -> (u64, u64) {
    let map = per_cpu::<[u64; PART_WORDS]>(process, names::FLOW_CACHE)
        .next()
        .expect("the flow cache map");
    let parts: Vec<_> = map.iter().collect::<Result<_, _>>().unwrap();
    let slots =
        parts.iter().flat_map(|part| part.iter()).flat_map(|cpu| cpu.as_chunks::<SLOT_WORDS>().0);
    let claimed: Vec<_> = slots.filter(|[key, ..]| *key != 0).collect();
    assert!(claimed.iter().all(|[key, ..]| endpoint(*key).port() == 53));
    (claimed.len() as u64, claimed.iter().map(|[_, packets, _]| packets).sum())
}
