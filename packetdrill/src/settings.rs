//! What the flags string (`--so_flags`) and the sysctls of a script's shell lines ask for.
//!
//! The shell lines run stub tools that append `name=value` lines to the file that the environment variable
//! `TSONAMI_PD_SYSCTLS` names; `scripts/packetdrill` arranges that.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tcp::Nanos;
use tcp::conn::cc::ControllerKind;
use tcp::conn::{ConnConfig, EcnMode, MtuProbing};

/// Names the file of sysctls.
const SYSCTLS: &str = "TSONAMI_PD_SYSCTLS";

/// Whose habits the scripts expect where standards leave a choice.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum Dialect {
    /// Order of SYN options and buffer sizes as in Linux.
    #[default]
    Linux,
    /// As in FreeBSD; a sysctl of FreeBSD switches to it.
    FreeBsd,
}

/// Everything that can be set.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What new sockets begin with.
    pub(crate) conn: ConnConfig,
    /// Whose habits to show.
    pub(crate) dialect: Dialect,
    /// PSH on the last of several segments that leave at once, as Linux does it.
    pub(crate) push_runs: bool,
    /// Segments of such a run, at least; more at high rates.
    pub(crate) run_segments: usize,
    /// SO_RCVBUF of a new socket, bytes.
    pub(crate) rcvbuf: usize,
    /// SO_SNDBUF of a new socket, bytes.
    pub(crate) sndbuf: usize,
    /// MTU of the interface: of connections over IPv4 and over IPv6.
    pub(crate) mtu: (u16, u16),
    /// Our addresses.
    pub(crate) local: (Ipv4Addr, Ipv6Addr),
    /// Makes initial sequence numbers and ports.
    pub(crate) seed: u8,
    /// Records packets here.
    pub(crate) pcap: Option<String>,
    /// Tells on standard error what happens.
    pub(crate) debug: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            // Neither kernel probes unless told to.
            conn: ConnConfig {
                mtu_probing: MtuProbing::Off,
                receive_buffer: 15 << 20,
                ..ConnConfig::default()
            },
            dialect: Dialect::Linux,
            push_runs: true,
            run_segments: 2,
            rcvbuf: 131_072,
            sndbuf: 4 << 20,
            mtu: (1500, 1520),
            local: (Ipv4Addr::new(192, 168, 0, 1), Ipv6Addr::new(0xfd3d, 0x0a0b, 0x17d6, 0, 0, 0, 0, 1)),
            seed: 1,
            pcap: None,
            debug: false,
        }
    }
}

impl Settings {
    /// Reads the flags string: `name=value` or `name`, separated by commas.
    ///
    /// # Errors
    /// The flag that is not understood.
    pub(crate) fn from_flags(flags: &str) -> Result<Settings, String> {
        let mut s = Settings::default();
        for flag in flags.split(',').filter(|flag| !flag.is_empty()) {
            let (name, value) = flag.split_once('=').unwrap_or((flag, "1"));
            s.flag(name, value).ok_or_else(|| format!("--so_flags: cannot understand '{flag}'"))?;
        }
        Ok(s)
    }

    fn flag(&mut self, name: &str, value: &str) -> Option<()> {
        let on = value == "1";
        match name {
            "ts" => self.conn.timestamps = on,
            "sack" => self.conn.sack = on,
            "wscale" => self.conn.window_scale = on,
            "nodelay" => self.conn.no_delay = on,
            "minrto" => self.conn.min_rto = time(value)?,
            "rto" => self.conn.initial_rto = time(value)?,
            "delack" => self.conn.delayed_ack = time(value)?,
            "timewait" => self.conn.time_wait = time(value)?,
            "cc" => self.conn.controller = controller(value)?,
            "iw" => self.conn.initial_window = value.parse().ok()?,
            "mtu" => self.mtu = (value.parse().ok()?, value.parse().ok()?),
            "local" => match value.parse().ok()? {
                IpAddr::V4(ip) => self.local.0 = ip,
                IpAddr::V6(ip) => self.local.1 = ip,
            },
            "dialect" => {
                self.dialect = match value {
                    "linux" => Dialect::Linux,
                    "freebsd" => Dialect::FreeBsd,
                    _ => return None,
                }
            }
            "pushruns" => self.push_runs = on,
            "seed" => self.seed = value.parse().ok()?,
            "pcap" => self.pcap = Some(value.to_owned()),
            "debug" => self.debug = on,
            _ => return None,
        }
        Some(())
    }

