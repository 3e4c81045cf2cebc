//! TCP between the bot and the host: bulk transfers, and round trips.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};

use crate::bench::network::{GATEWAY, Network};

/// The direction of a bulk transfer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Transfer {
    /// From the bot.
    Upload,
    /// To the bot.
    Download,
}

/// The bytes of one write and of one read.
const CHUNK: usize = 128 << 10;
/// The time until the streams have their full speed.
const WARM_UP: Duration = Duration::from_millis(100);
/// The bytes of a request and of its response.
const MESSAGE: usize = 64;

/// Connects the bot to the host this many times. Each pair has the bot's end first.
fn connect(network: &Network, count: usize) -> Result<Vec<(TcpStream, TcpStream)>> {
    let listener = network.at_receiver(|| Ok(TcpListener::bind((GATEWAY, 0))?))?;
    let address = listener.local_addr()?;
    let pair = || {
        let bot = network.at_bot(|| Ok(TcpStream::connect(address)?))?;
        let (host, _) = listener.accept()?;
        bot.set_nodelay(true)?;
        host.set_nodelay(true)?;
        Ok((bot, host))
    };
    (0..count).map(|_| pair()).collect::<Result<_>>().context("connect the bot to the host")
}

/// Transfers bytes for `time` with all streams at once. Calls `measured` at the start and at the end of that
/// time. Returns the number of bytes received in between, the time, and both results.
pub(super) fn bulk<T>(
    network: &Network,
    transfer: Transfer,
    streams: usize,
    time: Duration,
    measured: impl Fn() -> Result<T>,
) -> Result<(u64, Duration, [T; 2])> {
    let pairs = connect(network, streams)?;
    let (received, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for (bot, host) in pairs {
            let (mut from, mut to) = match transfer {
                Transfer::Upload => (bot, host),
                Transfer::Download => (host, bot),
            };
            let (received, is_over) = (&received, &is_over);
            scope.spawn(move || {
                let chunk = vec![b'x'; CHUNK];
                while !is_over.load(Ordering::Relaxed) && from.write_all(&chunk).is_ok() {}
            });
            scope.spawn(move || {
                let mut chunk = vec![0; CHUNK];
                while let Ok(length @ 1..) = to.read(&mut chunk) {
                    received.fetch_add(length as u64, Ordering::Relaxed);
                }
            });
        }
        thread::sleep(WARM_UP);
        let start = (measured(), received.load(Ordering::Relaxed), Instant::now());
        thread::sleep(time);
        let end = (measured(), received.load(Ordering::Relaxed), Instant::now());
        // The threads end before the results are checked.
        is_over.store(true, Ordering::Relaxed);
        Ok((end.1 - start.1, end.2 - start.2, [start.0?, end.0?]))
    })
}

/// Sends requests of the bot for `time`, each after the response to the last. Returns the time of each round trip.
pub(super) fn round_trips(network: &Network, time: Duration) -> Result<Vec<Duration>> {
    let (mut bot, mut host) = connect(network, 1)?.pop().context("a connection")?;
    let server = thread::spawn(move || {
        let mut message = [0; MESSAGE];
        while host.read_exact(&mut message).is_ok() && host.write_all(&message).is_ok() {}
    });
    let mut trips = Vec::new();
    let (start, mut message) = (Instant::now(), [b'x'; MESSAGE]);
    while start.elapsed() < time {
        let sent = Instant::now();
        bot.write_all(&message)?;
        bot.read_exact(&mut message)?;
        trips.push(sent.elapsed());
    }
    drop(bot);
    server.join().map_err(|_| anyhow!("the server panicked"))?;
    Ok(trips)
}
