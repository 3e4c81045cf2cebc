//! What the kernel program itself has to say, for those who ask.

use super::{BOT, LONG, attached, finish, net, packet, until_counted};

#[test]
fn live_with_the_debug_log_the_program_says_what_it_finds_and_else_nothing() {
    const SAID: &str = "malformed frame: version";
    for mode in ["xdp", "xdp-generic"] {
        for (level, says) in [("debug", true), ("info", false)] {
            let Some(net) = net() else { return };
            let args = format!("{LONG} --attach {mode} --log-level {level}");
            let mut gomon = attached(&net, BOT, &args.replace("--log-level info", ""));
            let mut broken = packet(1, 80);
            broken[14] = 0x55; // of no version that there is
            net.send(&[broken, packet(1, 80)]);
            if says {
                gomon.wait_for_part(SAID);
            }
            until_counted(&mut gomon, 2);
            gomon.signal("INT");
            let run = finish(gomon);
            assert_eq!(run.stderr.contains(SAID), says, "{mode}: {}", run.stderr);
            let ledger = run.line("Ledger: ");
            assert!(ledger.contains(" + 1 malformed (1 version)"), "{mode}: {ledger}");
        }
    }
}
