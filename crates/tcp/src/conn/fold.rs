//! A connection at rest, folded.
//!
//! A connection that works has its state laid out for speed: kilobytes, nearly all of which are zero, or equal to
//! something else, while nothing is queued and nothing is in flight. Most connections of a server are like that most of
//! the time. Folded, such a connection is a few hundred bytes: each field in as few bytes as its value needs, times as
//! distances from now, offsets as distances from one another. Nothing is left out and nothing is rounded: what unfolds is
//! the connection that was folded, its congestion window and its count of lost segments included, and what RFC 5681 §4.1
//! makes of the time in between is left to the connection itself.
//!
//! Each part of a connection lists its fields once, by [`folds!`], in its own file. One that is forgotten is an error of
//! the compiler.

use core::ops::Range;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use super::timers::Timer;
use super::{ConnConfig, ConnErrorKind, ConnStats, Connection, Fin, First, Linger, Peer, Stamps, State};
use crate::wire::TcpFlags;
use crate::{FourTuple, Nanos, Offset, Payload, Rate, Seq, Time};

/// Where a connection is folded to.
pub(crate) struct Folder<'a> {
    to: &'a mut Vec<u8>,
    /// What times are counted from.
    now: u64,
    /// The offset before.
    last: u64,
}

/// Where one unfolds from: what a [`Folder`] wrote, in the same order.
pub(crate) struct Unfolder<'a> {
    from: &'a [u8],
    now: u64,
    last: u64,
}

/// The highest first byte that stands for itself; each above says how many bytes follow.
const LITERAL: u8 = 247;

/// What it is and has, in order.
pub(crate) trait Fold {
    fn fold(&self, to: &mut Folder<'_>);
    fn unfold(from: &mut Unfolder<'_>) -> Self;
}

/// Lists the fields of a struct, those behind `empty` last: they are at rest what they were at first. Or the variants of
/// an enum, with the names of their fields.
macro_rules! folds {
    (struct $T:ty { $($field:ident),* $(,)? } $(empty { $($empty:ident),* })?) => {
        impl $crate::conn::fold::Fold for $T {
            #[allow(unused_variables)] // Where there are no fields.
            fn fold(&self, to: &mut $crate::conn::fold::Folder<'_>) {
                $($crate::conn::fold::Fold::fold(&self.$field, to);)*
            }
            #[allow(unused_variables)]
            fn unfold(from: &mut $crate::conn::fold::Unfolder<'_>) -> Self {
                Self {
                    $($field: $crate::conn::fold::Fold::unfold(from),)*
                    $($($empty: Default::default(),)*)?
                }
            }
        }
    };
    (enum $T:ty { $($Variant:ident $({ $($field:ident),* })?),* $(,)? }) => {
        impl $crate::conn::fold::Fold for $T {
            fn fold(&self, to: &mut $crate::conn::fold::Folder<'_>) {
                enum Number { $($Variant),* }
                match self {
                    $(Self::$Variant $({ $($field),* })? => {
                        to.word(Number::$Variant as u64);
                        $($($crate::conn::fold::Fold::fold($field, to);)*)?
                    })*
                }
            }
            fn unfold(from: &mut $crate::conn::fold::Unfolder<'_>) -> Self {
                enum Number { $($Variant),* }
                match from.word() {
                    $(n if n == Number::$Variant as u64 => {
                        Self::$Variant $({ $($field: $crate::conn::fold::Fold::unfold(from)),* })?
                    })*
                    n => unreachable!("variant {n} was never folded"),
                }
            }
        }
    };
}

impl Folder<'_> {
    /// Small numbers are one byte, and so is the largest of all, which stands for none.
    pub(crate) fn word(&mut self, word: u64) {
        let n = word.wrapping_add(1);
        if n <= LITERAL.into() {
            return self.to.push(n as u8);
        }
        let bytes = 8 - n.leading_zeros() / 8;
        self.to.push(LITERAL + bytes as u8);
        self.to.extend_from_slice(&n.to_le_bytes()[..bytes as usize]);
    }
}

impl Unfolder<'_> {
    pub(crate) fn word(&mut self) -> u64 {
        let (first, rest) = self.from.split_first().unwrap_or((&0, &[]));
        let n = match first.checked_sub(LITERAL) {
            None | Some(0) => {
                self.from = rest;
                u64::from(*first)
            }
            Some(bytes) => {
                let (number, rest) = rest.split_at(usize::from(bytes).min(rest.len()));
                self.from = rest;
                let mut n = [0; 8];
                n[..number.len()].copy_from_slice(number);
                u64::from_le_bytes(n)
            }
        };
        n.wrapping_sub(1)
    }
}

