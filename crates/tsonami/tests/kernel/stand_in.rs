//! A peer that is a script: it opens the connection as it is told, and then acknowledges, reports and forges whatever the
//! scenario says, whether it is true or not.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::{
    Icmpv4Type, NetSlice, PacketBuilder, SlicedPacket, TcpOptionElement, TcpSlice, TransportSlice,
};

use crate::link::{FASTER_AT_FIRST, Link, Sample};
use crate::wire::{PEER, SENDER};

/// The port that it listens at.
pub(crate) const PORT: u16 = 7000;

/// Its initial sequence number.
pub(crate) const ISS: u32 = 1000;
/// What it adds to its clock of timestamps.
const STAMP: u32 = 5000;

/// What it offers in its SYN, and how far away it seems.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) mss: u16,
    pub(crate) sack: bool,
    pub(crate) timestamps: bool,
    /// Its SYN takes so long; what comes later takes as long as the scenario says.
    pub(crate) round_trip: Duration,
    /// It acknowledges by itself what comes through a bottleneck as fast as this.
    pub(crate) bytes_per_second: Option<u64>,
}

/// A segment of its, without payload.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Answer {
    ack: u32,
    sack: &'static [(u32, u32)],
    window: u16,
    echo: Echo,
}

/// Whose timestamp it echoes.
#[derive(Copy, Clone, Debug)]
enum Echo {
    /// Of what came last.
    Newest,
    /// Of what first began here.
    Original(u32),
}

/// Acknowledges everything before `ack`. Numbers are relative to the initial ones, as in what the sender sends.
pub(crate) const fn ack(ack: u32) -> Answer {
    Answer { ack, sack: &[], window: 60_000, echo: Echo::Newest }
}

impl Answer {
    pub(crate) const fn sack(self, sack: &'static [(u32, u32)]) -> Answer {
        Answer { sack, ..self }
    }

    pub(crate) const fn window(self, window: u16) -> Answer {
        Answer { window, ..self }
    }

    /// It answers the first transmission of what begins at `at`, however often that was sent since.
    pub(crate) const fn to_original(self, at: u32) -> Answer {
        Answer { echo: Echo::Original(at), ..self }
    }
}

#[derive(Debug)]
pub(crate) struct StandIn {
    offer: Offer,
    began: Instant,
    /// The sender's Ethernet address and its own, and the sender's port, from the SYN.
    sender: ([u8; 6], u16),
    own: [u8; 6],
    iss: u32,
    open: bool,
    /// The SYN that is under way.
    syn: Option<(Instant, Vec<u8>)>,
    stamps: HashMap<u32, u32>,
    newest: Option<u32>,
    /// Of the newest segment, as routers that drop it quote it: its header of IP and eight bytes behind it.
    quote: Vec<u8>,
    link: Option<Link>,
}

impl StandIn {
    pub(crate) fn new(offer: Offer) -> StandIn {
        StandIn {
            offer,
            began: Instant::now(),
            sender: ([0; 6], 0),
            own: [0; 6],
            iss: 0,
            open: false,
            syn: None,
            stamps: HashMap::new(),
            newest: None,
            quote: Vec::new(),
            link: offer.bytes_per_second.map(|rate| Link::new(rate, offer.round_trip + FASTER_AT_FIRST)),
        }
    }

