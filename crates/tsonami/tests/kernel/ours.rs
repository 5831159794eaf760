//! Ourselves as a sender: the library over a packet socket on the same kind of interface as the kernel's.

use std::io::ErrorKind;
use std::net::SocketAddrV4;

use tsonami::{
    Config, ConnId, ConnectOptions, ControllerKind, Error, Event, LocalEngine, MtuProbing, SendFlags,
    Setting, WaitStrategy,
};

use crate::scenario::{Habits, Keepalive, Sender};
use crate::wire::{Counts, SENDER, SENDER_INTERFACE};

pub(crate) struct Ours {
    engine: LocalEngine,
    conn: Option<ConnId>,
    connected: bool,
    ended: Option<ErrorKind>,
    /// The last turn did nothing, and nothing is left to do.
    idle: bool,
}

impl Ours {
    /// Starts DPDK in the calling thread's namespace.
    pub(crate) fn new() -> Ours {
        let address = format!("{SENDER}/24").parse().expect("an address");
        let mut config = Config::new(format!("af_packet:{SENDER_INTERFACE}"), address);
        config.wait = WaitStrategy::Park;
        let engine =
            LocalEngine::builder(config).build_local().expect("a packet socket needs nothing but root");
        Ours { engine, conn: None, connected: false, ended: None, idle: false }
    }

    /// What the kernel is told by sysctls, and by an interface that takes one segment at a time.
    fn options(habits: Habits) -> ConnectOptions {
        let defaults = ConnectOptions::default();
        ConnectOptions {
            congestion: if habits.bbr { ControllerKind::Bbr } else { ControllerKind::NewReno },
            max_pacing_rate: habits.cap.map(|bytes| 8 * bytes),
            min_rto: habits.min_rto,
            timestamps: habits.timestamps,
            sack: habits.sack,
            tail_loss_probe: habits.tail_loss_probe,
            mtu_probing: if habits.black_holes { MtuProbing::BlackHole } else { MtuProbing::Off },
            user_timeout: habits.user_timeout.unwrap_or(defaults.user_timeout),
            autocork: false,
            tso_defer: false,
            idle_restart: false,
            ..defaults
        }
    }

    fn conn(&self) -> ConnId {
        self.conn.expect("connected")
    }

    pub(crate) fn shutdown(self) {
        self.engine.shutdown(std::time::Duration::ZERO).expect("every buffer came home");
    }
}

impl Sender for Ours {
    fn connect(&mut self, to: SocketAddrV4, habits: Habits) {
        let now = self.engine.now();
        let conn = self.engine.connect(to.into(), Some(&Ours::options(habits)), now).expect("there is a way");
        (self.conn, self.connected, self.ended) = (Some(conn), false, None);
    }

    fn is_connected(&mut self) -> bool {
        self.connected
    }

    fn opened(&mut self, _: &Counts) {}

    fn write(&mut self, bytes: &[u8], more: bool) {
        let mut flags = SendFlags::default();
        if more {
            flags.more = true;
        }
        let taken = self.engine.send_copy(self.conn(), bytes, flags);
        assert_eq!(taken, Ok(bytes.len()), "a write is taken whole");
        self.idle = false;
    }

    fn write_some(&mut self, bytes: &[u8]) {
        match self.engine.send_copy(self.conn(), bytes, SendFlags::default()) {
            Ok(_) | Err(Error::Full) => self.idle = false,
            Err(e) => panic!("send: {e}"),
        }
    }

    fn no_delay(&mut self, on: bool) {
        self.engine.set(self.conn(), Setting::NoDelay(on));
        self.idle = false;
    }

    fn cork(&mut self, on: bool) {
        self.engine.set(self.conn(), Setting::Cork(on));
        self.idle = false;
    }

    fn keepalive(&mut self, Keepalive { idle, interval, probes }: Keepalive) {
        self.engine.set_keepalive(self.conn(), Some(tsonami::Keepalive { idle, interval, probes }));
    }

    fn finish(&mut self) {
        self.engine.shutdown_write(self.conn());
        self.idle = false;
    }

    fn turn(&mut self) {
        let now = self.engine.now();
        let progress = self.engine.poll(now);
        self.idle = !progress.is_busy() && !progress.more;
        while let Some((conn, event)) = self.engine.poll_event() {
            match event {
                _ if Some(conn) != self.conn => {}
                Event::Connected => self.connected = true,
                Event::Closed(Err(error)) => self.ended = Some(error.kind()),
                _ => {}
            }
        }
    }

    fn is_settled(&mut self, counts: &Counts) -> bool {
        let ours = self.engine.counters();
        self.idle && ours.tx_frames == counts.from_sender && ours.rx_frames == counts.to_sender
    }

    fn ended(&self) -> Option<ErrorKind> {
        self.ended
    }

    fn end(&mut self) {
        let conn = self.conn.take().expect("connected");
        self.engine.abort(conn);
        self.engine.release(conn);
    }
}