/// Numbers of either sign, small ones near zero.
fn zigzag(distance: i64) -> u64 {
    ((distance << 1) ^ (distance >> 63)) as u64
}

fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

macro_rules! numbers_fold {
    ($($T:ty),*) => {
        $(impl Fold for $T {
            fn fold(&self, to: &mut Folder<'_>) {
                to.word(*self as u64);
            }
            fn unfold(from: &mut Unfolder<'_>) -> Self {
                from.word() as $T
            }
        })*
    };
}
numbers_fold!(u8, u16, u32, u64, usize);

impl Fold for bool {
    fn fold(&self, to: &mut Folder<'_>) {
        to.word((*self).into());
    }
    fn unfold(from: &mut Unfolder<'_>) -> Self {
        from.word() != 0
    }
}

impl Fold for Time {
    /// As a distance from now; the first and the last of all times are what was never set.
    fn fold(&self, to: &mut Folder<'_>) {
        to.word(match *self {
            Time::ZERO => 0,
            Time::MAX => u64::MAX,
            // A distance of half of all times, which no clock sees, has no place here.
            at => zigzag(at.as_nanos().wrapping_sub(to.now) as i64).saturating_add(1).min(u64::MAX - 1),
        });
    }
    fn unfold(from: &mut Unfolder<'_>) -> Self {
        match from.word() {
            0 => Time::ZERO,
            u64::MAX => Time::MAX,
            n => Time::from_nanos(from.now.wrapping_add_signed(unzigzag(n - 1))),
        }
    }
}

impl Fold for Nanos {
    fn fold(&self, to: &mut Folder<'_>) {
        to.word(self.as_nanos());
    }
    fn unfold(from: &mut Unfolder<'_>) -> Self {
        Nanos::from_nanos(from.word())
    }
}

impl Fold for Rate {
    fn fold(&self, to: &mut Folder<'_>) {
        to.word(self.as_bps());
    }
    fn unfold(from: &mut Unfolder<'_>) -> Self {
        Rate::from_bps(from.word())
    }
}

impl Fold for Offset {
    /// As a distance from the one before: nearly all that a quiet connection remembers is where it stands.
    fn fold(&self, to: &mut Folder<'_>) {
        to.word(zigzag(self.0.wrapping_sub(to.last) as i64));
        to.last = self.0;
    }
    fn unfold(from: &mut Unfolder<'_>) -> Self {
        from.last = from.last.wrapping_add_signed(unzigzag(from.word()));
        Offset(from.last)
    }
}

impl Fold for Seq {
    fn fold(&self, to: &mut Folder<'_>) {
        self.0.fold(to);
    }
    fn unfold(from: &mut Unfolder<'_>) -> Self {
        Seq(u32::unfold(from))
    }
}

impl<T: Fold> Fold for Option<T> {
    fn fold(&self, to: &mut Folder<'_>) {
        self.is_some().fold(to);
        if let Some(value) = self {
            value.fold(to);
        }
    }
    fn unfold(from: &mut Unfolder<'_>) -> Self {
        bool::unfold(from).then(|| T::unfold(from))
    }
}

impl<A: Fold, B: Fold> Fold for (A, B) {
    fn fold(&self, to: &mut Folder<'_>) {
        self.0.fold(to);
        self.1.fold(to);
    }
    fn unfold(from: &mut Unfolder<'_>) -> Self {
        (A::unfold(from), B::unfold(from))
    }
}

