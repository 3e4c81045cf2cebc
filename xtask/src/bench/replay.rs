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
    let new = work.gomon(&NEW_HOSTS.capture(directory)?, &BOT.to_string());
    rows.push(work.row(&NEW_HOSTS.to_string(), &new, "the first row", &first, Some(0.5))?);
    for (name, flags) in [
        ("nothing to save", &["--packet-threshold", "1e9", "--destination-threshold", "1e9"][..]),
        ("one window, 700 files", &["--window", "300"]),
        ("5600 files", &[]),
    ] {
        rows.push(work.saving(name, &ordinary, flags)?);
    }
    for (tool, extension) in [("zstd", "zst"), ("gzip", "gz")] {
        let packed = packed(&ordinary, tool, extension)?;
        let mut unpack = Command::new(tool);
        unpack.arg("-dc").arg(&packed);
        let name = format!("the first row's, {tool}");
        let ours = work.gomon(&packed, &BOT.to_string());
        // At most 1.2 times the time of the reference.
        rows.push(work.row(&name, &ours, &format!("`{tool} -dc`"), &unpack, Some(0.83))?);
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
        ours: &Command,
        reference: &str,
        theirs: &Command,
        goal: Option<f64>,
    ) -> Result<Row> {
        self.cleaned_row(name, ours, reference, theirs, goal, || ())
    }

    /// Compares a run that saves packets with one that does not.
    fn saving(&self, name: &str, capture: &Path, flags: &[&str]) -> Result<Row> {
        // In memory, to exclude the cost of a disk and its file system.
        let directory = Path::new("/dev/shm").join(format!("gomon-bench-{}", std::process::id()));
        let mut without = self.gomon(capture, &BOT.to_string());
        without.args(flags);
        let mut saving = self.gomon(capture, &BOT.to_string());
        saving.args(flags).args(["--save-packets", "100", "--capture-dir"]).arg(&directory);
        let name = format!("the first row's, `--save-packets 100`, {name}");
        let clean = || {
            // It does not exist before the first run.
            let _ = fs::remove_dir_all(&directory);
        };
        self.cleaned_row(&name, &saving, "the same without", &without, Some(0.7), clean)
    }

    fn cleaned_row(
        &self,
        name: &str,
        ours: &Command,
        reference: &str,
        theirs: &Command,
        goal: Option<f64>,
        clean: impl Fn(),
    ) -> Result<Row> {
        eprintln!("xtask: measuring {}", workspace::describe(theirs));
        eprintln!("xtask: measuring {}", workspace::describe(ours));
        let pairs = Pairs::measure(self.pairs, ours, theirs, clean)?;
        Ok(Row { work: name.to_owned(), reference: reference.to_owned(), pairs, goal })
    }
}

/// Compresses a capture with `tool`, unless that was done before. Returns the path.
fn packed(capture: &Path, tool: &str, extension: &str) -> Result<PathBuf> {
    let path = capture.with_extension(format!("pcap.{extension}"));
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
