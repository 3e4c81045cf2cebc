//! Replays, each compared with what a user would otherwise run on the same file.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{
    measure::Pairs,
    report::{Row, table},
    traffic::{Destinations, Lengths, Traffic},
};
use crate::{
    frames::BOT,
    pcapng,
    workspace::{self, run},
};

/// The ordinary case: short frames to many endpoints.
pub(super) const ORDINARY: Traffic = Traffic {
    frames: 2_500_000,
    lengths: Lengths::Shortest,
    destinations: Destinations::Endpoints(700),
    share: 100,
    seconds: 240,
};
/// A gigabyte.
const LONG_FRAMES: Traffic = Traffic { frames: 1_280_000, lengths: Lengths::Mixed, ..ORDINARY };
/// The worst case: every frame has a new destination.
const NEW_HOSTS: Traffic = Traffic { destinations: Destinations::NewEveryTime, ..ORDINARY };
const NOISE: Traffic = Traffic { share: 1, ..ORDINARY };

/// Thresholds that no traffic reaches.
const NOTHING_TO_SAVE: &[&str] = &["--packet-threshold", "1e9", "--destination-threshold", "1e9"];

/// The number of real captures to replay, the largest ones.
const REAL: usize = 3;

/// What all comparisons share.
struct Work<'a> {
    gomon: &'a Path,
    pairs: u32,
}

/// Returns the table of all replays.
pub(super) fn measure(gomon: &Path, directory: &Path, pairs: u32) -> Result<String> {
    let work = Work { gomon, pairs };
    let ordinary = ORDINARY.capture(directory)?;
    let first = work.gomon(&ordinary, &BOT.to_string());
    let mut rows = Vec::new();
    for (traffic, goal) in [(ORDINARY, 5.0), (LONG_FRAMES, 2.5), (NOISE, 4.0)] {
        let capture = traffic.capture(directory)?;
        rows.push(work.compared_with_tcpdump(
            &traffic.to_string(),
            &capture,
            &BOT.to_string(),
            Some(goal),
        )?);
        if matches!(traffic.lengths, Lengths::Mixed) {
            let mut dd = Command::new("dd");
            dd.arg(format!("if={}", capture.display())).args(["of=/dev/null", "bs=1M"]);
            rows.push(work.row(
                "the same",
                &work.gomon(&capture, &BOT.to_string()),
                "`dd bs=1M`",
                &dd,
                None,
            )?);
        }
    }
    let pcapng = pcapng::converted(&ordinary)?;
    for (name, capture, goal) in [
        ("the first row's, pcapng", pcapng.clone(), 4.0),
        ("the second row's, pcapng", pcapng::converted(&LONG_FRAMES.capture(directory)?)?, 2.5),
    ] {
        rows.push(work.compared_with_tcpdump(name, &capture, &BOT.to_string(), Some(goal))?);
    }
    let streamed = work.gomon_after_cat(&ordinary, &[]);
    let name = "the first row's, from `cat`";
    // At most 1.6 times the time of the reference.
    rows.push(work.row(name, &streamed, "the first row", &first, Some(0.625))?);
    let new = work.gomon(&NEW_HOSTS.capture(directory)?, &BOT.to_string());
    rows.push(work.row(&NEW_HOSTS.to_string(), &new, "the first row", &first, Some(0.5))?);
    // At most 1.5 times the time of the reference.
    for (name, capture, is_streamed, flags, goal) in [
        ("nothing to save", &ordinary, false, NOTHING_TO_SAVE, 0.7),
        ("nothing to save, pcapng", &pcapng, false, NOTHING_TO_SAVE, 0.67),
        ("nothing to save, from `cat`", &ordinary, true, NOTHING_TO_SAVE, 0.67),
        ("one window, 700 files", &ordinary, false, &["--window", "300"], 0.7),
        ("5600 files", &ordinary, false, &[], 0.7),
    ] {
        rows.push(work.saving(name, capture, is_streamed, flags, goal)?);
    }
    // At most 1.2 times the time of the reference.
    for (name, capture, tool, extension, goal) in [
        ("zstd", &ordinary, "zstd", "zst", 0.83),
        ("gzip", &ordinary, "gzip", "gz", 0.83),
        ("pcapng, zstd", &pcapng, "zstd", "zst", 1.0),
    ] {
        let packed = packed(capture, tool, extension)?;
        let mut unpack = Command::new(tool);
        unpack.arg("-dc").arg(&packed);
        let name = format!("the first row's, {name}");
        let command = work.gomon(&packed, &BOT.to_string());
        rows.push(work.row(&name, &command, &format!("`{tool} -dc`"), &unpack, Some(goal))?);
    }
    for (capture, bot) in real() {
        let name = capture.file_name().unwrap_or_default().to_string_lossy().into_owned();
        rows.push(work.compared_with_tcpdump(&name, &capture, &bot, None)?);
    }
    Ok(table(&rows))
}

