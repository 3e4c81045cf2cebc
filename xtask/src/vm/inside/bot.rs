//! A bot: sends through the machine's own network stack what the console asks for, packet by packet.
//!
//! An order is a line `PROTOCOL HOST HOSTS PORT PORTS PACKETS PAUSE`: so many packets in turn to so
//! many hosts and ports from the first ones on, with milliseconds between them. A TCP packet is a SYN: a
//! connection begun and, if it is not refused at once, given up. The answer is `DONE`. Nothing else leaves
//! the machine: it knows the gateway's hardware address, and need not ask.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket},
    str::FromStr,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::{ip, say, until_up};

const CARD: &str = "eth0";
/// Less than the second after which a SYN is sent again.
const SHORT: Duration = Duration::from_millis(500);

pub(super) fn serve(address: Ipv4Addr, gateway: Ipv4Addr, gateway_mac: &str) -> Result<()> {
    ip("link set lo up")?;
    ip(&format!("address add {address}/24 dev {CARD}"))?;
    ip(&format!("link set {CARD} up"))?;
    until_up(CARD)?;
    ip(&format!("neighbour add {gateway} lladdr {gateway_mac} nud permanent dev {CARD}"))?;
    ip(&format!("route add default via {gateway}"))?;
    say("READY")?;
    for line in io::stdin().lines() {
        let line = line.context("read the console")?;
        if line == "off" {
            break;
        }
        line.parse::<Order>().and_then(|order| order.obey())?;
        say("DONE")?;
    }
    Ok(())
}

struct Order {
    tcp: bool,
    host: Ipv4Addr,
    hosts: u32,
    port: u16,
    ports: u16,
    packets: u32,
    pause: Duration,
}

impl FromStr for Order {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        let attempt = || format!("read the order {line:?}");
        let words: Vec<_> = line.split_whitespace().collect();
        let [protocol, host, hosts, port, ports, packets, pause] = words[..] else {
            bail!("{}: an order has seven words", attempt());
        };
        let read = || -> Result<Self> {
            Ok(Self {
                tcp: protocol == "tcp",
                host: host.parse()?,
                hosts: hosts.parse()?,
                port: port.parse()?,
                ports: ports.parse()?,
                packets: packets.parse()?,
                pause: Duration::from_millis(pause.parse()?),
            })
        };
        read().with_context(attempt)
    }
}

impl Order {
    fn obey(&self) -> Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("open a socket")?;
        for number in 0..self.packets {
            let host = Ipv4Addr::from_bits(self.host.to_bits() + number % self.hosts.max(1));
            let port = self.port + u16::try_from(number % u32::from(self.ports.max(1)))?;
            let to = SocketAddrV4::new(host, port);
            if self.tcp {
                // That it comes to nothing is part of the bot's life.
                let _ = TcpStream::connect_timeout(&to.into(), SHORT);
            } else {
                socket.send_to(b"flood", to).with_context(|| format!("send to {to}"))?;
            }
            thread::sleep(self.pause);
        }
        Ok(())
    }
}
