//! A bot: sends packets through the machine's own network stack, as the console orders.
//!
//! An order is a line `PROTOCOL HOST HOSTS PORT PORTS PACKETS PAUSE`: it sends PACKETS packets, in turn to HOSTS
//! hosts from HOST on and PORTS ports from PORT on, with PAUSE milliseconds between them. A TCP packet is a
//! SYN: the bot starts a connection, and abandons it unless it is refused at once. The answer is `DONE`. Nothing
//! else leaves the machine: the gateway's hardware address is configured, so there is no ARP request.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::system::{ip, wait_until_up, write_line};

const CARD: &str = "eth0";
/// Less than the second after which a SYN is retransmitted.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

pub(super) fn serve(address: Ipv4Addr, gateway: Ipv4Addr, gateway_mac: &str) -> Result<()> {
    ip("link set lo up")?;
    ip(&format!("address add {address}/24 dev {CARD}"))?;
    ip(&format!("link set {CARD} up"))?;
    wait_until_up(CARD)?;
    ip(&format!("neighbour add {gateway} lladdr {gateway_mac} nud permanent dev {CARD}"))?;
    ip(&format!("route add default via {gateway}"))?;
    write_line("READY")?;
    for line in io::stdin().lines() {
        let line = line.context("read the console")?;
        if line == "off" {
            break;
        }
        Order::parse(&line).and_then(|order| order.execute())?;
        write_line("DONE")?;
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

impl Order {
    fn parse(line: &str) -> Result<Self> {
        let attempt = || format!("parse the order {line:?}");
        let words: Vec<_> = line.split_whitespace().collect();
        let [protocol, host, hosts, port, ports, packets, pause] = words[..] else {
            bail!("{}: an order has seven words", attempt());
        };
        let order = || -> Result<Self> {
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
        order().with_context(attempt)
    }

    fn execute(&self) -> Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("open a socket")?;
        for number in 0..self.packets {
            let host = Ipv4Addr::from_bits(self.host.to_bits() + number % self.hosts.max(1));
            let port = self.port + u16::try_from(number % u32::from(self.ports.max(1)))?;
            let to = SocketAddrV4::new(host, port);
            if self.tcp {
                // A scanner expects failures: the SYN has been sent.
                let _ = TcpStream::connect_timeout(&to.into(), CONNECT_TIMEOUT);
            } else {
                socket.send_to(b"flood", to).with_context(|| format!("send to {to}"))?;
            }
            thread::sleep(self.pause);
        }
        Ok(())
    }
}
