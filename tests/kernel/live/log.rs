//! Log messages of the eBPF programs.

use super::{BOT, LONG, attached, finish, net, packet, until_counted};

#[test]
fn live_programs_log_malformed_frames_only_at_debug_level() {
    const MESSAGE: &str = "malformed frame: version";
    for mode in ["xdp", "xdp-generic"] {
        for (level, is_logged) in [("debug", true), ("info", false)] {
            let Some(net) = net() else { return };
            let args = format!("{LONG} --attach {mode} --log-level {level}");
            let mut gomon = attached(&net, BOT, &args.replace("--log-level info", ""));
            let mut broken = packet(1, 80);
            broken[14] = 0x55; // IP version 5
            net.send(&[broken, packet(1, 80)]);
            if is_logged {
                gomon.wait_for_part(MESSAGE);
            }
            until_counted(&mut gomon, 2);
            gomon.signal("INT");
            let run = finish(gomon);
            assert_eq!(run.stderr.contains(MESSAGE), is_logged, "{mode}: {}", run.stderr);
            let ledger = run.line("Ledger: ");
            assert!(ledger.contains(" + 1 malformed (1 version)"), "{mode}: {ledger}");
        }
    }
}