    /// These settings as the sysctls of the script change them by now.
    pub(crate) fn with_sysctls(&self) -> Settings {
        let mut s = self.clone();
        let text = std::env::var_os(SYSCTLS).and_then(|path| std::fs::read_to_string(path).ok());
        let text = text.unwrap_or_default();
        let values: BTreeMap<&str, &str> =
            text.lines().filter_map(|line| line.split_once('=')).map(|(n, v)| (n.trim(), v.trim())).collect();
        for (name, value) in values {
            if s.sysctl(name, value).is_none() {
                eprintln!("sysctl {name}: cannot understand '{value}'");
            }
        }
        s
    }

    /// `None` when the value makes no sense. Names that mean nothing here are passed over: most of them are about
    /// what this TCP does not have.
    fn sysctl(&mut self, name: &str, value: &str) -> Option<()> {
        let number = || value.split_whitespace().next_back().and_then(|last| last.parse::<usize>().ok());
        let on = || number().map(|n| n != 0);
        if name.starts_with("net.inet.") || name.starts_with("kern.ipc.") {
            (self.dialect, self.push_runs) = (Dialect::FreeBsd, false);
        }
        match name {
            "net.ipv4.tcp_timestamps" => self.conn.timestamps = on()?,
            "net.ipv4.tcp_sack" | "net.inet.tcp.sack.enable" => self.conn.sack = on()?,
            "net.ipv4.tcp_window_scaling" => self.conn.window_scale = on()?,
            "net.ipv4.tcp_mtu_probing" => {
                self.conn.mtu_probing = match number()? {
                    0 => MtuProbing::Off,
                    1 => MtuProbing::BlackHole,
                    _ => MtuProbing::On,
                }
            }
            "net.ipv4.tcp_ecn" | "net.inet.tcp.ecn.enable" => {
                self.conn.ecn = match number()? {
                    0 => EcnMode::Off,
                    1 => EcnMode::On,
                    _ => EcnMode::Passive,
                }
            }
            "net.inet.tcp.rfc1323" => (self.conn.timestamps, self.conn.window_scale) = (on()?, on()?),
            "net.ipv4.tcp_congestion_control" => self.conn.controller = controller(value)?,
            "net.ipv4.tcp_min_tso_segs" => self.run_segments = number()?,
            "net.ipv4.tcp_rmem" => self.conn.receive_buffer = number()?,
            "net.ipv4.tcp_wmem" | "net.inet.tcp.sendspace" => self.sndbuf = number()?,
            "net.ipv4.tcp_rto_min_us" => self.conn.min_rto = Nanos::from_micros(number()? as u64),
            "kern.ipc.maxsockbuf" => self.conn.receive_buffer = number()?,
            "net.inet.tcp.recvspace" => self.rcvbuf = number()?,
            _ => {}
        }
        Some(())
    }
}

/// A controller by its name here or in Linux.
pub(crate) fn controller(name: &str) -> Option<ControllerKind> {
    match name {
        "reno" => Some(ControllerKind::NewReno),
        name => name.parse().ok(),
    }
}

/// `200ms`, `1s`, `50us`.
fn time(text: &str) -> Option<Nanos> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let number = text[..unit].parse().ok()?;
    match &text[unit..] {
        "us" => Some(Nanos::from_micros(number)),
        "ms" => Some(Nanos::from_millis(number)),
        "s" => Some(Nanos::from_secs(number)),
        _ => None,
    }
}
