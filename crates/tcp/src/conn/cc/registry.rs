//! The controllers there are, and how a connection calls the one it chose.
//!
//! `controllers!` is given one line for each controller and makes of it the variant of [`ControllerKind`], the name it is
//! chosen by and its state. What is called for each ACK is a `match`, so that the compiler sees through it; what happens
//! once per round trip at most is called through the trait.

use core::fmt;
use core::str::FromStr;

use super::super::fold::{Fold, Folder, Unfolder};
use super::{AckSample, Controller, Window};
use crate::{Nanos, Rate, Time};

macro_rules! controllers {
    ($(#[doc = $doc:literal] $(#[$default:ident])? $name:literal => $module:ident::$variant:ident $(($argument:ident: $Type:ty))?;)+) => {
        /// Which controller a connection uses.
        #[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
        #[non_exhaustive]
        pub enum ControllerKind {
            $(#[doc = $doc] $(#[$default])? $variant $(($Type))?,)+
        }

        impl ControllerKind {
            /// The names they are chosen by. One that takes an argument has it behind a colon.
            pub const NAMES: &'static [&'static str] = &[$(controllers!(@form $name $($argument)?)),+];
        }

        /// The name, with the argument where there is one.
        impl fmt::Display for ControllerKind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(ControllerKind::$variant $(($argument))? => {
                        f.write_str($name)?;
                        $(write!(f, ":{}", $argument)?;)?
                    })+
                }
                Ok(())
            }
        }

        impl FromStr for ControllerKind {
            type Err = UnknownController;

            fn from_str(text: &str) -> Result<ControllerKind, UnknownController> {
                let unknown = || UnknownController(text.to_owned());
                let (name, argument) = match text.split_once(':') {
                    Some((name, argument)) => (name, Some(argument)),
                    None => (text, None),
                };
                match (name, argument) {
                    $(controllers!(@pattern $name given $($argument)?) => {
                        $(let $argument = given.parse::<$Type>().map_err(|_| unknown())?;)?
                        Ok(ControllerKind::$variant $(($argument))?)
                    })+
                    _ => Err(unknown()),
                }
            }
        }

        /// The state of each. It lives in its connection: the size of the largest is no matter beside that.
        #[allow(clippy::large_enum_variant)]
        #[derive(Clone, Debug)]
        enum Algorithm {
            $(#[doc = $doc] $variant(super::$module::$variant),)+
        }

        impl Algorithm {
            fn new(kind: ControllerKind, window: &mut Window) -> Algorithm {
                match kind {
                    $(ControllerKind::$variant $(($argument))? => {
                        Algorithm::$variant(super::$module::$variant::new(window $(, $argument)?))
                    })+
                }
            }

            #[allow(dead_code)]
            fn get(&self) -> &dyn Controller {
                match self {
                    $(Algorithm::$variant(c) => c,)+
                }
            }

            fn get_mut(&mut self) -> &mut dyn Controller {
                match self {
                    $(Algorithm::$variant(c) => c,)+
                }
            }

            #[inline]
            fn on_ack(&mut self, window: &mut Window, sample: &AckSample) {
                match self {
                    $(Algorithm::$variant(c) => c.on_ack(window, sample),)+
                }
            }
        }

        /// Numbers for them, in the order of the lines.
        enum Number {
            $($variant,)+
        }

        impl Fold for ControllerKind {
            fn fold(&self, to: &mut Folder<'_>) {
                match self {
                    $(ControllerKind::$variant $(($argument))? => {
                        to.word(Number::$variant as u64);
                        $($argument.fold(to);)?
                    })+
                }
            }
            fn unfold(from: &mut Unfolder<'_>) -> Self {
                match from.word() {
                    $(n if n == Number::$variant as u64 => ControllerKind::$variant $((<$Type>::unfold(from)))?,)+
                    n => unreachable!("controller {n} was never folded"),
                }
            }
        }

        impl Fold for Algorithm {
            fn fold(&self, to: &mut Folder<'_>) {
                match self {
                    $(Algorithm::$variant(c) => {
                        to.word(Number::$variant as u64);
                        c.fold(to);
                    })+
                }
            }
            fn unfold(from: &mut Unfolder<'_>) -> Self {
                match from.word() {
                    $(n if n == Number::$variant as u64 => Algorithm::$variant(Fold::unfold(from)),)+
                    n => unreachable!("controller {n} was never folded"),
                }
            }
        }
    };
    (@form $name:literal) => { $name };
    (@form $name:literal $argument:ident) => { concat!($name, ":", stringify!($argument)) };
    (@pattern $name:literal $given:ident) => { ($name, None) };
    (@pattern $name:literal $given:ident $argument:ident) => { ($name, Some($given)) };
}