impl<A: Fold, B: Fold, C: Fold> Fold for (A, B, C) {
    fn fold(&self, to: &mut Folder<'_>) {
        self.0.fold(to);
        self.1.fold(to);
        self.2.fold(to);
    }
    fn unfold(from: &mut Unfolder<'_>) -> Self {
        (A::unfold(from), B::unfold(from), C::unfold(from))
    }
}

impl<A: Fold, B: Fold, C: Fold, D: Fold> Fold for (A, B, C, D) {
    fn fold(&self, to: &mut Folder<'_>) {
        self.0.fold(to);
        self.1.fold(to);
        self.2.fold(to);
        self.3.fold(to);
    }
    fn unfold(from: &mut Unfolder<'_>) -> Self {
        (A::unfold(from), B::unfold(from), C::unfold(from), D::unfold(from))
    }
}

impl<T: Fold, const N: usize> Fold for [T; N] {
    fn fold(&self, to: &mut Folder<'_>) {
        self.iter().for_each(|value| value.fold(to));
    }
    fn unfold(from: &mut Unfolder<'_>) -> Self {
        core::array::from_fn(|_| T::unfold(from))
    }
}

impl<T: Fold> Fold for Range<T> {
    fn fold(&self, to: &mut Folder<'_>) {
        self.start.fold(to);
        self.end.fold(to);
    }
    fn unfold(from: &mut Unfolder<'_>) -> Self {
        T::unfold(from)..T::unfold(from)
    }
}

impl<T: Fold> Fold for VecDeque<T> {
    fn fold(&self, to: &mut Folder<'_>) {
        self.len().fold(to);
        self.iter().for_each(|value| value.fold(to));
    }
    fn unfold(from: &mut Unfolder<'_>) -> Self {
        (0..usize::unfold(from)).map(|_| T::unfold(from)).collect()
    }
}

impl Fold for SocketAddr {
    fn fold(&self, to: &mut Folder<'_>) {
        match self.ip() {
            IpAddr::V4(ip) => {
                to.word(4);
                to.to.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                to.word(6);
                to.to.extend_from_slice(&ip.octets());
            }
        }
        to.to.extend_from_slice(&self.port().to_le_bytes());
        if let SocketAddr::V6(whole) = self {
            (whole.flowinfo(), whole.scope_id()).fold(to);
        }
    }
    fn unfold(from: &mut Unfolder<'_>) -> Self {
        if from.word() == 4 {
            let ip = IpAddr::from(from.bytes::<4>());
            return SocketAddr::new(ip, u16::from_le_bytes(from.bytes()));
        }
        let ip = from.bytes::<16>().into();
        let port = u16::from_le_bytes(from.bytes());
        let (flowinfo, scope_id) = Fold::unfold(from);
        std::net::SocketAddrV6::new(ip, port, flowinfo, scope_id).into()
    }
}

impl Unfolder<'_> {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let Some((bytes, rest)) = self.from.split_first_chunk::<N>() else { return [0; N] };
        self.from = rest;
        *bytes
    }
}

impl Fold for TcpFlags {
    fn fold(&self, to: &mut Folder<'_>) {
        self.0.fold(to);
    }
    fn unfold(from: &mut Unfolder<'_>) -> Self {
        TcpFlags(u16::unfold(from))
    }
}

impl Fold for Linger {
    fn fold(&self, to: &mut Folder<'_>) {
        match self {
            Linger::Background => None,
            Linger::Bounded(time) => Some(*time),
        }
        .fold(to);
    }
    fn unfold(from: &mut Unfolder<'_>) -> Self {
        Option::unfold(from).map_or(Linger::Background, Linger::Bounded)
    }
}

impl Fold for ConnStats {
    fn fold(&self, to: &mut Folder<'_>) {
        let mut counts = *self;
        for count in counts.each() {
            count.fold(to);
        }
    }
    fn unfold(from: &mut Unfolder<'_>) -> Self {
        let mut counts = ConnStats::default();
        for count in counts.each() {
            *count = u64::unfold(from);
        }
        counts
    }
}

