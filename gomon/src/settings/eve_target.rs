//! Where records are written: the values of `--eve-log-path`.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail};

/// Where records are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EveTarget {
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
    /// A Unix stream socket, connected to.
    Socket(PathBuf),
}

impl EveTarget {
    /// Whether records are written to standard output.
    #[must_use]
    pub fn is_stdout(&self) -> bool {
        *self == Self::Stdout
    }

    /// Parses a path or a URL.
    pub(super) fn from_path(path: &OsStr) -> Result<Self> {
        if path.is_empty() || path == "-" {
            return Ok(Self::Stdout);
        }
        match path.to_str().and_then(scheme) {
            Some(("unix", socket)) if socket.starts_with('/') => Ok(Self::Socket(socket.into())),
            Some(("unix", _)) => {
                bail!("not an absolute path after unix://: give one like unix:///run/eve.sock")
            }
            Some((scheme, _)) => bail!(
                "unknown scheme {scheme:?}: give a file, - for standard output, or unix:///path (a \
                 file of this name is ./{})",
                path.display()
            ),
            None => Ok(Self::File(path.into())),
        }
    }
}

impl fmt::Display for EveTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => path.display().fmt(f),
            Self::Socket(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// Splits a URL into its scheme and what follows `://` (RFC 3986, section 3.1).
fn scheme(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme.then_some((scheme, rest))
}