controllers! {
    /// RFC 9438 with HyStart++ (RFC 9406).
    #[default]
    "cubic" => cubic::Cubic;
    /// RFC 5681 with RFC 6582: what everything else is measured against.
    "newreno" => newreno::NewReno;
    /// RFC 8257, for networks whose switches mark early. It asks for ECN, whoever else does not.
    "dctcp" => dctcp::Dctcp;
    /// draft-ietf-ccwg-bbr, version 3 of BBR.
    "bbr" => bbr::Bbr;
    /// One rate, whatever is lost: for links of one's own.
    "fixed" => fixed::Fixed(rate: Rate);
}

/// No controller has this name, or its argument is missing, superfluous or unreadable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownController(pub String);

impl fmt::Display for UnknownController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is no congestion controller: there are {}", self.0, ControllerKind::NAMES.join(", "))
    }
}

impl core::error::Error for UnknownController {}

/// The controller of a connection, and the window it steers.
#[derive(Clone, Debug)]
pub(crate) struct Cc {
    window: Window,
    algorithm: Algorithm,
    /// cwnd and ssthresh before the last reduction, while that may prove wrong.
    before: Option<(u64, u64)>,
    /// How often cwnd was reduced for a loss, a timeout or a mark.
    reductions: u32,
}

// Detecting spurious losses, marks of congestion and rate reduction in recovery come with S35, S39 and S40.
#[allow(dead_code)]
impl Cc {
    /// The controller `kind` with a window of `initial` bytes.
    pub(crate) fn new(kind: ControllerKind, initial: u64, mss: u32) -> Cc {
        let mut window = Window { cwnd: initial, ssthresh: u64::MAX, mss: u64::from(mss), pacing_rate: None };
        let algorithm = Algorithm::new(kind, &mut window);
        Cc { window, algorithm, before: None, reductions: 0 }
    }

    /// Payload bytes of a full segment: [`Connection::mss`](super::super::Connection), at hand.
    #[inline]
    pub(crate) fn mss(&self) -> u64 {
        self.window.mss
    }

    /// Bytes that may be in the network.
    #[inline]
    pub(crate) fn cwnd(&self) -> u64 {
        self.window.cwnd
    }

    /// Where slow start ends, bytes; `u64::MAX` while unknown.
    #[inline]
    pub(crate) fn ssthresh(&self) -> u64 {
        self.window.ssthresh
    }

    /// The rate to send at, `None` to leave that to the window.
    #[inline]
    pub(crate) fn pacing_rate(&self) -> Option<Rate> {
        self.window.pacing_rate
    }

    /// How often the window was reduced for a loss, a timeout or a mark; it wraps.
    #[inline]
    pub(crate) fn reductions(&self) -> u32 {
        self.reductions
    }

    /// See [`Controller::wants_every_mark`].
    pub(crate) fn wants_every_mark(&self) -> bool {
        self.algorithm.get().wants_every_mark()
    }

    /// It steers cwnd in recovery too: nothing else is to.
    pub(crate) fn runs_recovery(&self) -> bool {
        self.algorithm.get().runs_recovery()
    }

    /// The effective send MSS changed.
    pub(crate) fn set_mss(&mut self, mss: u32) {
        self.window.mss = u64::from(mss);
        // A window below one segment could never send one.
        self.window.cwnd = self.window.cwnd.max(self.window.mss);
    }

    /// See [`Controller::on_connected`].
    pub(crate) fn on_connected(&mut self, now: Time, srtt: Nanos) {
        self.algorithm.get_mut().on_connected(&mut self.window, now, srtt);
    }

    /// See [`Controller::on_start`].
    pub(crate) fn on_start(&mut self, now: Time) {
        self.algorithm.get_mut().on_start(&mut self.window, now);
    }