folds! { struct FourTuple { local, remote } }
folds! { struct Peer { mss, timestamps, sack, scaled } }
folds! { struct Stamps { offset, recent, recent_at } }
folds! { enum Fin { Open, Queued, Sent, Acked } }
folds! { enum First { Nothing, Reset { seq, ack }, Reflection } }
folds! {
    enum State {
        Closed, Listen, SynSent, SynReceived, Established, FinWait1, FinWait2, CloseWait, Closing, LastAck,
        TimeWait,
    }
}
folds! { enum ConnErrorKind { Refused, Reset, TimedOut, Silent, Unreachable, NoNeighbour, Aborted } }
folds! {
    struct ConnConfig {
        mtu, max_mss, send_buffer, send_buffer_max, notsent_lowat, receive_buffer, no_delay, cork, autocork,
        mtu_probing, ecn, timestamps, sack, tail_loss_probe, window_scale, initial_rto, min_rto, max_rto,
        connect_timeout, user_timeout, user_timeout_option, keepalive, delayed_ack, quick_acks, initial_window,
        pacing, max_pacing_rate, autosize, tso_defer, idle_restart, linger, fin_wait_timeout, time_wait, controller,
    }
}

/// Where connections keep the addresses, which folded ones are still found by.
fn tuple_of(folded: &mut Unfolder<'_>) -> FourTuple {
    FourTuple::unfold(folded)
}

impl<P: Payload> Connection<P> {
    /// Nothing is queued, in flight, received and not read, proposed, owed or to be told, no timer runs but keepalive's,
    /// and both or one of the streams may go on: what is left fits into few bytes ([`fold`](Connection::fold)).
    pub fn is_at_rest(&self) -> bool {
        matches!(self.state, State::Established | State::CloseWait | State::FinWait2)
            && self.flight.is_empty()
            && self.queue.holds_nothing()
            && self.recv.holds_nothing()
            && self.proposed.bursts == 0
            && self.ack.owed() == super::ack::Owed::Nothing
            && matches!(self.first, First::Nothing)
            && self.events.is_empty()
            && self.send_times.is_empty()
            && self.timers.runs_at_most(Timer::Keepalive)
    }

    /// Folds a connection that [is at rest](Connection::is_at_rest) behind what is in `to`. No time that it knows should be
    /// far from `now`: folded, it is the shorter for it.
    ///
    /// # Panics
    /// When it is not at rest, in builds with debug assertions: what it holds would be lost.
    pub fn fold(&self, now: Time, to: &mut Vec<u8>) {
        debug_assert!(self.is_at_rest(), "a connection at work cannot be folded");
        let mut folder = Folder { to, now: 0, last: 0 };
        self.tuple.fold(&mut folder);
        folder.word(now.as_nanos());
        folder.now = now.as_nanos();
        self.fold_parts(&mut folder);
    }

    /// The connection that was [folded](Connection::fold) into `folded`, the same in everything.
    ///
    /// # Panics
    /// When nothing was.
    pub fn unfold(folded: &[u8]) -> Connection<P> {
        let mut from = Unfolder { from: folded, now: 0, last: 0 };
        let tuple = tuple_of(&mut from);
        from.now = from.word();
        let conn = Connection::unfold_parts(tuple, &mut from);
        debug_assert!(from.from.is_empty(), "more was folded than unfolds");
        #[cfg(debug_assertions)]
        conn.check_invariants();
        conn
    }

    /// The addresses of the connection that was folded into `folded`.
    ///
    /// # Panics
    /// When none was.
    pub fn folded_tuple(folded: &[u8]) -> FourTuple {
        tuple_of(&mut Unfolder { from: folded, now: 0, last: 0 })
    }
}

/// Bytes of a folded connection, at most, of all that tests fold.
#[cfg(test)]
const MOST: usize = 768;