impl Work<'_> {
    fn gomon(&self, capture: &Path, bot: &str) -> Command {
        let mut command = Command::new(self.gomon);
        command.arg(capture).arg(bot).args(["--quiet", "--eve-log-path", "/dev/null"]);
        command
    }

    /// Returns a command in which gomon reads a capture of [`BOT`] from a pipe.
    fn gomon_after_cat(&self, capture: &Path, flags: &[&str]) -> Command {
        let mut command = Command::new("sh");
        let script = "capture=$1 gomon=$2; shift 2; cat \"$capture\" | \"$gomon\" - \"$@\"";
        command.args(["-c", script, "sh"]).arg(capture).arg(self.gomon);
        command.arg(BOT.to_string()).args(["--quiet", "--eve-log-path", "/dev/null"]).args(flags);
        command
    }

    fn compared_with_tcpdump(
        &self,
        name: &str,
        capture: &Path,
        bot: &str,
        goal: Option<f64>,
    ) -> Result<Row> {
        let mut tcpdump = Command::new("tcpdump");
        tcpdump.arg("-r").arg(capture).args(["-w", "/dev/null"]).arg(format!("src host {bot}"));
        self.row(name, &self.gomon(capture, bot), "`tcpdump -w`", &tcpdump, goal)
    }

    fn row(
        &self,
        name: &str,
        command: &Command,
        reference: &str,
        reference_command: &Command,
        goal: Option<f64>,
    ) -> Result<Row> {
        self.cleaned_row(name, command, reference, reference_command, goal, || ())
    }

    /// Compares a run that saves packets with one that does not.
    fn saving(
        &self,
        name: &str,
        capture: &Path,
        is_streamed: bool,
        flags: &[&str],
        goal: f64,
    ) -> Result<Row> {
        // In memory, to exclude the cost of a disk and its file system.
        let directory = Path::new("/dev/shm").join(format!("gomon-bench-{}", std::process::id()));
        let gomon = || {
            if is_streamed {
                return self.gomon_after_cat(capture, flags);
            }
            let mut command = self.gomon(capture, &BOT.to_string());
            command.args(flags);
            command
        };
        let (without, mut saving) = (gomon(), gomon());
        saving.args(["--save-packets", "100", "--capture-dir"]).arg(&directory);
        let name = format!("the first row's, `--save-packets 100`, {name}");
        let clean = || {
            // It does not exist before the first run.
            let _ = fs::remove_dir_all(&directory);
        };
        self.cleaned_row(&name, &saving, "the same without", &without, Some(goal), clean)
    }

    fn cleaned_row(
        &self,
        name: &str,
        command: &Command,
        reference: &str,
        reference_command: &Command,
        goal: Option<f64>,
        clean: impl Fn(),
    ) -> Result<Row> {
        eprintln!("xtask: measuring {}", workspace::describe(reference_command));
        eprintln!("xtask: measuring {}", workspace::describe(command));
        let pairs = Pairs::measure(self.pairs, command, reference_command, clean)?;
        Ok(Row { work: name.to_owned(), reference: reference.to_owned(), pairs, goal })
    }
}

/// Compresses a capture with `tool`, unless that was done before. Returns the path.
fn packed(capture: &Path, tool: &str, extension: &str) -> Result<PathBuf> {
    let format = capture.extension().unwrap_or_default().to_string_lossy();
    let path = capture.with_extension(format!("{format}.{extension}"));
    if !path.exists() {
        let part = path.with_extension("part");
        let mut command = Command::new(tool);
        command.arg("-c").arg(capture).stdout(fs::File::create(&part)?);
        run(&mut command)?;
        fs::rename(&part, &path).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(path)
}

/// Returns the largest plain pcap files among the real captures, each with its bot.
fn real() -> Vec<(PathBuf, String)> {
    let default = workspace::root().join("../shared/captures");
    let folder = env::var_os("GOMON_CAPTURES").map_or(default, PathBuf::from);
    let Ok(manifest) = fs::read_to_string(folder.join("MANIFEST.tsv")) else {
        eprintln!("xtask: no real captures in {}", folder.display());
        return vec![];
    };
    let mut captures: Vec<_> =
        manifest.lines().filter_map(|line| of_manifest(&folder, line)).collect();
    captures.sort_by_key(|(size, ..)| std::cmp::Reverse(*size));
    captures.into_iter().take(REAL).map(|(_, path, bot)| (path, bot)).collect()
}

fn of_manifest(folder: &Path, line: &str) -> Option<(u64, PathBuf, String)> {
    let mut fields = line.split('\t');
    let path = folder.join(fields.next()?);
    let bot = fields.find(|field| field.parse::<std::net::IpAddr>().is_ok())?.to_owned();
    // tcpdump and gomon exit with an error on damaged captures.
    let is_sound = path.extension()? == "pcap" && line.ends_with("\tclean");
    Some((fs::metadata(&path).ok().filter(|_| is_sound)?.len(), path, bot))
}
