//! Interfaces with more than one program on them.

use super::{BOT, LONG, attached, finish, net, packet, until_counted};
use crate::support::program::{Outcome, run};

#[track_caller]
fn assert_counted(run: &Outcome, frames: u64) {
    let start = format!("Ledger: {frames} frames seen = {frames} counted ");
    assert!(run.line("Ledger: ").starts_with(&start), "{}", run.stderr);
}

#[test]
fn live_two_on_one_interface_both_count() {
    for (first, second) in [("tc", "tc"), ("xdp", "auto"), ("xdp-generic", "auto"), ("pcap", "xdp")]
    {
        let Some(net) = net() else { return };
        let one = attached(&net, BOT, &format!("{LONG} --attach {first}"));
        let two = attached(&net, BOT, &format!("{LONG} --attach {second}"));
        net.send(&vec![packet(1, 80); 20]);
        for mut gomon in [one, two] {
            until_counted(&mut gomon, 20);
            gomon.signal("INT");
            let run = finish(gomon);
            assert_counted(&run, 20);
            if run.stderr.contains("  attach: auto") {
                assert_eq!(run.line("Attached: "), "Attached: TCX on tap0, 0 lost");
                let said = run.stderr.lines().find(|line| line.contains("trying the next way"));
                let said = said.expect("why it is not XDP");
                assert!(said.contains(" INFO ") && said.contains(HELD), "{said}");
            }
        }
    }
}

const HELD: &str = "another XDP program holds tap0";

#[test]
fn live_a_second_xdp_program_is_refused_with_the_reason() {
    let Some(net) = net() else { return };
    let mut first = attached(&net, BOT, &format!("{LONG} --attach xdp"));
    for mode in ["xdp", "xdp-generic"] {
        let second = run(&mut net.gomon(BOT, &format!("--attach {mode}")));
        assert_eq!(second.status, Some(1), "{}", second.stderr);
        let errors = second.errors();
        assert_eq!(errors.len(), 1, "{}", second.stderr);
        assert!(errors[0].contains(HELD), "{}", second.stderr);
    }
    net.send(&[packet(1, 80)]);
    until_counted(&mut first, 1);
    first.signal("INT");
    assert_counted(&finish(first), 1);
}