#[cfg(test)]
impl<P: Payload + core::fmt::Debug> Connection<P> {
    /// Folds and unfolds it where it is at rest; whether it was. Nothing of it may change.
    pub(super) fn refold(&mut self, now: Time) -> bool {
        if !self.is_at_rest() {
            return false;
        }
        let mut folded = Vec::new();
        self.fold(now, &mut folded);
        assert!(folded.len() <= MOST, "{} bytes", folded.len());
        assert_eq!(Connection::<P>::folded_tuple(&folded), self.tuple);
        let before = format!("{self:#?}");
        *self = Connection::unfold(&folded);
        assert_eq!(format!("{self:#?}"), before, "something was lost in {} bytes", folded.len());
        true
    }
}

/// The parts of a connection, but for its addresses, which stand in front.
macro_rules! parts_fold {
    ($($part:ident),* $(,)?) => {
        impl<P: Payload> Connection<P> {
            fn fold_parts(&self, to: &mut Folder<'_>) {
                $(self.$part.fold(to);)*
            }

            fn unfold_parts(tuple: FourTuple, from: &mut Unfolder<'_>) -> Connection<P> {
                $(let $part = Fold::unfold(from);)*
                Connection { tuple, $($part),* }
            }
        }
    };
}

// Where we stand first: other offsets are near it.
parts_fold! {
    queue, state, passive, detached, peer, stamps, path, ecn, iss, syn, fin, send_buffer, send_times, flight, window,
    persist, offered, known, recovery, rack, prr, doubt, tail_probe, rtt, cfg, cc, proposed, cork, autocork, delivery,
    pacer, quiet_since, small_end, full_end, pushed, limited_until, peak, peak_until, irs, recv, recv_window, ack,
    acked_to, peer_fin, timers, events, first, unreachable, time_wait_ends, pulse, announced, shares, counts, outrun,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn through<T: Fold>(now: u64, values: &[T]) -> (Vec<T>, usize) {
        let mut bytes = Vec::new();
        let mut to = Folder { to: &mut bytes, now, last: 0 };
        values.iter().for_each(|value| value.fold(&mut to));
        let mut from = Unfolder { from: &bytes, now, last: 0 };
        let back = values.iter().map(|_| T::unfold(&mut from)).collect();
        assert!(from.from.is_empty());
        (back, bytes.len())
    }

    #[test]
    fn what_is_common_is_a_byte() {
        assert_eq!(through(0, &[0u64, 246, u64::MAX]).1, 3);
        assert_eq!(through(0, &[247u64]).1, 2);
        assert_eq!(through(1 << 50, &[Time::ZERO, Time::MAX, Time::from_nanos(1 << 50)]).1, 3);
        assert_eq!(through(0, &[Offset(1 << 40), Offset(1 << 40), Offset((1 << 40) - 9)]).1, 9);
    }

    proptest! {
        #[test]
        fn numbers_come_back(
            now in 0..u64::MAX / 4,
            words in prop::collection::vec(prop_oneof![any::<u64>(), 0..300u64, Just(u64::MAX)], 1..50),
            times in prop::collection::vec(prop_oneof![0..u64::MAX / 4, Just(u64::MAX)], 1..50),
        ) {
            prop_assert_eq!(&through(now, &words).0, &words);
            let offsets: Vec<_> = words.iter().copied().map(Offset).collect();
            prop_assert_eq!(&through(now, &offsets).0, &offsets);
            let times: Vec<_> = times.into_iter().map(Time::from_nanos).collect();
            prop_assert_eq!(&through(now, &times).0, &times);
        }

        #[test]
        fn addresses_come_back(v6: bool, ip: u128, port: u16, flowinfo: u32, scope: u32) {
            let addr: SocketAddr = match v6 {
                true => std::net::SocketAddrV6::new(ip.into(), port, flowinfo, scope).into(),
                false => SocketAddr::new(std::net::Ipv4Addr::from(ip as u32).into(), port),
            };
            prop_assert_eq!(through(0, &[addr]).0, [addr]);
        }
    }
}