    /// See [`Controller::on_ack`].
    #[inline]
    pub(crate) fn on_ack(&mut self, sample: &AckSample) {
        self.algorithm.on_ack(&mut self.window, sample);
    }

    /// See [`Controller::on_loss`].
    pub(crate) fn on_loss(&mut self, now: Time, flight: u64) {
        self.remember();
        self.algorithm.get_mut().on_loss(&mut self.window, now, flight);
    }

    /// See [`Controller::on_recovered`].
    pub(crate) fn on_recovered(&mut self, flight: u64) {
        self.algorithm.get_mut().on_recovered(&mut self.window, flight);
    }

    /// The retransmission timer expired; `repeated` when it had expired before for the same byte. See
    /// [`Controller::on_rto`].
    pub(crate) fn on_rto(&mut self, now: Time, flight: u64, repeated: bool) {
        if repeated {
            // RFC 5681 §3.1: ssthresh is held constant when the same segment times out again.
            self.window.cwnd = self.window.mss;
            return;
        }
        self.remember();
        self.algorithm.get_mut().on_rto(&mut self.window, now, flight);
    }

    /// See [`Controller::on_ecn`].
    pub(crate) fn on_ecn(&mut self, now: Time, flight: u64) {
        self.remember();
        // What routers mark is congestion, whatever becomes of losses that were suspected before.
        self.before = None;
        self.algorithm.get_mut().on_ecn(&mut self.window, now, flight);
    }

    /// See [`Controller::on_idle`].
    pub(crate) fn on_idle(&mut self, timeouts: u64, restart: u64) {
        self.algorithm.get_mut().on_idle(&mut self.window, timeouts, restart);
    }

    /// What made the last reduction was no loss: everything is as it was before, and as much more as was gained since
    /// (RFC 4015 §3.2, RFC 9438 §4.9). Without a reduction to take back nothing happens.
    pub(crate) fn on_spurious(&mut self) {
        let Some((cwnd, ssthresh)) = self.before.take() else { return };
        self.window.cwnd = self.window.cwnd.max(cwnd);
        self.window.ssthresh = self.window.ssthresh.max(ssthresh);
        self.algorithm.get_mut().on_spurious(&mut self.window);
    }

    fn remember(&mut self) {
        self.reductions = self.reductions.wrapping_add(1);
        self.before = Some((self.window.cwnd, self.window.ssthresh));
    }
}

folds! { struct Cc { window, algorithm, before, reductions } }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s41_every_name_chooses_its_controller_and_is_its_name_again() {
        for form in ControllerKind::NAMES {
            let text = form.replace(":rate", ":2500M");
            let kind: ControllerKind = text.parse().unwrap();
            assert_eq!(kind.to_string(), text);
            assert!(Cc::new(kind, 14_600, 1460).cwnd() > 0);
        }
    }

    #[test]
    fn s41_what_no_controller_is_called_is_refused_with_the_names_there_are() {
        for wrong in ["", "vegas", "NewReno", "newreno:", "newreno:1G", "newreno "] {
            let error = wrong.parse::<ControllerKind>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("'{wrong}'")) && error.contains("newreno"), "{error}");
        }
    }

    #[test]
    fn rfc4015_a_spurious_reduction_is_taken_back_once() {
        let mut cc = Cc::new(ControllerKind::NewReno, 40_000, 1000);
        cc.on_spurious();
        assert_eq!((cc.cwnd(), cc.ssthresh()), (40_000, u64::MAX));
        cc.on_loss(Time::ZERO, 40_000);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (20_000, 20_000));
        cc.on_spurious();
        assert_eq!((cc.cwnd(), cc.ssthresh()), (40_000, u64::MAX));
        // A timeout that repeats is the same one: what was there before the first is what comes back.
        cc.on_rto(Time::ZERO, 40_000, false);
        cc.on_rto(Time::ZERO, 1_000, true);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (1_000, 20_000));
        cc.on_spurious();
        assert_eq!((cc.cwnd(), cc.ssthresh()), (40_000, u64::MAX));
        cc.on_rto(Time::ZERO, 40_000, false);
        cc.on_spurious();
        cc.on_spurious();
        assert_eq!((cc.cwnd(), cc.ssthresh()), (40_000, u64::MAX));
    }
}
