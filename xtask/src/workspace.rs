//! The directories of the workspace, and running other programs.

use std::{
    env,
    ffi::OsStr,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// The project's directory.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Returns cargo's target directory, into which this program was built, whatever the caller's configuration. It is
/// relative to the project if it is inside, because it is printed often.
pub(crate) fn target() -> Result<PathBuf> {
    let this = env::current_exe().context("find cargo's target directory")?;
    let target = this
        .ancestors()
        .nth(2)
        .with_context(|| format!("find cargo's target directory above {}", this.display()))?;
    Ok(target.strip_prefix(root()).unwrap_or(target).to_path_buf())
}

/// Builds gomon in release mode and returns its path. The compiler's output is shown only when it fails.
pub(crate) fn build_gomon() -> Result<PathBuf> {
    let gomon = target()?.join("release/gomon");
    let first = if gomon.exists() { "" } else { ": takes a minute or two the first time" };
    eprintln!("xtask: building gomon{first}");
    let mut build = cargo();
    build.args(["build", "--release", "--quiet", "--package", "gomon"]);
    if io::stderr().is_terminal() {
        // With `--quiet`, cargo shows progress only with this setting.
        build.args([
            "--config",
            "term.progress.when='always'",
            "--config",
            "term.progress.width=80",
        ]);
    }
    run(&mut build)?;
    Ok(gomon)
}

/// Returns a command for the cargo that started this program.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a command with inherited output. Fails when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("run `{}`", describe(command)))?;
    ensure!(status.success(), "run `{}`: {status}: its output is above", describe(command));
    Ok(())
}

/// Runs a command and returns its standard output. When it fails, the error contains its standard error.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output();
    let attempt = || format!("run `{}`", describe(command));
    let output = output.with_context(attempt)?;
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}: {}", attempt(), output.status, why.trim());
    Ok(output.stdout)
}

/// Like [`output`], for a command that prints text.
pub(crate) fn text(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&output(command)?).into_owned())
}

/// Returns a command as it would be typed, with the environment variables that it sets.
pub(crate) fn describe(command: &Command) -> String {
    let environment = command.get_envs().filter_map(|(name, value)| {
        let (name, value) = (name.to_string_lossy(), value?.to_string_lossy());
        Some(format!("{name}={}", quoted(&value)))
    });
    // Cargo passes on its own absolute path.
    let program = Path::new(command.get_program());
    let program = match program.file_name() {
        Some(name) if name == "cargo" => name,
        _ => program.as_os_str(),
    };
    let words = [program].into_iter().chain(command.get_args());
    environment
        .chain(words.map(OsStr::to_string_lossy).map(|word| quoted(&word)))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &str) -> String {
    if word.is_empty() || word.contains(char::is_whitespace) {
        format!("'{word}'")
    } else {
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_described_as_typed() {
        let mut command = Command::new("/opt/toolchain/bin/cargo");
        command.args(["doc", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(describe(&command), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps");
    }
}
