//! The path of the control socket: only its owner can connect, and only a dead socket is replaced.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use rustix::fs::Mode;
use rustix::process::umask;
use tokio::net::UnixListener;

/// A listening socket, whose path is removed when this is dropped.
pub(crate) struct ControlSocket {
    path: PathBuf,
    /// The device and the inode, by which the socket is recognized.
    identity: Option<(u64, u64)>,
}

impl ControlSocket {
    /// Creates the socket, with mode 0600. A socket on which no process listens is replaced. Must be called in a tokio
    /// runtime, before another thread creates files: the mode of new files is changed for a moment.
    ///
    /// # Errors
    ///
    /// When a process listens at the path, another file has it, or the socket can't be created.
    pub(crate) fn bind(path: &Path) -> Result<(Self, UnixListener)> {
        let what = || format!("opening control socket {:?}", path.display().to_string());
        remove_dead(path).with_context(what)?;
        // With chmod(2) alone, another user could connect before it.
        let before = umask(Mode::from_raw_mode(0o177));
        let listener = UnixListener::bind(path);
        umask(before);
        let listener = listener
            .map_err(|error| anyhow!("{error}: make its directory writable, or give another path"))
            .with_context(what)?;
        Ok((Self { path: path.to_owned(), identity: identity(path) }, listener))
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket on which no process listens.
fn remove_dead(path: &Path) -> Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => bail!("{error}: give another path"),
    };
    if !metadata.file_type().is_socket() {
        bail!("there is a file that is not a socket: move it away, or give another path");
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).context("removing the socket of a process that ended")
        }
        Ok(_) => bail!("a process listens there: end it, or give another path"),
        // Its backlog is full, or it is the socket of another user.
        Err(error) => bail!("a process may listen there ({error}): end it, or give another path"),
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}
