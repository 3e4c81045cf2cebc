//! `cargo xtask kernels`: runs gomon on Debian's kernels, in every attach mode that each has, and compares its
//! counts with the frames sent.

mod judge;
mod traffic;

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::{
    pcap, prerequisites,
    vm::{
        self,
        case::{Case, CaseReport},
        debian::{self, Kernel, SUITES, Suite},
        layout::FRAMES,
        qemu::VirtualMachine,
    },
    workspace,
};
use judge::Verdict;
use traffic::Sent;

#[derive(Args)]
pub(crate) struct KernelArgs {
    /// Kernels: 5.10, 6.1, 6.12, newest [default: all of them]
    #[arg(value_name = "KERNEL", value_parser = suite)]
    kernels: Vec<Suite>,
}

/// The bot's addresses, as gomon's argument.
const SOURCES: &str = "10.10.0.20,2001:db8::20";
const ORDINARY: u32 = 1500;
const JUMBO: u32 = 9000;

/// Attach modes, and the MTU of the interface.
const CASES: [(&str, u32); 7] = [
    ("auto", ORDINARY),
    ("auto", JUMBO),
    ("xdp", ORDINARY),
    ("xdp", JUMBO),
    ("xdp-generic", ORDINARY),
    ("tc", ORDINARY),
    ("pcap", ORDINARY),
];
const HEADER: &str = "\
| kernel | `auto` chooses | at MTU 9000 | `xdp` | `xdp` at MTU 9000 | `xdp-generic` | `tc` | `pcap` |
| --- | --- | --- | --- | --- | --- | --- | --- |";

/// The kernel modules needed, unless they are built in.
const MODULES: &[&str] = &["veth", "sch_ingress", "cls_bpf"];

/// Longer than any kernel takes on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(240);

fn suite(text: &str) -> Result<Suite> {
    let suite = SUITES.into_iter().find(|suite| text == suite.series || text == suite.name);
    suite.context("expected 5.10, 6.1, 6.12 or newest")
}

pub(crate) fn run(args: &KernelArgs) -> Result<()> {
    prerequisites::for_kernels()?;
    let gomon = workspace::build_gomon()?;
    let suites = if args.kernels.is_empty() { &SUITES[..] } else { &args.kernels };
    let mut out = io::stdout().lock();
    writeln!(out, "{HEADER}")?;
    let (mut wrong, mut missing) = (Vec::new(), Vec::new());
    for suite in suites {
        let kernel = match debian::fetch(suite) {
            Ok(kernel) => kernel,
            Err(error) => {
                eprintln!("xtask: {error:#}: skipping it");
                missing.push(suite.series);
                continue;
            }
        };
        eprintln!("xtask: counting on {}", kernel.release);
        let verdicts = match count(&kernel, &gomon) {
            Ok(verdicts) => verdicts,
            Err(error) => {
                eprintln!("xtask: {error:#}");
                wrong.push(kernel.release);
                continue;
            }
        };
        for ((mode, mtu), verdict) in CASES.iter().zip(&verdicts) {
            for line in verdict.reasons() {
                eprintln!("xtask: {}: {mode}, MTU {mtu}: {line}", kernel.release);
            }
        }
        let cells: Vec<_> = verdicts.iter().map(Verdict::to_string).collect();
        writeln!(out, "| {} ({}) | {} |", kernel.release, suite.name, cells.join(" | "))?;
        // A kernel can lack a mode, but `auto` must succeed on each.
        if verdicts.iter().any(Verdict::is_wrong) || !verdicts[0].is_exact() {
            wrong.push(kernel.release);
        }
    }
    out.flush()?;
    ensure!(
        wrong.is_empty(),
        "count on {}: the counts differ from what was sent: see above",
        wrong.join(", ")
    );
    ensure!(missing.is_empty(), "fetch {}: not available: see above", missing.join(", "));
    Ok(())
}

/// Boots a kernel, and returns the verdict of each case.
fn count(kernel: &Kernel, gomon: &Path) -> Result<Vec<Verdict>> {
    let directory = workspace::target()?.join("kernels");
    let mut initramfs = vm::base(kernel, MODULES)?;
    initramfs.program(gomon, "bin/gomon")?;
    initramfs.program(&vm::find("tcpreplay")?, "bin/tcpreplay")?;
    let sent = [(ORDINARY, traffic::ordinary()?), (JUMBO, traffic::jumbo()?)];
    for (mtu, sent) in &sent {
        let capture = directory.join(format!("{mtu}.pcap"));
        pcap::create(&capture, |writer| {
            sent.iter().try_for_each(|sent| writer.write(Duration::ZERO, &sent.frame))
        })?;
        initramfs.file(&format!("{FRAMES}/{mtu}.pcap"), fs::read(&capture)?);
    }
    let packed = directory.join("initramfs");
    initramfs.write(&packed)?;

    let of = |mtu: u32| -> &[Sent] { if mtu == JUMBO { &sent[1].1 } else { &sent[0].1 } };
    let case = |&(mode, mtu): &(&str, u32)| Case {
        mode: mode.to_owned(),
        mtu,
        frames: of(mtu).len() as u64,
    };
    let cases: Vec<_> = CASES.iter().map(case).map(|case| case.to_string()).collect();
    let machine = VirtualMachine {
        kernel: &kernel.image,
        initramfs: &packed,
        args: &format!("count {SOURCES} {}", cases.join(" ")),
    };
    let mut reports = Vec::new();
    machine.run(TIMEOUT, |line| reports.extend(CaseReport::parse(line)))?;
    if reports.len() != CASES.len() {
        bail!("count on {}: {} of {} reports", kernel.release, reports.len(), CASES.len());
    }
    let judged = CASES.iter().zip(reports);
    Ok(judged.map(|(&(_, mtu), report)| Verdict::of(report, of(mtu))).collect())
}
