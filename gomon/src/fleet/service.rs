//! Notifications to the service manager (`sd_notify(3)`). Without one they have no effect.

use std::time::Duration;

use sd_notify::NotifyState;

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("notifying the service manager: {error}");
    }
}

/// Reports that the start or the reload is complete, with a text for `systemctl status`.
pub(super) fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reports that the configuration is being re-read.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => log::debug!("reading the clock: {error}"),
    }
}

/// Reports that the service ends.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Reports that the service works.
pub(super) fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// Returns how often the service manager expects [`alive`]: twice as often as it requires.
pub(super) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}