    /// The sender answered its SYN.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// A segment of the sender's.
    pub(crate) fn on_frame(&mut self, frame: &[u8]) {
        let Ok(packet) = SlicedPacket::from_ethernet(frame) else { return };
        let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) = (&packet.net, &packet.transport)
        else {
            return;
        };
        let stamp = stamp_of(tcp);
        self.newest = stamp;
        if tcp.syn() {
            self.iss = tcp.sequence_number();
            self.own.copy_from_slice(&frame[..6]);
            self.sender.0.copy_from_slice(&frame[6..12]);
            self.sender.1 = tcp.source_port();
            self.syn.get_or_insert((Instant::now() + self.offer.round_trip, self.syn(tcp)));
            return;
        }
        self.open = true;
        if let Some(stamp) = stamp {
            self.stamps.entry(tcp.sequence_number().wrapping_sub(self.iss)).or_insert(stamp);
        }
        if let Some(link) = self.link.as_mut().filter(|_| !tcp.payload().is_empty()) {
            let len = tcp.payload().len() as u32;
            link.on_segment(len, tcp.sequence_number().wrapping_sub(self.iss).wrapping_add(len));
        }
        let headers = usize::from(ip.header().ihl()) * 4;
        self.quote = frame[14..14 + headers + 8].to_vec();
    }

    /// What it sends by itself, when that is due.
    pub(crate) fn due(&mut self) -> Option<Vec<u8>> {
        match &mut self.syn {
            Some((at, frame)) if *at <= Instant::now() && !frame.is_empty() => Some(std::mem::take(frame)),
            _ => self.link.as_mut().and_then(Link::due).map(|end| self.answer(ack(end))),
        }
    }

    /// What came through its link.
    pub(crate) fn flow(&self) -> &[Sample] {
        self.link.as_ref().map_or(&[], Link::flow)
    }

    /// A segment as the scenario has it.
    pub(crate) fn answer(&self, answer: Answer) -> Vec<u8> {
        let echo = match answer.echo {
            Echo::Newest => self.newest,
            Echo::Original(at) => self.stamps.get(&at).copied(),
        };
        let mut options = Vec::new();
        if let Some(echo) = echo.filter(|_| self.offer.timestamps) {
            options.extend([
                TcpOptionElement::Noop,
                TcpOptionElement::Noop,
                TcpOptionElement::Timestamp(self.clock(), echo),
            ]);
        }
        let absolute = |&(from, to): &(u32, u32)| (self.iss.wrapping_add(from), self.iss.wrapping_add(to));
        let mut blocks = answer.sack.iter().map(absolute);
        if let Some(first) = blocks.next() {
            let others = [blocks.next(), blocks.next(), blocks.next()];
            options.extend([
                TcpOptionElement::Noop,
                TcpOptionElement::Noop,
                TcpOptionElement::SelectiveAcknowledgement(first, others),
            ]);
        }
        let ack = self.iss.wrapping_add(answer.ack);
        self.frame(|ip| ip.tcp(PORT, self.sender.1, ISS + 1, answer.window).ack(ack), &options)
    }

    /// A router's word that the newest segment is too long (RFC 1191).
    pub(crate) fn too_long(&self, mtu: u16) -> Vec<u8> {
        let told = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::FragmentationNeeded {
            next_hop_mtu: mtu,
        });
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(self.own, self.sender.0)
            .ipv4(PEER.octets(), SENDER.octets(), 64)
            .icmpv4(told)
            .write(&mut frame, &self.quote)
            .expect("it is short");
        frame
    }

    fn syn(&self, syn: &TcpSlice<'_>) -> Vec<u8> {
        let mut options = vec![TcpOptionElement::MaximumSegmentSize(self.offer.mss)];
        if self.offer.sack {
            options.push(TcpOptionElement::SelectiveAcknowledgementPermitted);
        }
        if let Some(echo) = stamp_of(syn).filter(|_| self.offer.timestamps) {
            options.push(TcpOptionElement::Timestamp(self.clock(), echo));
        }
        if self.offer.bytes_per_second.is_some() {
            // Room for whatever is under way.
            options.push(TcpOptionElement::WindowScale(6));
        }
        let ack = self.iss.wrapping_add(1);
        self.frame(|ip| ip.tcp(PORT, self.sender.1, ISS, 60_000).syn().ack(ack), &options)
    }

    fn frame(
        &self,
        tcp: impl FnOnce(PacketBuilderIp) -> etherparse::PacketBuilderStep<etherparse::TcpHeader>,
        options: &[TcpOptionElement],
    ) -> Vec<u8> {
        let ip = PacketBuilder::ethernet2(self.own, self.sender.0).ipv4(PEER.octets(), SENDER.octets(), 64);
        let mut frame = Vec::new();
        let tcp = tcp(ip).options(options).expect("they fit");
        tcp.write(&mut frame, &[]).expect("it is short");
        frame
    }

    /// Milliseconds, as everybody's.
    fn clock(&self) -> u32 {
        STAMP.wrapping_add(self.began.elapsed().as_millis() as u32)
    }
}

type PacketBuilderIp = etherparse::PacketBuilderStep<etherparse::IpHeaders>;

fn stamp_of(tcp: &TcpSlice<'_>) -> Option<u32> {
    tcp.options_iterator().flatten().find_map(|option| match option {
        TcpOptionElement::Timestamp(stamp, _) => Some(stamp),
        _ => None,
    })
}
